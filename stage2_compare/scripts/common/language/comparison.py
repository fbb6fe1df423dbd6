"""Phrases of the comparison: the sentences to quote, the console's tables and remarks."""

PHRASES: dict[str, tuple[str, str]] = {
    # The sentences to quote: the best
    "nothing_comparable": (
        "没有哪次运行的预测可以和别的运行比较。",
        "No run has predictions that can be compared with those of others.",
    ),
    "highest": (
        "在 {pairs}上，{subject}的宏平均 F1 最高：{figures}。",
        "On {pairs} {subject} has the highest macro-F1: {figures}.",
    ),
    "highest_corrected": (
        "在 {pairs}上，扣除挑选带来的好运之后，{subject}的宏平均 F1 最高：{figures}。",
        "On {pairs} {subject} has the highest macro-F1 once the luck of choosing is taken off: "
        "{figures}.",
    ),
    "alone": (
        "在 {pairs}上，{subject}的宏平均 F1 为 {figures}；没有别的运行可比。",
        "On {pairs} {subject} has a macro-F1 of {figures}; there is no other run to compare it "
        "with.",
    ),
    "the_model": ("{name} ", "{name}"),
    "this_run": ("{name} 的这次运行", "this run of {name}"),
    "one_seed_of": ("{name}（一个种子）", "{name} with one seed"),
    "validation_pairs": ("{n:,} 对验证样本", "{n:,} validation {n:pair|pairs}"),
    "test_pairs": ("{n:,} 对测试样本", "{n:,} test {n:pair|pairs}"),
    "of_them_independent": (
        "{pairs}（其中 {n:,} 对相互独立）",
        "{pairs} ({n:,} of them independent)",
    ),
    "figures": ("{value:.3f}（{interval}）", "{value:.3f} ({interval})"),
    "figures_corrected": (
        "{value:.3f}，扣除在同一批样本上挑选最佳{chosen}带来的好运后为 {corrected:.3f}（{interval}）",
        "{value:.3f}, or {corrected:.3f} ({interval}) without what choosing the best {chosen} on "
        "the same pairs gains by luck",
    ),
    "from_to": ("95% 置信区间 {low:.3f} 至 {high:.3f}", "95% interval {low:.3f} to {high:.3f}"),
    "chosen_epoch": ("轮次", "epoch"),
    "chosen_epoch_and_rate": ("轮次和学习率", "epoch and learning rate"),
    # The others
    "too_few_for_verdicts": (
        "样本太少，无法对 {n} 个模型下判断：同样好的模型会太常被判为更差。",
        "These are too few pairs for a verdict on {n} models: equally good ones would be called "
        "worse too often.",
    ),
    "verdicts": (
        "在 95% 置信水平上，{findings}（配对自助法，已对 {n} 个模型、以及第一名是在同一批样本上选出的作校正）。",
        "At 95% confidence {findings} (paired bootstrap, corrected for {n} models and for the best "
        "having been chosen on the same pairs).",
    ),
    "both_findings": ("{equal}；{worse}", "{equal}; {worse}"),
    "are_equal": (
        "{names} 与它无显著差异",
        "{names} {n:shows|show} no significant difference from it",
    ),
    "are_worse": ("{names} 显著更差", "{names} {n:is|are} worse"),
    "not_part": ("未参与比较：{names}。", "Not part of this: {names}."),
    # What would show it
    "would_be_seen": (
        "真实的宏平均 F1 比第一名低 {points:.1f} 个百分点的任何模型，有 80% 的机会被判为显著更差。",
        "Every model whose true difference from the best is {points:.1f} points of macro-F1 would "
        "have been called worse in 80% of cases.",
    ),
    "gap": ("{name} 所差的 {points:.1f} 个百分点", "The {points:.1f} points that {name} lacks"),
    "about_pairs": ("约 {n:,} 对这样的验证样本", "about {n:,} validation pairs like these"),
    "need_too_many": (
        "{gap}太小，每个模型用 {n} 个种子也证明不了。",
        "{gap} are too few to be shown with {n} seeds of each model.",
    ),
    "need_seeds": (
        "要证明 {gap}，每个模型约需 {n} 个种子，只增加样本不够。",
        "{gap} can be shown with about {n} seeds of each model, not by pairs alone.",
    ),
    "need_seeds_and_pairs": (
        "要证明 {gap}，每个模型约需 {n} 个种子，并用{pairs}；只增加样本不够。",
        "{gap} can be shown with about {n} seeds of each model on {pairs}, not by pairs alone.",
    ),
    "need_pairs": ("要证明 {gap}，需要{pairs}。", "{gap} would be shown by {pairs}."),
    "need_folds": (
        "要证明 {gap}，需要{pairs}；--folds 可以用上现有的全部 {total:,} 对。",
        "{gap} would be shown by {pairs}; --folds joins all {total:,} pairs that there are.",
    ),
    "need_more": (
        "要证明 {gap}，需要{pairs}，多于现有的 {total:,} 对。",
        "{gap} would be shown by {pairs}, more than the {total:,} that there are.",
    ),
    # Seeds
    "one_seed": (
        "每个模型只有一个种子：判断只针对这些运行，换种子数字会变。",
        "One seed each: these are verdicts on runs; other seeds would give other figures.",
    ),
    "one_seed_alone": (
        "只有一个种子：换种子数字会变。",
        "One seed only: others would give other figures.",
    ),
    "mean_of_seeds": ("数字是 {n} 个种子的均值。", "Means over {n} seeds."),
    "mean_of_several": (
        "数字是 {low} 至 {high} 个种子的均值。",
        "Means over {low} to {high} seeds.",
    ),
    "lent_spread": (
        "只有一个种子的模型，借用其他模型的离散程度。",
        "One seed alone is lent the spread of the others.",
    ),
    # On test pairs
    "no_test": ("{name} 没有对这 {pairs}的预测。", "{name} has no predictions for the {pairs}."),
    "on_test": (
        "按验证集选出、在 {pairs}上只测一次，它的宏平均 F1 为 {value:.3f}（{interval}）{outcome}。",
        "Chosen on validation and measured once on {pairs}, it has a macro-F1 of {value:.3f} "
        "({interval}){outcome}.",
    ),
    "test_first": ("，在那里也最高", ", the highest there too"),
    "test_too_few": (
        "；在那里 {name} 最高，但样本太少，不下判断",
        "; there {name} has the highest, but these are too few pairs for a verdict",
    ),
    "test_worse": ("；在那里 {name} 显著更好", "; there {name} is significantly better"),
    "test_equal": (
        "；在那里 {name} 最高，但无显著差异",
        "; there {name} has the highest, which is no significant difference",
    ),
    # The order over the learning rates
    "rates_unknown": (
        "要比较各学习率下的名次，至少要有两个模型用过同样的两个学习率。",
        "The order over the rates needs two models with the same two rates.",
    ),
    "rates_same": (
        "各学习率下的名次，与每个模型取自己最佳学习率时相同。",
        "The order is the same at each rate as with each model at its best rate.",
    ),
    "rates_other": (
        "学习率为 {rates} 时的名次，与每个模型取自己最佳学习率时不同。",
        "The order at {rates} is not that with each model at its best rate.",
    ),
    "rates_first": (
        "学习率为 {rates} 时的名次，与每个模型取自己最佳学习率时不同；{name} 始终第一。",
        "The order at {rates} is not that with each model at its best rate; {name} is first in "
        "all.",
    ),
    # Remarks on what weakens the comparison
    "warning": ("注意：{note}", "warning: {note}"),
    "is_not_comparable": ("不可比：{name}：{reasons}", "not comparable: {name}: {reasons}"),
    "seeds_of": ("{name}：{seeds}", "{name}: {seeds}"),
    "different_seeds": (
        "各模型的种子不同（{each}）：数字来自不同的抽样",
        "the models have different seeds ({each}): figures are of other draws",
    ),
    "unknown_seeds": (
        "{names} 没有记录种子：数字可能来自不同的抽样",
        "{names} did not record {n:its seed|their seeds}: {n:its|their} figures may be of other "
        "draws",
    ),
    "other_seeds": (
        "{name} 的种子是 {own}，多数是 {usual}：它的数字来自不同的抽样",
        "{name} has seeds {own}, most have {usual}: its figures are of other draws",
    ),
    "missing_folds": (
        "{name}，种子 {seed}：缺少第 {missing} 折，所以不与完整的一起排名；用 --fold 补训练",
        "{name}, seed {seed}: {n:fold|folds} {missing} missing, so it is not ranked beside whole "
        "ones; train them with --fold",
    ),
    "unequal_tuning": (
        "调参不均：最多用了 {most} 个学习率，而 {fewer} 较少：比较偏向试得多的",
        "unequal tuning: up to {most} learning rates, but {fewer}: the comparison favours those "
        "with more",
    ),
    "no_epochs": (
        "{names} 没有 epoch_predictions.csv：挑选最佳轮次的影响没有校正，数字看起来比实际好",
        "{names} kept no epoch_predictions.csv: the choice of the best epoch is not corrected "
        "there, so figures look better than they are",
    ),
    "early_stopping": ("早停本身没有重新抽样", "early stopping itself is not resampled"),
    "few_of_classes": (
        "独立验证样本很少的类别：{classes}",
        "classes with few independent validation pairs: {classes}",
    ),
    "copies_unknown": (
        "验证样本之间的重复没有记录：每一对都各算一次",
        "copies among the validation pairs are not recorded: each counts by itself",
    ),
    "doubtful": (
        "{names} 的区间不可信：{reason}",
        "intervals of {names} are not to be trusted: {reason}",
    ),
    "under_few": ("{classes} 不足 {n} 对", "under {n} pairs of {classes}"),
    "few_errors": ("只有 {n} 个错误", "only {n} {n:error|errors}"),
    "few_hits": ("只有 {n} 个正确", "only {n} {n:hit|hits}"),
    "met_in_training": (
        "训练中见过的验证样本：{text} 对文本相同，{image} 对图片相同，{near} 对图片几乎相同"
        "（其中 {conflicts} 对标签不同）：数字看起来比实际好",
        "validation pairs that training has met: {text} by their text, {image} by their photo, "
        "{near} by nearly their photo ({conflicts} with another label): figures look better than "
        "they are",
    ),
    "only_in": ("{note}（见 {names}）", "{note} (in {names})"),
    "processes_of": ("{names}：{n} 个", "{names} with {n}"),
    "different_processes": (
        "BERT 的 dropout 和 BatchNorm 取决于训练的进程数，而它们不同（{each}）",
        "BERT's dropout and BatchNorm depend on the number of processes, which differs ({each})",
    ),
    "other_code": (
        "{names} 是由另一个版本的程序训练的",
        "another version of this program than that of most runs has made {names}",
    ),
    "no_metric": (
        "{names} 没有记录 {metric}：那里留空",
        "{metric} is not recorded by {names}: it is empty there",
    ),
    # The console's tables
    "console_run": ("运行", "run"),
    "console_together": ("集成", "together"),
    "console_on_test": ("在测试样本上", "on the test pairs"),
    "console_verdict": ("与第一名相比", "against the best"),
    "console_corrected": ("校正后", "corrected"),
    "console_families": ("折与种子合并", "over folds and seeds"),
    "console_seeds": ("种子数", "seeds"),
    "console_with_sd": ("{metric} ± 标准差", "{metric} ± sd"),
    "console_always": ("（总是 {name}）", "(always {name})"),
    "console_epoch": ("轮次", "epoch"),
    "console_params": ("参数(M)", "params (M)"),
    "console_time": ("时间(s)", "time (s)"),
    "console_cut": ("截断文本", "cut texts"),
    "console_unknown": ("未知词", "unknown"),
    "console_probed": ("依赖什么", "what it relies on"),
    "console_images_shuffled": ("F1 损失：打乱图片", "F1 lost: images shuffled"),
    "console_texts_shuffled": ("打乱文本", "texts shuffled"),
    "console_additive": ("加性投影的 F1", "F1 of additive projection"),
    "console_probe_pairs": ("样本对", "pairs"),
}
