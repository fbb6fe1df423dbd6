"""Reads run folders, whoever wrote them. Nothing in a folder is run, and torch is not needed.

A run is read only if its own files agree; other folders are left out with the reason.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..errors import UserError, reason_of
from ..files import MARK, printable, unescaped
from ..metrics import MAIN, METRICS, confusion_matrix, scores
from . import layout

_LARGEST = sys.float_info.max
_COLUMNS = ("epoch", "train_loss", *layout.REQUIRED)  # of history.csv
_OPTIONAL_COLUMNS = ("val_loss", *layout.OPTIONAL)
_NUMBERS = (  # of metrics.json
    "best_val_f1_macro",
    "epochs",
    "train_time_sec",
    "params_million",
    "trainable_params_million",
)
_OPTIONAL_NUMBERS = (
    "epochs_run",
    "best_epoch",
    "peak_memory_mb",
    "truncated_rate",
    "unknown_rate",
    "tokens_per_character",
)
_BLOCKS = ("protocol", "model", "samples", "class_counts", "duplicates", "probe")
_CHOICES = ("protocol", "model")  # the blocks that tell one run from another
# Apart from optional metrics, a run records nothing negative.
_BOUNDS = {metric.column: metric.bounds for metric in METRICS}
_ROUNDING = 1e-4  # two files of one run may differ by this much
_DEEPEST = 20  # levels of metrics.json; what follows them by recursion ends at some hundreds
# The most that is read of a file. A table takes up to 30 times as much memory meanwhile.
_MEGABYTES = {".json": 5, ".csv": 100, ".npz": 500}


class Unreadable(Exception):
    """The reason why a folder is not taken as a run."""


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


@dataclass(frozen=True)
class Run:
    """A finished run.

    ``history`` has one row per epoch; an optional column is None where it is not recorded.
    ``predictions``, and what belongs to them, is None for a run of an older version, which kept
    none. ``epochs`` holds the predictions of every epoch, ``test`` those for labelled test pairs.
    """

    name: str
    path: Path
    metrics: dict[str, Any]  # metrics.json
    history: list[dict[str, float | None]]
    best: dict[str, float | None]  # the history row with the highest macro-F1, the earliest if many
    predictions: Predictions | None = None
    epochs: np.ndarray | None = field(default=None, compare=False)  # (E, N) places in the classes
    test: Predictions | None = None
    shares: np.ndarray | None = field(default=None, compare=False)  # (E, N, C) float16

    def recorded(self, *keys: str) -> Any:
        """Return the value of metrics.json under these keys, or None where it is not recorded."""
        value: Any = self.metrics
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def number(self, *keys: str) -> float | None:
        """Return the same, but None also where the value is not a finite number."""
        value = self.recorded(*keys)
        return value if _is_number(value) else None

    @property
    def seed(self) -> int | None:
        seed = self.recorded("protocol", "seed")
        return seed if isinstance(seed, int) else None

    def epoch_probabilities(self) -> np.ndarray | None:
        """Return the probabilities of every epoch, (E, N, C) float32; None where they are not kept.

        They are rounded to three digits. The pairs and classes are those of ``predictions``.
        """
        return None if self.shares is None else self.shares.astype(np.float32)


def load_runs(compare_dir: Path) -> list[Run]:
    """Return the runs of a folder, best macro-F1 first, equal ones by name.

    Print a line on stderr for every folder that is left out.

    Raises:
        UserError: there is no run to read.
    """
    runs, problems = read_runs(compare_dir)
    earlier = compare_dir / layout.EARLIER
    count = sum(path.is_dir() for path in earlier.iterdir()) if earlier.is_dir() else 0
    if count:
        newer = "1 run whose name was" if count == 1 else f"{count} runs whose names were"
        problems.append(f"{layout.EARLIER}: {newer} taken by a newer run")
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    if not runs:
        reason = "none of its folders can be read" if problems else "it is empty"
        raise UserError(
            f"no finished run in {compare_dir}: {reason}. "
            "Train a model first, or check --project-root and --compare-dir"
        )
    return sorted(runs, key=lambda run: (-run.best[MAIN.column], run.name))


def read_runs(compare_dir: Path) -> tuple[list[Run], list[str]]:
    """Return all runs by name, and a line ``<folder>: <reason>`` for each folder that is not one.

    Raises:
        UserError: the folder itself cannot be read.
    """
    try:
        folders = sorted(path for path in compare_dir.iterdir() if path.is_dir())
    except FileNotFoundError:
        raise UserError(
            f"no folder {compare_dir}: train a model first, or check --project-root and --compare-dir"
        ) from None
    except OSError as error:
        raise UserError(
            f"cannot read {compare_dir}: {error.strerror}. Give another --compare-dir"
        ) from error
    names = {folder.name for folder in folders}
    runs, problems = [], []
    for folder in folders:
        try:
            name = _name_of_run(folder, names)
            if name is not None:
                runs.append(_read_run(folder, name))
        except Exception as error:  # a stranger's folder can fail in any way
            problems.append(printable(f"{folder.name}: {reason_of(error)}"))
    return sorted(runs, key=lambda run: run.name), problems


def _name_of_run(folder: Path, names: set[str]) -> str | None:
    """Return the name of the finished run in a folder, or None where it is no run folder."""
    if not folder.name.startswith("."):
        return None if folder.name in layout.NOT_RUNS else folder.name
    if folder.name.endswith(layout.PARTIAL):
        raise Unreadable(_state_of_partial(folder))
    if not folder.name.endswith(layout.OLD):
        return None
    name = folder.name[1:].removesuffix(layout.OLD)
    if name in names:
        raise Unreadable("an earlier run, set aside while a newer one takes its name")
    return name  # the newer run never took it: it stopped between the two renames of its end


def _state_of_partial(folder: Path) -> str:
    """Name the process that works on an unfinished run, or say that the run stopped.

    ``owner.json`` names the process, and stays behind only where that process was killed.
    """
    try:
        owner = json.loads(_read_text(folder / layout.OWNER))
        since = f"in progress since {owner['started']} (process {owner['pid']} on {owner['host']})"
        return f"{since}; if that process is gone, run the same command again to go on"
    except Exception:  # it is absent, or of somebody else
        return "stopped before its end: run the same command again to go on"


def _read_run(folder: Path, name: str) -> Run:
    # 1. The figures.
    metrics = _read_figures(folder / layout.METRICS_JSON)
    history = _read_history(folder / layout.HISTORY)
    best = max(history, key=lambda row: row[MAIN.column])
    told = {"epochs": len(history), "epochs_run": len(history), "best_epoch": best["epoch"]}
    for key, value in (told | {"best_val_f1_macro": best[MAIN.column]}).items():
        if abs(metrics.get(key, value) - value) > _ROUNDING:
            raise Unreadable(f"metrics.json says {key} {metrics[key]:g}, history.csv {value:g}")
    run = Run(name, folder, metrics, history, best)
    # 2. The predictions, which must give these figures.
    predictions = _read_predictions(folder / layout.PREDICTIONS, best, "val")
    if predictions is None:
        return run
    run = replace(run, predictions=predictions)
    shape = (len(history), *np.shape(predictions.probabilities))
    return replace(
        run,
        epochs=_read_epochs(folder / layout.EPOCH_PREDICTIONS, run),
        test=_read_test(folder / layout.TEST_PREDICTIONS, run),
        shares=_read_shares(folder / layout.EPOCH_PROBABILITIES, shape),
    )


def read_choices(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the blocks ``protocol`` and ``model`` of a finished run; {} where they cannot be read."""
    try:
        record = read_record(folder / layout.METRICS_JSON)
        return {block: dict(record[block]) for block in _CHOICES}
    except (Unreadable, KeyError, TypeError, ValueError):
        return {}


