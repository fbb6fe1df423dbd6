"""The predictions in a run folder: those of the best epoch, of every epoch, and of the test pairs."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import UserError, reason_of
from . import layout
from .cells import (
    Unreadable,
    check_size,
    class_places,
    has_mark,
    numbers,
    read_header,
    read_rows,
    read_text,
    texts,
)

MOST_CLASSES = 200  # resampling takes memory with the square of their number


@dataclass(frozen=True)
class Predictions:
    """Predictions for all pairs of a split (N) at the best epoch, in the order of the split."""

    classes: list[str]  # (C,)
    guids: list[str]  # (N,)
    labels: list[int]  # (N,) places in classes
    predicted: list[int]  # (N,) places in classes
    probabilities: list[list[float]]  # (N, C)
    groups: list[str] | None = None  # (N,) guid of the first copy of each; None: not recorded
    cut: list[bool] | None = None  # (N,) where the text was longer than the model reads


def read_predictions(path: Path) -> Predictions | None:
    """Return what a file ``guid,label,pred,p_<class>,...,group,cut`` holds, None where there is none.

    Earlier versions wrote neither ``group`` nor ``cut``.
    """
    if not path.exists():
        return None
    # 1. The header names the classes.
    text = read_text(path)
    header = read_header(path, text)
    if not header:
        raise Unreadable(f"{path.name} has no row")
    classes = _classes(path.name, header)
    # 2. All rows at once.
    rows = read_rows(path, text, len(header))
    if rows.empty:
        raise Unreadable(f"{path.name} has no row")
    escaped, end = has_mark(path), 3 + len(classes)
    chosen = class_places(rows[[1, 2]], classes, escaped)  # (N, 2)
    shares = numbers(rows.iloc[:, 3:end])  # (N, C)
    _check_rows(path.name, rows, classes, chosen, shares)
    guids = texts(rows[0], escaped)
    groups = texts(rows[end], escaped) if end < len(header) else None
    _check_groups(path.name, guids, groups)
    cut = _cut(path.name, rows[end + 1]) if end + 1 < len(header) else None
    labels, predicted = chosen.T.tolist()
    return Predictions(classes, guids, labels, predicted, shares.tolist(), groups, cut)


def _classes(name: str, header: list[str]) -> list[str]:
    endings = ([layout.GROUP, layout.CUT], [layout.GROUP], [])
    ending = next(each for each in endings if header[len(header) - len(each) :] == each)
    columns = header[3 : len(header) - len(ending)]
    classes = [column.removeprefix("p_") for column in columns]
    expected = ["guid", "label", "pred", *layout.probability_columns(classes)]
    if header != expected + ending or not classes:
        raise Unreadable(
            f"{name} begins with {','.join(header)!r}, not with guid,label,pred,p_<class>,..."
        )
    if len(classes) > MOST_CLASSES:
        raise Unreadable(f"{name} has {len(classes):,} classes, more than {MOST_CLASSES}")
    return classes


def _check_rows(
    name: str, rows: pd.DataFrame, classes: list[str], chosen: np.ndarray, shares: np.ndarray
) -> None:
    """Name the first row that is wrong."""
    odd = ~((shares >= 0) & (shares <= 1)).all(1) | (rows.iloc[:, -1] != "").to_numpy()  # (N,)
    wrong = odd | (chosen < 0).any(1)
    if not wrong.any():
        return
    row = int(wrong.argmax())
    if odd[row]:
        raise Unreadable(
            f"{_row(name, row)} is not guid, label, class and {len(classes)} probabilities"
        )
    raise _no_class(_row(name, row), rows.iloc[row, 1:3], chosen[row], classes)


def _check_groups(name: str, guids: list[str], groups: list[str] | None) -> None:
    known = set(guids)
    for row, group in enumerate(groups or ()):
        if group not in known:
            raise Unreadable(f"{_row(name, row)}: group {group!r} is no guid of this file")


def _cut(name: str, cells: pd.Series) -> list[bool]:
    wrong = ~cells.isin(["0", "1"]).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise Unreadable(f"{_row(name, row)}: cut {cells.iloc[row]!r} is neither 0 nor 1")
    return (cells == "1").tolist()


def read_test_predictions(path: Path, classes: list[str]) -> Predictions | None:
    """Return the predictions for the test pairs; None where there are none or their labels are not
    known."""
    if not path.exists() or read_text(path).startswith("guid,pred,p_"):
        return None
    found = read_predictions(path)
    if found.classes != classes:
        raise Unreadable(f"{path.name} has other classes than {layout.PREDICTIONS}")
    return found


def read_epochs(path: Path, predictions: Predictions, best: int, epochs: int) -> np.ndarray | None:
    """Return the predicted classes of every epoch, (E, N) places in ``predictions.classes``.

    The pairs are those of ``predictions``, and so is the column of epoch ``best``.
    """
    if not path.exists():
        return None
    text = read_text(path)
    header, expected = read_header(path, text), ["guid", "label", *layout.epoch_columns(epochs)]
    if header != expected:
        begin, wanted = ",".join(header), ",".join(expected)
        raise Unreadable(f"{path.name} begins with {begin!r}, not with {wanted}: {epochs} epochs")
    rows = read_rows(path, text, len(header))
    if len(rows) != len(predictions.guids):
        count = f"{len(rows):,} pairs, {layout.PREDICTIONS} {len(predictions.guids):,}"
        raise Unreadable(f"{path.name} has {count}")
    escaped = has_mark(path)
    found = class_places(rows.iloc[:, 1:-1], predictions.classes, escaped)  # (N, 1 + E)
    _check_epoch_rows(path.name, rows, found, predictions, best, texts(rows[0], escaped))
    return np.ascontiguousarray(found[:, 1:].T)


def _check_epoch_rows(
    name: str,
    rows: pd.DataFrame,
    found: np.ndarray,
    predictions: Predictions,
    best: int,
    guids: list[str],
) -> None:
    """Name the first row that is wrong, or not that of predictions.csv."""
    odd = (rows.iloc[:, -1] != "").to_numpy()
    unknown = (found < 0).any(1)
    others = (np.array(guids, object) != np.array(predictions.guids, object)) | (
        found[:, 0] != predictions.labels
    )
    different = found[:, best] != predictions.predicted
    wrong = odd | unknown | others | different
    if not wrong.any():
        return
    row = int(wrong.argmax())
    where = _row(name, row)
    if odd[row]:
        raise Unreadable(f"{where} has more cells than the header")
    if unknown[row]:
        raise _no_class(where, rows.iloc[row, 1:-1], found[row], predictions.classes)
    if others[row]:
        raise Unreadable(f"{where} is another pair than that of {layout.PREDICTIONS}")
    raise Unreadable(f"{where}: epoch_{best} is not the class that {layout.PREDICTIONS} has")


def _row(name: str, row: int) -> str:
    return f"{name} row {row + 2}"


def _no_class(where: str, cells: pd.Series, found: np.ndarray, classes: list[str]) -> Unreadable:
    name = cells.iloc[int((found < 0).argmax())]
    return Unreadable(f"{where}: {name!r} is none of the classes {', '.join(classes)}")


def check_epoch_probabilities(path: Path, shape: tuple[int, int, int]) -> None:
    """Require, of a file that is there, that its array has this shape, without reading it all."""
    if not path.exists():
        return
    check_size(path)
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{layout.PROBABILITIES}.npy") as file:
            np.lib.format.read_magic(file)
            found, _, kind = np.lib.format.read_array_header_1_0(file)
    except Exception as error:  # a broken archive can fail in any way
        raise Unreadable(f"{path.name} is no archive of numpy ({reason_of(error)})") from None
    if found != shape or kind != np.float16:
        raise Unreadable(f"{path.name} holds {found} {kind}, not {shape} float16")


def load_epoch_probabilities(path: Path) -> np.ndarray | None:
    """Return the probabilities of every epoch, (E, N, C) float32, None where they are not kept.

    Raises:
        UserError: the file is damaged.
    """
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = archive[layout.PROBABILITIES].astype(np.float32)
        if not ((found >= 0) & (found <= 1)).all():
            raise ValueError("a probability is not between 0 and 1")
    except Exception as error:  # a broken archive can fail in any way
        raise UserError(
            f"{path} is damaged ({reason_of(error)}): remove this file, or train the run again"
        ) from None
    return found
