"""Split -> tokens and pixels -> batches. Everything slow (tokenising, decoding) is done before the first batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from . import seed as seeds
from .errors import UserError
from .images import ImageStore
from .models.fusion import WIDTH

# input_ids, attention_mask (B, L) int64; pixel_values (B, 3, H, W) uint8; labels (B,) int64; in training also
# draws (B, DRAWS, 256) float32: all but the labels are what a model takes, by name
Batch = dict[str, Tensor]
DRAWS = 4  # dropout layers that a head has at the most
EVALUATION_FACTOR = 4


@dataclass(frozen=True)
class Tokens:
    """The texts of a split as one run of token ids; text ``i`` is ``ids[starts[i]:starts[i + 1]]``."""

    ids: np.ndarray  # (sum of lengths,) int32
    starts: np.ndarray  # (N + 1,) int64
    pad_id: int
    truncated_rate: float  # share of texts cut at the maximum length
    unknown_rate: float  # share of tokens the vocabulary does not know
    per_character: float  # tokens per character, before cutting

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.starts)

    def pad(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """``input_ids`` and ``attention_mask``, (B, L) int64, L the longest of the batch; padding to the right."""
        lengths = self.starts[indices + 1] - self.starts[indices]
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.full(mask.shape, self.pad_id, dtype=np.int64)
        ids[mask] = np.concatenate([self.ids[self.starts[i] : self.starts[i + 1]] for i in indices])
        return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))


def tokenise(texts: list[str], tokenizer, max_length: int) -> Tokens:
    """Tokenise once per run, with the tokenizer's own special tokens, cut at ``max_length`` tokens."""
    ids, starts, truncated, unknown, words, cut_words = [], [0], 0, 0, 0, 0
    specials, unk = tokenizer.num_special_tokens_to_add(), tokenizer.unk_token_id
    for begin in range(0, len(texts), 1000):  # in portions: the tokenizer's own objects are many times larger
        encoded = tokenizer(texts[begin : begin + 1000], truncation=True, max_length=max_length)
        for row, encoding in zip(encoded["input_ids"], encoded.encodings):
            ids.append(np.asarray(row, dtype=np.int32))
            starts.append(starts[-1] + len(row))
            truncated += bool(encoding.overflowing)
            unknown += sum(1 for i, special in zip(row, encoding.special_tokens_mask) if i == unk and not special)
            words += len(row) - specials
            cut_words += sum(len(rest.ids) - specials for rest in encoding.overflowing)
    return Tokens(
        ids=np.concatenate(ids),
        starts=np.asarray(starts, dtype=np.int64),
        pad_id=tokenizer.pad_token_id,
        truncated_rate=truncated / len(texts),
        unknown_rate=unknown / max(words, 1),
        per_character=(words + cut_words) / max(sum(map(len, texts)), 1),
    )


