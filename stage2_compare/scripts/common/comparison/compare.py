"""From run folders to results: groups of one protocol, their models, and the verdicts on them.

A model's folds are joined, its seeds averaged, and its best learning rate is chosen. Verdicts are on
models, within their group.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np

from ..errors import UserError
from ..metrics import MAIN, METRICS, scores
from ..runs.labels import model_names
from ..runs.reading import Run
from ..words import ENGLISH, phrase
from .best import worth_of_fusion
from .judging import Judged, Judgement, judge, on_test, on_validation
from .models import Model, Trial, models
from .pairs import join, key
from .protocol import by_protocol, differences, without_copies
from .remarks import remarks
from .results import NO, UNKNOWN, Group, Results
from .tagged import held_against_untagged
from .wording import BEST, NOT_ABOVE


def compare(runs: list[Run], first: int = 1) -> Results:
    """Compare runs within their protocols.

    The group with the most evidence is told first: several models before one, then independent
    pairs, models, runs. ``first``: the number of the group that is told first instead.
    Runs with a tag are of no group, see ``tagged``.

    Raises:
        UserError: there is no group of that number, or all runs have a tag.
    """
    # 1. Runs of one protocol, and the names of their models.
    runs, copies = without_copies(runs)
    common, own = [run for run in runs if not run.tag], [run for run in runs if run.tag]
    if not common:
        raise UserError("all runs have a --tag: train one without, which they are held against")
    parts = [models(members) for members in by_protocol(common)]
    tagged = [model for members in by_protocol(own) for model in models(members)]
    everyone = [*itertools.chain(*parts), *tagged]
    names = model_names([model.runs for model in everyone])
    for model, name in zip(everyone, names, strict=True):
        model.name = name
    # 2. Each group by itself; the one with the most evidence is the first.
    groups = sorted(map(judged_group, parts), key=_evidence)
    if not 1 <= first <= len(groups):
        raise UserError(f"there is no group {first} of runs: --group takes 1 to {len(groups)}")
    groups.insert(0, groups.pop(first - 1))
    for number, group in enumerate(groups[1:], 2):
        group.number, group.differs = number, differences(group.runs, groups[0].runs)
    notes = [phrase("copies", name=name, copies=others) for name, others in copies.items()]
    groups[0].notes = [*notes, *groups[0].notes]
    alone = [judged_group([model]) for model in tagged]
    return Results(groups, held_against_untagged(alone, groups))


def require_one_protocol(results: Results) -> None:
    """Require that all runs recorded the same protocol.

    Raises:
        UserError: it names every model that did not keep it, or recorded none.
    """
    problems = [
        f"{model.name}: {', '.join(map(ENGLISH, group.differs))}"
        for group in results.groups[1:]
        for model in group.models
    ]
    table = results.runs
    unknown = table[(table["comparable"] == UNKNOWN) & (table["imported"] == NO)]
    problems += [f"{name}: no protocol recorded" for name in unknown["model"]]
    if problems:
        listed = "; ".join(problems)
        raise UserError(f"not one protocol, so nothing written: {listed}. Train these again")


def judged_group(members: list[Model]) -> Group:
    """Judge the models of one protocol on the validation pairs, and on the test pairs."""
    ranked = [model for model in members if model.by_rate]
    group = Group(members)
    if ranked:
        group.validation = _on_validation(ranked)
        group.test = _on_test(group.validation)
        group.worth = worth_of_fusion(ranked, group.validation)
        group.majority_class, group.majority = _majority(ranked[0].runs[0], group.validation)
    if group.majority:
        _require_above(group.majority[MAIN.column], group.validation.models)
    group.models = sorted(members, key=group.height)
    group.notes = remarks(group)
    return group


def _require_above(majority: float, judged: dict[str, Judged]) -> None:
    """Call no model the best that always predicting the most frequent class equals."""
    for name, model in judged.items():
        if model.verdict == BEST and model.estimates[MAIN.column].centre <= majority + 1e-6:
            judged[name] = replace(model, verdict=NOT_ABOVE)


def _evidence(group: Group) -> tuple:
    judged = len(group.validation.models) if group.validation else 0
    pairs = group.validation.pairs.independent if group.validation else 0
    highest = max(run.best[MAIN.column] for run in group.runs)
    # A model alone is no comparison, however many pairs it has.
    return -(judged > 1), -pairs, -judged, -len(group.runs), -highest, group.models[0].folder


def _on_validation(ranked: list[Model]) -> Judgement:
    (first, *_), *_ = ranked[0].by_rate.values()
    runs = [run for model in ranked for run in model.runs if run.predictions]
    pairs = join([run.predictions for run in first.runs], [run.predictions for run in runs])
    answers = sum(len(run.predictions.predicted) * len(run.history) for run in runs)
    return judge(pairs, lambda draws: [on_validation(one, pairs, draws) for one in ranked], answers)


def _on_test(validation: Judgement) -> Judgement | None:
    """Judge the models that all have predictions for the same labelled test pairs."""
    sets = {
        name: list(map(_test_pairs, judged.trials)) for name, judged in validation.models.items()
    }
    usual = Counter(filter(None, itertools.chain(*sets.values()))).most_common(1)
    trials = {
        name: validation.models[name].trials
        for name, own in sets.items()
        if usual and set(own) == {usual[0][0]}
    }
    if not trials:
        return None
    tests = [run.test for of_model in trials.values() for trial in of_model for run in trial.runs]
    pairs = join(tests[:1], tests)
    answers = len(pairs) * sum(map(len, trials.values()))
    return judge(
        pairs, lambda draws: [on_test(*one, pairs, draws) for one in trials.items()], answers
    )


def _test_pairs(trial: Trial) -> tuple | None:
    """Return what is equal for the same test pairs; None where a fold has none, or others."""
    keys = {key([run.test]) if run.test else None for run in trial.runs}
    return keys.pop() if len(keys) == 1 else None


def _majority(run: Run, validation: Judgement) -> tuple[str | None, dict[str, float] | None]:
    """Return the most frequent training class, and the metrics of always predicting it."""
    pairs, counts = validation.pairs, run.recorded("class_counts", "train")
    known = isinstance(counts, dict) and [counts.get(name) for name in pairs.classes]
    if not known or not all(isinstance(count, int) for count in known):
        return None, None
    place = int(np.argmax(known))
    confusion = np.zeros((len(pairs.classes), len(pairs.classes)))
    confusion[:, place] = np.bincount(pairs.labels, minlength=len(pairs.classes))
    found = scores(confusion)
    return pairs.classes[place], {m.column: float(found[m.key]) for m in METRICS}
