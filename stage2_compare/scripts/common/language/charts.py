"""Phrases of the pictures: titles, captions, axes, legends and tables; ``|`` ends a line of a
heading."""

PHRASES: dict[str, tuple[str, str]] = {
    # Runs
    "one_modality_text": ("仅文本", "text only"),
    "one_modality_image": ("仅图片", "image only"),
    "detail_lr": ("学习率\u00a0{value}", "lr {value}"),
    "detail_seed": ("种子\u00a0{value}", "seed {value}"),
    "detail_fold": ("第\u00a0{value}\u00a0折", "fold {value}"),
    "with_mark": ("{label}（{mark}）", "{label} ({mark})"),
    "with_reason": ("{label}：{reason}", "{label}: {reason}"),
    # Notes of the command
    "best_runs": (
        "宏平均 F1 最高的 {shown} 个运行（共 {total} 个）",
        "the best {shown} of {total} runs",
    ),
    "note_best_runs": ("图中只画{what}", "the pictures show {what} by macro-F1"),
    "note_no_metric": (
        "{names}：没有 {what}：radar.png 中断开，表中为 –",
        "{names}: no {what}: a gap in radar.png, – in the tables",
    ),
    "note_no_predictions": (
        "{names}：没有 {file}：只出现在 {pictures} 中",
        "{names}: no {file}: only in {pictures}",
    ),
    "note_other_pairs": (
        "{names}：验证样本与别的运行不同：不在 agreement.png 中",
        "{names}: validated on other pairs: not in agreement.png",
    ),
    "note_no_agreement": (
        "agreement.png 需要两个用同样样本验证的运行：没有画",
        "agreement.png needs two runs that were validated on the same pairs: not drawn",
    ),
    "note_no_font": (
        "已安装的字体都没有 {missing}：画成 ?。请安装 Noto Sans CJK、Microsoft YaHei 或 SimHei",
        "no installed font has {missing}: drawn as ?. Install Noto Sans CJK, Microsoft YaHei or "
        "SimHei",
    ),
    "note_no_chinese_font": (
        "没有中文字体，图用英文画。请安装 Noto Sans CJK（Debian、Ubuntu：apt install fonts-noto-cjk）、"
        "Microsoft YaHei 或 SimHei",
        "no Chinese font is installed, so the pictures are in English. Install Noto Sans CJK "
        "(Debian, Ubuntu: apt install fonts-noto-cjk), Microsoft YaHei or SimHei",
    ),
    # Headings of tables
    "column_params": ("参数|（百万）", "Params|(M)"),
    "column_trained": ("训练的|（百万）", "Trained|(M)"),
    "column_time": ("时间|（{unit}）", "Time|({unit})"),
    "column_best_epoch": ("最佳|轮次", "Best|epoch"),
    "column_confidence": ("平均|置信度", "Mean|confidence"),
    "column_accuracy": ("准确率", "Accuracy"),
    "column_excess": ("过于|自信", "Too sure|by"),
    "column_ece": ("校准误差|（ECE）", "ECE"),
    "column_test": ("测试集|{metric}", "Test|{metric}"),
    "unit_s": ("秒", "s"),
    "unit_min": ("分", "min"),
    "unit_h": ("时", "h"),
    # Remarks that several pictures have
    "measured": (
        "在{where}上、宏平均 F1 最高的轮次测得。",
        "Measured on {where}, at the epoch with the highest macro-F1.",
    ),
    "so_many_samples": (" {n} 个验证样本", "{n} validation samples"),
    "validation": ("验证集", "validation"),
    "bold_is_best": ("加粗灰底：该列最好的。", "Bold on grey: the best of its column."),
    "bold_is_best_comparable": (
        "加粗灰底：可比的运行中该列最好的。",
        "Bold on grey: the best of its column among the comparable runs.",
    ),
    # radar.png
    "title_radar": ("验证集指标", "Validation metrics"),
    "one_scale": ("所有轴刻度相同：{scale}。", "All axes share one scale: {scale}."),
    "scale": (
        "{centre}，外圈为 {high:.2f}，每圈 {step:.2f}",
        "{centre}, {high:.2f} at the rim, a ring every {step:.2f}",
    ),
    "centre_zero": ("圆心为 0", "0 at the centre"),
    "centre_other": ("圆心为 {low:.2f}（不是 0）", "{low:.2f}, not 0, at the centre"),
    # params_time.png
    "title_params_time": ("参数量、训练时间与宏平均 F1", "Parameters, training time and macro-F1"),
    "axis_params": ("参数（百万）", "Parameters (million)"),
    "axis_time": ("训练时间（{unit}）", "Training time ({unit})"),
    "log_scale": ("{name}，对数刻度", "{name}, log scale"),
    # loss_curves.png
    "title_loss_curves": ("训练损失与验证损失", "Training and validation loss"),
    "shared_axes": ("所有小图坐标轴相同。", "All panels share their axes."),
    "no_val_loss": ("有的运行没有验证损失。", "Some runs have no validation loss."),
    "which_epoch": (
        "最佳轮次的验证宏平均 F1 最高。",
        "The best epoch has the highest validation macro-F1.",
    ),
    "axis_loss": ("损失", "Loss"),
    "axis_epoch": ("轮次", "Epoch"),
    "key_training": ("训练", "training"),
    "key_validation": ("验证", "validation"),
    "key_best_epoch": ("最佳轮次", "best epoch"),
    # result_table.png
    "title_result_table": ("结果", "Results"),
    # confusion.png
    "title_confusion": ("混淆矩阵", "Confusion matrices"),
    "cells_with_share": (
        "行是真实类别，列是运行预测的类别。每格：占该行的比例和样本数。",
        "A row is a true class, a column what the run took it for. In each cell the share of its "
        "row and the number of samples.",
    ),
    "cells": (
        "行是真实类别，列是运行预测的类别。每格：样本数。",
        "A row is a true class, a column what the run took it for. In each cell the number of "
        "samples.",
    ),
    "axis_true": ("真实类别", "True class"),
    "axis_predicted": ("预测类别", "Predicted class"),
    "key_classes": ("类别：{classes}", "Classes: {classes}"),
    "key_share": ("占真实类别的比例：", "Share of the true class:"),
    # per_class.png
    "title_per_class": ("每类的 F1、精确率和召回率", "F1, precision and recall of each class"),
    "panel_f1": ("F1", "F1"),
    "panel_precision": ("精确率", "Precision"),
    "panel_recall": ("召回率", "Recall"),
    "support_range": ("n = {low} 至 {high}", "n = {low} to {high}"),
    # reliability.png
    "title_reliability": ("校准（可靠性图）", "Calibration"),
    "about_reliability": (
        "置信度为 0.8 的回答应有 80% 正确：虚线。点在线下：过于自信。竖条：准确率的 95% 置信区间（Wilson），"
        "置信度分 15 档。每幅下方：各档样本的比例。ECE：期望校准误差，与虚线的平均距离（Guo 等 2017）。",
        "Of the answers that a run gives with a confidence of 0.8, 80% should be right: the dashed "
        "line. Points below it: too sure. Bars: 95% intervals (Wilson) of the accuracy, in 15 bins "
        "of confidence. Under each diagram: the share of the samples in each bin. ECE: expected "
        "calibration error, the mean distance from the line (Guo et al. 2017).",
    ),
    "axis_accuracy": ("准确率", "Accuracy"),
    "axis_share": ("比例", "Share"),
    "axis_confidence": ("置信度", "Confidence"),
    # agreement.png
    "title_agreement": ("共同的错误", "Errors in common"),
    "about_agreement": (
        "对角线下方：两个运行都判错的验证样本的比例；括号内是两者的错误互不相干时仅凭偶然会有的比例。"
        "上方和颜色：同一件事用一个数表示，即对与错的 Cohen's kappa。1：错在同样的样本上。0：如同偶然；"
        "这样的运行各有所长，合起来可能更好。对角线：该运行自己判错的比例。",
        "Below the diagonal: the share of the validation samples that both runs get wrong, and in "
        "brackets the share that chance alone would give if their errors had nothing to do with "
        "each other. Above it, and as the colour: the same as one number, Cohen's kappa of right "
        "and wrong. 1: both err on the same samples. 0: as if by chance; such runs know different "
        "things, and joining them can help. On the diagonal: how often the run itself is wrong.",
    ),
    "about_agreement_colours": (
        "颜色：两个运行对与错的 Cohen's kappa。蓝：错在同样的样本上。白：如同偶然；这样的运行各有所长，"
        "合起来可能更好。橙：一个错时另一个多半对。对角线是运行自己。",
        "Colours: Cohen's kappa of right and wrong of two runs. Blue: both err on the same "
        "samples. White: as if by chance; such runs know different things, and joining them can "
        "help. Orange: where one errs, the other is rather right. The diagonal is a run itself.",
    ),
    # intervals.png
    "title_intervals": ("宏平均 F1 及其说明的问题", "Macro-F1 and what it proves"),
    "about_bars": (
        "横条：对{pairs}自助抽样得到的 95% 置信区间。",
        "Bars: 95% intervals by bootstrap over {pairs}.",
    ),
    "n_pairs": (" n = {n} 对验证样本", "n = {n} validation pairs"),
    "own_pairs": ("各运行自己的验证样本", "each run's own validation pairs"),
    "about_verdicts": (
        "判断是在同样的样本上与第一名相比，已按模型个数和挑选第一名作校正（Hsu 1984）；"
        "差异不显著并不证明两者相同。",
        "A verdict compares with the best on the same pairs, corrected for how many there are and "
        "for having picked the best (Hsu 1984); a difference that is not significant is no proof "
        "of being equal.",
    ),
    "about_difference": (
        "五次中有四次能对任何模型证明的差异：{value:.3f}。",
        "Difference that would have been shown of every model in 4 of 5 cases: {value:.3f}.",
    ),
    "about_filled": (
        "实心：折与种子合并；其下是各次运行。",
        "Filled: over folds and seeds; below it each run.",
    ),
    "about_corrected": (
        "点和横条已扣除在同一批样本上挑选最佳轮次带来的好运；短竖线是未扣除的数字。",
        "Dot and bar are less what choosing the best epoch on the same pairs gains by luck; the "
        "tick is the figure with it.",
    ),
    "about_test": (
        "灰色方块和细条：只测一次的 {pairs}，不参与挑选。",
        "Grey square and thin bar: {pairs}, measured once, by which nothing was chosen.",
    ),
    "count_seeds": ("{n}\u00a0个种子", "{n}\u00a0seeds"),
    "count_folds": ("{n}\u00a0折", "{n}\u00a0folds"),
    "count_rates": ("{n}\u00a0个学习率", "{n}\u00a0rates"),
    "no_interval": ("没有区间", "no interval"),
    "bounds": ("{low:.3f} 至 {high:.3f}", "{low:.3f} to {high:.3f}"),
    "test_value": ("测试 {value:.3f}", "test {value:.3f}"),
    "smallest_difference": ("最小可证差异：{value:.3f}", "smallest difference: {value:.3f}"),
    # ablation.png
    "title_ablation": ("消融实验：模型依赖什么", "What the models rely on"),
    "about_ablation": (
        "已训练模型的宏平均 F1，来自用 --probe 训练的运行。加性投影：同一模型去掉文本与图片的交互之后"
        "（EMAP，Hessel 和 Lee 2020）。打乱：换成别的样本的图片或文本。置空：没有一个词，或只有一种颜色。"
        "单模态的运行只用该模态训练。",
        "Macro-F1 of trained models, from run folders made with --probe. Additive projection: the "
        "same model with the interaction of text and image taken out (EMAP, Hessel and Lee "
        "2020). Shuffled: with the images, or texts, of other pairs. Blanked: without a word, or "
        "with one colour. Runs of one modality were trained on it alone.",
    ),
    "about_majority": ("虚线：总是预测 {name}。", "Dashed: always {name}."),
    "as_it_is": ("原样", "as it is"),
    "same_pairs": ("原样（同样的样本）", "as it is, same pairs"),
    "additive_projection": ("加性投影", "additive projection"),
    "images_shuffled": ("打乱图片", "images shuffled"),
    "texts_shuffled": ("打乱文本", "texts shuffled"),
    "image_blanked": ("图片置空", "image blanked"),
    "text_blanked": ("文本置空", "text blanked"),
    # sensitivity.png
    "title_sensitivity": (
        "名次在每个学习率下都成立吗？",
        "Does the order hold at every learning rate?",
    ),
    "about_sensitivity": (
        "竖条：95% 置信区间，围绕扣除挑选最佳轮次所带来好运之后的数字；折与种子的均值。{order}",
        "Bars: 95% intervals, around the figure less what choosing the best epoch gains by luck; "
        "means over folds and seeds. {order}",
    ),
    "axis_rate": ("学习率", "Learning rate"),
}
