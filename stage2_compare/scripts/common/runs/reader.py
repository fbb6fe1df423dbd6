"""Read run folders, without torch.

A folder is read only if its own files agree; the others are named with the reason.
"""

from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import UserError
from ..files import MARK, printable, unescaped
from ..machine import memory
from ..metrics import MAIN, METRICS, confusion_matrix, scores
from . import layout

_REQUIRED_COLUMNS = ("epoch", "train_loss", *layout.REQUIRED)
_OPTIONAL_COLUMNS = ("val_loss", *layout.OPTIONAL)
_BOUNDS = {metric.column: metric.bounds for metric in METRICS}
_REQUIRED_NUMBERS = (
    "best_val_f1_macro",
    "epochs",
    "train_time_sec",
    "params_million",
    "trainable_params_million",
)
_OPTIONAL_NUMBERS = (
    "best_epoch",
    "peak_memory_mb",
    "truncated_rate",
    "unknown_rate",
    "tokens_per_character",
)
_OPTIONAL_BLOCKS = ("protocol", "model", "samples", "class_counts", "duplicates", "probe")
_LARGEST = sys.float_info.max
_ROUNDING = 1e-4  # two files of one run may differ by this much
_MOST_COLUMNS = 5_000  # pandas takes minutes for a million
_MOST_CLASSES = 200  # resampling takes memory with the square of their number
_DEEPEST = 20  # levels of metrics.json; what follows them by recursion ends at some hundreds
_MOST_MEGABYTES = {layout.PREDICTIONS: 500}  # 5 of the other files
_MEMORY_PER_BYTE = 20  # bytes that a byte of these files takes while it is read
_LONGEST_REASON = 400  # characters; a cell may hold a million


@dataclass(frozen=True)
class Predictions:
    """Predictions for all validation pairs (N) at the best epoch, in the order of the split."""

    classes: list[str]  # (C,)
    guids: list[str]  # (N,)
    labels: list[int]  # (N,) places in classes
    predicted: list[int]  # (N,) places in classes
    probabilities: list[list[float]]  # (N, C)


@dataclass(frozen=True)
class Run:
    """A finished run.

    ``history`` has one row per epoch; an optional column is None where it is not recorded.
    ``predictions`` is None for a run of an older version, which kept none.
    """

    name: str
    path: Path
    metrics: dict[str, Any]  # metrics.json
    history: list[dict[str, float | None]]
    best: dict[str, float | None]  # the history row with the highest macro-F1, the earliest if many
    predictions: Predictions | None = None

    def recorded(self, *keys: str) -> Any:
        """Return the value of metrics.json under these keys, or None where it is not recorded."""
        value: Any = self.metrics
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def number(self, *keys: str) -> float | None:
        """Return the same, but None also where the value is not a finite number."""
        value = self.recorded(*keys)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return value if is_number and abs(value) <= _LARGEST else None

    @property
    def seed(self) -> int | None:
        seed = self.recorded("protocol", "seed")
        return seed if isinstance(seed, int) else None


class _Unreadable(Exception):
    """The reason why a folder is not taken as a run."""


def load_runs(compare_dir: Path) -> list[Run]:
    """Return the runs of a folder, best macro-F1 first, equal ones by name.

    Print a line on stderr for every folder that is left out.

    Raises:
        UserError: there is no run to read.
    """
    runs, problems = read_runs(compare_dir)
    earlier = _count_folders(compare_dir / layout.EARLIER)
    if earlier:
        newer = "1 run whose name was" if earlier == 1 else f"{earlier} runs whose names were"
        problems.append(f"{layout.EARLIER}: {newer} taken by a newer run")
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    if not runs:
        reason = "none of its folders can be read" if problems else "it is empty"
        raise UserError(
            f"no finished run in {compare_dir}: {reason}. "
            "Train a model first, or give another --compare-dir"
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
            f"no folder {compare_dir}: train a model first, or give another --compare-dir"
        ) from None
    except OSError as error:
        raise UserError(
            f"cannot read {compare_dir}: {error.strerror}. Give another --compare-dir"
        ) from error
    names = {folder.name for folder in folders}
    room = memory() // 2  # the comparison needs some too
    runs, problems = [], []
    for folder in folders:
        try:
            name = _name_of_run(folder, names)
            if name is not None:
                needed = _MEMORY_PER_BYTE * _size(folder)
                _check_room(needed, room)
                runs.append(_read_run(folder, name))
                room -= needed
        except _Unreadable as reason:
            problems.append(printable(f"{folder.name}: {reason}")[:_LONGEST_REASON])
    return sorted(runs, key=lambda run: run.name), problems


def _count_folders(folder: Path) -> int:
    return sum(path.is_dir() for path in folder.iterdir()) if folder.is_dir() else 0


def _name_of_run(folder: Path, names: set[str]) -> str | None:
    """Return the name of the finished run in a folder, or None where it is no run folder."""
    if not folder.name.startswith("."):
        return None if folder.name in layout.NOT_RUNS else folder.name
    if folder.name.endswith(layout.PARTIAL):
        raise _Unreadable(_state_of_partial(folder))
    if not folder.name.endswith(layout.OLD):
        return None
    name = folder.name[1:].removesuffix(layout.OLD)
    if name in names:
        raise _Unreadable("an earlier run, set aside while a newer one takes its name")
    return name  # the newer run never took it: it stopped between the two renames of its end


