"""Verdicts under corrected labels, side by side with those under the given ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..errors import UserError
from ..marks import read_marks
from ..metrics import MAIN
from ..runs.reading import Run
from ..words import Language
from .compare import judged_group
from .console import laid_out
from .imported import joined
from .models import Model
from .results import Group


def corrected_labels(path: Path, group: Group) -> dict[str, str]:
    """Return the classes that are meant of validation pairs whose label is wrong, by guid.

    Raises:
        UserError: see ``read_marks``.
    """
    if group.validation is None:
        raise UserError("--labels needs runs with predictions, and there are none: train a model")
    pairs = group.validation.pairs
    names = (pairs.classes[label] for label in pairs.labels)
    return read_marks(path, dict(zip(pairs.guids, names, strict=True)))


def relabelled(group: Group, meant: dict[str, str]) -> Group:
    """Judge the models of a group again, with other labels of some pairs.

    The best epoch is the one that these labels choose, as always; what a model was trained on stays.
    """
    models = [
        replace(model, runs=[_relabelled(run, meant) for run in model.runs])
        for model in group.models
    ]
    again = judged_group([model for model in models if not model.imported])
    return joined(again, [model for model in models if model.imported])


def _relabelled(run: Run, meant: dict[str, str]) -> Run:
    """Return a run with other labels of its validation pairs."""
    if run.predictions is None:
        return run
    given = run.predictions
    labels = [
        given.classes.index(meant[guid]) if guid in meant else label
        for guid, label in zip(given.guids, given.labels, strict=True)
    ]
    return replace(run, predictions=replace(given, labels=labels))


def side_by_side(group: Group, meant: dict[str, str], say: Language) -> str:
    """Return a table of differences from the first model under both kinds of labels."""
    again = relabelled(group, meant)
    models = list(filter(group.judged, group.models))
    columns = {
        say(title): [_cell(each, model, say) for model in models]
        for title, each in (("given_labels", group), ("corrected_labels", again))
    }
    table = laid_out([model.name for model in models], [], columns, say)
    return "\n".join([table, say("about_corrected_labels", n=len(meant), total=group.pairs)])


def _cell(group: Group, model: Model, say: Language) -> str:
    """Say how far a model is from the first, in points of macro-F1, and the verdict on it."""
    first = group.validation.models[group.ranked[0]].estimates[MAIN.column].centre
    judged = group.judged(model)
    points = 100 * (judged.estimates[MAIN.column].centre - first)
    return f"{points:+.1f} {say(judged.verdict)}"
