"""What an answer costs: the milliseconds and the memory that a whole model takes to predict a pair.

Measured is the way from token ids and pixels in the memory of the host to logits there: the copies to
the device and back, the normalisation of pixels, encoder and head, also where the encoder was
frozen. Reading and decoding photos and tokenising texts is left out. The inputs are blank, since what
a text or a photo shows does not change the time; every text has the full length.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data.dataset import Batch
from ..models.classifier import ImageTextClassifier
from ..runs.layout import INFERENCE, METRICS_JSON
from ..runs.reading import read_record
from .device import Precision, device_name, is_out_of_memory
from .prepare import PreparedRun
from .resume import config_sha256

LONGEST_SEC = 3.0  # for both batch sizes together
_LEAST, _MOST = 3, 10  # repetitions of which the median is taken


def inference_record(run: PreparedRun, model: ImageTextClassifier, runs: Path) -> dict[str, Any]:
    """Return INFERENCE and, as ``inference``, what they depend on. Take the figures of a finished run
    in ``runs`` that depend on the same; else measure them. Weights change none of them."""
    protocol, precision = run.settings.protocol, run.precision
    size = {"tokens": run.max_length, "image_size": protocol.image_size, "batch_size": run.micro}
    conditions = {
        "model": [run.settings.model.family, run.settings.model.fusion],
        "configurations": [config_sha256(each) for each in model.encoder.configs.values()],
        **size,
        "device": device_name(precision.device),
        "precision": precision.name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    for path in sorted(runs.glob(f"[!.]*/{METRICS_JSON}")):
        with suppress(Exception):  # a stranger's file can fail in any way
            found = read_record(path)
            if found["inference"] == conditions:
                return {**{key: found[key] for key in INFERENCE}, "inference": conditions}
    return {**measure(model, precision, **size), "inference": conditions}


def measure(
    model: ImageTextClassifier, precision: Precision, tokens: int, image_size: int, batch_size: int
) -> dict[str, float | None]:
    """Return INFERENCE, the latter two of batches of ``batch_size`` pairs. None stands for what takes
    too long or too much memory; also for the memory of a processor, where that of the model cannot
    be told from that of the training before it."""
    found: dict[str, float | None] = dict.fromkeys(INFERENCE)
    device, started = precision.device, time.perf_counter()
    alone, in_batch, memory = INFERENCE
    try:
        model.to(device).eval()
        for key, size, share in ((alone, 1, 0.5), (in_batch, batch_size, 1.0)):
            end = started + share * LONGEST_SEC
            if key == in_batch and device.type == "cpu":
                # There each pair of a batch takes almost as long as it does alone.
                needed = (1 + _LEAST) * size * (found[alone] or np.inf) / 1000
                if time.perf_counter() + needed > end:
                    break
            inputs = {
                "input_ids": torch.zeros(size, tokens, dtype=torch.int64),
                "attention_mask": torch.ones(size, tokens, dtype=torch.int64),
                "pixel_values": torch.zeros(size, 3, image_size, image_size, dtype=torch.uint8),
            }
            _seconds(model, precision, inputs)  # the first time it prepares itself
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
                before = torch.cuda.memory_allocated(device)
            times = []
            while len(times) < _MOST and time.perf_counter() < end:
                times.append(_seconds(model, precision, inputs))
            if len(times) < _LEAST:
                break
            found[key] = 1000 * float(np.median(times)) / size
        else:
            if device.type == "cuda":
                weights = sum(each.nbytes for each in (*model.parameters(), *model.buffers()))
                grown = torch.cuda.max_memory_allocated(device) - before
                found[memory] = (weights + grown) / 2**20
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    return found


def _seconds(model: ImageTextClassifier, precision: Precision, inputs: Batch) -> float:
    """Return the seconds in which the model answers; the copy of the answer waits for CUDA."""
    begin = time.perf_counter()
    with torch.inference_mode(), precision.autocast():
        model(**{name: each.to(precision.device) for name, each in inputs.items()}).cpu()
    return time.perf_counter() - begin
