"""Reading run folders. Imports neither torch nor numpy, so what only reads results answers at once.

A run folder is read only as far as its own files agree; one that cannot be trusted is named with the reason.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..files import printable
from ..metrics import COLUMNS, METRICS, confusion_matrix, scores

NOT_RUNS = ("visuals",)

_HISTORY = ("epoch", "train_loss", *COLUMNS)
_HEADLINE = (
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
_ROUNDING = 1e-4  # what two files of one run may differ by


@dataclass(frozen=True)
class Predictions:
    """What a run said of every validation pair (N) at its best epoch, in the order of the split."""

    classes: list[str]  # (C,)
    guids: list[str]  # (N,)
    labels: list[int]  # (N,) places in classes
    predicted: list[int]  # (N,)
    probabilities: list[list[float]]  # (N, C)


@dataclass(frozen=True)
class Run:
    """A finished run. ``history`` has one row per epoch; its optional columns are None where they are not recorded.

    ``predictions`` is None for a run of an older version, which kept none.
    """

    name: str
    path: Path
    metrics: dict[str, Any]  # metrics.json
    history: list[dict[str, float | None]]
    best: dict[str, float | None]  # the history row with the highest macro-F1, the earliest of ties
    predictions: Predictions | None = None

    def recorded(self, *keys: str) -> Any:
        """The value of metrics.json under these keys, or None where it is not recorded."""
        value: Any = self.metrics
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def number(self, *keys: str) -> float | None:
        """The same, and None also for what is no finite number."""
        value = self.recorded(*keys)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return value if is_number and abs(value) <= sys.float_info.max else None

    @property
    def seed(self) -> int | None:
        seed = self.recorded("protocol", "seed")
        return seed if isinstance(seed, int) else None


class _Unreadable(Exception):
    """Why a folder is not taken as a run."""


def load_runs(compare_dir: Path) -> list[Run]:
    """The runs of a folder, best macro-F1 first, ties by name. What is left out is named on stderr.

    Raises:
        UserError: there is no run to read.
    """
    runs, problems = read_runs(compare_dir)
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    if not runs:
        why = "none of its folders can be read" if problems else "it is empty"
        raise UserError(
            f"no finished run in {compare_dir}: {why}. Train a model first, or give another --compare-dir"
        )
    return sorted(runs, key=lambda run: (-run.best["val_f1_macro"], run.name))


def read_runs(compare_dir: Path) -> tuple[list[Run], list[str]]:
    """All runs of a folder by name, and one line ``<folder>: <reason>`` for each folder that is not one.

    Raises:
        UserError: the folder itself cannot be read.
    """
    try:
        folders = sorted(
            path for path in compare_dir.iterdir() if path.is_dir() and path.name not in NOT_RUNS
        )
    except FileNotFoundError:
        raise UserError(
            f"no folder {compare_dir}: train a model first, or give another --compare-dir"
        ) from None
    except OSError as error:
        raise UserError(
            f"cannot read {compare_dir}: {error.strerror}. Give another --compare-dir"
        ) from error
    names = {folder.name for folder in folders}
    runs, problems = [], []
    for folder in folders:
        before, old = folder.name[1:].removesuffix(".old"), folder.name.endswith(".old")
        try:
            if not folder.name.startswith("."):
                runs.append(_read_run(folder, folder.name))
            elif folder.name.endswith(".partial"):
                raise _Unreadable(_unfinished(folder))
            elif old and before in names:
                raise _Unreadable("an earlier run, set aside while a newer one takes its name")
            elif old:  # the newer one never took it: a stop between the two renames of its end
                runs.append(_read_run(folder, before))
        except _Unreadable as reason:
            problems.append(
                printable(f"{folder.name}: {reason}")[:400]
            )  # a cell may hold a million characters
    return sorted(runs, key=lambda run: run.name), problems


def _unfinished(folder: Path) -> str:
    """Who works on a run that has not ended. ``owner.json`` says so, and stays only where that process was killed."""
    try:
        owner = json.loads((folder / "owner.json").read_text(encoding="utf-8"))
        since = f"in progress since {owner['started']} (process {owner['pid']} on {owner['host']})"
        return f"{since}; if that process is gone, run the same command again to go on"
    except (OSError, ValueError, RecursionError, TypeError, KeyError):
        return "stopped before its end: run the same command again to go on"


def _read_run(folder: Path, name: str) -> Run:
    metrics = _read_metrics(folder / "metrics.json")
    history = _read_history(folder / "history.csv")
    best = max(history, key=lambda row: row["val_f1_macro"])
    if metrics["epochs"] != len(history):
        raise _Unreadable(
            f"metrics.json counts {metrics['epochs']} epochs, history.csv has {len(history)} rows"
        )
    for key, value in (("best_val_f1_macro", best["val_f1_macro"]), ("best_epoch", best["epoch"])):
        if abs(metrics.get(key, value) - value) > _ROUNDING:
            raise _Unreadable(f"metrics.json says {key} {metrics[key]:g}, history.csv {value:g}")
    predictions = _read_predictions(folder / "predictions.csv")
    for metric, value in _scores(predictions).items() if predictions else ():
        if abs(value - best[metric]) > _ROUNDING:
            raise _Unreadable(
                f"predictions.csv gives {metric} {value:g}, history.csv says {best[metric]:g}"
            )
    return Run(name, folder, metrics, history, best, predictions)


def _read_metrics(path: Path) -> dict[str, Any]:
    try:
        metrics = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise _Unreadable(f"metrics.json is not JSON ({error})") from None
    if not isinstance(metrics, dict):
        raise _Unreadable("metrics.json holds no object")
    for key in _HEADLINE:
        if key not in metrics:
            raise _Unreadable(f"metrics.json has no {key}")
        _number(metrics[key], f"metrics.json: {key}")
    for key in _OPTIONAL_NUMBERS:
        if metrics.setdefault(key) is None:
            del metrics[key]  # an absent value and null mean the same
        else:
            _number(metrics[key], f"metrics.json: {key}")
    for key in _OPTIONAL_BLOCKS:
        if not isinstance(metrics.get(key, {}), dict):
            raise _Unreadable(f"metrics.json: {key} is no object")
    return metrics


def _read_history(path: Path) -> list[dict[str, float | None]]:
    try:
        reader = csv.DictReader(_text(path).splitlines())
        lines, header = list(reader), reader.fieldnames or []
    except csv.Error as error:
        raise _Unreadable(f"history.csv is no CSV ({error})") from None
    missing = [name for name in _HISTORY if name not in header]
    if missing:
        raise _Unreadable(f"history.csv has no column {', '.join(missing)}")
    if not lines:
        raise _Unreadable("history.csv has no epoch")
    return [_history_row(line, f"history.csv row {number}") for number, line in enumerate(lines, 2)]


def _history_row(line: dict[str, str], where: str) -> dict[str, float | None]:
    row = {name: _cell(line[name], f"{where}: {name}") for name in _HISTORY}
    row["val_loss"] = (
        _cell(line["val_loss"], f"{where}: val_loss") if line.get("val_loss") else None
    )
    for name in COLUMNS:
        if row[name] > 1:
            raise _Unreadable(f"{where}: {name} is {row[name]:g}, not between 0 and 1")
    return row


def _read_predictions(path: Path) -> Predictions | None:
    if not path.exists():
        return None
    try:
        lines = list(csv.reader(io.StringIO(_text(path), newline="")))
    except csv.Error as error:
        raise _Unreadable(f"predictions.csv is no CSV ({error})") from None
    if len(lines) < 2:
        raise _Unreadable("predictions.csv has no row")
    header, *lines = lines
    classes = [name.removeprefix("p_") for name in header[3:]]
    if header != ["guid", "label", "pred", *(f"p_{name}" for name in classes)] or not classes:
        raise _Unreadable(
            f"predictions.csv begins with {','.join(header)!r}, not with guid,label,pred,p_<class>,..."
        )
    places = {name: place for place, name in enumerate(classes)}
    rows = [
        _prediction(line, places, f"predictions.csv row {number}")
        for number, line in enumerate(lines, 2)
    ]
    return Predictions(classes, *map(list, zip(*rows, strict=True)))


def _prediction(
    line: list[str], places: dict[str, int], where: str
) -> tuple[str, int, int, list[float]]:
    try:
        guid, label, predicted, *shares = line
        values = [float(text) for text in shares]
        if len(values) == len(places) and all(0 <= value <= 1 for value in values):
            return guid, places[label], places[predicted], values
    except KeyError as error:
        raise _Unreadable(f"{where}: {error} is none of the classes {', '.join(places)}") from None
    except ValueError:
        pass
    raise _Unreadable(f"{where} is not guid, label, class and {len(places)} probabilities")


def _scores(predictions: Predictions) -> dict[str, float]:
    """Compute the metrics from the predictions, by column of history.csv."""
    labels, predicted = np.array(predictions.labels), np.array(predictions.predicted)
    found = scores(confusion_matrix(labels, predicted, len(predictions.classes)))
    return {metric.column: float(found[metric.key]) for metric in METRICS}


def _cell(text: str | None, where: str) -> float:
    try:
        return _number(float(text or ""), where)
    except ValueError:
        raise _Unreadable(f"{where} is {text!r}, not a number") from None


def _number(value: Any, where: str) -> float:
    """A finite number, at least 0: nothing that a run records is negative."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _Unreadable(f"{where} is {value!r}, not a number")
    if not 0 <= value <= sys.float_info.max:
        raise _Unreadable(f"{where} is {value}")
    return value


def _text(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():  # a pipe would block, a device may never end
            raise _Unreadable(f"{path.name} is no file")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise _Unreadable(f"no {path.name}") from None
    except UnicodeDecodeError:
        raise _Unreadable(f"{path.name} is not UTF-8") from None
    except OSError as error:
        raise _Unreadable(f"cannot read {path.name} ({error.strerror})") from None
