"""Tries a model at its full size before hours of training: does it fit, how long would a run take?"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from ..data.batches import EVALUATION_FACTOR
from ..data.dataset import PairDataset
from ..settings import TrainingRun
from .device import (
    allow_fast_float32,
    device_failures_named,
    device_name,
    keep_freed_memory,
    peak_memory_mb,
)
from .prepare import prepare
from .train import fit_in_memory


class _NoFolder:
    """Stands in for a run folder: nothing is written, and nothing found."""

    parent = Path()
    need_space = write_tensors = write_encoder = read_checkpoint = lambda *_: None


def check(settings: TrainingRun, at_once: int) -> dict[str, Any]:
    """Train two epochs of one step, on the pairs with the longest texts, and keep nothing; the second
    one is timed. ``at_once`` processes are to share the device.

    Returns:
        ``device`` by its name, ``batch_size`` that fits, ``step_sec`` of an optimizer step,
        ``run_sec`` of all epochs, ``encode_sec`` that a frozen encoder takes once, and ``memory_mb``
        at the peak, None where it is not known.
    Raises:
        UserError: the run cannot be prepared, or not even one sample fits.
    """
    allow_fast_float32()
    keep_freed_memory()
    protocol = settings.protocol
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder, device_failures_named():
        run = prepare(settings)
        device, (train, val) = run.precision.device, (run.datasets[n] for n in ("train", "val"))
        if device.type == "cuda":
            torch.cuda.set_per_process_memory_fraction(1 / at_once, device.index)
        step = min(protocol.effective_batch_size, len(train))
        some = {"train": _longest(train, step), "val": _longest(val, EVALUATION_FACTOR * run.micro)}
        run.datasets = some
        # A class may be missing in so few pairs, and what an encoder makes of them is kept nowhere.
        short = {"epochs": 2, "keep_epoch": 0, "patience": 0, "class_weights": "none"}
        two = replace(run.settings.protocol, **short)
        paths = replace(settings.paths, project_root=Path(folder))
        run.settings = replace(settings, protocol=two, paths=paths)
        _, result = fit_in_memory(run, _NoFolder(), None)
        row = result.history[-1]
    val_sec = row["val_sec"] * len(val) / len(some["val"])
    steps = math.ceil(len(train) / protocol.effective_batch_size)
    share = (len(train) + len(val)) / sum(map(len, some.values()))
    return {
        "device": device_name(device),
        "batch_size": run.micro,
        "step_sec": row["train_sec"],
        "run_sec": protocol.last_epoch * (steps * row["train_sec"] + val_sec),
        "encode_sec": run.encode_sec * share,
        # After a failure it would be that of the batch that did not fit.
        "memory_mb": None if run.halvings else peak_memory_mb(device),
    }


def _longest(dataset: PairDataset, count: int) -> PairDataset:
    """Return the pairs with the longest texts."""
    places, tokens = dataset.by_length[-count:], dataset.tokens
    ids = [tokens.ids[tokens.starts[place] : tokens.starts[place + 1]] for place in places]
    starts = np.cumsum([0, *map(len, ids)])
    tokens = replace(tokens, ids=np.concatenate(ids), starts=starts, cut=tokens.cut[places])
    images = replace(dataset.images, rows=dataset.images.rows[places])
    return PairDataset(tokens, images, dataset.labels[places], dataset.image_size, dataset.augment)
