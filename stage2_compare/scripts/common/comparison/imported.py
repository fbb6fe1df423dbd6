"""Predictions that were made elsewhere, by a language model or another program, as rows of the
comparison.

A csv file has ``guid,pred`` or ``guid,tag``, and ``p_<class>`` of every class where probabilities
are known; its other columns are not read. ``compare_summary.py --with`` keeps a copy as
``outputs/compare/other/<name>.csv``, and summary, pictures and page show it until that is deleted.
"""

from __future__ import annotations

import filecmp
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import UserError, reason_of
from ..files import folder_name, printable, quoted, read_csv
from ..metrics import run_scores
from ..runs.layout import OTHER, probability_columns
from ..runs.reading import Predictions, Run
from .judging import Judged, Judgement, beside, on_test, on_validation
from .models import Model
from .pairs import Pairs
from .results import Group, Results
from .seeds import over_seeds

_MOST_BYTES = 100_000_000
_EXAMPLES = 3  # of each fault


def with_imported(results: Results, folder: Path, given: dict[str, Path] | None = None) -> Results:
    """Add the predictions that are kept in ``folder/other``, and those of files that are ``given``
    by name, to the group that is told first. No verdict on its own models changes.

    A kept file that does not fit is left out, with a line on stderr.

    Raises:
        UserError: a given file or name does not fit.
    """
    group, given, models = results.groups[0], given or {}, []
    kept = {path.stem: path for path in sorted((folder / OTHER).glob("*.csv"))}
    for name, path in {**kept, **given}.items():
        try:
            models.append(Model(name, [_read(name, path, group)], name))
            there = folder / OTHER / f"{name}.csv"
            if there.exists() and not filecmp.cmp(there, path, shallow=False):
                raise ValueError(f"{there} holds others: delete it, or give another NAME=FILE")
        except Exception as error:  # a stranger's file can fail in any way
            if name in given:
                raise UserError(f"--with {path}: {reason_of(error)}") from error
            print(printable(f"left out: {OTHER}/{path.name}: {reason_of(error)}"), file=sys.stderr)
    return Results([joined(group, models), *results.groups[1:]], results.tagged)


def _read(name: str, path: Path, group: Group) -> Run:
    """Return the predictions of a file as a run without epochs; raise any Exception with what is
    wrong."""
    if name != folder_name(name) or not name.isprintable():
        raise ValueError(f"{quoted(name)} cannot be the name of a file: give NAME=FILE")
    taken = {each for model in group.models for each in (model.name, model.folder)}
    if name in taken | {run.name for run in group.runs}:
        raise ValueError(f"{quoted(name)} is the name of a model: give NAME=FILE")
    if group.validation is None:
        raise ValueError("no run of group 1 has kept its predictions")
    # 1. The columns.
    header, rows = read_csv(path, _MOST_BYTES)
    header, classes = list(map(str.strip, header)), group.validation.pairs.classes
    columns, shares = ["guid", "pred" if "pred" in header else "tag"], probability_columns(classes)
    columns += shares if set(shares) & set(header) else []
    for column in columns:
        if header.count(column) != 1:
            raise ValueError(f"it needs one column {column}, and its columns are {header}")
    cells = pd.DataFrame(rows, columns=header)[columns].map(str.strip).set_index("guid")
    # 2. A row for each validation pair, and for all of the labelled test pairs or for none.
    sets, guids = [group.validation.pairs], set(cells.index)
    tested = set(group.test.pairs.guids) if group.test else set()
    if tested & guids and tested.isdisjoint(sets[0].guids):
        sets.append(group.test.pairs)
    wanted = {guid for pairs in sets for guid in pairs.guids}
    faults = {
        "guids are missing": wanted - guids,
        "guids are of other pairs": guids - wanted,
        "guids are there twice": set(cells.index[cells.index.duplicated()]),
        "classes are unknown": set(cells[columns[1]]) - set(classes),
    }
    told = [
        f"{len(values):,} {fault} ({', '.join(map(quoted, sorted(values)[:_EXAMPLES]))})"
        for fault, values in faults.items()
        if values
    ]
    if told:
        need = f"it needs a row for each of the {len(sets[0]):,} validation pairs of group 1"
        raise ValueError(f"{'; '.join(told)}; {need}, and the classes are {', '.join(classes)}")
    # 3. In the order of the pairs.
    validation, *test = [_of_pairs(cells, pairs) for pairs in sets]
    figures = run_scores(np.array(validation.labels), np.array(validation.predicted))
    best = {"epoch": None, **{f"val_{key}": value for key, value in figures.items()}}
    return Run(name, path, {}, [], best, validation, test=test[0] if test else None, imported=True)


def _of_pairs(cells: pd.DataFrame, pairs: Pairs) -> Predictions:
    """Return the predictions for N pairs, from their class and C probabilities or none, by guid."""
    said, *columns = cells.loc[pairs.guids].to_numpy().T
    predicted, shares = list(map(pairs.classes.index, said)), None
    if columns:
        found = np.array(columns, float).T  # (N, C)
        wrong = ~((found >= 0) & (found <= 1)).all(1) | (np.abs(found.sum(1) - 1) > 0.01)
        if wrong.any():
            guid, values = pairs.guids[wrong.argmax()], found[wrong][0].tolist()
            raise ValueError(f"guid {quoted(guid)}: {values} are no probabilities that add up to 1")
        shares = found.tolist()
    return Predictions(pairs.classes, pairs.guids, pairs.labels.tolist(), predicted, shares)


def joined(group: Group, models: list[Model]) -> Group:
    """Return a group with models that were made elsewhere."""
    if not models:
        return group
    validation, test = group.validation, group.test
    said = [on_validation(model, validation.pairs, validation.draws) for model in models]
    tested = [
        on_test(model.name, model.trials, test.pairs, test.draws)
        for model in models
        if model.runs[0].test
    ]
    both = {"validation": _with(validation, said), "test": _with(test, tested) if tested else test}
    found = replace(group, models=[*group.models, *models], **both)
    found.models.sort(key=found.height)
    return found


def _with(judgement: Judgement, others: list[Judged]) -> Judgement:
    """Judge others too; their variance between seeds is estimated from the models'."""
    everyone = [*judgement.models.values(), *others]
    figures = over_seeds([each.figures for each in everyone])[len(judgement.models) :]
    return replace(judgement, imported=beside(judgement, others, figures))
