"""Confidence intervals of metrics, and where they are not to be trusted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri  # scipy.stats takes longer to import than all the rest

from ..metrics import METRICS
from ..words import Phrase, phrase
from .bootstrap import Figures

CONFIDENCE = 0.95
FEW = 10  # pairs of a class, errors or hits: with fewer, intervals hold the truth too rarely


class Estimate(NamedTuple):
    """A metric with its 95 % interval.

    The value is None where a run has not recorded the metric, and the rest also where there are no
    predictions to resample. ``corrected`` is the value without the selection bias
    of choosing the epoch on the same pairs; the interval is around it.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    corrected: float | None = None

    @property
    def centre(self) -> float:
        """The corrected value, where it is known."""
        return self.value if self.corrected is None else self.corrected


def estimates(figures: Figures) -> dict[str, Estimate]:
    """Return each metric, by its column, with an interval by ``bca``."""
    found = {}
    for place, metric in enumerate(METRICS):
        value, corrected = float(figures.apparent[place]), float(figures.corrected[place])
        low, high = bca(corrected, figures.draws[place], figures.left_out[place])
        bottom, top = metric.bounds
        found[metric.column] = Estimate(value, max(low, bottom), min(high, top), corrected)
    return found


def bca(observed: float, draws: np.ndarray, left_out: np.ndarray) -> tuple[float, float]:
    """Return a 95 % interval: bias-corrected and accelerated (Efron 1987, BCa).

    With classes of ten samples and good models, plain percentiles of macro recall cover the truth
    in 92 % of simulations, normal intervals in 89 %, and BCa in 94 %.

    Args:
        draws: (B,) of the observed value.
        left_out: (G,) the value without one of the groups of pairs.
    """
    count, groups = len(draws), len(left_out)
    # 1. The bias: where the observed value lies among the draws. An equal draw counts half.
    below = ((draws < observed).mean() + (draws <= observed).mean()) / 2
    bias = ndtri(np.clip(below, 1 / count, 1 - 1 / count))
    # 2. The acceleration: how skewed the influence of single groups is.
    influence = left_out.mean() - left_out
    squares = (influence**2).sum()
    acceleration = (influence**3).sum() / (6 * squares**1.5) if squares > 1e-30 else 0.0
    # 3. Both shift the levels at which the draws are cut.
    tail = (1 - CONFIDENCE) / 2
    shifted = bias + ndtri(np.array([tail, 1 - tail]))
    low, high = np.quantile(draws, ndtr(bias + shifted / (1 - acceleration * shifted)))
    # 4. A model without one error, or without one hit, is the same in every draw: Clopper and
    # Pearson's limit instead.
    limit = tail ** (1 / groups)
    if observed == 1:
        low = min(low, limit)
    if observed == 0:
        high = max(high, 1 - limit)
    return float(low), float(high)


def of_difference(gain: float, draws: np.ndarray, comparisons: int = 1) -> Estimate:
    """Return a difference with its interval, as wide as its draws (B,) are; wider where several
    comparisons are made (Bonferroni)."""
    tail = (1 - CONFIDENCE) / 2 / comparisons
    low, high = gain + np.quantile(draws - draws.mean(), (tail, 1 - tail))
    return Estimate(gain, float(low), float(high))


def doubts(labels: np.ndarray, predicted: np.ndarray, classes: list[str]) -> Phrase | None:
    """Say why the intervals of a model hold the truth too rarely, if they do.

    Args:
        labels: (N,) true classes of independent pairs, counted from 0.
        predicted: (N,) what the model says of them.
    """
    counts = np.bincount(labels, minlength=len(classes))
    rare = [name for name, count in zip(classes, counts, strict=True) if 0 < count < FEW]
    if rare:
        shown = ", ".join(rare[:3]) + (", ..." if len(rare) > 3 else "")
        return phrase("under_few", n=FEW, classes=shown)
    errors = int((labels != predicted).sum())
    if min(errors, len(labels) - errors) < FEW:
        few_errors = errors < FEW
        count = errors if few_errors else len(labels) - errors
        return phrase("few_errors" if few_errors else "few_hits", n=count)
    return None
