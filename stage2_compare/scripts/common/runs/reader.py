"""Read run folders, without torch.

A folder is read only if its own files agree; the others are named with the reason.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..files import printable
from ..machine import memory
from ..metrics import COLUMNS, MAIN, METRICS, confusion_matrix, scores
from . import layout
from .cells import Unreadable, read_header, read_rows, read_text, to_float
from .predictions import (
    Predictions,
    check_epoch_probabilities,
    load_epoch_probabilities,
    read_epochs,
    read_predictions,
    read_test_predictions,
)

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
    "epochs_run",
    "best_epoch",
    "peak_memory_mb",
    "truncated_rate",
    "unknown_rate",
    "tokens_per_character",
)
_OPTIONAL_BLOCKS = ("protocol", "model", "samples", "class_counts", "duplicates", "probe")
_LARGEST = sys.float_info.max
_ROUNDING = 1e-4  # two files of one run may differ by this much
_DEEPEST = 20  # levels of metrics.json; what follows them by recursion ends at some hundreds
_MEMORY_PER_BYTE = 20  # bytes that a byte of these files takes while it is read
_LONGEST_REASON = 400  # characters; a cell may hold a million


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

    def epoch_probabilities(self) -> np.ndarray | None:
        """Read the probabilities of every epoch, (E, N, C) float32; None where they are not kept.

        They are rounded to three digits. The pairs and classes are those of ``predictions``.

        Raises:
            UserError: the file is damaged.
        """
        return load_epoch_probabilities(self.path / layout.EPOCH_PROBABILITIES)


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
        except Unreadable as reason:
            problems.append(printable(f"{folder.name}: {reason}")[:_LONGEST_REASON])
    return sorted(runs, key=lambda run: run.name), problems


def _count_folders(folder: Path) -> int:
    return sum(path.is_dir() for path in folder.iterdir()) if folder.is_dir() else 0


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
        owner = json.loads((folder / layout.OWNER).read_text(encoding="utf-8"))
        since = f"in progress since {owner['started']} (process {owner['pid']} on {owner['host']})"
        return f"{since}; if that process is gone, run the same command again to go on"
    except (OSError, ValueError, RecursionError, TypeError, KeyError):
        return "stopped before its end: run the same command again to go on"


def _size(folder: Path) -> int:
    """Return the bytes of the files that are read."""
    try:
        files = [path for path in folder.iterdir() if path.suffix in (".json", ".csv")]
        return sum(path.stat().st_size for path in files if path.is_file())
    except OSError as error:
        raise Unreadable(f"cannot be read ({error.strerror})") from None


def _check_room(needed: int, room: int) -> None:
    if needed > room:
        raise Unreadable(
            f"its files would take {needed / 1e9:,.1f} GB of memory, and {max(room, 0) / 1e9:,.1f} "
            "GB are left beside the runs before it: move some run folders to another place"
        )


def _read_run(folder: Path, name: str) -> Run:
    # 1. The figures.
    metrics = _read_metrics(folder / layout.METRICS_JSON)
    history = _read_history(folder / layout.HISTORY)
    best = max(history, key=lambda row: row[MAIN.column])
    _check_figures(metrics, history, best)
    # 2. The predictions, which must give these figures.
    predictions = read_predictions(folder / layout.PREDICTIONS)
    run = Run(name, folder, metrics, history, best, predictions)
    return run if predictions is None else _with_predictions(run, predictions)


def _check_figures(
    metrics: dict[str, Any], history: list[dict[str, float | None]], best: dict[str, float | None]
) -> None:
    """Require that metrics.json and history.csv agree."""
    for key in ("epochs", "epochs_run"):
        if metrics.get(key, len(history)) != len(history):
            raise Unreadable(
                f"metrics.json counts {metrics[key]} {key}, history.csv has {len(history)} rows"
            )
    for key, value in (("best_val_f1_macro", best[MAIN.column]), ("best_epoch", best["epoch"])):
        if abs(metrics.get(key, value) - value) > _ROUNDING:
            raise Unreadable(f"metrics.json says {key} {metrics[key]:g}, history.csv {value:g}")


def _with_predictions(run: Run, predictions: Predictions) -> Run:
    """Check the predictions against the figures, and read those of the epochs and of the test."""
    _check_scores(f"{layout.PREDICTIONS} gives", predictions, layout.HISTORY, _metrics(run.best))
    # 1. Every epoch.
    count, place = len(run.history), run.history.index(run.best)
    epochs = read_epochs(run.path / layout.EPOCH_PREDICTIONS, predictions, place + 1, count)
    for row, predicted in () if epochs is None else zip(run.history, epochs, strict=True):
        source = f"{layout.EPOCH_PREDICTIONS} gives for epoch {row['epoch']:g}"
        _check_scores(
            source, replace(predictions, predicted=predicted), layout.HISTORY, _metrics(row)
        )
    shape = (count, *np.shape(predictions.probabilities))
    check_epoch_probabilities(run.path / layout.EPOCH_PROBABILITIES, shape)
    # 2. The test pairs.
    test = read_test_predictions(run.path / layout.TEST_PREDICTIONS, predictions.classes)
    if test is not None:
        told = {f"test_{m.key}": run.number(f"test_{m.key}") for m in METRICS}
        _check_scores(f"{layout.TEST_PREDICTIONS} gives", test, layout.METRICS_JSON, told)
    return replace(run, epochs=epochs, test=test)


def _metrics(row: dict[str, float | None]) -> dict[str, float | None]:
    return {column: row[column] for column in COLUMNS}


def _check_scores(
    source: str, predictions: Predictions, file: str, told: dict[str, float | None]
) -> None:
    """Require that predictions give the metrics that ``file`` tells, by its names for them, in the
    order of METRICS."""
    labels, predicted = np.array(predictions.labels), np.array(predictions.predicted)
    confusion = confusion_matrix(labels, predicted, len(predictions.classes))
    found = scores(confusion)
    # Earlier versions averaged also over classes with predicted samples only, which add nothing.
    true, present = confusion.any(1).sum(), (confusion.any(0) | confusion.any(1)).sum()
    for metric, (name, expected) in zip(METRICS, told.items(), strict=True):
        value = float(found[metric.key])
        earlier = value * true / present if metric.key.endswith("_macro") else value
        if expected is None or min(abs(value - expected), abs(earlier - expected)) <= _ROUNDING:
            continue
        raise Unreadable(f"{source} {name} {value:g}, {file} says {expected:g}")


def _read_metrics(path: Path) -> dict[str, Any]:
    try:
        metrics = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"metrics.json is not JSON ({error})") from None
    if not isinstance(metrics, dict):
        raise Unreadable("metrics.json holds no object")
    _check_depth(metrics)
    for key in _REQUIRED_NUMBERS:
        if key not in metrics:
            raise Unreadable(f"metrics.json has no {key}")
        _check_number(metrics[key], f"metrics.json: {key}")
    for key in _OPTIONAL_NUMBERS:
        if metrics.setdefault(key) is None:
            del metrics[key]  # an absent value and null mean the same
        else:
            _check_number(metrics[key], f"metrics.json: {key}")
    for key in _OPTIONAL_BLOCKS:
        if not isinstance(metrics.get(key, {}), dict):
            raise Unreadable(f"metrics.json: {key} is no object")
    return metrics


def _check_depth(metrics: dict[str, Any]) -> None:
    level: list[Any] = [metrics]
    for _ in range(_DEEPEST):
        blocks = [value for value in level if isinstance(value, (dict, list))]
        level = [inner for block in blocks for inner in _inner(block)]
    if level:
        raise Unreadable(f"metrics.json has more than {_DEEPEST} levels of blocks in blocks")


def _inner(block: dict[str, Any] | list[Any]) -> list[Any]:
    return list(block.values()) if isinstance(block, dict) else block


def _read_history(path: Path) -> list[dict[str, float | None]]:
    text = read_text(path)
    header = read_header(path, text)
    missing = [name for name in _REQUIRED_COLUMNS if name not in header]
    if missing:
        raise Unreadable(f"history.csv has no column {', '.join(missing)}")
    rows = read_rows(path, text, len(header), skip_blank_lines=True)
    if rows.empty:
        raise Unreadable("history.csv has no epoch")
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
        value = to_float(text)
        if value is None:
            raise Unreadable(f"{where}: {name} is {text!r}, not a number")
        low, high = _BOUNDS.get(name, (0.0, _LARGEST))
        _check_number(value, f"{where}: {name}", low)
        if value > high:
            raise Unreadable(f"{where}: {name} is {value:g}, not between 0 and 1")
        row[name] = value
    return row


def _check_number(value: Any, where: str, low: float = 0.0) -> None:
    """Require a finite number. Apart from optional metrics, a run records nothing negative."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Unreadable(f"{where} is {value!r}, not a number")
    if not low <= value <= _LARGEST:
        raise Unreadable(f"{where} is {value}")
