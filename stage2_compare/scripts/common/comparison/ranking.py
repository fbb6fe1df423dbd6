"""Significance tests: every model against the best one (bootstrap), and two models (McNemar)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr, ndtri

from .bootstrap import CONFIDENCE, POWER, Resampled

_ROUNDING = 1e-12  # less than this is no difference


@dataclass(frozen=True)
class Ranking:
    """M models against the best of them."""

    best: int
    p: np.ndarray  # (M,) adjusted; 1 for the best itself
    worse: np.ndarray  # (M,) true where p is at most 5 %
    critical: float  # standard errors of its own that a significant difference reaches
    smallest_difference: float  # significant with 80 % power, for the median of the other models


def rank(resampled: Resampled, differing: np.ndarray) -> Ranking:
    """Test which of M models are worse than the best, which was chosen on the same samples.

    These are multiple comparisons with the best (Hsu 1984). The critical value is that of the
    largest of all differences between two models, each in its own standard errors, under the
    bootstrap: where all are equally good, none is called worse with 95 % confidence, whichever
    comes out best by luck.

    Args:
        differing: (M, M) number of samples on which two models predict different classes.
    """
    first, second = np.triu_indices(len(resampled.observed), 1)  # all pairs of models
    best = int(resampled.observed.argmax())
    if not len(first):
        return Ranking(best, np.ones(1), np.zeros(1, bool), np.nan, np.nan)
    # 1. The largest difference that luck alone makes, in each draw.
    observed = resampled.observed[first] - resampled.observed[second]  # (pairs,)
    moved = resampled.draws[first] - resampled.draws[second] - observed[:, None]  # (pairs, B)
    errors = moved.std(1)  # (pairs,)
    scale = np.where(errors > _ROUNDING, errors, 1)[:, None]
    largest = np.sort((np.abs(moved) / scale).max(0))  # (B,)
    # 2. The differences from the best, in their standard errors.
    with_best = np.flatnonzero((first == best) | (second == best))  # (M - 1,)
    others = np.where(first == best, second, first)[with_best]
    gaps, gap_errors = np.abs(observed[with_best]), errors[with_best]
    t = np.divide(
        gaps, gap_errors, out=np.where(gaps > _ROUNDING, np.inf, 0.0), where=gap_errors > _ROUNDING
    )
    # 3. Fewer than six samples with different predictions prove nothing: the smallest p of the sign
    # test is a bound.
    p = np.ones(len(resampled.observed))
    bound = 0.5 ** (differing[best, others] - 1.0)
    p[others] = np.minimum(1, np.maximum(_p_values(t, largest), bound))
    # 4. The smallest difference that is significant.
    significant = largest[_p_values(largest, largest) <= 1 - CONFIDENCE]
    critical = float(significant[0] if len(significant) else largest[-1])
    smallest = float((critical + ndtri(POWER)) * np.median(gap_errors))
    return Ranking(best, p, p <= 1 - CONFIDENCE, critical, smallest)


def _p_values(differences: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """Return p of each difference in standard errors, from the largest one of each draw, sorted.

    It is one standard error of the simulated p too high: luck of the draws must not make a
    difference significant.
    """
    count = len(largest)
    p = (1 + count - np.searchsorted(largest, differences)) / (1 + count)
    return np.minimum(1, p + np.sqrt(p * (1 - p) / count))


def mcnemar(right: np.ndarray, other: np.ndarray) -> float:
    """Return the exact two-sided p of McNemar's test.

    Args:
        right: (N,) true where one model is right.
        other: (N,) true where the other model is right.
    """
    ahead, behind = int((right & ~other).sum()), int((other & ~right).sum())
    if not ahead + behind:
        return 1.0
    return min(1.0, float(2 * bdtr(min(ahead, behind), ahead + behind, 0.5)))
