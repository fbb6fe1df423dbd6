"""Which samples make which batch, and making the batches before they are needed."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from .. import seeding
from .dataset import Batch, Dataset

EVALUATION_FACTOR = 4  # without gradients a batch may be so many times larger


@dataclass
class BatchSchedule:
    """Which samples make which batch, for the whole run: epoch by epoch, training, then validation.

    The training order is a permutation by (seed, epoch). It is cut into groups of ``effective``
    samples, one optimizer step each, these into a share for each process, and the shares into
    micro-batches of at most ``micro`` samples."""

    train: Dataset
    val: Dataset
    seed: int
    epochs: range
    micro: int
    effective: int
    dropout_shape: tuple[int, int]  # of the random numbers that a sample needs, see Head
    rank: int = 0  # number of this process, where several train one model
    processes: int = 1

    def groups(self, epoch: int) -> list[list[np.ndarray]]:
        """Return the micro-batches (B,) of this process for each optimizer step. Every process has as
        many, the last one empty where others have more samples, so that they can act together."""
        order = seeding.permutation(self.seed, epoch, len(self.train))
        groups = []
        for group in _cut(order, self.effective):
            shares = np.array_split(group, self.processes)  # the first ones are the longer ones
            own, longest = (_cut(part, self.micro) for part in (shares[self.rank], shares[0]))
            groups.append(own + [group[:0]] * (len(longest) - len(own)))
        return groups

    def val_batches(self) -> list[np.ndarray]:
        """Return the validation batches (B,) of this process."""
        own = self.val.by_length[self.rank :: self.processes]
        return _cut(own, EVALUATION_FACTOR * self.micro)

    def batch(self, split: str, epoch: int, indices: np.ndarray) -> Batch:
        """Make one batch; in training with random numbers of its samples for the head's dropout."""
        if split == "val":
            return self.val.batch(self.seed, epoch, indices)
        columns = math.prod(self.dropout_shape)
        draws = seeding.uniforms(self.seed, "head dropout", epoch, indices, columns)  # (B, columns)
        draws = draws.astype(np.float32).reshape(-1, *self.dropout_shape)  # (B, K, 256)
        return {**self.train.batch(self.seed, epoch, indices), "draws": torch.from_numpy(draws)}

    def __iter__(self) -> Iterator[tuple[str, int, np.ndarray]]:
        """Go through the arguments of ``batch`` for the whole run."""
        for epoch in self.epochs:
            for group in self.groups(epoch):
                yield from (("train", epoch, micro_batch) for micro_batch in group)
            yield from (("val", epoch, batch) for batch in self.val_batches())


class Prefetcher:
    """Makes batches in the order of the schedule before they are needed, in ``num_workers`` threads,
    across the seams between training, validation and the next epoch.

    Threads, not the processes of a DataLoader: making a batch is little more than copying memory,
    for which numpy lets other threads run (measured in docs/speed.md)."""

    def __init__(self, schedule: BatchSchedule, num_workers: int, pin_memory: bool):
        self.schedule, self._pin_memory = schedule, pin_memory
        self._batches = self._in_order(num_workers)

    def train_groups(self, epoch: int) -> Iterator[list[Batch]]:
        """Go through the optimizer steps of an epoch: the micro-batches of each."""
        for group in self.schedule.groups(epoch):
            yield [next(self._batches) for _ in group]

    def val_batches(self) -> Iterator[tuple[np.ndarray, Batch]]:
        """Go through the validation batches, each with the places (B,) of its samples."""
        for places in self.schedule.val_batches():
            yield places, next(self._batches)

    def _in_order(self, num_workers: int) -> Iterator[Batch]:
        if not num_workers:
            yield from (self._make(*request) for request in self.schedule)
            return
        pool, ahead = ThreadPoolExecutor(num_workers), deque()
        for request in self.schedule:
            ahead.append(pool.submit(self._make, *request))
            if len(ahead) > 2 * num_workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()

    def _make(self, split: str, epoch: int, indices: np.ndarray) -> Batch:
        batch = self.schedule.batch(split, epoch, indices)
        if not self._pin_memory:
            return batch
        return {name: tensor.pin_memory() for name, tensor in batch.items()}


def read_through(dataset: Dataset, micro: int) -> Iterator[tuple[np.ndarray, Batch]]:
    """Go through every sample once, shortest texts first: the places (B,) and the batch."""
    for places in _cut(dataset.by_length, EVALUATION_FACTOR * micro):
        yield places, dataset.batch(0, 0, places)


def _cut(items: np.ndarray, size: int) -> list[np.ndarray]:
    return [items[start : start + size] for start in range(0, len(items), size)]
