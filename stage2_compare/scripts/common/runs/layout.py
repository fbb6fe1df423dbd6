"""The names of a run folder and of what lies in it, written once. Standard library only.

outputs/compare/<name>            a finished run: best.pt, metrics.json, history.csv,
predictions.csv, ... outputs/compare/.<name>.partial   the run in progress: best.pt, checkpoint.pt,
owner.json outputs/compare/.<name>.lock      held, by the system, by the one process that may work
on it outputs/compare/.<name>.old       an earlier finished run, while the new one takes its name
"""

from __future__ import annotations

from pathlib import Path

from ..metrics import METRICS

BEST = "best.pt"
METRICS_JSON = "metrics.json"
HISTORY = "history.csv"
PREDICTIONS = "predictions.csv"
TEST_PREDICTIONS = "test_predictions.csv"
CHECKPOINT = "checkpoint.pt"
OWNER = "owner.json"

PARTIAL, OLD, LOCK = ".partial", ".old", ".lock"
NOT_RUNS = ("visuals",)  # folders beside the runs
DEFAULT_SEED = 42  # the name of a run folder does not say it
MAY_VARY = ("seed",)  # fields of the protocol in which comparable runs may differ

REQUIRED = tuple(metric.column for metric in METRICS if metric.required)
OPTIONAL = tuple(metric.column for metric in METRICS if not metric.required)
TIMES = ("train_sec", "val_sec", "samples_per_sec")
# Other programs read the first six: their names and their order stay.
HISTORY_COLUMNS = ("epoch", "train_loss", *REQUIRED, "val_loss", *TIMES, *OPTIONAL)


def partial(parent: Path, name: str) -> Path:
    return parent / f".{name}{PARTIAL}"


def old(parent: Path, name: str) -> Path:
    return parent / f".{name}{OLD}"


def lock(parent: Path, name: str) -> Path:
    return parent / f".{name}{LOCK}"


def probability_columns(classes: list[str]) -> list[str]:
    """Columns of predictions.csv that follow ``guid,label,pred``."""
    return [f"p_{name}" for name in classes]
