"""Reads run folders, whoever wrote them. Nothing in a folder is run, and torch is not needed.

A run is read only if its own files agree; other folders are left out with the reason.
"""

from __future__ import annotations

import json
import math
import os
import sys
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import UserError, reason_of
from ..files import open_file, printable, read_csv
from ..metrics import MAIN, METRICS, confusion_matrix, run_scores, scores
from ..settings import CHECKPOINTS, ModelChoice, TrainingRun, recorded_protocol
from . import layout
from .identity import CHOICES, RECORDS, differences, recorded, under_one_name

_LARGEST = sys.float_info.max
# Of metrics.json, where whatever else is no number counts as not recorded.
_NUMBERS = ("best_val_f1_macro", "epochs", "train_time_sec")
_NUMBERS += ("params_million", "trainable_params_million")
_BLOCKS = ("protocol", "model", "samples", "class_counts", "duplicates", "probe")
_COLUMNS = ("epoch", "train_loss", *layout.REQUIRED)  # of history.csv; the others may be empty
# Apart from optional metrics, a run records nothing negative.
_BOUNDS = {metric.column: metric.bounds for metric in METRICS}
_ROUNDING = 1e-4  # two files of one run may differ by this much
# The most bytes that are read of a file. A table takes up to 30 times as much memory meanwhile.
_MOST = {".json": 5 * 10**6, ".csv": 10**8, ".npz": 5 * 10**8}
_LARGEST_LOGIT = 1e9


@dataclass(frozen=True)
class Predictions:
    """Predictions for all pairs of a split (N) at the best epoch, in the order of the split."""

    classes: list[str]  # (C,)
    guids: list[str]  # (N,)
    labels: list[int]  # (N,) places in classes
    predicted: list[int]  # (N,) places in classes
    probabilities: list[list[float]] | None  # (N, C); None: of imported ones, none are known
    groups: list[str] | None = None  # (N,) guid of the first copy of each; None: not recorded
    cut: list[bool] | None = None  # (N,) where the text was longer than the model reads


class Trials(NamedTuple):
    """Among which the settings of a run were chosen."""

    count: int
    seconds: float  # of their training
    fusion: str | None  # of the model that was tuned, where trials had others


@dataclass(frozen=True)
class Run:
    """A finished run.

    ``history`` has one row per epoch; an optional column is None where it is not recorded.
    ``predictions``, and what belongs to them, is None for a run of an older version, which kept
    none. ``epochs`` holds the predictions of every epoch among which the validation pairs chose, and
    ``shares`` the probabilities; ``test`` holds the predictions for labelled test pairs.
    """

    name: str
    path: Path
    metrics: dict[str, Any]  # metrics.json
    history: list[dict[str, float | None]]
    best: dict[str, float | None]  # the history row of the epoch that was kept, see ``_best``
    predictions: Predictions | None = None
    epochs: np.ndarray | None = field(default=None, compare=False)  # (E, N) places in the classes
    test: Predictions | None = None
    shares: np.ndarray | None = field(default=None, compare=False)  # (E, N, C) float16
    parts: np.ndarray | None = field(default=None, compare=False)  # see _read_projection
    trials: Trials | None = None  # of a tuned run
    imported: bool = False  # it was made elsewhere: nothing but best and predictions is known

    def recorded(self, *keys: str) -> Any:
        """Return the value of metrics.json under these keys, or None where it is not recorded."""
        return recorded(self.metrics, *keys)

    def number(self, *keys: str) -> float | None:
        """Return the same, but None also where the value is not a finite number."""
        value = self.recorded(*keys)
        return value if is_number(value) else None

    @property
    def seed(self) -> int | None:
        seed = self.recorded("protocol", "seed")
        return seed if isinstance(seed, int) else None

    @property
    def chose_epoch(self) -> bool:
        """Say if the validation pairs chose the epoch, and not --keep-epoch."""
        return not self.recorded("protocol", "keep_epoch")

    @property
    def tag(self) -> str:
        """Return the --tag that sets the run apart from the common protocol; "" without one."""
        tag = self.recorded("protocol", "tag")
        return tag if isinstance(tag, str) else ""


