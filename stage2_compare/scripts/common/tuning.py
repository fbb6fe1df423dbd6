"""compare_all.py --tune: the settings that trials of a model try, and the choice among them.

Trial 0 has the model's own settings. What another one draws depends on the seed, the number of the
trial and the name of the setting alone, so more trials go on from fewer. Imports no torch.
"""

from __future__ import annotations

import random
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from .files import write_result
from .metrics import MAIN
from .runs.reading import Run
from .settings import BASELINES, FAMILIES, FUSION_NAMES, TrainingRun

INNER_VAL_RATIO = 0.2  # of the training pairs, which choose the trial and its epoch


class Times(NamedTuple):
    """Numbers between so many times the model's own, whose logarithm is uniformly distributed."""

    low: float
    high: float


# What a trial draws of each setting, by the field of its flag: one of the values, or a number.
SPACE: dict[str, Times | tuple[Any, ...]] = {
    "lr": Times(0.1, 10),
    "encoder_lr": Times(0.2, 5),
    "weight_decay": (0.0, 1e-4, 1e-3, 1e-2, 1e-1),
    "schedule": ("constant", "linear", "cosine"),
    "warmup_ratio": (0.0, 0.1, 0.2),
    "dropout": (0.0, 0.1, 0.2, 0.3, 0.5),
    "class_weights": ("balanced", "none"),
    "modality_dropout": (0.0, 0.1, 0.2, 0.3),
    "branch_loss": (0.0, 0.25, 0.5, 1.0),
    "fusion": tuple(name for name in FUSION_NAMES if name not in BASELINES),
}


def settings_of_trials(run: TrainingRun, trials: int, fusions: bool) -> list[dict[str, Any]]:
    """Return the settings of each trial, the fusion among them if asked; those of trial 0 are the
    run's own."""
    own, left_out = {**asdict(run.protocol), "fusion": run.model.fusion}, set()
    if not fusions:
        left_out.add("fusion")
    if run.protocol.frozen_encoders:
        left_out.add("encoder_lr")
    if not FAMILIES[run.model.family].reads_apart:
        left_out.add("branch_loss")
    if run.model.fusion in BASELINES:
        left_out |= {"modality_dropout", "branch_loss", "fusion"}
    names = [name for name in SPACE if name not in left_out]
    found = [{name: own[name] for name in names}]
    around = own | {"encoder_lr": own["encoder_lr"] or own["lr"]}
    for trial in range(1, trials):
        stream = f"{run.protocol.seed}/trial {trial}"
        found.append({name: _drawn(name, around[name], stream) for name in names})
    return found


def _drawn(name: str, own: Any, stream: str) -> Any:
    share, values = random.Random(f"{stream}/{name}").random(), SPACE[name]
    if isinstance(values, Times):
        return float(f"{own * values.low * (values.high / values.low) ** share:.3g}")
    return values[int(share * len(values))]


def best_trial(runs: list[Run | None]) -> int:
    """Return the trial with the highest macro-F1 at its best epoch, the earliest of equal ones; the
    run of one that failed is None."""
    f1 = [-1.0 if run is None else run.best[MAIN.column] for run in runs]
    return f1.index(max(f1))


def write_trials(path: Path, settings: list[dict[str, Any]], runs: list[Run | None]) -> None:
    """Write trials.csv, a row a trial: its settings, and what it reached."""
    lines = [["trial", *settings[0], MAIN.column, "epoch", "seconds", "chosen"]]
    for trial, (own, run) in enumerate(zip(settings, runs, strict=True)):
        made = ["", "", ""]
        if run is not None:
            made = [run.best[MAIN.column], int(run.best["epoch"]), run.metrics["train_time_sec"]]
        lines.append([trial, *own.values(), *made, "yes" if trial == best_trial(runs) else ""])
    text = "".join(",".join(map(str, line)) + "\n" for line in lines)
    write_result(path, text.encode())
