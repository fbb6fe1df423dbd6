"""Pairs that are copies of each other: the same or nearly the same text or photo."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass

import numpy as np

from .image_cache import ImageStore
from .photo_copies import photo_keys
from .splits import Split, squeezed
from .splitting import connected_groups
from .text_copies import text_keys


@dataclass(frozen=True)
class Duplicates:
    """Numbers of pairs of a split that share something with a training pair."""

    text: int
    near_text: int  # other characters, but nearly the same text
    image: int  # the same bytes
    near_image: int  # other bytes, but nearly the same picture
    label_conflicts: int  # share a text or a photo with a training pair of another class

    def record(self) -> dict[str, int]:
        return asdict(self)

    def warning(self, split: str = "val") -> str:
        """Return one line on the split of this name, or "" if nothing is shared."""
        if not (self.text or self.near_text or self.image or self.near_image):
            return ""
        name = "validation" if split == "val" else "test"
        return (
            f"warning: of the {name} pairs {self.text:,} share their text with a training "
            f"pair, {self.near_text:,} nearly their text, {self.image:,} their photo and "
            f"{self.near_image:,} nearly their photo ({self.label_conflicts:,} with another "
            "label): scores look better than they are"
        )


def find_duplicates(
    train: Split, other: Split, train_images: ImageStore, other_images: ImageStore
) -> Duplicates:
    """Compare each pair of another split with all training pairs.

    Two empty texts are not the same. A pair without a label has no conflict.
    """
    text = _shared(list(map(squeezed, train.texts)), list(map(squeezed, other.texts)))
    near_text = _shared(text_keys(train.texts), text_keys(other.texts))
    image = _shared(train_images.digests, other_images.digests)
    keys = photo_keys(
        train_images.digests + other_images.digests,
        np.concatenate([train_images.fingerprints, other_images.fingerprints]),
    )
    near_image = _shared(keys[: len(train)], keys[len(train) :])
    conflicts = set()
    for found in (near_text, near_image):
        for i, partners in found.items():
            if other.labels[i] and any(train.labels[t] != other.labels[i] for t in partners):
                conflicts.add(i)
    return Duplicates(
        text=len(text),
        near_text=len(near_text.keys() - text.keys()),
        image=len(image),
        near_image=len(near_image.keys() - image.keys()),
        label_conflicts=len(conflicts),
    )


def copy_groups(split: Split, images: ImageStore) -> list[int]:
    """Return for each pair (N,) the index of the first pair of its group.

    A group shares texts or photos, exactly or nearly, directly or through others.
    """
    first = list(range(len(split)))
    photos = photo_keys(images.digests, images.fingerprints)
    for group in connected_groups(text_keys(split.texts), photos):
        for i in group:
            first[i] = min(group)
    return first


def _shared(train: list[str], other: list[str]) -> dict[int, list[int]]:
    """Map each index in the other split to the indices in training with the same value, if any."""
    places = defaultdict(list)
    wanted = set(other) - {""}
    for i, value in enumerate(train):
        if value in wanted:
            places[value].append(i)
    return {i: places[value] for i, value in enumerate(other) if value in places}
