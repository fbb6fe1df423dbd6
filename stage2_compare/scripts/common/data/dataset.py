"""The samples of a split, ready to be put into batches: as tokens and pixels, or as features."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from .. import seeding
from .image_store import ImageStore
from .tokens import Tokens

# input_ids, attention_mask (B, L) int64; pixel_values (B, 3, H, W) uint8; labels (B,) int64; in
# training also draws (B, K, 256) float32. All but the labels are what a model takes, by name.
Batch = dict[str, Tensor]


class Dataset:
    """N samples with their classes (N,), counted from 0, -1 where they are not known, and the lengths
    of their texts (N,) in tokens."""

    def __init__(self, labels: Sequence[int] | np.ndarray, lengths: np.ndarray):
        self.labels = np.asarray(labels, dtype=np.int64)
        # From the shortest text to the longest, so that short ones are padded little.
        self.by_length = np.argsort(lengths, kind="stable")  # (N,)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, seed: int, epoch: int, indices: np.ndarray) -> Batch:
        """Make the batch of the samples ``indices`` (B,) as they look in this epoch."""
        return {"labels": torch.from_numpy(self.labels[indices])}


class PairDataset(Dataset):
    """Pairs of a text and an image. With ``augment`` images are cropped and flipped at random; else
    their centre is taken."""

    def __init__(
        self, tokens: Tokens, images: ImageStore, labels: list[int], image_size: int, augment: bool
    ):
        super().__init__(labels, tokens.lengths)
        self.tokens, self.images = tokens, images
        self.image_size, self.augment = image_size, augment

    def batch(self, seed: int, epoch: int, indices: np.ndarray) -> Batch:
        input_ids, attention_mask = self.tokens.pad(indices)
        spare = self.images.side - self.image_size
        if self.augment:
            draws = seeding.uniforms(seed, "augmentation", epoch, indices, columns=3)  # (B, 3)
            top, left = (draws[:, :2] * (spare + 1)).astype(np.int64).T
            flip = draws[:, 2] < 0.5
        else:
            top = left = np.full(len(indices), spare // 2)
            flip = np.zeros(len(indices), dtype=bool)
        pixels = self.images.gather(indices, top, left, flip, self.image_size)  # (B, 3, H, W)
        return {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "pixel_values": torch.from_numpy(pixels),
            **super().batch(seed, epoch, indices),
        }


class FeatureDataset(Dataset):
    """Samples that a frozen encoder has read: ``text`` (N, text_dim) and ``image`` (N, image_dim),
    those that are used, for the head alone."""

    def __init__(self, labels: np.ndarray, **features: Tensor):
        super().__init__(labels, np.zeros(len(labels)))
        self.features = features

    def batch(self, seed: int, epoch: int, indices: np.ndarray) -> Batch:
        batch = {name: values[indices] for name, values in self.features.items()}
        return {**batch, **super().batch(seed, epoch, indices)}


class TokenDataset(Dataset):
    """Samples of which a frozen encoder gives every token and patch, for the head alone: ``read``
    gives of some samples (B,) the tokens (B, L, text_dim), zero behind the end of a text, and the
    patches (B, P, image_dim)."""

    def __init__(
        self,
        labels: np.ndarray,
        lengths: np.ndarray,
        read: Callable[[np.ndarray], tuple[Tensor, Tensor]],
    ):
        super().__init__(labels, lengths)
        self.lengths, self._read = lengths, read

    def batch(self, seed: int, epoch: int, indices: np.ndarray) -> Batch:
        """Return ``text``, ``mask`` (B, L), ``image`` and ``labels`` (B,)."""
        asked = indices if len(indices) else np.array([0])  # no encoder reads an empty batch
        text, image = (values[: len(indices)] for values in self._read(asked))
        mask = np.arange(text.shape[1]) < self.lengths[indices][:, None]  # (B, L)
        return {
            "text": text,
            "mask": torch.from_numpy(mask.astype(np.int64)),
            "image": image,
            **super().batch(seed, epoch, indices),
        }
