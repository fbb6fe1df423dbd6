"""The words of a comparison: verdicts, remarks on what weakens it, and the sentences to quote."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from ..metrics import MAIN, METRICS
from ..runs.reader import Run
from .families import Family
from .intervals import FEW
from .need import Need

if TYPE_CHECKING:  # these import this file
    from .compare import Compared, Comparison
    from .intervals import Estimate
    from .judging import Judgement

BEST, NO_DIFFERENCE, WORSE = "best", "no significant difference", "worse"
TOO_FEW, INCOMPLETE = "too few pairs", "folds are missing"
NOT_COMPARABLE, NO_PREDICTIONS = "not comparable", "no predictions"
BETTER, NOT_CORRECTED = "better than the best model", "not corrected"  # of an ensemble
REFERENCE = "reference"  # always predicting the most frequent class
UNTESTED = (NOT_COMPARABLE, NO_PREDICTIONS, INCOMPLETE)
_MOST_NAMES = 5  # in one sentence
_LEAST_GAP = 0.0005  # of macro-F1; less reads as 0.0 points
_MOST_SEEDS = 20  # that anyone would train


def conclusion(comparison: Comparison) -> str:
    """Sum the comparison up in a few sentences that can be quoted."""
    judgement = comparison.validation
    if judgement is None:
        return "No run has predictions that can be compared with those of others."
    entries = {entry.name: entry for entry in comparison.families}
    best = next(entry for entry in comparison.families if entry.verdict == BEST)
    sentences = [_about_best(best, judgement, alone=len(judgement.models) == 1)]
    if len(judgement.models) > 1:
        sentences += [_about_others(judgement, entries), *_what_would_show(comparison, judgement)]
    sentences += [_about_seeds([entries[name] for name in judgement.models])]
    if comparison.test:
        sentences.append(_about_test(comparison.test, best))
    left_out = [entry.name for entry in comparison.families if entry.verdict in UNTESTED]
    if left_out:
        sentences.append(f"Not part of this: {listed(left_out)}.")
    return " ".join(filter(None, sentences))


def _about_best(best: Compared, judgement: Judgement, alone: bool) -> str:
    value, low, high, corrected = best.scores[MAIN.column]
    interval = f"95% interval {low:.3f} to {high:.3f}"
    figures = f"{value:.3f} ({interval})"
    if f"{corrected:.3f}" != f"{value:.3f}":
        chosen = "epoch" if best.rate is None else "epoch and learning rate"
        figures = (
            f"{value:.3f}, or {corrected:.3f} ({interval}) without what choosing the best {chosen} "
            "on the same pairs gains by luck"
        )
    pairs = counted(len(judgement.pairs), "validation pair")
    if judgement.pairs.independent < len(judgement.pairs):
        pairs += f" ({judgement.pairs.independent:,} of them independent)"
    if alone:
        return (
            f"On {pairs} {_subject(best)} has a macro-F1 of {figures}; "
            "there is no other run to compare it with."
        )
    return f"On {pairs} {_subject(best)} has the highest macro-F1: {figures}."


def _subject(entry: Compared) -> str:
    """One seed is a run; about a model only several can speak."""
    return entry.name if entry.seeds > 1 else f"this run of {entry.name}"


def _about_others(judgement: Judgement, entries: dict[str, Compared]) -> str:
    verdicts = defaultdict(list)
    for name in entries:  # best first
        if name in judgement.models:
            verdicts[judgement.models[name].verdict].append(name)
    if judgement.too_few:
        return (
            f"These are too few pairs for a verdict on {len(judgement.models)} models: equally good "
            "ones would be called worse too often."
        )
    findings = []
    if equal := verdicts[NO_DIFFERENCE]:
        verb = "shows" if len(equal) == 1 else "show"
        findings.append(f"{listed(equal)} {verb} no significant difference from it")
    if worse := verdicts[WORSE]:
        findings.append(f"{listed(worse)} {'is' if len(worse) == 1 else 'are'} worse")
    return (
        f"At 95% confidence {'; '.join(findings)} (paired bootstrap, corrected for "
        f"{len(judgement.models)} models and for the best having been chosen on the same pairs)."
    )


def _what_would_show(comparison: Comparison, judgement: Judgement) -> list[str]:
    """Say what difference would have been seen, and what it takes to show the one that is seen."""
    if judgement.too_few:
        return []
    sentences = []
    smallest = judgement.ranking.smallest_difference
    if smallest is not None:
        sentences.append(
            "Every model whose true difference from the best is "
            f"{100 * smallest:.1f} points of macro-F1 would have been called worse in 80% of cases."
        )
    if judgement.need is not None and judgement.need.gap >= _LEAST_GAP:
        sentences.append(_about_need(judgement.need, comparison))
    return sentences


def _about_need(need: Need, comparison: Comparison) -> str:
    gap = f"The {100 * need.gap:.1f} points that {need.name} lacks"
    if need.seeds is not None and need.seeds > _MOST_SEEDS:
        return f"{gap} are too few to be shown with {_MOST_SEEDS} seeds of each model."
    if need.seeds is not None:
        together = f" on {_about_pairs(need.pairs)}" if need.pairs else ""
        return (
            f"{gap} can be shown with about {need.seeds} seeds of each model{together}, not by "
            "pairs alone."
        )
    total = _all_pairs(comparison)
    ways = _about_pairs(need.pairs)
    if total and need.pairs <= total > len(comparison.validation.pairs):
        ways += f"; --folds joins all {total:,} pairs that there are"
    elif total:
        ways += f", more than the {total:,} that there are"
    return f"{gap} would be shown by {ways}."


def _about_pairs(number: int) -> str:
    """Round to two digits."""
    unit = 10 ** max(0, len(str(number)) - 2)
    return f"about {math.ceil(number / unit) * unit:,} validation pairs like these"


def _all_pairs(comparison: Comparison) -> int | None:
    """Return how many pairs training and validation have together, where it is recorded."""
    run = comparison.runs[0].runs[0]
    sizes = [run.recorded("samples", split) for split in ("train", "val")]
    return sum(sizes) if all(isinstance(size, int) for size in sizes) else None


def _about_seeds(entries: list[Compared]) -> str:
    seeds = sorted({entry.seeds for entry in entries})
    if seeds == [1]:
        return "One seed each: these are verdicts on runs; other seeds would give other figures."
    if len(seeds) == 1:
        return f"Means over {seeds[0]} seeds."
    lent = " One seed alone is lent the spread of the others." if seeds[0] == 1 else ""
    return f"Means over {seeds[0]} to {seeds[-1]} seeds.{lent}"


def _about_test(test: Judgement, best: Compared) -> str:
    """Say how the one that validation chose does on the test pairs."""
    judged = test.models.get(best.name)
    pairs = counted(len(test.pairs), "test pair")
    if judged is None:
        return f"{best.name} has no predictions for the {pairs}."
    value, low, high, _ = judged.estimates[MAIN.column]
    text = (
        f"Chosen on validation and measured once on {pairs}, it has a macro-F1 of {value:.3f} "
        f"(95% interval {low:.3f} to {high:.3f})"
    )
    if len(test.models) == 1:
        return f"{text}."
    first = next(name for name, model in test.models.items() if model.verdict == BEST)
    if first == best.name:
        return f"{text}, the highest there too."
    if judged.verdict == TOO_FEW:
        return f"{text}; there {first} has the highest, but these are too few pairs for a verdict."
    if judged.verdict == WORSE:
        return f"{text}; there {first} is significantly better."
    return f"{text}; there {first} has the highest, which is no significant difference."


def order_over_rates(comparison: Comparison) -> str:
    """Say if the order of the models is the same at each learning rate, and at their best ones."""
    families = [family for family in comparison.families if len(family.by_rate) > 1]
    shared = set.intersection(*(set(family.by_rate) for family in families)) if families else set()
    if len(families) < 2 or len(shared) < 2:
        return "The order over the rates needs two models with the same two rates."
    best = {family.name: _best_of(family.by_rate) for family in families}
    at_best = sorted(best, key=lambda name: -best[name])
    orders = {}
    for rate in sorted(shared):
        at_rate = {family.name: family.by_rate[rate].corrected for family in families}
        orders[rate] = sorted(at_rate, key=lambda name: -at_rate[name])
    other = [f"{rate:g}" for rate, order in orders.items() if order != at_best]
    if not other:
        return "The order is the same at each rate as with each model at its best rate."
    firsts = {order[0] for order in [*orders.values(), at_best]}
    text = f"The order at {listed(other)} is not that with each model at its best rate"
    return f"{text}; {at_best[0]} is first in all." if len(firsts) == 1 else f"{text}."


def _best_of(by_rate: dict[float | None, Estimate]) -> float:
    return max(estimate.corrected for estimate in by_rate.values())


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(names: list[str]) -> str:
    """Join names; of many, only the first are named."""
    if len(names) > _MOST_NAMES + 1:
        return f"{', '.join(names[:_MOST_NAMES])} and {len(names) - _MOST_NAMES} others"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def remarks(runs: list[Run], families: list[Family], judgement: Judgement | None) -> list[str]:
    """Name what weakens the comparison of these families, or is missing in runs, a line each."""
    return [
        *_on_seeds(families),
        *_on_folds(families),
        *_on_rates(families),
        *_on_selection(runs),
        *_on_pairs(judgement),
        *_on_duplicates(runs),
        *_on_metrics(runs),
        *_on_code(runs),
    ]


def _on_seeds(families: list[Family]) -> list[str]:
    """Name the families whose seeds are not those of most."""
    seeds = Counter(family.seeds for family in families)
    usual, holders = max(seeds.items(), key=lambda item: (item[1], len(item[0]), str(item[0])))

    def shown(seeds: tuple) -> str:
        return ", ".join(map(str, seeds))

    if 2 * holders <= len(families) and len(seeds) > 1:
        each = [f"{family.name}: {shown(family.seeds)}" for family in families]
        return [f"the models have different seeds ({listed(each)}): figures are of other draws"]
    return [
        f"{family.name} has seeds {shown(family.seeds)}, most have {shown(usual)}: "
        "its figures are of other draws"
        for family in families
        if family.seeds != usual
    ]


def _on_folds(families: list[Family]) -> list[str]:
    lines = []
    for family in families:
        for trial in family.incomplete:
            missing = ", ".join(map(str, trial.missing))
            word = "fold" if len(trial.missing) == 1 else "folds"
            lines.append(
                f"{family.name}, seed {trial.seed}: {word} {missing} missing, "
                "so it is not ranked beside whole ones; train them with --fold"
            )
    return lines


def _on_rates(families: list[Family]) -> list[str]:
    """Say which families were tuned with more learning rates than others."""
    budgets = {family.name: len(family.by_rate) for family in families if family.by_rate}
    if len(set(budgets.values())) < 2:
        return []
    most = max(budgets.values())
    fewer = [f"{name} ({budget})" for name, budget in budgets.items() if budget < most]
    return [
        f"unequal tuning: up to {most} learning rates, but {listed(fewer)}: "
        "the comparison favours those with more"
    ]


def _on_selection(runs: list[Run]) -> list[str]:
    """Say what of the choice of the epoch is not corrected, and in which runs."""
    lines = []
    names = [
        run.name for run in runs if run.predictions and run.epochs is None and len(run.history) > 1
    ]
    if names:
        lines.append(
            f"{listed(names)} kept no epoch_predictions.csv: the choice of the best epoch is not "
            "corrected there, so figures look better than they are"
        )
    if any(run.recorded("protocol", "patience") for run in runs):
        lines.append("early stopping itself is not resampled")
    return lines


def _on_pairs(judgement: Judgement | None) -> list[str]:
    """Warn of rare classes and of intervals that are not to be trusted."""
    if judgement is None:
        return []
    pairs, lines = judgement.pairs, []
    counts = Counter(pairs.labels[pairs.one_of_each_group].tolist())
    few = [
        f"{name} ({counts[place]})"
        for place, name in enumerate(pairs.classes)
        if counts[place] < FEW
    ]
    if few:
        lines.append(f"classes with few independent validation pairs: {listed(few)}")
    if not pairs.groups_known:
        lines.append("copies among the validation pairs are not recorded: each counts by itself")
    reasons = defaultdict(list)
    for name, model in judgement.models.items():
        if model.doubt:
            reasons[model.doubt].append(name)
    lines += [
        f"intervals of {listed(names)} are not to be trusted: {reason}"
        for reason, names in reasons.items()
    ]
    return lines


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
        + ("" if len(names) == len(runs) else f" (in {listed(names)})")
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
    return [f"another version of this program than that of most runs has made {listed(others)}"]


def _on_metrics(runs: list[Run]) -> list[str]:
    """Name the runs of earlier versions that lack an optional metric."""
    lines = []
    for metric in METRICS:
        names = [run.name for run in runs if run.best[metric.column] is None]
        if names:
            lines.append(f"{metric.title} is not recorded by {listed(names)}: it is empty there")
    return lines
