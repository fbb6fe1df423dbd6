"""Who is first, who ties and who is worse: the models with their intervals on one axis."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from ..comparison.results import shown
from ..metrics import MAIN

_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # between ticks
_MOST_TICKS = 6


@dataclass(frozen=True)
class Axis:
    low: float
    high: float
    step: float

    def percent(self, value: float) -> float:
        """Return where a value lies between the ends."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)

    @property
    def ticks(self) -> list[float]:
        count = round((self.high - self.low) / self.step)
        return [self.low + self.step * place for place in range(count + 1)]


class Row(NamedTuple):
    model: str
    value: float
    low: float | None
    high: float | None


def tiers(table: pd.DataFrame) -> tuple[dict[str, list[Row]], Axis]:
    """Return the models by their verdicts, both in the order of the table, and the axis of their
    macro-F1."""
    columns = (table["model"], shown(table, MAIN), table["f1_low"], table["f1_high"])
    rows = list(map(Row, *columns))
    values = [value for row in rows for value in row[1:] if value is not None]
    low, high = min(values), max(values)
    step = next(each for each in _STEPS if (high - low) / each <= _MOST_TICKS - 2 or each == 0.5)
    axis = Axis(step * math.floor(low / step), step * (math.floor(high / step) + 1), step)
    found = defaultdict(list)
    for verdict, row in zip(table["verdict"], rows, strict=True):
        found[verdict].append(row)
    return dict(found), axis