def differences(earlier: dict[str, Any], newer: dict[str, Any]) -> dict[str, str]:
    """Return what the earlier run had otherwise in its protocol or model, by key and in short."""
    if not (earlier and newer):
        return {"protocol": "unknown"}
    different = {}
    for block in _CHOICES:
        old, new = earlier[block], json.loads(json.dumps(newer[block]))
        for key in old:  # a value that an earlier version did not record is no difference
            # The micro-batch is what fits in memory: another one is the same model.
            if key != "batch_size" and old.get(key) != new.get(key):
                different[key] = str(old.get(key))[:40]
    return dict(sorted(different.items()))


# Files. A reader raises ValueError, or anything else, with what is wrong in the file

Content = TypeVar("Content")


def _naming(read: Callable[..., Content]) -> Callable[..., Content]:
    """Let a reader's error name the file."""

    @wraps(read)
    def named(path: Path, *args: Any) -> Content:
        try:
            return read(path, *args)
        except Unreadable:
            raise
        except FileNotFoundError:
            raise Unreadable(f"no {path.name}") from None
        except UnicodeDecodeError:
            raise Unreadable(f"{path.name} is not UTF-8") from None
        except Exception as error:  # a broken file can fail in any way
            raise Unreadable(f"{path.name}: {reason_of(error)}") from None

    return named


