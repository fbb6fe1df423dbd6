"""The work that every way of training is measured on: a training command's, cut to a few steps."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np

from ..data.batches import BatchSchedule, Prefetcher
from ..errors import UserError
from ..training.prepare import prepare
from ..training.processes import ALONE, Processes
from ..training.run import class_weights
from ..training.settings import TrainingRun

PIPELINE_SAMPLES = 512  # enough that the batches held ready at the start do not count


class ShortSchedule(BatchSchedule):
    """The schedule of a command, cut after ``steps`` optimizer steps in every epoch."""

    def __init__(self, steps: int, **schedule: Any):
        super().__init__(**schedule)
        self.steps = steps

    def groups(self, epoch: int) -> list[list[np.ndarray]]:
        return super().groups(epoch)[: self.steps]

    def order(self) -> list[int]:
        """Return the training samples of the first epoch in their order."""
        return np.concatenate(list(chain.from_iterable(self.groups(1)))).tolist()


class Workload:
    """A training command, prepared, and a schedule of a few of its steps.

    Args:
        settings: of the command.
        steps: the optimizer steps to measure; fewer where the split has fewer.
        plain_size: image side of the plain loop in pixels, where it is not that of the command.
        processes: those that share the work.
    Attributes:
        schedule: one epoch of one step to warm up and the steps to measure.
        samples: the samples of the steps to measure.
        class_weights: (C,) float32.
        mean, std: of the pixels, as the encoder expects them.
    Raises:
        UserError: as the command itself, or because the split is too small for two steps.
    """

    def __init__(
        self,
        settings: TrainingRun,
        steps: int,
        plain_size: int | None = None,
        processes: Processes = ALONE,
    ):
        self.prepared = processes.in_turn(lambda: prepare(processes.on_its_device(settings)))
        self.processes = processes
        self.settings = self.prepared.settings
        protocol, machine = self.settings.protocol, self.settings.machine
        self.plain_size = plain_size or protocol.image_size
        self.micro = self.settings.micro_batch_of(processes.count)
        self.device = self.prepared.precision.device
        self.workers = machine.num_workers
        self.pin_memory = machine.pin_memory and self.device.type == "cuda"
        train = self.prepared.datasets["train"]
        classes = len(self.prepared.classes)
        self.class_weights = class_weights(train.labels, classes, protocol.class_weights)
        # `prepared` keeps its first model until it is asked for one: it must not count as memory.
        model = self.prepared.build()
        self.mean, self.std = list(model.encoder.mean), list(model.encoder.std)
        self.dropout_shape = model.head.dropout_shape
        whole_steps = len(train) // protocol.effective_batch_size
        if whole_steps < 2:
            raise UserError(
                f"{len(train)} training pairs are too few to measure: at least two steps are needed"
            )
        measured = min(steps, whole_steps - 1)
        self.schedule = self._shortened(range(1, 2), 1 + measured)
        self.samples = measured * protocol.effective_batch_size

    def pipeline_schedule(self, epochs: int) -> ShortSchedule:
        """Return the schedule for measuring an input pipeline alone."""
        steps = PIPELINE_SAMPLES // self.settings.protocol.effective_batch_size
        return self._shortened(range(1, epochs + 1), steps)

    def prefetcher(self, schedule: ShortSchedule) -> Prefetcher:
        """Make the command's own input pipeline."""
        return Prefetcher(schedule, self.workers, self.pin_memory)

    def _shortened(self, epochs: range, steps: int) -> ShortSchedule:
        return ShortSchedule(
            steps,
            train=self.prepared.datasets["train"],
            val=self.prepared.datasets["val"],
            seed=self.settings.protocol.seed,
            epochs=epochs,
            micro=self.micro,
            effective=self.settings.protocol.effective_batch_size,
            dropout_shape=self.dropout_shape,
            share=self.processes.share,
        )
