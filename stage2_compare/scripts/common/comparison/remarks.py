"""Remarks: what weakens a comparison, or is missing in its runs, a line each.

They wait for a language as phrases.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from ..runs.labels import run_names, short_rate
from ..words import Phrase, phrase
from .intervals import FEW
from .judging import Judgement
from .models import Model

if TYPE_CHECKING:
    from ..runs.reading import Run
    from .results import Group


def remarks(group: Group) -> list[Phrase]:
    """Name what weakens the comparison of the models of a group."""
    models, names = sorted(group.models, key=lambda model: model.folder), {}
    for model in models:
        own = run_names(model.name, model.runs)
        names |= dict(zip((run.name for run in model.runs), own, strict=True))
    runs = sorted(group.runs, key=lambda run: run.name)
    return [
        *_on_seeds(models),
        *_on_folds(models),
        *_on_rates(models),
        *_on_selection(runs, names),
        *_on_pairs(group.validation),
        *_on_duplicates(runs, names),
        *_on_code(runs, names),
        *_on_processes(runs, names),
    ]


def _on_seeds(models: list[Model]) -> list[Phrase]:
    """Name the models whose seeds are not those of most, or were not recorded."""
    known = [model for model in models if None not in model.seeds]
    if not known:
        return []
    unknown = [model.name for model in models if None in model.seeds]
    lines = [phrase("unknown_seeds", names=unknown, n=len(unknown))] if unknown else []
    seeds = Counter(model.seeds for model in known)
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


def _on_folds(models: list[Model]) -> list[Phrase]:
    lines = []
    for model in models:
        for trial in model.incomplete:
            missing, count = ", ".join(map(str, trial.missing)), len(trial.missing)
            own = {"name": model.name, "seed": trial.seed}
            lines.append(phrase("missing_folds", **own, missing=missing, n=count))
    return lines


def _on_rates(models: list[Model]) -> list[Phrase]:
    """Say which models were tuned with fewer learning rates than others, or with others."""
    rates = {model.name: set(model.by_rate) - {None} for model in models if model.by_rate}
    most = max(map(len, rates.values()), default=0)
    fewer = [f"{name} ({len(own)})" for name, own in rates.items() if 0 < len(own) < most]
    if fewer:
        return [phrase("unequal_tuning", most=most, fewer=fewer)]
    if len({frozenset(own) for own in rates.values() if own}) < 2:
        return []
    each = [
        phrase("rates_of", name=name, rates=", ".join(map(short_rate, sorted(own))))
        for name, own in rates.items()
    ]
    return [phrase("different_rates", each=each)]


def _on_selection(runs: list[Run], names: dict[str, str]) -> list[Phrase]:
    """Say what of the choice of the epoch is not corrected, and in which runs."""
    lines = []
    uncorrected = [
        names[run.name]
        for run in runs
        if run.predictions and run.epochs is None and len(run.history) > 1 and run.chose_epoch
    ]
    if uncorrected:
        lines.append(phrase("no_epochs", names=uncorrected))
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


def _on_duplicates(runs: list[Run], names: dict[str, str]) -> list[Phrase]:
    """Write one line for each set of counts of validation pairs that were met in training."""
    kinds = ("text", "image", "near_image", "label_conflicts")
    holders = defaultdict(list)
    for run in runs:
        counts = tuple(run.recorded("duplicates", kind) for kind in kinds)
        if all(isinstance(count, int) for count in counts) and any(counts):
            holders[counts].append(names[run.name])
    lines = []
    for (text, image, near, conflicts), own in holders.items():
        note = phrase("met_in_training", text=text, image=image, near=near, conflicts=conflicts)
        everywhere = len(own) == len(runs)
        lines.append(note if everywhere else phrase("only_in", note=note, names=own))
    return lines


def _on_code(runs: list[Run], names: dict[str, str]) -> list[Phrase]:
    """Name the runs that another version of this program has made."""
    codes = {run.name: run.recorded("content", "code_sha256") for run in runs}
    known = {name: code for name, code in codes.items() if isinstance(code, str)}
    usual = Counter(known.values()).most_common(1)
    others = [names[name] for name, code in known.items() if code != usual[0][0]]
    return [phrase("other_code", names=others)] if others else []


def _on_processes(runs: list[Run], names: dict[str, str]) -> list[Phrase]:
    """Say where encoders, which may depend on it, were trained by different numbers of processes."""
    of_count = defaultdict(list)
    for run in runs:
        if not run.recorded("protocol", "frozen_encoders"):
            of_count[run.number("processes") or 1].append(names[run.name])
    if len(of_count) < 2:
        return []
    each = [phrase("processes_of", names=of_count[n], n=f"{n:g}") for n in sorted(of_count)]
    return [phrase("different_processes", each=each)]
