"""Which models are worse than the best."""

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
    worse: np.ndarray  # (M,) whether p is at most 5 %
    critical: float  # how many standard errors of its own a difference must reach to be called one
    smallest_difference: (
        float  # that would be called one with 80 % power, for the median of the other models
    )


def rank(resampled: Resampled, differing: np.ndarray) -> Ranking:
    """Which of M models are worse than the best, where the best was chosen on the same samples.

    Multiple comparisons with the best (Hsu 1984) with the critical value of the largest of all differences between
    two models, each in its own standard errors, under the bootstrap: where all are equally good, none is called worse
    with 95 % confidence, whichever comes out best by luck.

    Args:
        differing: (M, M) on how many samples two models say different things.
    """
    count = resampled.draws.shape[1]
    first, second = np.triu_indices(len(resampled.observed), 1)
    best = int(resampled.observed.argmax())
    if not len(first):
        return Ranking(best, np.ones(1), np.zeros(1, bool), np.nan, np.nan)
    observed = resampled.observed[first] - resampled.observed[second]
    moved = resampled.draws[first] - resampled.draws[second] - observed[:, None]  # (pairs, B)
    errors = moved.std(1)
    largest = np.sort((np.abs(moved) / np.where(errors > _ROUNDING, errors, 1)[:, None]).max(0))

    def adjusted(difference: np.ndarray) -> np.ndarray:
        """p of a difference in standard errors, one standard error of the simulated p above it: luck of the draws
        must not call a difference."""
        p = (1 + count - np.searchsorted(largest, difference)) / (1 + count)
        return np.minimum(1, p + np.sqrt(p * (1 - p) / count))

    with_best = np.flatnonzero((first == best) | (second == best))
    others = np.where(first == best, second, first)[with_best]
    gaps, gap_errors = np.abs(observed[with_best]), errors[with_best]
    t = np.divide(
        gaps, gap_errors, out=np.where(gaps > _ROUNDING, np.inf, 0.0), where=gap_errors > _ROUNDING
    )
    p = np.ones(len(resampled.observed))
    # Fewer than six samples that tell two models apart prove nothing: the sign test's smallest p is a bound.
    p[others] = np.minimum(1, np.maximum(adjusted(t), 0.5 ** (differing[best, others] - 1.0)))
    called = largest[adjusted(largest) <= 1 - CONFIDENCE]
    critical = float(called[0] if len(called) else largest[-1])
    smallest = float((critical + ndtri(POWER)) * np.median(gap_errors))
    return Ranking(best, p, p <= 1 - CONFIDENCE, critical, smallest)


def mcnemar(right: np.ndarray, other: np.ndarray) -> float:
    """Exact two-sided p of McNemar's test, from which samples (N,) each of two models has right."""
    ahead, behind = int((right & ~other).sum()), int((other & ~right).sum())
    return (
        min(1.0, float(2 * bdtr(min(ahead, behind), ahead + behind, 0.5)))
        if ahead + behind
        else 1.0
    )