def load_runs(compare_dir: Path) -> list[Run]:
    """Return the runs of a folder, best macro-F1 first, equal ones by name.

    Print a line on stderr for every folder that is left out.

    Raises:
        UserError: there is no run to read.
    """
    try:
        runs, problems = read_runs(compare_dir)
        reason = "none of its folders can be read" if problems else "it is empty"
    except OSError as error:
        runs, problems, reason = [], [], reason_of(error)
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    if not runs:
        raise UserError(
            f"no finished run in {compare_dir}: {reason}. "
            "Train a model first, or check --project-root and --compare-dir"
        )
    return sorted(runs, key=lambda run: (-run.best[MAIN.column], run.name))


def read_runs(compare_dir: Path) -> tuple[list[Run], list[str]]:
    """Return all runs by name, and a line ``<folder>: <reason>`` for each folder that is not one.
    Raise OSError where there is no such folder."""
    runs, problems = [], []
    for folder in sorted(path for path in compare_dir.iterdir() if path.is_dir()):
        try:
            name = _name_of_run(folder)
            if name is not None:
                runs.append(_read_run(folder, name))
        except Exception as error:  # a stranger's folder can fail in any way
            problems.append(printable(f"{folder.name}: {reason_of(error)}"))
    earlier = compare_dir / layout.EARLIER
    count = sum(path.is_dir() for path in earlier.iterdir()) if earlier.is_dir() else 0
    if count:
        problems.append(f"{layout.EARLIER}: {count} whose names were taken by newer runs")
    named = under_one_name([run.metrics for run in runs])
    runs = [replace(run, metrics=metrics) for run, metrics in zip(runs, named, strict=True)]
    return sorted(runs, key=lambda run: run.name), problems


def _name_of_run(folder: Path) -> str | None:
    """Return the name of the finished run in a folder, or None where it is no run folder. Raise
    ValueError with what else it is of a run."""
    name = folder.name
    if not name.startswith("."):
        return None if name in layout.NOT_RUNS else name
    if name.endswith(layout.OLD):
        name = name[1:].removesuffix(layout.OLD)
        if (folder.parent / name).is_dir():
            raise ValueError("an earlier run, set aside while a newer one takes its name")
        return name  # the newer run never took it: it stopped between the two renames of its end
    if not name.endswith(layout.PARTIAL):
        return None
    owner = owner_of(folder)
    state = f"in progress: {owner}; if it is gone, " if owner else "stopped before its end: "
    raise ValueError(f"{state}run the same command again to go on")


def owner_of(folder: Path) -> str:
    """Say which process works on an unfinished run; "" where it was killed, or has just begun."""
    try:
        owner = json.loads(_read_text(folder / layout.OWNER))
        return "process {pid} on {host}, started {started}".format(**owner)
    except Exception:  # a stranger's file can fail in any way
        return ""


def _read_run(folder: Path, name: str) -> Run:
    """Read the files of a run in this order: each must agree with those before it."""
    readers = {
        "metrics": (layout.METRICS_JSON, _read_figures),
        "history": (layout.HISTORY, _read_history),
        "predictions": (layout.PREDICTIONS, _read_predictions),
        "epochs": (layout.EPOCH_PREDICTIONS, _read_epochs),
        "test": (layout.TEST_PREDICTIONS, _read_test),
        "shares": (layout.EPOCH_PROBABILITIES, _read_shares),
        "parts": (layout.PROJECTION, _read_projection),
        "trials": (layout.TRIALS, _read_trials),
    }
    found: dict[str, Any] = {}
    for part, (file, read) in readers.items():
        if not (folder / file).exists():
            # Earlier versions kept no predictions, nor what belongs to them.
            if part == "predictions" and "content" not in found["metrics"]:
                break
            if file in layout.WHOLE:
                raise ValueError(f"no {file}")
            continue
        try:
            found[part] = read(folder / file, found)
        except Exception as error:
            raise ValueError(f"{file}: {reason_of(error)}") from None
    best = _best(found)
    if "predictions" in found:  # metrics that came later follow from what was predicted
        of_best = found["predictions"]
        figures = run_scores(np.array(of_best.labels), np.array(of_best.predicted))
        for metric, value in figures.items():
            if best.get(f"val_{metric}") is None:
                best[f"val_{metric}"] = value
    run = Run(name, folder, best=best, **found)
    if run.chose_epoch:
        return run
    return replace(run, epochs=None, shares=None if run.shares is None else run.shares[-1:])


