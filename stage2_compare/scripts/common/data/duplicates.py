"""Pairs of validation that a model has met in training: the same text, the same photo, or nearly the same photo."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass

import numpy as np

from .image_cache import ImageStore
from .splits import Split, squeezed

NEAR_BITS = (
    3  # of 64: a copy of another size or compression differs in 0 to 3, other photos in about 32
)
FLAT_BITS = 4  # a hash with fewer bits set, or unset, is of a plain picture: it resembles all plain pictures


@dataclass(frozen=True)
class Duplicates:
    """How many validation pairs also lie in training, by what they share, and how many of them contradict it."""

    text: int
    image: int  # the same bytes
    near_image: int  # not the same bytes, but nearly the same picture
    label_conflicts: int  # share a text or a photo with a training pair of another class

    def record(self) -> dict[str, int]:
        return asdict(self)

    def warning(self) -> str:
        """One line, or "" where there is nothing to warn of."""
        if not (self.text or self.image or self.near_image):
            return ""
        return (
            f"warning: of the validation pairs {self.text:,} share their text with a training pair, {self.image:,} "
            f"their photo and {self.near_image:,} nearly their photo ({self.label_conflicts:,} with another label): "
            "scores look better than they are"
        )


def find_duplicates(
    train: Split, val: Split, train_images: ImageStore, val_images: ImageStore
) -> Duplicates:
    """Compare the two sides. Empty texts are not the same text."""
    text = _shared(list(map(squeezed, train.texts)), list(map(squeezed, val.texts)))
    image = _shared(train_images.digests, val_images.digests)
    near = near_pairs(train_images.hashes, val_images.hashes)
    conflicts = {
        v
        for pairs in (text, image, near)
        for v, partners in pairs.items()
        if any(train.labels[t] != val.labels[v] for t in partners)
    }
    return Duplicates(len(text), len(image), len(near.keys() - image.keys()), len(conflicts))


def _shared(train: list[str], val: list[str]) -> dict[int, list[int]]:
    """Index in validation -> indices in training of the same value."""
    places = defaultdict(list)
    wanted = set(val) - {""}
    for i, value in enumerate(train):
        if value in wanted:
            places[value].append(i)
    return {i: places[value] for i, value in enumerate(val) if value in places}


def near_pairs(train: np.ndarray, val: np.ndarray) -> dict[int, list[int]]:
    """Index in validation -> indices in training whose hash, uint64, differs in at most NEAR_BITS bits.

    Two hashes that differ in three bits agree in at least one of their four quarters, so only those are compared.
    """
    found = defaultdict(set)
    distinct_train, train_rows = _by_value(train)
    distinct_val, val_rows = _by_value(val)
    for quarter in range(4):
        keys = distinct_train.view(np.uint16).reshape(-1, 4)[:, quarter]
        order = np.argsort(keys, kind="stable")
        wanted = distinct_val.view(np.uint16).reshape(-1, 4)[:, quarter]
        low, high = (np.searchsorted(keys[order], wanted, side) for side in ("left", "right"))
        for v, (start, stop) in enumerate(zip(low, high, strict=True)):
            candidates = order[start:stop]
            near = candidates[_bits(distinct_train[candidates] ^ distinct_val[v]) <= NEAR_BITS]
            found[v].update(near.tolist())
    rows = {
        v: sorted(row for t in near for row in train_rows[t]) for v, near in found.items() if near
    }
    return {i: partners for v, partners in rows.items() for i in val_rows[v]}


def _by_value(hashes: np.ndarray) -> tuple[np.ndarray, list[list[int]]]:
    """The distinct hashes (K,) that are not of plain pictures, and the rows (K lists) that have each."""
    distinct, inverse = np.unique(hashes, return_inverse=True)
    rows = [[] for _ in distinct]
    for row, value in enumerate(inverse.tolist()):
        rows[value].append(row)
    set_bits = _bits(distinct)
    keep = np.flatnonzero((set_bits >= FLAT_BITS) & (set_bits <= 64 - FLAT_BITS))
    return distinct[keep], [rows[k] for k in keep]


def _bits(hashes: np.ndarray) -> np.ndarray:
    """Number of bits set in each (numpy 1.26 has no bitwise_count)."""
    return np.unpackbits(np.ascontiguousarray(hashes).view(np.uint8).reshape(-1, 8), axis=1).sum(1)
