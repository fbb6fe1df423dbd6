"""Terms that console, pictures and page share, and how a language joins words."""

PHRASES: dict[str, tuple[str, str]] = {
    # Joining
    "between_sentences": ("", " "),
    "between_names": ("、", ", "),
    "between_parts": ("；", "; "),
    "and": ("{names} 和 {last}", "{names} and {last}"),
    "and_others": ("{names} 以及另外 {n} 个", "{names} and {n} others"),
    "as_written": ("{text}", "{text}"),
    # Metrics: their titles and short names
    "metric_acc": ("准确率", "Accuracy"),
    "metric_f1_macro": ("宏平均 F1", "Macro-F1"),
    "metric_precision_macro": ("宏平均 精确率", "Macro precision"),
    "metric_recall_macro": ("宏平均 召回率", "Macro recall"),
    "short_acc": ("准确率", "Acc"),
    "short_f1_macro": ("F1", "F1"),
    "short_precision_macro": ("精确率", "Prec"),
    "short_recall_macro": ("召回率", "Rec"),
    # Verdicts, as the csv files name them
    "best": ("第一名", "best"),
    "no significant difference": ("无显著差异", "no significant difference"),
    "worse": ("显著更差", "worse"),
    "too few pairs": ("样本太少，不下判断", "too few pairs"),
    "folds are missing": ("缺少折", "folds are missing"),
    "not comparable": ("不可比", "not comparable"),
    "no predictions": ("没有预测", "no predictions"),
    "better than the best model": ("好于最好的模型", "better than the best model"),
    "not corrected": ("未校正", "not corrected"),
    # Ensembles, as compare_families.csv names them
    "ensemble of all models": ("全部模型的集成", "ensemble of all models"),
    "ensemble of the best two": ("前两名的集成", "ensemble of the best two"),
    # Headings
    "verdict": ("与第一名相比", "Against the best"),
    "interval": ("95% 置信区间", "95% interval"),
    "yes": ("是", "yes"),
    "no": ("否", "no"),
    "unknown": ("未知", "unknown"),
    # What keeps a run from the comparison
    "instead_of": ("{name} 为 {own}，多数为 {usual}", "{name} {own} instead of {usual}"),
    "other_training_pairs": ("训练样本不同", "other training pairs"),
    "other_folds": ("划分的折不同", "other folds"),
    "other_pairs": ("验证样本或标签不同", "other validation pairs or labels"),
}