def read_choices(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the blocks of a finished run that ``identity.differences`` compares; {} where they
    cannot be read."""
    try:
        record = read_record(folder / layout.METRICS_JSON)
        blocks = {block: dict(record[block]) for block in CHOICES}
        return {**blocks, "content": record.get("content")}
    except Exception:  # a stranger's file can fail in any way
        return {}


def is_run_of(
    folder: Path,
    asked: TrainingRun,
    pairs: list[dict[str, str]],
    checkpoints: Callable[[ModelChoice], dict[str, Any]],
    content: dict[str, Any] | None = None,
) -> bool:
    """Tell if a folder holds the whole run of these settings, and of pairs with one of these
    fingerprints.

    Args:
        checkpoints: returns what a run of a model records of its checkpoints; asked only where the
            name does not decide, since it reads their files.
        content: the block of this name, where it is known.
    """
    if not all((folder / name).is_file() for name in layout.WHOLE):
        return False
    record, protocol = read_choices(folder), asdict(asked.protocol)
    flags = [field.name for field in fields(asked.protocol) if field.metadata]
    # What else is empty is found in the data when the run is made.
    known = {key: value for key, value in protocol.items() if key in flags or value}
    model = asdict(asked.model)
    names = [model[key] for key in CHECKPOINTS]
    if names != [recorded(record, "model", key) for key in CHECKPOINTS] or any(
        os.path.isdir(name or "") for name in names
    ):
        model[RECORDS] = checkpoints(asked.model)
    return any(
        not differences(record, {"protocol": known | p, "model": model, "content": content})
        for p in pairs
    )


def is_complete(folder: Path, test: Any, probe: bool) -> bool:
    """Tell if a finished run has predicted the test list, see ``data.splits.to_predict``, and is
    probed where that is asked; also where no best.pt is there to add it."""
    if not (folder / layout.BEST).is_file():
        return True
    if probe and not (folder / layout.PROJECTION).is_file():  # earlier versions kept none
        return False
    return test is None or has_predicted(folder, test)


def has_predicted(folder: Path, test: tuple[Any, str]) -> bool:
    """Tell if a finished run has predicted these pairs: a ``data.tables.Split`` and its fingerprint,
    which earlier versions did not record."""
    split, digest = test
    try:
        known = recorded(read_record(folder / layout.METRICS_JSON), "data", "test_sha256")
        header, cells = _read_table(folder / layout.TEST_PREDICTIONS)
        told = cells[:, : 1 + (header[1] == "label")].T.tolist()
    except Exception:  # not there, or a stranger's
        return False
    pairs = [split.guids] if "" in split.labels else [split.guids, split.labels]
    return told == pairs and known in (None, digest)


# Files. A reader raises ValueError, or anything else, with what is wrong in the file


def _read_text(path: Path) -> str:
    """Return the text of a file, with the mark that it may begin with."""
    with open_file(path, _MOST[path.suffix]) as file:
        return file.read().decode("utf-8")


def read_record(path: Path) -> dict[str, Any]:
    """Return what the metrics.json of a finished run says, or raise any Exception."""
    record = json.loads(_read_text(path).removeprefix("\ufeff"))
    if not isinstance(record, dict):
        raise ValueError("it is no object")
    if isinstance(record.get("protocol"), dict):
        record["protocol"] = recorded_protocol(record["protocol"])
    return record


def _read_figures(path: Path, found: dict[str, Any]) -> dict[str, Any]:
    record = read_record(path)
    for key in _NUMBERS:
        value = record.get(key)
        if not (is_number(value) and value >= 0):
            raise ValueError(f"{key} is {value!r}, not a number in its range")
    for key in _BLOCKS:
        if not isinstance(record.get(key, {}), dict):
            raise ValueError(f"{key} is no object")
    return record


def is_number(value: Any) -> bool:
    """Tell if a value of a record is a finite number."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and abs(value) <= _LARGEST  # NaN is not


def _read_table(path: Path) -> tuple[list[str], np.ndarray]:
    """Return the header (K,) and the rows (N, K) of a csv file, each cell as it was written."""
    header, rows = read_csv(path, _MOST[path.suffix])
    return header, np.array(rows, dtype=object)


def _read_history(path: Path, found: dict[str, Any]) -> list[dict[str, float | None]]:
    header, cells = _read_table(path)
    missing = [name for name in _COLUMNS if name not in header]
    if missing:
        raise ValueError(f"it has no column {', '.join(missing)}")
    # 1. The rows.
    history = []
    for number, texts in enumerate(cells.tolist(), 2):
        row: dict[str, float | None] = dict.fromkeys(layout.HISTORY_COLUMNS)
        for name, text in zip(header, texts, strict=True):
            if name in _COLUMNS or (name in row and text):
                row[name] = float(text)
                low, high = _BOUNDS.get(name, (0.0, _LARGEST))
                if not low <= row[name] <= high:
                    raise ValueError(f"row {number}: {name} is {text!r}")
        history.append(row)
    if [row["epoch"] for row in history] != list(range(1, len(history) + 1)):
        raise ValueError("its epochs are not 1, 2, 3, ...")
    # 2. They give what metrics.json says.
    best = _best({**found, "history": history})
    given = {"epochs": len(history), "epochs_run": len(history)}
    given |= {"best_epoch": best["epoch"], "best_val_f1_macro": best[MAIN.column]}
    for key, value in given.items():
        told = found["metrics"].get(key)
        if told is not None and not abs(told - value) <= _ROUNDING:
            raise ValueError(f"it gives {key} {value:g}, and the run says {told:g}")
    return history


def _best(found: dict[str, Any]) -> dict[str, float | None]:
    """Return the row with the highest macro-F1, the earliest if many; or that of --keep-epoch."""
    if recorded(found["metrics"], "protocol", "keep_epoch"):
        return found["history"][-1]
    return max(found["history"], key=lambda row: row[MAIN.column])


def _read_predictions(path: Path, found: dict[str, Any], split: str = "val") -> Predictions:
    """Read a table ``guid,label,pred,p_<class>,...``, which must give the figures that were told;
    earlier versions wrote neither ``group`` nor ``cut`` behind it."""
    header, cells = _read_table(path)
    # 1. The header names the classes.
    more = [name for name in (layout.GROUP, layout.CUT) if name in header]
    end = len(header) - len(more)
    classes = [column.removeprefix("p_") for column in header[3:end]]
    if header != ["guid", "label", "pred", *layout.probability_columns(classes), *more]:
        # It may be a link to any file, so nothing of it is quoted.
        raise ValueError("its columns are not guid,label,pred,p_<class>,...")
    if not 0 < len(classes) <= layout.MOST_CLASSES:
        raise ValueError(f"it has {len(classes)} classes, not 1 to {layout.MOST_CLASSES}")
    # 2. The rows.
    chosen, shares = _places(cells[:, 1:3], classes), cells[:, 3:end].astype(float)
    wrong = ~((shares >= 0) & (shares <= 1)).all(1)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"row {row + 2}: {shares[row].tolist()} are no probabilities")
    told = _best(found) if split == "val" else found["metrics"]
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


