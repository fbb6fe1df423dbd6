"""The training command, with the time of each of its parts, and the ceiling: batches in memory."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import torch
from torch import Tensor

from ..data.batches import Prefetcher
from ..data.dataset import Batch
from ..data.image_cache import load_images
from ..runs.layout import BEST, CHECKPOINT
from ..runs.writer import RunFolder
from ..training import engine
from ..training.engine import Trainer
from ..training.evaluation import evaluate
from ..training.progress import Progress
from .timing import Stopwatch, pipeline_rate
from .workload import Workload

TRAINING_PARTS = ("wait for data", "copy", "forward", "backward", "optimizer")


@dataclass
class PartTimes:
    """Where the time of the command goes.

    ``parts`` are those of training by name. Each is waited for, so on CUDA they take longer
    together than the command does.
    """

    parts: dict[str, float]  # ms per training sample; "rest" is what no other part takes
    training: float  # ms per training sample
    validation: float  # ms per validation sample
    writing: float  # seconds for a checkpoint and best.pt


def command_rate(work: Workload) -> float:
    """Return the samples per second of the command, after a step to warm up."""
    return engine_rate(work, work.prefetcher(work.schedule).train_groups(1))


def ceiling_rate(work: Workload) -> float:
    """Return the samples per second of the command's steps with all batches in memory already."""
    groups = Prefetcher(work.schedule, 0, False).train_groups(1)
    return engine_rate(work, iter([_group_on(work.device, group) for group in groups]))


def _group_on(device: torch.device, group: list[Batch]) -> list[Batch]:
    """Copy all but the labels, which the engine reads on the CPU first."""
    copies = []
    for batch in group:
        copy = {name: tensor.to(device) for name, tensor in batch.items() if name != "labels"}
        copies.append({**copy, "labels": batch["labels"]})
    return copies


def engine_rate(work: Workload, groups: Iterator[list[Batch]]) -> float:
    """Return the samples per second of the engine, after a step to warm up.

    ``groups``: the micro-batches of each step, as ``Prefetcher.train_groups`` gives them.
    """
    trainer = _trainer(work)
    clock = Stopwatch(work.device)
    with Progress("measuring", work.samples) as progress:
        trainer.train_one_epoch(islice(groups, 1), progress)
        with clock.block("steps"):
            trainer.train_one_epoch(groups, progress)
    return work.samples / clock.seconds["steps"]


def _trainer(work: Workload) -> Trainer:
    prepared, protocol = work.prepared, work.settings.protocol
    plan = prepared.precision, len(work.schedule.groups(1)), work.processes
    return Trainer(prepared.build(), protocol, work.class_weights, *plan)


def time_parts(work: Workload) -> PartTimes:
    """Time each part of training, the validation, and the writing of an epoch's files."""
    clock, trainer = Stopwatch(work.device), _trainer(work)
    # 1. Training
    batches = work.prefetcher(work.schedule)
    groups = clock.waits(batches.train_groups(1), "wait for data")
    with Progress("measuring", work.samples) as progress:
        trainer.train_one_epoch(islice(groups, 1), progress)
        clock.seconds.clear()
        with (
            clock.calls(engine, "to_device", "copy"),
            clock.calls(type(trainer.model), "forward"),
            clock.calls(Tensor, "backward"),
            clock.calls(type(trainer.optimizer), "step", "optimizer"),
            clock.block("training"),
        ):
            trainer.train_one_epoch(groups, progress)
    # 2. Validation
    with clock.block("validation"):
        evaluate(trainer.model, batches.val_batches(), work.prepared.precision)
    # 3. Writing
    outputs = work.settings.paths.project_root / "outputs"
    with (
        tempfile.TemporaryDirectory(dir=outputs) as parent,
        RunFolder(Path(parent), "benchmark") as folder,
        clock.block("writing"),
    ):
        folder.write_tensors(CHECKPOINT, {"trainer": trainer.state()})
        folder.write_tensors(BEST, {"model_state": trainer.model.state_dict()})

    training = 1000 * clock.seconds["training"] / work.samples
    parts = {name: 1000 * clock.seconds[name] / work.samples for name in TRAINING_PARTS}
    return PartTimes(
        parts={**parts, "rest": training - sum(parts.values())},
        training=training,
        validation=1000 * clock.seconds["validation"] / len(work.schedule.val),
        writing=clock.seconds["writing"],
    )


def command_pipeline_rate(work: Workload) -> float:
    """Return the samples per second of the input pipeline alone, over five epochs."""
    schedule = work.pipeline_schedule(epochs=5)
    prefetcher = work.prefetcher(schedule)

    def batches() -> Iterator[Batch]:
        for epoch in schedule.epochs:
            yield from chain.from_iterable(prefetcher.train_groups(epoch))
            yield from (batch for _, batch in prefetcher.val_batches())

    return pipeline_rate(batches())


def cache_rate(work: Workload) -> float:
    """Return the samples per second of decoding the training photos into an empty cache."""
    paths = work.prepared.splits["train"].image_paths
    outputs = work.settings.paths.project_root / "outputs"
    with tempfile.TemporaryDirectory(dir=outputs) as folder:
        started = time.perf_counter()
        load_images(paths, work.settings.protocol.image_size, folder, show_progress=False)
        return len(paths) / (time.perf_counter() - started)
