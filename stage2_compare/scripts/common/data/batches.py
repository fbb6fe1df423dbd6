"""Which samples make which batch, and making the batches ahead of their use."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from .. import seeding as seeds
from .dataset import Batch, FeatureDataset, PairDataset

EVALUATION_FACTOR = 4


class BatchSchedule:
    """Which samples make which batch, for the whole run: epoch by epoch, training and then validation.

    Training order is a permutation by (seed, epoch), cut into groups of ``effective`` samples, one optimizer step
    each, and these into micro-batches.
    """

    def __init__(
        self,
        train: PairDataset | FeatureDataset,
        val: PairDataset | FeatureDataset,
        seed: int,
        epochs: range,
        micro: int,
        effective: int,
        dropout_shape: tuple[int, int],
    ):
        self.train, self.val = train, val
        self.seed, self.epochs = seed, epochs
        self.micro, self.effective = micro, effective
        self.dropout_shape = dropout_shape  # layers of the head and their width

    def groups(self, epoch: int) -> list[list[np.ndarray]]:
        order = seeds.permutation(self.seed, epoch, len(self.train))
        return [_cut(group, self.micro) for group in _cut(order, self.effective)]

    def val_batches(self) -> list[np.ndarray]:
        return evaluation_batches(self.val, self.micro)

    def batch(self, part: str, epoch: int, indices: np.ndarray) -> Batch:
        """The batch of one request; in training with the random numbers of its samples for the head's dropout."""
        if part == "val":
            return self.val.batch(self.seed, epoch, indices)
        columns = math.prod(self.dropout_shape)
        draws = seeds.uniforms(self.seed, "head dropout", epoch, indices, columns).astype(
            np.float32
        )
        draws = torch.from_numpy(draws.reshape(-1, *self.dropout_shape))
        return {**self.train.batch(self.seed, epoch, indices), "draws": draws}

    def __iter__(self) -> Iterator[tuple[str, int, np.ndarray]]:
        for epoch in self.epochs:
            yield from (("train", epoch, micro) for group in self.groups(epoch) for micro in group)
            yield from (("val", epoch, batch) for batch in self.val_batches())


class Prefetcher:
    """Batches in the order of the plan, made ahead of their use across the seams between training, validation and the
    next epoch, by ``num_workers`` threads.

    Threads, not the processes of a DataLoader: making a batch is little more than copying memory, for which numpy lets
    other threads run, while a process must hand its 2 MB on through shared memory. Measured on two cores, in multiples
    of a plain decoding loader with two workers: two processes 6 to 9, two threads 36 to 46. Nor do threads have to be
    spawned, with a torch of their own, as processes are on Windows.
    """

    def __init__(self, plan: BatchSchedule, num_workers: int, pin_memory: bool):
        self.plan, self.pin_memory = plan, pin_memory
        self.requests = iter(plan)
        self.pool = ThreadPoolExecutor(num_workers) if num_workers else None
        self.ahead: deque[Future[Batch]] = deque()
        for _ in range(2 * num_workers):
            self._ask()

    def train_groups(self, epoch: int) -> Iterator[list[Batch]]:
        """The micro-batches of each optimizer step."""
        for group in self.plan.groups(epoch):
            yield [self._next() for _ in group]

    def val_batches(self) -> Iterator[tuple[np.ndarray, Batch]]:
        """Each validation batch with the places (B,) of its samples in the split."""
        for places in self.plan.val_batches():
            yield places, self._next()

    def _next(self) -> Batch:
        if self.pool is None:
            return self._make(*next(self.requests))
        batch = self.ahead.popleft().result()
        self._ask()
        return batch

    def _ask(self) -> None:
        request = next(self.requests, None)
        if request is not None:
            self.ahead.append(self.pool.submit(self._make, *request))

    def _make(self, part: str, epoch: int, indices: np.ndarray) -> Batch:
        batch = self.plan.batch(part, epoch, indices)
        return (
            {name: tensor.pin_memory() for name, tensor in batch.items()}
            if self.pin_memory
            else batch
        )


def evaluation_batches(part: PairDataset | FeatureDataset, micro: int) -> list[np.ndarray]:
    """Samples of each batch; without gradients a larger one fits where a micro-batch does in training."""
    return _cut(part.by_length, EVALUATION_FACTOR * micro)


def read_through(
    part: PairDataset | FeatureDataset, micro: int
) -> Iterator[tuple[np.ndarray, Batch]]:
    """Every sample once: the places (B,) in the split and the batch."""
    for places in evaluation_batches(part, micro):
        yield places, part.batch(0, 0, places)


def _cut(items: np.ndarray, size: int) -> list[np.ndarray]:
    return [items[i : i + size] for i in range(0, len(items), size)]
