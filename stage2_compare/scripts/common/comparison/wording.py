"""The sentence to quote."""

from __future__ import annotations

from .compare import BEST, F1, NO_PREDICTIONS, NOT_COMPARABLE, TIED, WORSE, Comparison


def conclusion(comparison: Comparison) -> str:
    """What may be said of it, to be quoted."""
    best, *others = [
        family for family in comparison.families if family.verdict in (BEST, TIED, WORSE)
    ] or [None]
    left = [
        family.name
        for family in comparison.families
        if family.verdict in (NOT_COMPARABLE, NO_PREDICTIONS)
    ]
    omitted = f" Not part of this: {_listed(left)}." if left else ""
    if best is None:
        return "No run has predictions that can be compared with those of others."
    value, low, high = best.scores[F1]
    figures = f"{value:.3f}, {comparison.confidence:.0%} interval {low:.3f} to {high:.3f}"
    start = f"On {comparison.pairs:,} validation pairs"
    if not others:
        return f"{start} {best.name} has a macro-F1 of {figures}; there is no other run to compare it with.{omitted}"
    tied, worse = (
        [family.name for family in others if family.verdict == verdict] for verdict in (TIED, WORSE)
    )
    findings = [f"{_listed(tied)} cannot be told apart from it"] * bool(tied)
    findings += [f"{_listed(worse)} {'is' if len(worse) == 1 else 'are'} worse"] * bool(worse)
    seeds = [len(family.runs) for family in (best, *others)]
    return (
        f"{start} {best.name} has the highest macro-F1: {figures}. At {comparison.confidence:.0%} confidence "
        f"{'; '.join(findings)} (paired bootstrap, corrected for {len(seeds)} models and for the best having been "
        "chosen on the same pairs). The smallest difference that these pairs would have shown in 80% of cases is "
        f"{100 * comparison.smallest_difference:.1f} points of macro-F1. "
        f"{_seeds_said(min(seeds), max(seeds))}{omitted}"
    )


def _seeds_said(few: int, many: int) -> str:
    if few > 1:
        return f"Means over {few} seeds." if few == many else f"Means over {few} to {many} seeds."
    who = "One seed each" if many == 1 else f"Means over up to {many} seeds; of models with one"
    return f"{who}: what other seeds would give is not in these figures."


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
