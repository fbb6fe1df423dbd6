"""The words of a comparison: verdicts, remarks on what weakens it, and the sentences to quote.

Verdicts are words of the csv files, and phrases too. Remarks wait for a language as phrases.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from ..metrics import MAIN, METRICS, Metric
from ..runs.reading import Run
from ..words import Language, Phrase, known, phrase
from .families import Family
from .intervals import FEW
from .need import Need

if TYPE_CHECKING:  # these import this file
    from .compare import Compared, Comparison
    from .judging import Judgement

BEST, NO_DIFFERENCE, WORSE = "best", "no significant difference", "worse"
TOO_FEW, INCOMPLETE = "too few pairs", "folds are missing"
NOT_COMPARABLE, NO_PREDICTIONS = "not comparable", "no predictions"
BETTER, NOT_CORRECTED = "better than the best model", "not corrected"  # of an ensemble
REFERENCE = "reference"  # always predicting the most frequent class
UNTESTED = (NOT_COMPARABLE, NO_PREDICTIONS, INCOMPLETE)
_MOST_SEEDS = 20  # that anyone would train


def metric_title(metric: Metric) -> Phrase:
    return known(f"metric_{metric.key}", metric.title)


def metric_short(metric: Metric) -> Phrase:
    return known(f"short_{metric.key}", metric.short)


def conclusion(comparison: Comparison, say: Language) -> str:
    """Sum the comparison up in a few sentences that can be quoted."""
    judgement = comparison.validation
    if judgement is None:
        return say("nothing_comparable")
    entries = {entry.name: entry for entry in comparison.families}
    best = next(entry for entry in comparison.families if entry.verdict == BEST)
    sentences = [_about_best(best, judgement, entries)]
    if len(judgement.models) > 1:
        sentences += [_about_others(judgement, entries), *_what_would_show(comparison, judgement)]
    has_verdicts = len(judgement.models) > 1 and not judgement.too_few
    sentences += _about_seeds([entries[name] for name in judgement.models], has_verdicts)
    if comparison.test:
        sentences.append(_about_test(comparison.test, best))
    left_out = [entry.name for entry in comparison.families if entry.verdict in UNTESTED]
    if left_out:
        sentences.append(phrase("not_part", names=left_out))
    return say.sentences(sentences)


def _about_best(best: Compared, judgement: Judgement, entries: dict[str, Compared]) -> Phrase:
    value, low, high, corrected = best.scores[MAIN.column]
    interval = phrase("from_to", low=low, high=high)
    figures = phrase("figures", value=value, interval=interval)
    if f"{corrected:.3f}" != f"{value:.3f}":
        chosen = phrase("chosen_epoch" if best.rate is None else "chosen_epoch_and_rate")
        figures = phrase(
            "figures_corrected", value=value, corrected=corrected, interval=interval, chosen=chosen
        )
    pairs = phrase("validation_pairs", n=len(judgement.pairs))
    if judgement.pairs.independent < len(judgement.pairs):
        pairs = phrase("of_them_independent", pairs=pairs, n=judgement.pairs.independent)
    # One seed is a run, or one a fold; about a model only several can speak.
    one = "this_run" if best.runs[0].recorded("protocol", "fold") is None else "one_seed_of"
    subject = phrase("the_model" if best.seeds > 1 else one, name=best.name)
    measured = max(entries[name].scores[MAIN.column].value for name in judgement.models)
    claim = "highest" if f"{measured:.3f}" == f"{value:.3f}" else "highest_corrected"
    if len(judgement.models) == 1:
        claim = "alone"
    return phrase(claim, pairs=pairs, subject=subject, figures=figures)


def _about_others(judgement: Judgement, entries: dict[str, Compared]) -> Phrase:
    verdicts = defaultdict(list)
    for name in entries:  # best first
        if name in judgement.models:
            verdicts[judgement.models[name].verdict].append(name)
    if judgement.too_few:
        return phrase("too_few_for_verdicts", n=len(judgement.models))
    equal, worse = verdicts[NO_DIFFERENCE], verdicts[WORSE]
    are_equal = phrase("are_equal", names=equal, n=len(equal))
    are_worse = phrase("are_worse", names=worse, n=len(worse))
    findings = are_equal if equal else are_worse
    if equal and worse:
        findings = phrase("both_findings", equal=are_equal, worse=are_worse)
    return phrase("verdicts", findings=findings, n=len(judgement.models))


def _what_would_show(comparison: Comparison, judgement: Judgement) -> list[Phrase]:
    """Say what difference would have been seen, and what it takes to show the one that is seen."""
    if judgement.too_few:
        return []
    sentences = []
    smallest = judgement.ranking.smallest_difference
    if smallest is not None:
        sentences.append(phrase("would_be_seen", points=100 * smallest))
    if judgement.need is not None:
        sentences.append(_about_need(judgement.need, comparison))
    return sentences


def _about_need(need: Need, comparison: Comparison) -> Phrase:
    gap = phrase("gap", name=need.name, points=100 * need.gap)
    if need.seeds is not None and need.seeds > _MOST_SEEDS:
        return phrase("need_too_many", gap=gap, n=_MOST_SEEDS)
    pairs = None
    if need.pairs:
        unit = 10 ** max(0, len(str(need.pairs)) - 2)  # two digits are told
        pairs = phrase("about_pairs", n=math.ceil(need.pairs / unit) * unit)
    if need.seeds is not None:
        key = "need_seeds_and_pairs" if pairs else "need_seeds"
        return phrase(key, gap=gap, n=need.seeds, pairs=pairs)
    sizes = [comparison.runs[0].runs[0].recorded("samples", split) for split in ("train", "val")]
    total = sum(sizes) if all(isinstance(size, int) for size in sizes) else None
    key = "need_pairs"
    if total:
        enough = need.pairs <= total > len(comparison.validation.pairs)
        key = "need_folds" if enough else "need_more"
    return phrase(key, gap=gap, pairs=pairs, total=total)


def _about_seeds(entries: list[Compared], has_verdicts: bool) -> list[Phrase]:
    seeds = sorted({entry.seeds for entry in entries})
    if seeds == [1]:
        return [phrase("one_seed" if has_verdicts else "one_seed_alone")]
    if len(seeds) == 1:
        return [phrase("mean_of_seeds", n=seeds[0])]
    lent = [phrase("lent_spread")] if seeds[0] == 1 else []
    return [phrase("mean_of_several", low=seeds[0], high=seeds[-1]), *lent]


def _about_test(test: Judgement, best: Compared) -> Phrase:
    """Say how the one that validation chose does on the test pairs."""
    judged = test.models.get(best.name)
    pairs = phrase("test_pairs", n=len(test.pairs))
    if judged is None:
        return phrase("no_test", name=best.name, pairs=pairs)
    value, low, high, _ = judged.estimates[MAIN.column]
    interval, outcome = phrase("from_to", low=low, high=high), ""
    first = next(name for name, model in test.models.items() if model.verdict == BEST)
    if first == best.name:
        outcome = phrase("test_first") if len(test.models) > 1 else ""
    else:
        found = {TOO_FEW: "test_too_few", WORSE: "test_worse", NO_DIFFERENCE: "test_equal"}
        outcome = phrase(found[judged.verdict], name=first)
    return phrase("on_test", pairs=pairs, value=value, interval=interval, outcome=outcome)


def order_over_rates(comparison: Comparison) -> Phrase:
    """Say if the order of the models is the same at each learning rate, and at their best ones."""
    families = [family for family in comparison.families if len(family.by_rate) > 1]
    shared = set.intersection(*(set(family.by_rate) for family in families)) if families else set()
    if len(families) < 2 or len(shared) < 2:
        return phrase("rates_unknown")
    best = {one.name: max(each.corrected for each in one.by_rate.values()) for one in families}
    at_best = sorted(best, key=lambda name: -best[name])
    orders = {}
    for rate in sorted(shared):
        at_rate = {family.name: family.by_rate[rate].corrected for family in families}
        orders[rate] = sorted(at_rate, key=lambda name: -at_rate[name])
    other = [f"{rate:g}" for rate, order in orders.items() if order != at_best]
    if not other:
        return phrase("rates_same")
    firsts = {order[0] for order in [*orders.values(), at_best]}
    if len(firsts) == 1:
        return phrase("rates_first", rates=other, name=at_best[0])
    return phrase("rates_other", rates=other)


def remarks(runs: list[Run], families: list[Family], judgement: Judgement | None) -> list[Phrase]:
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
        *_on_processes(runs),
    ]


def _on_seeds(families: list[Family]) -> list[Phrase]:
    """Name the families whose seeds are not those of most, or were not recorded."""
    known = [family for family in families if None not in family.seeds]
    if not known:
        return []
    unknown = [family.name for family in families if None in family.seeds]
    lines = [phrase("unknown_seeds", names=unknown, n=len(unknown))] if unknown else []
    seeds = Counter(family.seeds for family in known)
    usual, holders = max(seeds.items(), key=lambda item: (item[1], len(item[0]), str(item[0])))

    def shown(seeds: tuple) -> str:
        return ", ".join(map(str, seeds))

    if 2 * holders <= len(known) and len(seeds) > 1:
        each = [phrase("seeds_of", name=one.name, seeds=shown(one.seeds)) for one in known]
        return [*lines, phrase("different_seeds", each=each)]
    return lines + [
        phrase("other_seeds", name=one.name, own=shown(one.seeds), usual=shown(usual))
        for one in known
        if one.seeds != usual
    ]


def _on_folds(families: list[Family]) -> list[Phrase]:
    lines = []
    for family in families:
        for trial in family.incomplete:
            missing, count = ", ".join(map(str, trial.missing)), len(trial.missing)
            own = {"name": family.name, "seed": trial.seed}
            lines.append(phrase("missing_folds", **own, missing=missing, n=count))
    return lines


def _on_rates(families: list[Family]) -> list[Phrase]:
    """Say which families were tuned with more learning rates than others."""
    budgets = {family.name: len(family.by_rate) for family in families if family.by_rate}
    if len(set(budgets.values())) < 2:
        return []
    most = max(budgets.values())
    fewer = [f"{name} ({budget})" for name, budget in budgets.items() if budget < most]
    return [phrase("unequal_tuning", most=most, fewer=fewer)]


def _on_selection(runs: list[Run]) -> list[Phrase]:
    """Say what of the choice of the epoch is not corrected, and in which runs."""
    lines = []
    names = [
        run.name for run in runs if run.predictions and run.epochs is None and len(run.history) > 1
    ]
    if names:
        lines.append(phrase("no_epochs", names=names))
    if any(run.recorded("protocol", "patience") for run in runs):
        lines.append(phrase("early_stopping"))
    return lines


def _on_pairs(judgement: Judgement | None) -> list[Phrase]:
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
        lines.append(phrase("few_of_classes", classes=few))
    if not pairs.groups_known:
        lines.append(phrase("copies_unknown"))
    reasons = defaultdict(list)
    for name, model in judgement.models.items():
        if model.doubt:
            reasons[model.doubt].append(name)
    return lines + [
        phrase("doubtful", names=names, reason=reason) for reason, names in reasons.items()
    ]


def _on_duplicates(runs: list[Run]) -> list[Phrase]:
    """Write one line for each set of counts of validation pairs that were met in training."""
    kinds = ("text", "image", "near_image", "label_conflicts")
    holders = defaultdict(list)
    for run in runs:
        counts = tuple(run.recorded("duplicates", kind) for kind in kinds)
        if all(isinstance(count, int) for count in counts) and any(counts):
            holders[counts].append(run.name)
    lines = []
    for (text, image, near, conflicts), names in holders.items():
        note = phrase("met_in_training", text=text, image=image, near=near, conflicts=conflicts)
        everywhere = len(names) == len(runs)
        lines.append(note if everywhere else phrase("only_in", note=note, names=names))
    return lines


def _on_code(runs: list[Run]) -> list[Phrase]:
    """Name the runs that another version of this program has made."""
    codes = {run.name: run.recorded("content", "code_sha256") for run in runs}
    known = {name: code for name, code in codes.items() if isinstance(code, str)}
    usual = Counter(known.values()).most_common(1)
    others = [name for name, code in known.items() if code != usual[0][0]]
    return [phrase("other_code", names=others)] if others else []


def _on_processes(runs: list[Run]) -> list[Phrase]:
    """Say where models that depend on the number of processes were trained by different ones."""
    names = defaultdict(list)
    for run in runs:
        # Not so CLIP and BLIP, which have neither dropout in the encoder nor BatchNorm.
        two_encoders = run.recorded("model", "image_backbone") is not None
        if two_encoders and not run.recorded("protocol", "frozen_encoders"):
            names[run.number("processes") or 1].append(run.name)
    if len(names) < 2:
        return []
    each = [phrase("processes_of", names=names[n], n=f"{n:g}") for n in sorted(names)]
    return [phrase("different_processes", each=each)]


def _on_metrics(runs: list[Run]) -> list[Phrase]:
    """Name the runs of earlier versions that lack an optional metric."""
    lines = []
    for metric in METRICS:
        names = [run.name for run in runs if run.best[metric.column] is None]
        if names:
            lines.append(phrase("no_metric", metric=metric_title(metric), names=names))
    return lines
