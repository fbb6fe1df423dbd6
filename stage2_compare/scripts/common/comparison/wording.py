"""The words of a comparison: verdicts, remarks on what weakens it, and the sentence to quote."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from ..metrics import MAIN, METRICS
from ..runs.reader import Run
from .protocol import group_name

if TYPE_CHECKING:  # compare.py imports this file
    from .compare import Comparison

BEST, NO_DIFFERENCE, WORSE = "best", "no significant difference", "worse"
NOT_COMPARABLE, NO_PREDICTIONS = "not comparable", "no predictions"
REFERENCE = "reference"  # always predicting the most frequent class


def conclusion(comparison: Comparison) -> str:
    """Sum the comparison up in a few sentences that can be quoted."""
    others = [entry for entry in comparison.families if entry.p_vs_best is not None]
    best = next((entry for entry in comparison.families if entry.verdict == BEST), None)
    if best is None:
        return "No run has predictions that can be compared with those of others."
    untested = (NOT_COMPARABLE, NO_PREDICTIONS)
    left_out = [entry.name for entry in comparison.families if entry.verdict in untested]
    omitted = f" Not part of this: {_listed(left_out)}." if left_out else ""
    value, low, high = best.scores[MAIN.column]
    figures = f"{value:.3f}, {comparison.confidence:.0%} interval {low:.3f} to {high:.3f}"
    start = f"On {comparison.pairs:,} validation pairs {best.name} has"
    if not others:
        return (
            f"{start} a macro-F1 of {figures}; there is no other run to compare it with.{omitted}"
        )
    equal = [entry.name for entry in others if entry.verdict == NO_DIFFERENCE]
    worse = [entry.name for entry in others if entry.verdict == WORSE]
    findings = []
    if equal:
        verb = "shows" if len(equal) == 1 else "show"
        findings.append(f"{_listed(equal)} {verb} no significant difference from it")
    if worse:
        findings.append(f"{_listed(worse)} {'is' if len(worse) == 1 else 'are'} worse")
    seeds = [len(entry.runs) for entry in (best, *others)]
    return (
        f"{start} the highest macro-F1: {figures}. "
        f"At {comparison.confidence:.0%} confidence {'; '.join(findings)} "
        f"(paired bootstrap, corrected for {len(seeds)} models "
        "and for the best having been chosen on the same pairs). "
        "The smallest difference that these pairs would have shown in 80% of cases is "
        f"{100 * comparison.smallest_difference:.1f} points of macro-F1. "
        f"{_about_seeds(min(seeds), max(seeds))}{omitted}"
    )


def _about_seeds(few: int, many: int) -> str:
    if few > 1:
        return f"Means over {few} seeds." if few == many else f"Means over {few} to {many} seeds."
    which = "One seed each" if many == 1 else f"Means over up to {many} seeds; of models with one"
    return f"{which}: what other seeds would give is not in these figures."


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def remarks(runs: list[Run], groups: list[list[Run]]) -> list[str]:
    """Name what weakens the comparison of these seed groups, or is missing in runs, a line each."""
    return [*_on_seeds(groups), *_on_duplicates(runs), *_on_metrics(runs), *_on_code(runs)]


def _on_seeds(groups: list[list[Run]]) -> list[str]:
    seeds = [_seeds(group) for group in groups]
    usual = max(sorted(set(seeds), key=str), key=seeds.count, default=())

    def listed(seeds: tuple) -> str:
        return ", ".join(map(str, seeds)) or "none"

    return [
        f"{group_name(group[0])} has seeds {listed(own)}, most have {listed(usual)}: "
        "its figures are of other draws"
        for group, own in zip(groups, seeds, strict=True)
        if own != usual
    ]


def _seeds(group: list[Run]) -> tuple:
    return tuple(sorted((run.seed for run in group), key=str))


def _on_duplicates(runs: list[Run]) -> list[str]:
    """Write one line for each set of counts of validation pairs that were met in training."""
    kinds = ("text", "image", "near_image", "label_conflicts")
    holders = defaultdict(list)
    for run in runs:
        counts = tuple(run.recorded("duplicates", kind) for kind in kinds)
        if all(isinstance(count, int) for count in counts) and any(counts):
            holders[counts].append(run.name)
    return [
        f"validation pairs that training has met: {text} by their text, {image} by their photo, "
        f"{near} by nearly their photo ({conflicts} with another label): "
        "figures look better than they are"
        + ("" if len(names) == len(runs) else f" (in {', '.join(names)})")
        for (text, image, near, conflicts), names in holders.items()
    ]


def _on_code(runs: list[Run]) -> list[str]:
    """Name the runs that another version of this program has made."""
    codes = {run.name: run.recorded("content", "code_sha256") for run in runs}
    known = {name: code for name, code in codes.items() if isinstance(code, str)}
    usual = Counter(known.values()).most_common(1)
    others = [name for name, code in known.items() if code != usual[0][0]]
    if not others:
        return []
    return [f"another version of this program than that of most runs has made {', '.join(others)}"]


def _on_metrics(runs: list[Run]) -> list[str]:
    """Name the runs of earlier versions that lack an optional metric."""
    lines = []
    for metric in METRICS:
        names = [run.name for run in runs if run.best[metric.column] is None]
        if names:
            lines.append(f"{metric.title} is not recorded by {', '.join(names)}: it is empty there")
    return lines
