"""The csv files: compare_summary.csv, a row per run, compare_families.csv, per model, and
doubtful.csv, per pair: labels that may be wrong, those first that the models believe least.

All models judge pairs that they were not trained on. The idea is that of Northcutt, Jiang and Chuang
(2021, Confident Learning).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..files import escaped, write_result
from .results import Group, Results


def write_tables(folder: Path, results: Results) -> None:
    """Write them into a folder.

    Raises:
        UserError: a file cannot be written.
    """
    _write(folder / "compare_summary.csv", results.runs)
    _write(folder / "compare_families.csv", results.models.drop(columns="kind"))
    _write(folder / "doubtful.csv", doubtful(results.groups[0]))


def _write(path: Path, table: pd.DataFrame) -> None:
    """Write UTF-8 with a byte order mark, without which Excel on a Chinese Windows reads GBK."""
    cells = [list(map(_spreadsheet_cell, row)) for row in table.itertuples(index=False)]
    # With dtype=object, whole numbers beside an empty cell stay whole.
    table = pd.DataFrame(cells, columns=table.columns, dtype=object)
    text = table.to_csv(index=False, lineterminator="\r\n")
    write_result(path, text.encode("utf-8-sig", "backslashreplace"))


def _spreadsheet_cell(value: Any) -> Any:
    """Round numbers to six places, and protect text that a spreadsheet would run as a formula."""
    if isinstance(value, float):
        return round(value, 6)
    # The csv writer of Python 3.10 fails on NUL, which a record may hold and no table needs.
    return escaped(value.replace("\0", "")) if isinstance(value, str) else value


def of_label(shares: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean probability (N,) of the given labels (N,), over the models whose probabilities
    are known.

    Args:
        shares: (M, N, C), nan where a model has told none.
    """
    return np.nanmean(shares, 0)[np.arange(len(labels)), labels]


def label_scores(shares: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the same, divided by its mean over the class: the lowest (N,) are the most doubtful.

    Models give the labels of a rare class less probability. Undivided, they would come first.
    """
    probability = of_label(shares, labels)
    counts = np.maximum(np.bincount(labels), 1)
    means = np.bincount(labels, probability) / counts  # (C,)
    return probability / np.maximum(means, 1e-12)[labels]


def doubtful(group: Group) -> pd.DataFrame:
    """Return all pairs, the most doubtful first: ``guid,label,suggested,score`` and, in a column a
    model, the probability that it gives the label. One vote a model: its seeds and folds are joined."""
    models = [model for model in group.models if group.judged(model) and model.has_probabilities]
    columns = ["guid", "label", "suggested", "score", *(escaped(model.name) for model in models)]
    if not models:
        return pd.DataFrame(columns=columns)
    pairs, classes = group.validation.pairs, np.array(group.validation.pairs.classes, dtype=object)
    shares = np.array([group.answers(model)[1] for model in models])  # (M, N, C)
    given = shares[:, np.arange(len(pairs)), pairs.labels]  # (M, N)
    suggested = classes[shares.mean(0).argmax(1)]
    scores = label_scores(shares, pairs.labels)
    rows = zip(pairs.guids, classes[pairs.labels], suggested, scores, *given, strict=True)
    ordered = sorted(rows, key=lambda row: (row[3], row[0]))
    return pd.DataFrame(ordered, columns=columns, dtype=object)