class Part:
    """One side of the split, ready to be cut into batches."""

    def __init__(self, tokens: Tokens, images: ImageStore, labels: list[int], image_size: int, augment: bool):
        self.tokens, self.images, self.image_size, self.augment = tokens, images, image_size, augment
        self.labels = np.asarray(labels, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def by_length(self) -> np.ndarray:
        """The samples (N,) from the shortest text to the longest, so that short ones are not padded to long ones."""
        return np.argsort(self.tokens.lengths, kind="stable")

    def batch(self, seed: int, epoch: int, indices: np.ndarray) -> Batch:
        """The samples ``indices`` (B,) as they look in this epoch."""
        input_ids, attention_mask = self.tokens.pad(indices)
        return {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "pixel_values": torch.from_numpy(self._pixels(seed, epoch, indices)),
            "labels": torch.from_numpy(self.labels[indices]),
        }

    def _pixels(self, seed: int, epoch: int, indices: np.ndarray) -> np.ndarray:
        """Centre crop, or random crop and flip, (B, 3, image_size, image_size) uint8."""
        spare = self.images.side - self.image_size
        if not self.augment:
            centre = np.full(len(indices), spare // 2)
            return self.images.gather(indices, centre, centre, np.zeros(len(indices), dtype=bool), self.image_size)
        draws = seeds.uniforms(seed, "augmentation", epoch, indices, 3)  # (B, 3)
        top, left = (draws[:, :2] * (spare + 1)).astype(np.int64).T
        return self.images.gather(indices, top, left, draws[:, 2] < 0.5, self.image_size)


class FeaturePart:
    """A part whose samples went through a frozen encoder already: batches of its features, for the head alone."""

    def __init__(self, labels: np.ndarray, text: Tensor | None, image: Tensor | None):
        self.labels = labels
        self.features = {name: value for name, value in (("text", text), ("image", image)) if value is not None}
        self.by_length = np.arange(len(labels))

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, seed: int, epoch: int, indices: np.ndarray) -> Batch:
        """``text`` (B, text_dim) and ``image`` (B, image_dim), as far as there are, and ``labels`` (B,)."""
        batch = {name: values[indices] for name, values in self.features.items()}
        return {**batch, "labels": torch.from_numpy(self.labels[indices])}


class Plan:
    """Which samples make which batch, for the whole run: epoch by epoch, training and then validation.

    Training order is a permutation by (seed, epoch), cut into groups of ``effective`` samples, one optimizer step
    each, and these into micro-batches.
    """

    def __init__(
        self,
        train: Part | FeaturePart,
        val: Part | FeaturePart,
        seed: int,
        epochs: range,
        micro: int,
        effective: int,
    ):
        self.train, self.val, self.seed, self.epochs = train, val, seed, epochs
        self.micro, self.effective = micro, effective

    def groups(self, epoch: int) -> list[list[np.ndarray]]:
        order = seeds.permutation(self.seed, epoch, len(self.train))
        return [_cut(group, self.micro) for group in _cut(order, self.effective)]

    def val_batches(self) -> list[np.ndarray]:
        return evaluation_batches(self.val, self.micro)

    def batch(self, part: str, epoch: int, indices: np.ndarray) -> Batch:
        """The batch of one request; in training with the random numbers of its samples for the head's dropout."""
        if part == "val":
            return self.val.batch(self.seed, epoch, indices)
        draws = seeds.uniforms(self.seed, "head dropout", epoch, indices, DRAWS * WIDTH).astype(np.float32)
        draws = torch.from_numpy(draws.reshape(-1, DRAWS, WIDTH))
        return {**self.train.batch(self.seed, epoch, indices), "draws": draws}

    def __iter__(self) -> Iterator[tuple[str, int, np.ndarray]]:
        for epoch in self.epochs:
            yield from (("train", epoch, micro) for group in self.groups(epoch) for micro in group)
            yield from (("val", epoch, batch) for batch in self.val_batches())


class Feed:
    """Batches in the order of the plan, made ahead of their use across the seams between training, validation and the
    next epoch, by ``num_workers`` threads.

    Threads, not the processes of a DataLoader: making a batch is little more than copying memory, for which numpy lets
    other threads run, while a process must hand its 2 MB on through shared memory. Measured on two cores, in multiples
    of a plain decoding loader with two workers: two processes 6 to 9, two threads 36 to 46. Nor do threads have to be
    spawned, with a torch of their own, as processes are on Windows.
    """

    def __init__(self, plan: Plan, num_workers: int, pin_memory: bool):
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
        return {name: tensor.pin_memory() for name, tensor in batch.items()} if self.pin_memory else batch


def evaluation_batches(part: Part | FeaturePart, micro: int) -> list[np.ndarray]:
    """Samples of each batch; without gradients a larger one fits where a micro-batch does in training."""
    return _cut(part.by_length, EVALUATION_FACTOR * micro)


def read_through(part: Part | FeaturePart, micro: int) -> Iterator[tuple[np.ndarray, Batch]]:
    """Every sample once: the places (B,) in the split and the batch."""
    for places in evaluation_batches(part, micro):
        yield places, part.batch(0, 0, places)


def check_tokens(tokens: Tokens, vocabulary: int, name: str) -> None:
    """An id beyond the embedding table surfaces on CUDA as an unrelated error, far from its cause."""
    largest = int(tokens.ids.max())
    if largest >= vocabulary:
        raise UserError(
            f"the tokenizer of {name!r} gives token id {largest}, but the model knows {vocabulary} tokens: "
            "tokenizer and weights are of different checkpoints"
        )


def _cut(items: np.ndarray, size: int) -> list[np.ndarray]:
    return [items[i : i + size] for i in range(0, len(items), size)]
