"""Draws of groups of validation pairs, the same ones for every model.

Groups of pairs (a pair and its copies) are drawn with replacement, as many as there are: so copies
count once (cluster bootstrap, Davison and Hinkley 1997, section 3.8).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

LEAST, MOST = 2_000, 10_000  # draws
_GROUPS_DRAWN = 4_000_000  # in all, if that is between the two
_MANY = 100_000  # where a verdict depends on which fewer were drawn
_MOST_WORK = 2_000_000_000  # answers counted in all of many draws: a few seconds
_WORK_OF_A_GROUP = 10  # to draw it, in answers
SEED = 20_000  # the same folder gives the same table
_NUMBERS_AT_ONCE = 4_000_000  # limits the memory


class Draws:
    """B draws of the G groups that N pairs form. They depend on the groups alone."""

    def __init__(self, groups: np.ndarray, resamples: int | None = None, seed: int = SEED):
        """``groups``: (N,) the group of each pair, counted from 0. There are more draws where there
        are few groups: they cost little, and verdicts depend less on the seed."""
        self.of_pair = groups
        self.groups = int(groups.max()) + 1
        self.resamples = resamples or min(MOST, max(LEAST, _GROUPS_DRAWN // self.groups))
        self.seed = seed

    def more(self, answers: int) -> Draws | None:
        """Return more draws of the same groups, or None where they would take too long.

        Args:
            answers: that all models give, at all their epochs.
        """
        work = answers + _WORK_OF_A_GROUP * self.groups  # of one draw
        resamples = min(_MANY, _MOST_WORK // work)
        return Draws(self.of_pair, resamples, self.seed) if resamples > self.resamples else None

    @cached_property
    def counts(self) -> np.ndarray:
        """Count how often each group is in each draw, (B, G)."""
        random = np.random.default_rng(self.seed)
        counts = np.empty((self.groups, self.resamples), np.uint8).T  # readers take its columns
        for part in parts(self.resamples, self.groups):
            rows = part.stop - part.start
            drawn = random.integers(0, self.groups, (rows, self.groups))
            places = drawn + self.groups * np.arange(rows)[:, None]
            counted = np.bincount(places.ravel(), minlength=rows * self.groups)
            counts[part] = counted.reshape(rows, self.groups).clip(max=255)
        return counts


def parts(rows: int, numbers_in_a_row: int) -> Iterator[slice]:
    """Cut rows into parts whose numbers fit in memory."""
    at_once = max(1, _NUMBERS_AT_ONCE // numbers_in_a_row)
    for start in range(0, rows, at_once):
        yield slice(start, min(rows, start + at_once))