def _read_epochs(path: Path, found: dict[str, Any]) -> np.ndarray:
    """Return the predicted classes of every epoch, (E, N) places in the classes."""
    history, of_best = found["history"], found["predictions"]
    header, cells = _read_table(path)
    if header != ["guid", "label", *layout.epoch_columns(len(history))]:
        raise ValueError(f"its columns are not guid, label and {len(history)} epochs")
    labels, *epochs = _places(cells[:, 1:], of_best.classes).T
    at_best = epochs[history.index(_best(found))]
    said = (cells[:, 0].tolist(), labels.tolist(), at_best.tolist())
    if said != (of_best.guids, of_best.labels, of_best.predicted):
        raise ValueError(f"its best epoch is not that of {layout.PREDICTIONS}")
    for row, predicted in zip(history, epochs, strict=True):
        _check_scores(labels, predicted, len(of_best.classes), row, "val")
    return np.array(epochs)


def _read_test(path: Path, found: dict[str, Any]) -> Predictions | None:
    """Return the predictions for the test pairs; None where their labels are not known."""
    if _read_table(path)[0][:2] == ["guid", "pred"]:
        return None
    predictions = _read_predictions(path, found, "test")
    if predictions.classes != found["predictions"].classes:
        raise ValueError(f"it has other classes than {layout.PREDICTIONS}")
    return predictions


