"""Every phrase of the page, in Chinese and in English.

The page holds both languages at once: its style sheet hides one of them, so a switch needs no
server. What the page's script writes by itself comes from the same table.
"""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

LANGUAGES = ("zh", "en")

PHRASES: dict[str, tuple[str, str]] = {
    # The frame
    "title": ("图文融合方式比较", "Ways of joining text and image, compared"),
    "skip": ("跳到正文", "Skip to the content"),
    "sections": ("各节", "Sections"),
    "language": ("English", "中文"),
    "theme": ("深色 / 浅色", "Dark / light"),
    "summary": ("结论", "Result"),
    "results": ("结果表", "Table of results"),
    "confusion": ("混淆矩阵", "Confusion matrices"),
    "pairs": ("逐对查看", "Pair by pair"),
    "slices": ("分组表现", "Accuracy by kind of pair"),
    "charts": ("其余的图", "Other pictures"),
    "protocol": ("协议与差异", "Protocol, and what differs"),
    "data": ("数据情况", "Data"),
    "no_script": (
        "没有 JavaScript：表格和图可以看，排序、筛选和语言切换不可用。",
        "Without JavaScript tables and pictures are here, but no sorting, filters or languages.",
    ),
    "no_predictions": (
        "没有任何运行留下 predictions.csv，所以没有混淆矩阵和逐对查看：用这一版重新训练即可。",
        "No run keeps a predictions.csv, so there are no confusion matrices and no pairs: "
        "train again with this version.",
    ),
    "weakens": ("要留意的地方（英文）", "What weakens the comparison"),
    # Results
    "model": ("模型", "Model"),
    "run": ("运行", "Run"),
    "interval": ("95 % 置信区间", "95 % interval"),
    "corrected": ("校正后", "Corrected"),
    "verdict": ("与第一名相比", "Against the best"),
    "p": ("p", "p"),
    "acc": ("准确率", "Accuracy"),
    "f1_macro": ("宏平均 F1", "Macro-F1"),
    "params": ("参数（百万）", "Parameters (M)"),
    "time": ("训练时间（秒）", "Training time (s)"),
    "memory": ("峰值内存（MB）", "Peak memory (MB)"),
    "seeds": ("种子数", "Seeds"),
    "comparable": ("可比", "Comparable"),
    "only_right": ("只有它对", "Only it is right"),
    "results_caption": (
        "宏平均 F1 最高的在前；点表头排序。校正后：去掉在同一批样本上挑选轮次带来的好运。",
        "Highest macro-F1 first; a heading sorts. Corrected: without what choosing the epoch on "
        "the same pairs gains by luck.",
    ),
    "verdict_best": ("第一名", "best"),
    "verdict_no_difference": ("无显著差异", "no significant difference"),
    "verdict_worse": ("显著更差", "worse"),
    "verdict_too_few": ("样本太少，不下判断", "too few pairs"),
    "verdict_incomplete": ("缺折", "folds are missing"),
    "verdict_not_comparable": ("不可比", "not comparable"),
    "verdict_no_predictions": ("没有预测", "no predictions"),
    "verdict_better": ("好于最好的模型", "better than the best model"),
    "verdict_not_corrected": ("未校正", "not corrected"),
    "test": ("测试集宏平均 F1", "Macro-F1 on test"),
    "ensemble": ("集成（概率的平均）", "Ensemble (mean of probabilities)"),
    "yes": ("是", "yes"),
    "no": ("否", "no"),
    "unknown": ("未知", "unknown"),
    # Copying and pictures
    "copy": ("复制", "Copy"),
    "copied": ("已复制", "Copied"),
    "not_copied": ("浏览器不允许复制", "The browser refuses to copy"),
    "sort": ("排序", "sort"),
    "picture_file": ("下载", "Download"),
    # Confusion
    "confusion_caption": (
        "行是真实类别，列是预测类别；每一格都链到它的样本。",
        "Rows are true classes, columns what the run said; every cell leads to its pairs.",
    ),
    "many_classes": (
        "类别超过 {most} 个：矩阵只在图里；逐对查看里可按真实类别和预测类别筛选。",
        "More than {most} classes: the matrices are in the picture only; the pairs below can be "
        "filtered by true and by predicted class.",
    ),
    "true_class": ("真实类别", "True class"),
    "cell": ("真实为 {true}、预测为 {said}：{count} 对", "true {true}, said {said}: {count} pairs"),
    # Explorer
    "preset_all": ("全部", "All"),
    "preset_all_wrong": ("全都错", "All wrong"),
    "preset_one_right": ("只有一个对", "Only one run right"),
    "preset_disagree": ("意见不一", "Runs disagree"),
    "preset_sure": ("很有把握却错", "Confident and wrong"),
    "preset_modalities": ("仅文本与仅图片不一致", "Text-only and image-only disagree"),
    "preset_label": ("标签可能有误", "Possible label error"),
    "preset_copies": ("近似重复", "Near copies"),
    "help_all_wrong": ("每个运行都错", "Every run is wrong"),
    "help_one_right": (
        "恰好一个运行对；再选“对”的运行，就是只有它对的",
        "Exactly one run is right; choose a run and “is right” for those of that run",
    ),
    "help_disagree": ("至少两个运行说法不同", "At least two runs say different classes"),
    "help_sure": (
        "有运行以至少 90 % 的概率说错",
        "A run is wrong with a probability of at least 90 %",
    ),
    "help_modalities": (
        "只看文本的运行和只看图片的运行说法不同",
        "The run that sees only the text and the one that sees only the photo differ",
    ),
    "help_label": (
        "至少两个运行，全部说同一个别的类，平均概率至少 70 %",
        "At least two runs, and all say the same other class, at 70 % or more on average",
    ),
    "help_copies": (
        "文本或图片与另一个样本相同或几乎相同",
        "The text or photo is, or nearly is, that of another pair",
    ),
    "any": ("任意", "any"),
    "is_right": ("判对", "is right"),
    "is_wrong": ("判错", "is wrong"),
    "is_said": ("说 {name}", "says {name}"),
    "first_run": ("第一个运行", "First run"),
    "second_run": ("第二个运行", "Second run"),
    "what_first": ("第一个运行怎样", "What the first run does"),
    "what_second": ("第二个运行怎样", "What the second run does"),
    "search": ("文本或编号", "Text or guid"),
    "slice": ("分组", "Kind of pair"),
    "reset": ("清除筛选", "Clear the filter"),
    "quotable": (
        "筛选写在地址里，复制地址就能引用。",
        "The filter is in the address: copy the address to quote it.",
    ),
    "count": ("{found} / {total} 对", "{found} of {total} pairs"),
    "none_found": ("没有符合条件的样本。", "No pair is like this."),
    "page_of": ("第 {page} / {pages} 页", "Page {page} of {pages}"),
    "previous": ("上一页", "Previous"),
    "next": ("下一页", "Next"),
    "cut": ("……（共 {count} 个字符，这里截断）", "... ({count} characters, cut here)"),
    "empty_text": ("（没有文本）", "(no text)"),
    "text_unknown": ("（文本不可用）", "(text not available)"),
    "photo_of": ("{guid} 的图片", "photo of {guid}"),
    "said": ("预测", "Said"),
    "square": (
        "图片是模型看到的正中方块。",
        "Photos are shown as the centre square, as the models see them.",
    ),
    "no_sources": (
        "文本和图片不显示，只有编号和预测：{reason}",
        "Texts and photos are not shown, only guids and predictions: {reason}",
    ),
    "some_sources": (
        "{count} 对没有文本和图片：{reason}",
        "{count} pairs have no text and photo here: {reason}",
    ),
    "reason_unreadable": (
        "训练用的文件现在读不了（{what}）",
        "the files are not readable ({what})",
    ),
    "reason_changed": (
        "{what} 的内容在训练之后变了（指纹不符）",
        "{what} has changed since the training (its fingerprint differs)",
    ),
    "reason_unrecorded": (
        "运行没有记录数据的指纹",
        "the runs did not record a fingerprint of their data",
    ),
    # Slices
    "slices_caption": (
        "准确率和 95 % 区间（Wilson）；样本数链到这些样本。",
        "Accuracy and its 95 % interval (Wilson); the number of pairs leads to them.",
    ),
    "n": ("样本数", "Pairs"),
    "slice_text_empty": ("文本：无", "text: none"),
    "slice_text_short": ("文本：1–50 字符", "text: 1–50 characters"),
    "slice_text_middle": ("文本：51–100 字符", "text: 51–100 characters"),
    "slice_text_long": ("文本：超过 100 字符", "text: over 100 characters"),
    "slice_chinese": ("文本：有汉字", "text: with Chinese characters"),
    "slice_not_chinese": ("文本：没有汉字", "text: without Chinese characters"),
    "slice_photo_tall": ("图片：竖", "photo: tall"),
    "slice_photo_square": ("图片：近似方形", "photo: nearly square"),
    "slice_photo_wide": ("图片：横", "photo: wide"),
    "slice_photo_small": ("图片：短边不足 300 像素", "photo: short side under 300 px"),
    "slice_photo_middle": ("图片：短边 300–599 像素", "photo: short side 300–599 px"),
    "slice_photo_large": ("图片：短边 600 像素以上", "photo: short side 600 px or more"),
    # Pictures
    "chart_radar": ("指标雷达图", "Metrics as radars"),
    "chart_params_time": ("参数量与训练时间", "Parameters and training time"),
    "chart_loss_curves": ("学习曲线", "Learning curves"),
    "chart_result_table": ("结果表（图）", "Results as a picture"),
    "chart_confusion": ("混淆矩阵（图）", "Confusion matrices as a picture"),
    "chart_per_class": ("每类结果", "Results of each class"),
    "chart_reliability": ("校准（可靠性图）", "Calibration"),
    "chart_agreement": ("错误一致性", "Agreement in errors"),
    "chart_intervals": ("宏平均 F1 的区间和判断（森林图）", "Macro-F1 and what it proves"),
    "chart_ablation": ("消融实验", "Ablation"),
    "chart_sensitivity": ("宏平均 F1 与学习率", "Macro-F1 over the learning rates"),
    # Protocol and data
    "setting": ("设置", "Setting"),
    "usual": ("多数运行的值", "Value of most runs"),
    "others": ("其他值", "Other values"),
    "differs": ("差异", "Differs"),
    "seed": ("种子", "Seed"),
    "fold": ("折", "Fold"),
    "lr": ("学习率", "Learning rate"),
    "best_epoch": ("最佳轮", "Best epoch"),
    "device": ("设备", "Device"),
    "truncated": ("截断的文本", "Cut texts"),
    "unknown_tokens": ("未知词", "Unknown tokens"),
    "what": ("项目", "What"),
    "value": ("值", "Value"),
    "data_samples": ("样本数", "Pairs"),
    "data_class_counts": ("各类样本数", "Pairs of each class"),
    "data_text_encodings": ("文本编码", "Encodings of the texts"),
    "data_text_notes": ("文本的异常", "Odd texts"),
    "data_image_notes": ("图片的异常", "Odd photos"),
    "data_duplicates": ("训练集中见过的验证样本", "Validation pairs met in training"),
    "data_unrecorded": ("没有记录。", "Not recorded."),
    "data_several": ("运行之间数据不同", "the runs have different data"),
}


def both(key: str, **values: Any) -> Markup:
    """Return a phrase in both languages as HTML; values are escaped."""
    spans = [
        Markup('<span lang="{}">{}</span>').format(language, text.format(**values))
        for language, text in zip(LANGUAGES, PHRASES[key], strict=True)
    ]
    return Markup("").join(spans)
