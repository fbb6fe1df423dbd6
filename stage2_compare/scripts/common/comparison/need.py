"""The pairs or seeds that it takes to show a difference that is seen but not proved."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from .bootstrap import PLACE, Figures
from .ranking import POWER, Ranking, standard_errors

_LEAST_GAP = 0.0005  # of macro-F1; less reads as 0.0 points


class Need(NamedTuple):
    """The pairs or seeds that would show that a model is worse than the best by as much as it seems."""

    name: str
    gap: float  # of macro-F1
    pairs: int | None  # None: those that there are do
    seeds: int | None  # of each model; None: those that there are do


def needed(
    names: list[str],
    ranking: Ranking,
    figures: list[Figures],
    means: list[Figures],
    seeds: int,
    pairs: int,
) -> Need | None:
    """Return what would show the smallest gap that is not proved, or None where none can be read.

    The variance of a difference has a part that falls with the number of pairs, and a part that
    falls with the number of seeds.

    Args:
        figures: of each model, with what other seeds would change.
        means: the same without it.
        seeds: of each model, the fewest.
        pairs: N.
    """
    best = ranking.best
    gaps = [figures[best].corrected[PLACE] - model.corrected[PLACE] for model in figures]
    open_gaps = [
        (gap, place)
        for place, gap in enumerate(gaps)
        if gap >= _LEAST_GAP and not ranking.worse[place]
    ]
    if not open_gaps:
        return None
    gap, place = min(open_gaps)
    error = gap / (ranking.critical + ndtri(POWER))  # what the standard error must be
    of_pairs = _error(means, best, place) ** 2
    of_seeds = max(0.0, _error(figures, best, place) ** 2 - of_pairs)
    if error**2 > of_seeds:
        return Need(names[place], gap, int(np.ceil(pairs * of_pairs / (error**2 - of_seeds))), None)
    # No number of pairs is enough with these seeds: each may leave half of the variance.
    more_pairs = int(np.ceil(2 * pairs * of_pairs / error**2))
    more_seeds = int(np.ceil(2 * seeds * of_seeds / error**2))
    return Need(names[place], gap, more_pairs if more_pairs > pairs else None, more_seeds)


def _error(figures: list[Figures], best: int, place: int) -> float:
    draws = figures[best].draws[PLACE] - figures[place].draws[PLACE]
    observed = figures[best].corrected[PLACE] - figures[place].corrected[PLACE]
    return float(standard_errors((draws - observed)[None])[0])