def _read_shares(path: Path, found: dict[str, Any]) -> np.ndarray:
    """Return the probabilities of every epoch (E, N, C) float16."""
    shape = (len(found["history"]), *np.shape(found["predictions"].probabilities))
    with open_file(path, _MOST[path.suffix]) as file, zipfile.ZipFile(file) as archive:
        member = archive.open(f"{layout.PROBABILITIES}.npy")
        np.lib.format.read_magic(member)
        # Before the values: a small archive may claim gigabytes, or hold Python objects.
        claimed, _, dtype = np.lib.format.read_array_header_1_0(member)
        if (claimed, dtype) != (shape, np.float16):
            raise ValueError(f"it holds {claimed} {dtype}, not {shape} float16")
        values = member.read(2 * math.prod(shape))
    shares = np.frombuffer(values, np.float16).reshape(shape)
    if not ((shares >= 0) & (shares <= 1)).all():
        raise ValueError("a probability is not between 0 and 1")
    return shares


def _read_projection(path: Path, found: dict[str, Any]) -> np.ndarray:
    """Return the parts of the logits (4, N, C), as in layout.PARTS; nan for pairs without them."""
    classes, guids = found["predictions"].classes, found["predictions"].guids
    header, cells = _read_table(path)
    if header != ["guid", *layout.part_columns(classes)]:
        raise ValueError("its columns are not guid and mean, text, image and rest of each class")
    places = {guid: place for place, guid in enumerate(guids)}
    rows = [places.get(guid) for guid in cells[:, 0]]
    if None in rows or len(set(rows)) < len(rows):
        raise ValueError(f"a guid is not in {layout.PREDICTIONS}, or stands twice")
    values = cells[:, 1:].astype(float)
    if not (abs(values) < _LARGEST_LOGIT).all():
        raise ValueError("a part is not a number in its range")
    parts = np.full((len(layout.PARTS), len(guids), len(classes)), np.nan)
    parts[:, rows] = values.reshape(len(rows), len(layout.PARTS), -1).swapaxes(0, 1)
    return parts


def _read_trials(path: Path, found: dict[str, Any]) -> Trials:
    header, cells = _read_table(path)
    rows = [dict(zip(header, row, strict=True)) for row in cells]
    made = [float(row["seconds"]) for row in rows if row["seconds"]]
    if not 0 <= sum(made) <= _LARGEST:
        raise ValueError("its seconds are no times")
    return Trials(len(made), sum(made), rows[0].get("fusion"))


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
