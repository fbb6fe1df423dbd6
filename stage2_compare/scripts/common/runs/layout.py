"""The names of a run folder and of what lies in it, written once. Standard library only.

Below outputs/compare/:

- <name>: a finished run: best.pt, metrics.json, history.csv, predictions.csv (of the best epoch),
  epoch_predictions.csv and epoch_probabilities.npz (of every epoch), test_predictions.csv and, of
  test pairs without labels, test_with_label.txt; of a probed run additive_projection.csv;
  of a tuned one trials.csv, see tuning.py;
  encoder/, with which the run is opened anywhere, and README.md, the model card
- .<name>.partial: the run in progress: owner.json, checkpoint.pt with the best weights so far, and
  at its end the files of a finished run
- .<name>.lock: held, by the system, by the one process that may work on it
- .<name>.old: an earlier finished run, while the new one takes its name
- visuals/, report/: what compare_visualize.py and compare_report.py write
- earlier/: runs of another protocol or model whose name was taken
- encoders/<hash>/encoder.pt: the weights of a frozen encoder, once for all runs that have it
- logs/<name>.log: what a run printed that compare_all.py started
- other/<name>.csv: predictions that were made elsewhere, as compare_summary.py --with keeps them
"""

from __future__ import annotations

from pathlib import Path

from ..metrics import METRICS

BEST = "best.pt"
METRICS_JSON = "metrics.json"
HISTORY = "history.csv"
PREDICTIONS = "predictions.csv"
EPOCH_PREDICTIONS = "epoch_predictions.csv"
EPOCH_PROBABILITIES = "epoch_probabilities.npz"
PROBABILITIES = "probabilities"  # the one array in it, (E, N, C) float16
TEST_PREDICTIONS = "test_predictions.csv"
PROJECTION = "additive_projection.csv"  # of the validation pairs that --probe took
PARTS = ("mean", "text", "image", "rest")  # of logits in it
SUBMISSION = "test_with_label.txt"  # guid,tag of test pairs without labels
ENCODER = "encoder"  # folder: configuration, tokenizer and pixel statistics of the checkpoint
CARD = "README.md"  # the model card
TRIALS = "trials.csv"  # among which the settings of the run were chosen
CHECKPOINT = "checkpoint.pt"
OWNER = "owner.json"

WHOLE = (METRICS_JSON, HISTORY, PREDICTIONS)  # a run with these is finished, also without best.pt

PARTIAL, OLD, LOCK = ".partial", ".old", ".lock"
EARLIER = "earlier"  # holds runs whose name was taken by a run of another protocol or model
LOGS = "logs"
OTHER = "other"  # holds predictions that were made elsewhere
ENCODERS = "encoders"  # holds the encoders that frozen runs share
NOT_RUNS = ("visuals", "report", EARLIER, LOGS, OTHER, ENCODERS)  # folders beside the runs
MOST_CLASSES = 200  # resampling takes memory with the square of their number
MAY_VARY = ("seed", "fold", "lr")  # fields of the protocol in which comparable runs may differ

REQUIRED = tuple(metric.column for metric in METRICS if metric.required)
OPTIONAL = tuple(metric.column for metric in METRICS if not metric.required)
# Of metrics.json: milliseconds a pair, one at once and in batches, and megabytes, see
# training.inference.
INFERENCE = ("inference_ms", "inference_batch_ms", "inference_memory_mb")
TIMES = ("train_sec", "val_sec", "samples_per_sec")
# Other programs read the first six: their names and their order stay.
HISTORY_COLUMNS = ("epoch", "train_loss", *REQUIRED, "val_loss", *TIMES, *OPTIONAL)


def encoder(parent: Path, digest: str) -> Path:
    return parent / ENCODERS / digest / "encoder.pt"


def lock(parent: Path, name: str) -> Path:
    return parent / f".{name}{LOCK}"


GROUP, CUT = "group", "cut"  # last columns of predictions.csv


def probability_columns(classes: list[str]) -> list[str]:
    """Columns of predictions.csv that follow ``guid,label,pred``."""
    return [f"p_{name}" for name in classes]


def part_columns(classes: list[str]) -> list[str]:
    """Columns of additive_projection.csv that follow ``guid``."""
    return [f"{part}_{name}" for part in PARTS for name in classes]


def epoch_columns(epochs: int) -> list[str]:
    """Columns of epoch_predictions.csv that follow ``guid,label``."""
    return [f"epoch_{epoch}" for epoch in range(1, epochs + 1)]
