"""The sentences that sum a comparison up, in Chinese; ``comparison.wording`` has the English ones."""

from __future__ import annotations

from ..comparison.compare import Compared, Comparison
from ..comparison.wording import BEST, NO_DIFFERENCE, UNTESTED, WORSE
from ..metrics import MAIN

_MOST_NAMES = 5


def conclusion(comparison: Comparison) -> str:
    """Sum the comparison up in a few sentences that can be quoted."""
    judgement = comparison.validation
    if judgement is None:
        return "没有哪次运行的预测可以和别的运行比较。"
    best = next(entry for entry in comparison.families if entry.verdict == BEST)
    several = len(judgement.models) > 1
    sentences = [_about_best(best, comparison, several)]
    if several:
        sentences.append(_about_others(comparison))
        smallest = comparison.smallest_difference
        if smallest is not None:
            points = f"{100 * smallest:.1f}"
            sentences.append(
                f"与第一名真正相差 {points} 个百分点的模型，有 80% 的把握会被判为更差。"
            )
    sentences.append(
        _about_seeds([entry for entry in comparison.families if entry.name in judgement.models])
    )
    left_out = [entry.name for entry in comparison.families if entry.verdict in UNTESTED]
    if left_out:
        sentences.append(f"未参与比较：{_listed(left_out)}。")
    return "".join(sentences)


def _about_best(best: Compared, comparison: Comparison, several: bool) -> str:
    value, low, high, corrected = best.scores[MAIN.column]
    figures = f"{value:.3f}"
    if f"{corrected:.3f}" != figures:
        figures += f"，去掉挑选轮次带来的好运后为 {corrected:.3f}"
    subject = best.name if best.seeds > 1 else f"{best.name} 的这次运行"
    claim = "宏平均 F1 最高" if several else "的宏平均 F1"
    end = "。" if several else "；没有别的运行可比。"
    interval = f"95% 置信区间 {low:.3f} 至 {high:.3f}"
    return f"在 {comparison.pairs:,} 对验证样本上，{subject}{claim}：{figures}（{interval}）{end}"


def _about_others(comparison: Comparison) -> str:
    judgement = comparison.validation
    if judgement.too_few:
        return f"样本太少，无法对 {len(judgement.models)} 个模型下判断。"
    names = [entry.name for entry in comparison.families if entry.name in judgement.models]
    findings = []
    for verdict, words in ((NO_DIFFERENCE, "与它无显著差异"), (WORSE, "显著更差")):
        found = [name for name in names if judgement.models[name].verdict == verdict]
        if found:
            findings.append(f"{_listed(found)} {words}")
    how = f"配对自助法，已对 {len(judgement.models)} 个模型和“第一名是在同一批样本上选出的”作校正"
    return f"在 95% 置信水平上，{'；'.join(findings)}（{how}）。"


def _about_seeds(entries: list[Compared]) -> str:
    seeds = sorted({entry.seeds for entry in entries})
    if seeds == [1]:
        return "每个模型只有一个种子：判断是对这些运行的，换种子数字会变。"
    shown = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} 至 {seeds[-1]}"
    return f"数字是 {shown} 个种子的均值。"


def _listed(names: list[str]) -> str:
    if len(names) > _MOST_NAMES + 1:
        return f"{'、'.join(names[:_MOST_NAMES])} 等 {len(names)} 个"
    return "、".join(names)
