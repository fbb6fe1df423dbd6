"""The words of a comparison: verdicts, and the sentences to quote.

Verdicts are words of the csv files, and phrases too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..metrics import MAIN, Metric
from ..runs.labels import short_rate
from ..words import Language, Phrase, duration, known, phrase

if TYPE_CHECKING:  # these import this file
    from .best import Worth
    from .results import Group, Results

BEST, NO_DIFFERENCE, WORSE = "best", "no significant difference", "worse"
TOO_FEW, INCOMPLETE = "too few pairs", "folds are missing"
NOT_COMPARABLE, NO_PREDICTIONS = "not comparable", "no predictions"
NOT_ABOVE = "not above the majority class"  # of a first model
BETTER, NOT_CORRECTED = "better than the best model", "not corrected"  # of an ensemble
BETTER_UNTAGGED, WORSE_UNTAGGED = "better than without the tag", "worse than without the tag"
NO_UNTAGGED = "no run without the tag"
REFERENCE = "reference"  # always predicting the most frequent class


def metric_title(metric: Metric) -> Phrase:
    return known(f"metric_{metric.key}", metric.title)


def metric_short(metric: Metric) -> Phrase:
    return known(f"short_{metric.key}", metric.short)


def conclusion(results: Results, say: Language) -> list[str]:
    """Sum the group that is told first up in a few sentences; the first is the headline."""
    group = results.groups[0]
    if group.validation is None:
        return [say("nothing_comparable")]
    sentences = [_headline(group)]
    if group.test:
        sentences.append(_about_test(group))
    sentences += [*_about_worth(group), about_seeds(group)]
    smallest = group.validation.smallest_difference
    if smallest is not None:
        sentences.append(phrase("detects", points=100 * smallest))
    unjudged = [model.name for model in group.models if not group.judged(model)]
    if unjudged:
        sentences.append(phrase("not_part", names=unjudged))
    if group.imported:
        each = [
            phrase("with_verdict", name=name, verdict=phrase(judged.verdict))
            for name, judged in group.imported.items()
        ]
        sentences.append(phrase("about_imported", each=each))
    return [say(sentence) for sentence in sentences]


def method(results: Results, say: Language) -> str:
    """Say in a line how the figures and verdicts of the first group were found."""
    group = results.groups[0]
    if group.validation is None:
        return ""
    sentences = [phrase("how_figures")]
    if len(group.validation.models) > 1 and not group.validation.too_few:
        sentences.append(phrase("how_verdicts", n=len(group.validation.models)))
    if group.worth and not group.validation.too_few:
        sentences.append(phrase("how_worth"))
    return say.sentences(sentences)


def other_groups(results: Results, say: Language) -> list[str]:
    """Tell each group but the first in a line."""
    lines = []
    for group in results.groups[1:]:
        found = _headline(group) if group.validation else phrase("nothing_comparable")
        own = {"n": group.number, "differs": say.joined(group.differs), "found": found}
        lines.append(say("another_group", **own))
    return lines


def outside(results: Results, say: Language) -> list[str]:
    """Tell each model with a tag in a line, then what their intervals are; [] where there are none."""
    lines = []
    for each in results.tagged:
        own = {"name": each.model.name, "n": each.seeds}
        if each.gain is None:
            lines.append(say("tagged_alone", **own))
            continue
        gain, low, high = map(_signed, each.gain[:3])
        own |= {"gain": gain, "low": low, "high": high, "verdict": phrase(each.verdict)}
        differs = say.joined(each.differs) or say("nothing_differs")
        sentences = [phrase("tagged_gain", untagged=each.untagged, differs=differs, **own)]
        if trials := each.model.runs[0].trials:
            time = duration(trials.seconds, say)
            sentences.append(phrase("chosen_from", n=trials.count, time=time))
        lines.append(say.sentences(sentences))
    tags = max((each.tags for each in results.tagged if each.gain), default=0)
    if tags > 1:
        lines.append(say("tags_together", n=tags))
    return [*lines, say("tagged_caveat")] if tags else lines


def _headline(group: Group) -> Phrase:
    """Say who is first, who ties, and who is worse."""
    judgement, (first, *others) = group.validation, group.ranked
    told = {"pairs": _pairs(group), "name": first, "figures": _figures(group, first)}
    if not others or judgement.too_few:
        return phrase("highest_of_few" if others else "alone", **told)
    heights = {
        name: judged.estimates[MAIN.column].centre for name, judged in judgement.models.items()
    }
    equal = [name for name in others if judgement.models[name].verdict == NO_DIFFERENCE]
    worse = [
        phrase("with_gap", name=name, points=100 * (heights[first] - heights[name]))
        for name in others
        if judgement.models[name].verdict == WORSE
    ]
    are_equal = phrase("are_equal", names=equal, n=len(equal))
    are_worse = phrase("are_worse", names=worse, n=len(worse))
    findings = are_equal if equal else are_worse
    if equal and worse:
        findings = phrase("both_findings", equal=are_equal, worse=are_worse)
    return phrase("is_first", **told, findings=findings)


def _figures(group: Group, first: str) -> Phrase:
    """Return macro-F1 of the first model: on test pairs, which chose nothing, where there are some;
    else without the selection bias of coming first."""
    test = group.test.models.get(first) if group.test else None
    estimate = test.estimates[MAIN.column] if test else group.as_best
    interval = phrase("from_to", low=estimate.low, high=estimate.high)
    figures = {"value": estimate.centre, "interval": interval}
    if test:
        return phrase("figures_on_test", pairs=_test_pairs(group), **figures)
    models = len(group.validation.models)
    return phrase("figures_as_best" if models > 1 else "figures", n=models, **figures)


def _test_pairs(group: Group) -> Phrase:
    """Name the test pairs; with folds also who answers for a model there."""
    pairs = phrase("test_pairs", n=len(group.test.pairs))
    folds = group.runs[0].recorded("protocol", "folds")
    return phrase("by_folds", pairs=pairs, n=folds) if isinstance(folds, int) else pairs


def _pairs(group: Group) -> Phrase:
    pairs = group.validation.pairs
    told = phrase("validation_pairs", n=len(pairs))
    if pairs.independent == len(pairs):
        return told
    return phrase("of_them_independent", pairs=told, n=pairs.independent)


def _about_worth(group: Group) -> list[Phrase]:
    """Say of each pair of encoders what the best fusion gains over the better modality alone."""
    fusions = [run.recorded("model", "fusion") for run in group.runs]
    if group.worth and group.validation.too_few:
        return [phrase("worth_too_few")]
    if group.worth:
        return list(map(_of_encoders, group.worth))
    return [phrase("worth_not_measured")] if any(fusions) else []


def _of_encoders(worth: Worth) -> Phrase:
    value, low, high, _ = worth.gain
    found = "worth_loss" if high < 0 else "worth_gain" if low > 0 else "worth_open"
    than = phrase("points_above" if value >= 0 else "points_below", points=abs(100 * value))
    models = {"fusion": worth.fusion, "single": worth.single}
    return phrase(found, **models, than=than, low=_signed(low), high=_signed(high))


def _signed(difference: float) -> str:
    """Write a difference in points with its sign."""
    return f"{100 * difference:+.1f}".replace("-", "−")


def about_seeds(group: Group) -> Phrase:
    counts = sorted({len(judged.trials) for judged in group.validation.models.values()})
    if counts == [1]:
        return phrase("one_seed")
    if len(counts) == 1:
        return phrase("mean_of_seeds", n=counts[0])
    return phrase("mean_of_several", low=counts[0], high=counts[-1])


def _about_test(group: Group) -> Phrase:
    """Say how the model that validation chose does on the test pairs."""
    test = group.test
    best = group.ranked[0]
    judged = test.models.get(best)
    if judged is None:
        return phrase("no_test", name=best, pairs=phrase("test_pairs", n=len(test.pairs)))
    first = list(test.models)[test.ranking.best]
    if first == best:
        return phrase("test_first" if len(test.models) > 1 else "test_alone", name=best)
    found = {TOO_FEW: "test_too_few", WORSE: "test_worse", NO_DIFFERENCE: "test_equal"}
    return phrase(found[judged.verdict], name=first)


def order_over_rates(group: Group) -> Phrase:
    """Say if the order of the models is the same at each learning rate, and at their best ones."""
    judged = group.validation.models if group.validation else {}
    by_rate = {name: model.by_rate for name, model in judged.items() if len(model.by_rate) > 1}
    shared = set.intersection(*map(set, by_rate.values())) if by_rate else set()
    if len(by_rate) < 2 or len(shared) < 2:
        return phrase("rates_unknown")
    best = {name: max(each.corrected for each in own.values()) for name, own in by_rate.items()}
    at_best = sorted(best, key=lambda name: -best[name])
    orders = {
        rate: sorted(by_rate, key=lambda name: -by_rate[name][rate].corrected)
        for rate in sorted(shared)
    }
    other = [short_rate(rate) for rate, order in orders.items() if order != at_best]
    if not other:
        return phrase("rates_same")
    firsts = {order[0] for order in [*orders.values(), at_best]}
    if len(firsts) == 1:
        return phrase("rates_first", rates=other, name=at_best[0])
    return phrase("rates_other", rates=other)
