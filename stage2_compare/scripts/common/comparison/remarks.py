"""Remarks: what weakens a comparison, or is missing in its runs, a line each.

They wait for a language as phrases.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..runs.labels import short_rate
from ..words import Phrase, phrase
from .intervals import FEW
from .judging import Judgement
from .models import Model

if TYPE_CHECKING:
    from ..runs.reading import Run
    from .results import Group


def remarks(group: Group) -> list[Phrase]:
    """Name what weakens the comparison of the models of a group."""
    models = sorted(group.models, key=lambda model: model.folder)
    names = {run: name for model in models for run, name in model.run_names.items()}
    runs = {names[run.name]: run for run in sorted(group.runs, key=lambda run: run.name)}
    return [
        *_on_seeds(models),
        *_on_folds(models),
        *_on_rates(models),
        *_on_selection(runs),
        *(_on_pairs(group.validation) if group.validation else ()),
        *_on_duplicates(runs),
        *_on_code(runs),
        *_on_processes(runs),
    ]


def _on_seeds(models: list[Model]) -> Iterator[Phrase]:
    """Name the models whose seeds are not those of most, or were not recorded."""
    unknown = [model.name for model in models if None in model.seeds]
    known = {model.name: model.seeds for model in models if None not in model.seeds}
    if not known:
        return
    if unknown:
        yield phrase("unknown_seeds", names=unknown, n=len(unknown))
    seeds = Counter(known.values())
    usual, holders = max(seeds.items(), key=lambda item: (item[1], len(item[0]), str(item[0])))
    told = {each: ", ".join(map(str, each)) for each in seeds}
    if 2 * holders <= len(known) and len(seeds) > 1:
        each = [phrase("seeds_of", name=name, seeds=told[own]) for name, own in known.items()]
        yield phrase("different_seeds", each=each)
        return
    for name, own in known.items():
        if own != usual:
            yield phrase("other_seeds", name=name, own=told[own], usual=told[usual])


def _on_folds(models: list[Model]) -> Iterator[Phrase]:
    for model in models:
        for trial in model.trials:
            missing, own = trial.missing, {"name": model.name, "seed": trial.seed}
            if missing:
                told = ", ".join(map(str, missing))
                yield phrase("missing_folds", **own, missing=told, n=len(missing))


def _on_rates(models: list[Model]) -> Iterator[Phrase]:
    """Say which models were tuned with fewer learning rates than others, or with others."""
    rates = {model.name: set(model.by_rate) - {None} for model in models if model.by_rate}
    most = max(map(len, rates.values()), default=0)
    fewer = [f"{name} ({len(own)})" for name, own in rates.items() if 0 < len(own) < most]
    if fewer:
        yield phrase("unequal_tuning", most=most, fewer=fewer)
    elif len({frozenset(own) for own in rates.values() if own}) > 1:
        told = {name: ", ".join(map(short_rate, sorted(own))) for name, own in rates.items()}
        each = [phrase("rates_of", name=name, rates=own) for name, own in told.items()]
        yield phrase("different_rates", each=each)


def _on_selection(runs: dict[str, Run]) -> Iterator[Phrase]:
    """Say what of the choice of the epoch is not corrected, and in which runs."""
    uncorrected = [
        name
        for name, run in runs.items()
        if run.predictions and run.epochs is None and len(run.history) > 1 and run.chose_epoch
    ]
    if uncorrected:
        yield phrase("no_epochs", names=uncorrected)
    if any(run.recorded("protocol", "patience") for run in runs.values()):
        yield phrase("early_stopping")


def _on_pairs(judgement: Judgement) -> Iterator[Phrase]:
    """Warn of rare classes and of intervals that are not to be trusted."""
    pairs = judgement.pairs
    counts = Counter(pairs.labels[pairs.one_of_each_group].tolist())
    named = [(name, counts[place]) for place, name in enumerate(pairs.classes)]
    few = [f"{name} ({count})" for name, count in named if count < FEW]
    if few:
        yield phrase("few_of_classes", classes=few)
    if not pairs.groups_known:
        yield phrase("copies_unknown")
    reasons = defaultdict(list)
    for name, model in judgement.models.items():
        reasons[model.doubt].append(name)
    for reason, names in reasons.items():
        if reason:
            yield phrase("doubtful", names=names, reason=reason)


def _on_duplicates(runs: dict[str, Run]) -> Iterator[Phrase]:
    """Write one line for each set of counts of validation pairs that were met in training."""
    kinds = ("text", "image", "near_image", "label_conflicts")
    holders = defaultdict(list)
    for name, run in runs.items():
        counts = tuple(run.recorded("duplicates", kind) for kind in kinds)
        if all(isinstance(count, int) for count in counts) and any(counts):
            holders[counts].append(name)
    for (text, image, near, conflicts), names in holders.items():
        note = phrase("met_in_training", text=text, image=image, near=near, conflicts=conflicts)
        everywhere = len(names) == len(runs)
        yield note if everywhere else phrase("only_in", note=note, names=names)


def _on_code(runs: dict[str, Run]) -> Iterator[Phrase]:
    """Name the runs that another version of this program has made."""
    codes = {name: run.recorded("content", "code_sha256") for name, run in runs.items()}
    known = {name: code for name, code in codes.items() if isinstance(code, str)}
    usual = Counter(known.values()).most_common(1)
    others = [name for name, code in known.items() if code != usual[0][0]]
    if others:
        yield phrase("other_code", names=others)


def _on_processes(runs: dict[str, Run]) -> Iterator[Phrase]:
    """Say where encoders, which may depend on it, were trained by different numbers of processes."""
    of_count = defaultdict(list)
    for name, run in runs.items():
        if not run.recorded("protocol", "frozen_encoders"):
            of_count[run.number("processes") or 1].append(name)
    if len(of_count) > 1:
        each = [phrase("processes_of", names=of_count[n], n=f"{n:g}") for n in sorted(of_count)]
        yield phrase("different_processes", each=each)
