"""Split -> tokens and pixels -> batches. Everything slow (tokenising, decoding) is done before the first batch."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from .. import seeding as seeds
from .image_cache import ImageStore
from .tokens import Tokens

# input_ids, attention_mask (B, L) int64; pixel_values (B, 3, H, W) uint8; labels (B,) int64; in training also
# draws (B, K, 256) float32: all but the labels are what a model takes, by name
Batch = dict[str, Tensor]


class PairDataset:
    """One side of the split, ready to be cut into batches."""

    def __init__(
        self, tokens: Tokens, images: ImageStore, labels: list[int], image_size: int, augment: bool
    ):
        self.tokens, self.images, self.image_size, self.augment = (
            tokens,
            images,
            image_size,
            augment,
        )
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
            return self.images.gather(
                indices, centre, centre, np.zeros(len(indices), dtype=bool), self.image_size
            )
        draws = seeds.uniforms(seed, "augmentation", epoch, indices, 3)  # (B, 3)
        top, left = (draws[:, :2] * (spare + 1)).astype(np.int64).T
        return self.images.gather(indices, top, left, draws[:, 2] < 0.5, self.image_size)


class FeatureDataset:
    """A part whose samples went through a frozen encoder already: batches of its features, for the head alone."""

    def __init__(self, labels: np.ndarray, text: Tensor | None, image: Tensor | None):
        self.labels = labels
        self.features = {
            name: value for name, value in (("text", text), ("image", image)) if value is not None
        }
        self.by_length = np.arange(len(labels))

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, seed: int, epoch: int, indices: np.ndarray) -> Batch:
        """``text`` (B, text_dim) and ``image`` (B, image_dim), as far as there are, and ``labels`` (B,)."""
        batch = {name: values[indices] for name, values in self.features.items()}
        return {**batch, "labels": torch.from_numpy(self.labels[indices])}
