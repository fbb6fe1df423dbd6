"""The words of a comparison: verdicts, and the sentences to quote.

Verdicts are words of the csv files, and phrases too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..metrics import MAIN, Metric
from ..runs.labels import short_rate
from ..words import Language, Phrase, duration, known, phrase

if TYPE_CHECKING:  # these import this file
    from .results import Group, Results
    from .worth import Worth

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
    sentences += [*_about_worth(group), about_seeds(group), *_about_power(group)]
    unjudged = [model.name for model in group.models if not group.judged(model)]
    if unjudged:
        sentences.append(phrase("not_part", names=unjudged))
    if group.imported:
        found = {name: phrase(judged.verdict) for name, judged in group.imported.items()}
        each = [phrase("with_verdict", name=name, verdict=v) for name, v in found.items()]
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
    if group.worth:
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
        ends = each.gain.value, each.gain.low, each.gain.high
        gain, low, high = (f"{100 * end:+.1f}".replace("-", "−") for end in ends)
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
    judgement = group.validation
    models = group.ranked
    estimates = {name: judgement.models[name].estimates[MAIN.column] for name in models}
    first = models[0]
    pairs = _pairs(group)
    figures = _figures(group, first)
    if len(models) == 1:
        return phrase("alone", pairs=pairs, name=first, figures=figures)
    if judgement.too_few:
        return phrase("highest_of_few", pairs=pairs, name=first, figures=figures)

    def gap(name: str) -> float:
        return 100 * (estimates[first].centre - estimates[name].centre)

    equal = [name for name in models if judgement.models[name].verdict == NO_DIFFERENCE]
    worse = [name for name in models if judgement.models[name].verdict == WORSE]
    gaps = [phrase("with_gap", name=name, points=gap(name)) for name in worse]
    findings = []
    if equal:
        findings.append(phrase("are_equal", names=equal, n=len(equal)))
    if worse:
        findings.append(phrase("are_worse", names=gaps, n=len(worse)))
    finding = findings[0]
    if len(findings) == 2:
        finding = phrase("both_findings", equal=findings[0], worse=findings[1])
    return phrase("is_first", pairs=pairs, name=first, figures=figures, findings=finding)


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
    if group.worth:
        names = list(group.validation.models)
        told = [] if group.validation.too_few else group.worth
        return [_of_encoders(each, names[each.fusion], names[each.single]) for each in told]
    return [phrase("worth_not_measured")] if any(fusions) else []


def _of_encoders(worth: Worth, fusion: str, single: str) -> Phrase:
    found = "worth_open" if worth.low <= 0 <= worth.high else "worth_gain"
    if worth.high < 0:
        found = "worth_loss"
    low, high = (f"{100 * end:+.1f}".replace("-", "−") for end in (worth.low, worth.high))
    points = abs(100 * worth.gain)
    than = phrase("points_above" if worth.gain >= 0 else "points_below", points=points)
    return phrase(found, fusion=fusion, single=single, than=than, low=low, high=high)


def _about_power(group: Group) -> list[Phrase]:
    """Say which difference these pairs detect."""
    smallest = group.smallest_difference
    return [] if smallest is None else [phrase("detects", points=100 * smallest)]


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