def _read_text(path: Path) -> str:
    """Return the text of a file, with the mark that it may begin with."""
    if path.exists() and not path.is_file():
        raise ValueError("it is no file")  # to open a pipe may take for ever
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        _check_size(path, size)
        return file.read(size).decode("utf-8")


def _check_size(path: Path, size: int) -> None:
    most = _MEGABYTES[path.suffix]
    if size > 1e6 * most:
        raise ValueError(f"it holds {size / 1e6:,.0f} MB, more than {most}")


@_naming
def read_record(path: Path) -> dict[str, Any]:
    """Return what the metrics.json of a finished run says.

    Raises:
        Unreadable: there is none, or it holds something else.
    """
    record = json.loads(_read_text(path).removeprefix("\ufeff"))
    if not isinstance(record, dict) or _levels(record) > _DEEPEST:
        raise ValueError(f"it is no object of at most {_DEEPEST} levels")
    return record


def _levels(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_levels, inner), default=0)


@_naming
def _read_figures(path: Path) -> dict[str, Any]:
    """Return a record whose numbers are finite and not negative; a null is left out."""
    record = read_record(path)
    for key in (*_NUMBERS, *_OPTIONAL_NUMBERS):
        value = record.get(key)
        if value is None and key in _OPTIONAL_NUMBERS:
            record.pop(key, None)
        elif not (_is_number(value) and value >= 0):
            raise ValueError(f"{key} is {value!r}, not a number in its range")
    for key in _BLOCKS:
        if not isinstance(record.get(key, {}), dict):
            raise ValueError(f"{key} is no object")
    return record


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and abs(value) <= _LARGEST  # NaN is not


def _read_table(path: Path) -> tuple[list[str], np.ndarray]:
    """Return the header (K,) and the rows (N, K) of a csv file, each cell as it was written.

    A file with a mark is for spreadsheets, in which texts are escaped; those of the first version
    are not. The csv module refuses a million columns at once, which take pandas minutes.
    """
    text, mark = _read_text(path), MARK.decode("utf-8")
    lines = csv.reader(io.StringIO(text.removeprefix(mark), newline=""), strict=True)
    rows: list[list[str]] = []
    for row in filter(None, lines):
        rows.append([unescaped(cell) for cell in row] if text.startswith(mark) else row)
        if len(row) != len(rows[0]):
            raise ValueError(f"row {len(rows)} has {len(row)} cells, the header {len(rows[0])}")
    if len(rows) < 2:
        raise ValueError("it has no row")
    return rows[0], np.array(rows[1:], dtype=object)


@_naming
def _read_history(path: Path) -> list[dict[str, float | None]]:
    header, cells = _read_table(path)
    missing = [name for name in _COLUMNS if name not in header]
    if missing:
        raise ValueError(f"it has no column {', '.join(missing)}")
    history = []
    for number, texts in enumerate(cells.tolist(), 2):
        row: dict[str, float | None] = dict.fromkeys(_OPTIONAL_COLUMNS)
        for name, text in zip(header, texts, strict=True):
            if name in _COLUMNS or (name in _OPTIONAL_COLUMNS and text):
                row[name] = float(text)
                low, high = _BOUNDS.get(name, (0.0, _LARGEST))
                if not low <= row[name] <= high:
                    raise ValueError(f"row {number}: {name} is {text!r}")
        history.append(row)
    if [row["epoch"] for row in history] != list(range(1, len(history) + 1)):
        raise ValueError("its epochs are not 1, 2, 3, ...")
    return history


@_naming
def _read_predictions(path: Path, told: dict[str, Any], split: str) -> Predictions | None:
    """Read a table ``guid,label,pred,p_<class>,...,group,cut``, which must give the figures ``told``.

    Earlier versions wrote neither ``group`` nor ``cut``, the first one no table.
    """
    if not path.exists():
        return None
    header, cells = _read_table(path)
    # 1. The header names the classes.
    more = [name for name in (layout.GROUP, layout.CUT) if name in header]
    end = len(header) - len(more)
    classes = [column.removeprefix("p_") for column in header[3:end]]
    if header != ["guid", "label", "pred", *layout.probability_columns(classes), *more]:
        raise ValueError(f"it begins with {','.join(header)!r}, not with guid,label,pred,p_<class>")
    if not 0 < len(classes) <= layout.MOST_CLASSES:
        raise ValueError(f"it has {len(classes)} classes, not 1 to {layout.MOST_CLASSES}")
    # 2. The rows.
    chosen, shares = _places(cells[:, 1:3], classes), cells[:, 3:end].astype(float)
    wrong = ~((shares >= 0) & (shares <= 1)).all(1)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"row {row + 2}: {shares[row].tolist()} are no probabilities")
    _check_scores(*chosen.T, len(classes), told, split)
    guids = cells[:, 0].tolist()
    groups = cells[:, end].tolist() if layout.GROUP in more else None
    unknown = set(groups or ()) - set(guids)
    if unknown:
        raise ValueError(f"group {unknown.pop()!r} is no guid of this file")
    cut = _places(cells[:, -1], ["0", "1"]).astype(bool).tolist() if layout.CUT in more else None
    return Predictions(classes, guids, *chosen.T.tolist(), shares.tolist(), groups, cut)