def _state_of_partial(folder: Path) -> str:
    """Name the process that works on an unfinished run, or say that the run stopped.

    ``owner.json`` names the process, and stays behind only where that process was killed.
    """
    try:
        owner = json.loads(_text(folder / layout.OWNER))
        since = f"in progress since {owner['started']} (process {owner['pid']} on {owner['host']})"
        return f"{since}; if that process is gone, run the same command again to go on"
    except (_Unreadable, ValueError, RecursionError, TypeError, KeyError):
        return "stopped before its end: run the same command again to go on"


def _size(folder: Path) -> int:
    """Return the bytes of the files that are read."""
    try:
        files = [path for path in folder.iterdir() if path.suffix in (".json", ".csv")]
        return sum(path.stat().st_size for path in files if path.is_file())
    except OSError as error:
        raise _Unreadable(f"cannot be read ({error.strerror})") from None


def _check_room(needed: int, room: int) -> None:
    if needed > room:
        raise _Unreadable(
            f"its files would take {needed / 1e9:,.1f} GB of memory, and {max(room, 0) / 1e9:,.1f} "
            "GB are left beside the runs before it: move some run folders to another place"
        )


def _read_run(folder: Path, name: str) -> Run:
    # 1. Each file by itself.
    metrics = _read_metrics(folder / layout.METRICS_JSON)
    history = _read_history(folder / layout.HISTORY)
    predictions = _read_predictions(folder / layout.PREDICTIONS)
    # 2. The files against each other.
    best = max(history, key=lambda row: row[MAIN.column])
    if metrics["epochs"] != len(history):
        raise _Unreadable(
            f"metrics.json counts {metrics['epochs']} epochs, history.csv has {len(history)} rows"
        )
    for key, value in (("best_val_f1_macro", best[MAIN.column]), ("best_epoch", best["epoch"])):
        if abs(metrics.get(key, value) - value) > _ROUNDING:
            raise _Unreadable(f"metrics.json says {key} {metrics[key]:g}, history.csv {value:g}")
    for column, value in _scores(predictions).items() if predictions else ():
        if best[column] is not None and abs(value - best[column]) > _ROUNDING:
            raise _Unreadable(
                f"predictions.csv gives {column} {value:g}, history.csv says {best[column]:g}"
            )
    return Run(name, folder, metrics, history, best, predictions)


def _scores(predictions: Predictions) -> dict[str, float]:
    """Compute the metrics from the predictions, by column of history.csv."""
    labels, predicted = np.array(predictions.labels), np.array(predictions.predicted)
    found = scores(confusion_matrix(labels, predicted, len(predictions.classes)))
    return {metric.column: float(found[metric.key]) for metric in METRICS}


def _read_metrics(path: Path) -> dict[str, Any]:
    try:
        metrics = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise _Unreadable(f"metrics.json is not JSON ({error})") from None
    if not isinstance(metrics, dict):
        raise _Unreadable("metrics.json holds no object")
    _check_depth(metrics)
    for key in _REQUIRED_NUMBERS:
        if key not in metrics:
            raise _Unreadable(f"metrics.json has no {key}")
        _check_number(metrics[key], f"metrics.json: {key}")
    for key in _OPTIONAL_NUMBERS:
        if metrics.setdefault(key) is None:
            del metrics[key]  # an absent value and null mean the same
        else:
            _check_number(metrics[key], f"metrics.json: {key}")
    for key in _OPTIONAL_BLOCKS:
        if not isinstance(metrics.get(key, {}), dict):
            raise _Unreadable(f"metrics.json: {key} is no object")
    return metrics


def _check_depth(metrics: dict[str, Any]) -> None:
    level: list[Any] = [metrics]
    for _ in range(_DEEPEST):
        blocks = [value for value in level if isinstance(value, (dict, list))]
        level = [inner for block in blocks for inner in _inner(block)]
    if level:
        raise _Unreadable(f"metrics.json has more than {_DEEPEST} levels of blocks in blocks")


def _inner(block: dict[str, Any] | list[Any]) -> list[Any]:
    return list(block.values()) if isinstance(block, dict) else block


def _read_history(path: Path) -> list[dict[str, float | None]]:
    text = _text(path)
    header = _read_header(path, text)
    missing = [name for name in _REQUIRED_COLUMNS if name not in header]
    if missing:
        raise _Unreadable(f"history.csv has no column {', '.join(missing)}")
    rows = _read_rows(path, text, len(header), skip_blank_lines=True)
    if rows.empty:
        raise _Unreadable("history.csv has no epoch")
    return [
        _history_row(dict(zip(header, cells, strict=True)), f"history.csv row {number}")
        for number, cells in enumerate(rows.iloc[:, :-1].values.tolist(), 2)
    ]


