"""The pairs that models are compared on, in one order for all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..runs.reading import Predictions


@dataclass(frozen=True)
class Pairs:
    """N pairs by guid, with their true classes and the groups of copies among them."""

    classes: list[str]
    guids: list[str]  # sorted
    labels: np.ndarray  # (N,) places in classes
    groups: np.ndarray  # (N,) counted from 0
    groups_known: bool  # False: no run has recorded copies, each pair is a group of its own

    def __len__(self) -> int:
        return len(self.guids)

    @property
    def independent(self) -> int:
        """The number of groups."""
        return int(self.groups.max()) + 1

    @cached_property
    def one_of_each_group(self) -> np.ndarray:
        return np.unique(self.groups, return_index=True)[1]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {guid: place for place, guid in enumerate(self.guids)}

    def rows(self, predictions: Predictions) -> np.ndarray:
        """Return where the pairs of some predictions are among these."""
        return np.array([self._places[guid] for guid in predictions.guids])


def key(parts: list[Predictions]) -> tuple:
    """Return what is equal for predictions of the same pairs, in whatever order; ``parts`` are
    joined."""
    return tuple(parts[0].classes), *_sorted(parts)


def join(parts: list[Predictions], others: Iterable[Predictions] = ()) -> Pairs:
    """Join the pairs of one model, one part per fold. ``others`` may know the groups instead."""
    pairs, first_copy = _sorted(parts), {}
    for part in (*others, *parts):
        if part.groups is not None:
            first_copy.update(zip(part.guids, part.groups, strict=True))
    guids = [guid for guid, _ in pairs]
    names = np.array([first_copy.get(guid, guid) for guid in guids], dtype=object)
    groups = np.unique(names, return_inverse=True)[1]
    labels = np.array([label for _, label in pairs])
    return Pairs(list(parts[0].classes), guids, labels, groups, bool(first_copy))


def _sorted(parts: list[Predictions]) -> list[tuple[str, int]]:
    return sorted(pair for part in parts for pair in zip(part.guids, part.labels, strict=True))