def _places(cells: np.ndarray, names: list[str]) -> np.ndarray:
    """Return the place of each cell in ``names``, as an array of the same shape."""
    known = {name: place for place, name in enumerate(names)}
    found = np.vectorize(lambda cell: known.get(cell, -1), otypes=[int])(cells)
    if (found < 0).any():
        row = np.argwhere(found < 0)[0][0]
        raise ValueError(f"row {row + 2}: {cells[found < 0][0]!r} is none of {', '.join(names)}")
    return found


@_naming
def _read_epochs(path: Path, run: Run) -> np.ndarray | None:
    """Return the predicted classes of every epoch, (E, N) places in the classes.

    The pairs are those of ``run.predictions``, and so is the column of the best epoch.
    """
    if not path.exists():
        return None
    header, cells = _read_table(path)
    if header != ["guid", "label", *layout.epoch_columns(len(run.history))]:
        raise ValueError(f"its columns are not guid, label and {len(run.history)} epochs")
    labels, *epochs = _places(cells[:, 1:], run.predictions.classes).T
    found, best = np.array(epochs), run.history.index(run.best)
    said = (cells[:, 0].tolist(), labels.tolist(), found[best].tolist())
    if said != (run.predictions.guids, run.predictions.labels, run.predictions.predicted):
        raise ValueError(f"its best epoch is not that of {layout.PREDICTIONS}")
    for row, predicted in zip(run.history, found, strict=True):
        _check_scores(labels, predicted, len(run.predictions.classes), row, "val")
    return found


@_naming
def _read_test(path: Path, run: Run) -> Predictions | None:
    """Return the predictions for the test pairs; None where there are none or their labels are not
    known."""
    if not path.exists() or _read_table(path)[0][:2] == ["guid", "pred"]:
        return None
    found = _read_predictions(path, run.metrics, "test")
    if found.classes != run.predictions.classes:
        raise ValueError(f"it has other classes than {layout.PREDICTIONS}")
    return found


def _check_scores(
    labels: np.ndarray, predicted: np.ndarray, classes: int, told: dict[str, Any], split: str
) -> None:
    """Require that predictions give the metrics ``<split>_<key>`` that another file has told."""
    confusion = confusion_matrix(labels, predicted, classes)
    found = scores(confusion)
    # Earlier versions averaged also over classes with predicted samples only, which add nothing.
    true, present = confusion.any(1).sum(), (confusion.any(0) | confusion.any(1)).sum()
    for metric in METRICS:
        name, value = f"{split}_{metric.key}", float(found[metric.key])
        expected = told.get(name)
        earlier = value * true / present if metric.key.endswith("_macro") else value
        if expected is None or min(abs(value - expected), abs(earlier - expected)) <= _ROUNDING:
            continue
        raise ValueError(f"it gives {name} {value:g}, and the run says {expected:g}")


@_naming
def _read_shares(path: Path, shape: tuple[int, int, int]) -> np.ndarray | None:
    """Return the probabilities of every epoch (E, N, C) float16, None where they are not kept.

    No more is unpacked than an array of this shape takes: a small archive may claim gigabytes.
    """
    if not path.is_file():
        return None
    with zipfile.ZipFile(path) as archive, archive.open(f"{layout.PROBABILITIES}.npy") as file:
        np.lib.format.read_magic(file)
        found, by_columns, kind = np.lib.format.read_array_header_1_0(file)
        if (found, by_columns, kind) != (shape, False, np.float16):
            raise ValueError(f"it holds {found} {kind}, not {shape} float16")
        size = 2 * math.prod(shape)
        _check_size(path, size)
        shares = np.frombuffer(file.read(size), np.float16).reshape(shape)
    if not ((shares >= 0) & (shares <= 1)).all():
        raise ValueError("a probability is not between 0 and 1")
    return shares