def _history_row(cells: dict[str, str], where: str) -> dict[str, float | None]:
    row = dict.fromkeys(_OPTIONAL_COLUMNS)
    for name in (*_REQUIRED_COLUMNS, *_OPTIONAL_COLUMNS):
        text = cells.get(name, "")
        if not text and name in _OPTIONAL_COLUMNS:
            continue
        value = _to_float(text)
        if value is None:
            raise _Unreadable(f"{where}: {name} is {text!r}, not a number")
        low, high = _BOUNDS.get(name, (0.0, _LARGEST))
        _check_number(value, f"{where}: {name}", low)
        if value > high:
            raise _Unreadable(f"{where}: {name} is {value:g}, not between 0 and 1")
        row[name] = value
    return row


def _read_predictions(path: Path) -> Predictions | None:
    if not path.exists():
        return None
    # 1. The header names the classes.
    text = _text(path)
    header = _read_header(path, text)
    if not header:
        raise _Unreadable("predictions.csv has no row")
    classes = [name.removeprefix("p_") for name in header[3:]]
    expected = ["guid", "label", "pred", *layout.probability_columns(classes)]
    if header != expected or not classes:
        raise _Unreadable(
            f"predictions.csv begins with {','.join(header)!r}, "
            "not with guid,label,pred,p_<class>,..."
        )
    if len(classes) > _MOST_CLASSES:
        raise _Unreadable(
            f"predictions.csv has {len(classes):,} classes, more than {_MOST_CLASSES}"
        )
    # 2. All rows at once.
    rows = _read_rows(path, text, len(header), skip_blank_lines=False)
    if rows.empty:
        raise _Unreadable("predictions.csv has no row")
    places = {name: place for place, name in enumerate(classes)}
    if _has_mark(path):  # files without a mark are of the first version
        rows[[0, 1, 2]] = rows[[0, 1, 2]].map(unescaped)
    labels, predicted = rows[1].map(places), rows[2].map(places)  # (N,) each
    shares = rows.iloc[:, 3:-1].map(_to_float).astype(float)  # (N, C), NaN if not a number
    # 3. The first row that is wrong is named.
    odd = ~((shares >= 0) & (shares <= 1)).all(axis=1) | (rows.iloc[:, -1] != "")
    wrong = odd | labels.isna() | predicted.isna()
    if wrong.any():
        number = wrong.idxmax()
        where = f"predictions.csv row {number + 1}"
        if odd[number]:
            raise _Unreadable(f"{where} is not guid, label, class and {len(classes)} probabilities")
        name = next(text for text in rows.loc[number, [1, 2]] if text not in places)
        raise _Unreadable(f"{where}: {name!r} is none of the classes {', '.join(classes)}")
    return Predictions(
        classes=classes,
        guids=rows[0].tolist(),
        labels=labels.astype(int).tolist(),
        predicted=predicted.astype(int).tolist(),
        probabilities=shares.to_numpy().tolist(),
    )


def _has_mark(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(len(MARK)) == MARK


def _read_header(path: Path, text: str) -> list[str]:
    if max(line.count(",") for line in text.split("\n")) > _MOST_COLUMNS:
        raise _Unreadable(f"{path.name} has more than {_MOST_COLUMNS:,} columns")
    return _read_csv(path, text, nrows=1).to_numpy().ravel().tolist()


def _read_rows(path: Path, text: str, width: int, skip_blank_lines: bool) -> pd.DataFrame:
    """Return the rows below the header, numbered from 1, a cell that is missing as "".

    There is one column more than ``width``: it holds what a row has too much.
    """
    options = {"names": range(width + 1), "skip_blank_lines": skip_blank_lines}
    return _read_csv(path, text, **options).iloc[1:]


def _read_csv(path: Path, text: str, **options) -> pd.DataFrame:
    """Read all cells as text, so that guid 007 and a class called None stay as they are."""
    options |= {"header": None, "dtype": str, "keep_default_na": False}
    try:
        return pd.read_csv(io.StringIO(text), **options)
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except pd.errors.ParserError as error:
        raise _Unreadable(f"{path.name} is no CSV ({' '.join(str(error).split())})") from None


def _to_float(text: str) -> float | None:
    """Return the number that is nearest to the text, which pandas' own parser does not promise."""
    try:
        return float(text)
    except ValueError:
        return None


def _check_number(value: Any, where: str, low: float = 0.0) -> None:
    """Require a finite number. Apart from optional metrics, a run records nothing negative."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _Unreadable(f"{where} is {value!r}, not a number")
    if not low <= value <= _LARGEST:
        raise _Unreadable(f"{where} is {value}")


def _text(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():  # a pipe would block, a device may never end
            raise _Unreadable(f"{path.name} is no file")
        megabytes, most = path.stat().st_size / 1e6, _MOST_MEGABYTES.get(path.name, 5)
        if megabytes > most:
            raise _Unreadable(f"{path.name} has {megabytes:,.0f} MB, more than {most}")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise _Unreadable(f"no {path.name}") from None
    except UnicodeDecodeError:
        raise _Unreadable(f"{path.name} is not UTF-8") from None
    except OSError as error:
        raise _Unreadable(f"cannot read {path.name} ({error.strerror})") from None
