"""Count the validation pairs that a model has met in training: same or similar text or photo."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass

import numpy as np

from .image_cache import ImageStore
from .splits import Split, squeezed
from .text_copies import text_keys

# of 64: copies of another size or compression differ in 0 to 3 bits, other photos in about 32
NEAR_BITS = 3
# A hash with fewer bits set, or unset, is of a plain picture, and resembles all plain pictures.
_FLAT_BITS = 4


@dataclass(frozen=True)
class Duplicates:
    """Numbers of validation pairs that share something with a training pair."""

    text: int
    near_text: int  # other characters, but nearly the same text
    image: int  # the same bytes
    near_image: int  # other bytes, but nearly the same picture
    label_conflicts: int  # share a text or a photo with a training pair of another class

    def record(self) -> dict[str, int]:
        return asdict(self)

    def warning(self) -> str:
        """Return one line, or "" if nothing is shared."""
        if not (self.text or self.near_text or self.image or self.near_image):
            return ""
        return (
            f"warning: of the validation pairs {self.text:,} share their text with a training "
            f"pair, {self.near_text:,} nearly their text, {self.image:,} their photo and "
            f"{self.near_image:,} nearly their photo ({self.label_conflicts:,} with another "
            "label): scores look better than they are"
        )


def find_duplicates(
    train: Split, val: Split, train_images: ImageStore, val_images: ImageStore
) -> Duplicates:
    """Compare each validation pair with all training pairs. Two empty texts are not the same."""
    text = _shared(list(map(squeezed, train.texts)), list(map(squeezed, val.texts)))
    near_text = _shared(text_keys(train.texts), text_keys(val.texts))
    image = _shared(train_images.digests, val_images.digests)
    near = near_pairs(train_images.hashes, val_images.hashes)
    conflicts = set()
    for found in (near_text, image, near):
        for v, partners in found.items():
            if any(train.labels[t] != val.labels[v] for t in partners):
                conflicts.add(v)
    return Duplicates(
        text=len(text),
        near_text=len(near_text.keys() - text.keys()),
        image=len(image),
        near_image=len(near.keys() - image.keys()),
        label_conflicts=len(conflicts),
    )


def _shared(train: list[str], val: list[str]) -> dict[int, list[int]]:
    """Map each index in validation to the indices in training with the same value, if any."""
    places = defaultdict(list)
    wanted = set(val) - {""}
    for i, value in enumerate(train):
        if value in wanted:
            places[value].append(i)
    return {i: places[value] for i, value in enumerate(val) if value in places}


def near_pairs(train: np.ndarray, val: np.ndarray) -> dict[int, list[int]]:
    """Map each index in validation to the indices in training with nearly the same hash, if any.

    Hashes are uint64; they are near if they differ in at most NEAR_BITS bits. Two hashes that
    differ in three bits agree in at least one of their four quarters, so only those are compared.
    """
    distinct_train, train_rows = _by_value(train)  # (K,), K lists
    distinct_val, val_rows = _by_value(val)  # (V,), V lists
    train_quarters = distinct_train.view(np.uint16).reshape(-1, 4)  # (K, 4)
    val_quarters = distinct_val.view(np.uint16).reshape(-1, 4)  # (V, 4)
    near = defaultdict(set)  # place in distinct_val -> places in distinct_train
    for quarter in range(4):
        order = np.argsort(train_quarters[:, quarter], kind="stable")
        values = train_quarters[order, quarter]
        starts = np.searchsorted(values, val_quarters[:, quarter], "left")
        stops = np.searchsorted(values, val_quarters[:, quarter], "right")
        for v, (start, stop) in enumerate(zip(starts, stops, strict=True)):
            candidates = order[start:stop]
            bits = _count_bits(distinct_train[candidates] ^ distinct_val[v])
            near[v].update(candidates[bits <= NEAR_BITS].tolist())
    partners = {}
    for v, places in near.items():
        if places:
            rows = sorted(row for place in places for row in train_rows[place])
            partners.update(dict.fromkeys(val_rows[v], rows))
    return partners


def _by_value(hashes: np.ndarray) -> tuple[np.ndarray, list[list[int]]]:
    """Return the distinct hashes (K,) and the rows with each (K lists), without plain pictures."""
    distinct, inverse = np.unique(hashes, return_inverse=True)
    rows = [[] for _ in distinct]
    for row, value in enumerate(inverse.tolist()):
        rows[value].append(row)
    set_bits = _count_bits(distinct)
    keep = np.flatnonzero((set_bits >= _FLAT_BITS) & (set_bits <= 64 - _FLAT_BITS))
    return distinct[keep], [rows[k] for k in keep]


def _count_bits(hashes: np.ndarray) -> np.ndarray:
    """Return the number of bits set in each uint64 (numpy 1.26 has no bitwise_count)."""
    return np.unpackbits(np.ascontiguousarray(hashes).view(np.uint8).reshape(-1, 8), axis=1).sum(1)
