"""The samples of a split, ready to be put into batches: as tokens and pixels, or as stored
features."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from .. import seeding
from .image_store import ImageStore
from .tokens import Tokens

# input_ids, attention_mask (B, L) int64; pixel_values (B, 3, H, W) uint8; labels (B,) int64; in
# training also draws (B, K, 256) float32. All but the labels are what a model takes, by name.
Batch = dict[str, Tensor]


class PairDataset:
    """Pairs of a text and an image with their labels.

    Args:
        labels: (N,) classes, counted from 0; -1 where they are not known.
        augment: crop and flip at random; else take the centre.
    """

    def __init__(
        self, tokens: Tokens, images: ImageStore, labels: list[int], image_size: int, augment: bool
    ):
        self.tokens = tokens
        self.images = images
        self.image_size = image_size
        self.augment = augment
        self.labels = np.asarray(labels, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def by_length(self) -> np.ndarray:
        """The samples (N,) from the shortest text to the longest, so that short ones are padded
        little."""
        return np.argsort(self.tokens.lengths, kind="stable")

    def batch(self, seed: int, epoch: int, indices: np.ndarray) -> Batch:
        """Make the batch of the samples ``indices`` (B,) as they look in this epoch."""
        input_ids, attention_mask = self.tokens.pad(indices)
        return {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "pixel_values": torch.from_numpy(self._pixels(seed, epoch, indices)),
            "labels": torch.from_numpy(self.labels[indices]),
        }

    def _pixels(self, seed: int, epoch: int, indices: np.ndarray) -> np.ndarray:
        """Crop the images, and flip some in training: (B, 3, image_size, image_size) uint8."""
        spare = self.images.side - self.image_size
        if self.augment:
            draws = seeding.uniforms(seed, "augmentation", epoch, indices, columns=3)  # (B, 3)
            top, left = (draws[:, :2] * (spare + 1)).astype(np.int64).T
            flip = draws[:, 2] < 0.5
        else:
            top = left = np.full(len(indices), spare // 2)
            flip = np.zeros(len(indices), dtype=bool)
        return self.images.gather(indices, top, left, flip, self.image_size)


class FeatureDataset:
    """Samples that a frozen encoder has read already: their features and labels, for the head
    alone.

    Args:
        labels: (N,) int64.
        text, image: (N, text_dim) and (N, image_dim); None for a modality that is not used.
    """

    def __init__(self, labels: np.ndarray, text: Tensor | None = None, image: Tensor | None = None):
        self.labels = labels
        features = {"text": text, "image": image}
        self.features = {name: value for name, value in features.items() if value is not None}
        self.by_length = np.arange(len(labels))

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, seed: int, epoch: int, indices: np.ndarray) -> Batch:
        """Return ``text`` (B, text_dim) and ``image`` (B, image_dim), where they exist, and
        ``labels`` (B,)."""
        batch = {name: values[indices] for name, values in self.features.items()}
        return {**batch, "labels": torch.from_numpy(self.labels[indices])}


class TokenDataset:
    """Samples of which a frozen encoder gives every token and patch, for the head alone.

    Args:
        labels: (N,) int64.
        lengths: (N,) of the texts, in tokens.
        read: gives of some samples (B,) the tokens (B, L, text_dim), zero behind the end of a text,
            and the patches (B, P, image_dim).
    """

    def __init__(
        self,
        labels: np.ndarray,
        lengths: np.ndarray,
        read: Callable[[np.ndarray], tuple[Tensor, Tensor]],
    ):
        self.labels, self.lengths = labels, lengths
        self._read = read
        self.by_length = np.argsort(lengths, kind="stable")

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, seed: int, epoch: int, indices: np.ndarray) -> Batch:
        """Return ``text`` (B, L, text_dim), ``mask`` (B, L), ``image`` (B, P, image_dim) and
        ``labels`` (B,)."""
        asked = (
            indices if len(indices) else np.zeros(1, np.int64)
        )  # no encoder reads an empty batch
        text, image = (values[: len(indices)] for values in self._read(asked))
        mask = np.arange(text.shape[1]) < self.lengths[indices][:, None]  # (B, L)
        return {
            "text": text,
            "mask": torch.from_numpy(mask.astype(np.int64)),
            "image": image,
            "labels": torch.from_numpy(self.labels[indices]),
        }
