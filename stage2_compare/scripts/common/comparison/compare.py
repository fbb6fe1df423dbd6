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
from .ensembles import ensembles
from .judging import Judgement, judge, on_test, on_validation
from .models import Model, Trial, models
from .pairs import join, key
from .protocol import by_protocol, differences, without_copies
from .remarks import remarks
from .results import NO, UNKNOWN, Group, Results
from .tagged import held_against_untagged
from .wording import BEST, NOT_ABOVE
from .worth import worth_of_fusion


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
    parts += [[model] for members in by_protocol(own) for model in models(members)]
    everyone = [model for part in parts for model in part]
    names = iter(model_names([model.runs for model in everyone]))
    parts = [[replace(model, name=next(names)) for model in part] for part in parts]
    tagged = [judged_group(part) for part in parts if part[0].runs[0].tag]
    parts = [part for part in parts if not part[0].runs[0].tag]
    # 2. Each group by itself; the one with the most evidence is the first.
    groups = sorted(map(judged_group, parts), key=_evidence)
    if not 1 <= first <= len(groups):
        raise UserError(f"there is no group {first} of runs: --group takes 1 to {len(groups)}")
    groups.insert(0, groups.pop(first - 1))
    leader = groups[0]
    groups = [
        replace(group, number=number, differs=differences(group.runs, leader.runs))
        if number > 1
        else group
        for number, group in enumerate(groups, 1)
    ]
    notes = [phrase("copies", name=name, copies=others) for name, others in copies.items()]
    joint = ensembles(leader.validation) if leader.validation else {}
    groups[0] = replace(leader, notes=[*notes, *leader.notes], ensembles=joint)
    return Results.of(groups, held_against_untagged(tagged, groups))


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
    validation = _on_validation(ranked)
    test = _on_test(ranked, validation)
    majority_class, majority = _majority(ranked, validation)
    if majority:
        validation = _above(majority[MAIN.column], validation)

    group = Group(
        number=1,
        models=members,
        differs=[],
        validation=validation,
        test=test,
        ensembles={},
        worth=worth_of_fusion(ranked, validation) if validation else [],
        majority_class=majority_class,
        majority=majority,
        notes=[],
    )
    return replace(group, models=sorted(members, key=group.height), notes=remarks(group))


def _above(majority: float, judgement: Judgement) -> Judgement:
    """Call no model the best that always predicting the most frequent class equals."""
    models = {
        name: replace(judged, verdict=NOT_ABOVE)
        if judged.verdict == BEST and judged.estimates[MAIN.column].centre <= majority + 1e-6
        else judged
        for name, judged in judgement.models.items()
    }
    return replace(judgement, models=models)


def _evidence(group: Group) -> tuple:
    judged = len(group.validation.models) if group.validation else 0
    pairs = group.validation.pairs.independent if group.validation else 0
    highest = max(run.best[MAIN.column] for run in group.runs)
    # A model alone is no comparison, however many pairs it has.
    return -(judged > 1), -pairs, -judged, -len(group.runs), -highest, group.models[0].folder


def _on_validation(ranked: list[Model]) -> Judgement | None:
    if not ranked:
        return None
    (first, *_), *_ = ranked[0].by_rate.values()
    runs = [run for model in ranked for run in model.runs if run.predictions]
    pairs = join([run.predictions for run in first.runs], [run.predictions for run in runs])
    answers = sum(len(run.predictions.predicted) * len(run.history) for run in runs)
    return judge(pairs, lambda draws: [on_validation(one, pairs, draws) for one in ranked], answers)


def _on_test(ranked: list[Model], validation: Judgement | None) -> Judgement | None:
    """Judge the models that all have predictions for the same labelled test pairs."""
    chosen = [(model, validation.models[model.name].rate) for model in ranked]
    sets = [list(map(_test_pairs, model.by_rate[rate])) for model, rate in chosen]
    usual = Counter(filter(None, itertools.chain(*sets))).most_common(1)
    parts = [
        one for one, own in zip(chosen, sets, strict=True) if usual and set(own) == {usual[0][0]}
    ]
    if not parts:
        return None
    model, rate = parts[0]
    others = [run.test for model, _ in parts for run in model.runs if run.test]
    pairs = join([model.by_rate[rate][0].runs[0].test], others)
    answers = len(pairs) * sum(len(model.by_rate[rate]) for model, rate in parts)
    return judge(pairs, lambda draws: [on_test(*part, pairs, draws) for part in parts], answers)


def _test_pairs(trial: Trial) -> tuple | None:
    """Return what is equal for the same test pairs; None where a fold has none, or others."""
    keys = {key([run.test]) if run.test else None for run in trial.runs}
    return keys.pop() if len(keys) == 1 else None


def _majority(
    ranked: list[Model], validation: Judgement | None
) -> tuple[str | None, dict[str, float] | None]:
    """Return the most frequent training class, and the metrics of always predicting it."""
    if not validation:
        return None, None
    pairs = validation.pairs
    counts = ranked[0].runs[0].recorded("class_counts", "train")
    if not isinstance(counts, dict) or not all(
        isinstance(counts.get(name), int) for name in pairs.classes
    ):
        return None, None
    place = max(range(len(pairs.classes)), key=lambda i: counts[pairs.classes[i]])
    confusion = np.zeros((len(pairs.classes), len(pairs.classes)))
    confusion[:, place] = np.bincount(pairs.labels, minlength=len(pairs.classes))
    found = scores(confusion)
    return pairs.classes[place], {m.column: float(found[m.key]) for m in METRICS}
