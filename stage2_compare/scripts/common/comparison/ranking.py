"""Significance tests: every model against the best one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from .intervals import CONFIDENCE

_LEVEL = 1 - CONFIDENCE  # a p that is at most this is significant
POWER = 0.80  # of the smallest difference that could have been shown
FEWEST_GROUPS = 60  # of pairs, and so many a model: with fewer, equal models are called worse
GROUPS_A_MODEL = 12
_ROUNDING = 1e-12  # less than this is no difference
FEWEST_DIFFERING = 6  # groups on which two models differ: five prove nothing (.5 ** 4 > .05)
_CLOSE = 5  # standard errors of p; that of t is estimated too, so p varies by up to two of them
_MOST_WORK = 20_000_000  # differences: seconds; with hundreds of models fewer draws are used
_RARE = 0.99  # share of draws that tells how rare a difference between two models is
_ONE_ERROR = ndtr([-1.0, 1.0])  # levels one standard error from the middle


@dataclass(frozen=True)
class Ranking:
    """M models against the best of them."""

    best: int
    p: np.ndarray  # (M,) adjusted; 1 for the best itself
    worse: np.ndarray  # (M,) true where p is at most 5 %, and the best is higher
    better: np.ndarray  # (M,) true where p is at most 5 %, and the best is lower
    close: bool  # to 5 %: with other draws a verdict may be another one
    critical: float  # normal deviate that a significant difference reaches
    smallest_difference: float | None  # that each of the others would have shown with 80 % power


def rank(
    observed: np.ndarray,
    draws: np.ndarray,
    left_out: np.ndarray,
    differing: np.ndarray,
    best: int | None = None,
) -> Ranking:
    """Test which of M models are worse than the best, which was chosen on the same samples.

    The critical value is that of the largest of all differences between two models (Tukey's
    comparison of all pairs, by the bootstrap as in Westfall and Young 1993, minP): where all are
    equally good, none is called worse with 95 % confidence, whichever comes out best by chance. A
    difference counts as the normal deviate that is as rare as its t. Two models that differ on too
    few groups can never be significant, and do not count (Tarone 1990).

    Args:
        observed: (M,) the metric.
        draws: (M, B) the metric in the draws.
        left_out: (M, G) the metric without one group of pairs.
        differing: (M, M) number of groups of pairs on which two models differ.
        best: place of the model that the others are held against; by default the highest.
    """
    best = int(observed.argmax()) if best is None else best
    others = np.delete(np.arange(len(observed)), best)
    p = np.ones(len(observed))
    if not len(others):
        return Ranking(best, p, np.zeros(1, bool), np.zeros(1, bool), False, np.nan, None)
    # 1. The largest difference that chance alone makes, in each draw.
    comparisons = len(observed) * len(others) // 2
    moved = (draws - observed[:, None])[:, :: 1 + comparisons * draws.shape[1] // _MOST_WORK]
    largest = _largest_differences(moved, differing)
    # 2. The differences from the best, in their standard errors, as normal deviates.
    gaps, from_best = observed[best] - observed[others], differing[best, others]  # (M - 1,) each
    errors = standard_errors(moved[best] - moved[others])
    sizes = np.abs(gaps)
    t = np.divide(
        sizes, errors, out=np.where(sizes > _ROUNDING, np.inf, 0.0), where=errors > _ROUNDING
    )
    freedom = _degrees_of_freedom(left_out[best] - left_out[others])  # (M - 1,)
    deviates = -ndtri(stdtr(freedom, -t))
    # 3. Fewer than six samples with different predictions prove nothing: the smallest p of the sign
    # test is a bound.
    bound = 0.5 ** (from_best - 1.0)
    p[others] = np.minimum(1, np.maximum(_p_values(deviates, largest), bound))
    # 4. The smallest difference that is significant.
    significant = largest[_p_values(largest, largest) <= _LEVEL]
    critical = float(significant[0] if len(significant) else largest[-1])
    smallest = _smallest_difference(errors, freedom, critical, from_best)
    close = bool((np.abs(p[others] - _LEVEL) < _CLOSE * _error(_LEVEL, len(largest))).any())
    worse, better = ((p <= _LEVEL) & (sign * (observed - observed[best]) > 0) for sign in (-1, 1))
    return Ranking(best, p, worse, better, close, critical, smallest)


def _smallest_difference(
    errors: np.ndarray, freedom: np.ndarray, critical: float, differing: np.ndarray
) -> float | None:
    """Return the difference that each of the other models would have shown with 80 % power.

    A model that is wrong on n more pairs is some n ** 0.5 standard errors away. Where fewer differ
    than it takes, the standard error is not that of a difference that would be shown: None.

    Args:
        errors: (M - 1,) standard errors of the differences.
        freedom: (M - 1,) degrees of freedom.
        critical: normal deviate that is significant.
        differing: (M - 1,) number of groups of pairs on which a model and the best one differ.
    """
    fewest = max(FEWEST_DIFFERING, (critical + ndtri(POWER)) ** 2)
    if errors.min() <= _ROUNDING or differing.min() < fewest:
        return None
    reached = -stdtrit(freedom, ndtr(-critical))  # t that is significant
    return float(((reached + ndtri(POWER)) * errors).max())


def _largest_differences(moved: np.ndarray, differing: np.ndarray) -> np.ndarray:
    """Return the largest difference of two models in each draw, as a normal deviate, sorted.

    Of each two models, the difference that one draw in a hundred exceeds counts as equally rare.
    In their usual standard errors, the rare jumps between near twins would be the largest of all.

    Args:
        moved: (M, B) from what was observed.
        differing: (M, M) number of groups of pairs on which two models differ.
    """
    largest = np.zeros(moved.shape[1])
    for first, second in np.argwhere(np.triu(differing >= FEWEST_DIFFERING, 1)):
        between = np.abs(moved[first] - moved[second])  # (B,)
        error = np.quantile(between, _RARE) / ndtri((1 + _RARE) / 2)
        largest = np.maximum(largest, between / max(error, _ROUNDING))
    return np.sort(largest)


def too_few(groups: int, models: int) -> bool:
    """Say if there are too few independent pairs for a verdict on so many models."""
    return groups < max(FEWEST_GROUPS, GROUPS_A_MODEL * models)


def standard_errors(moved: np.ndarray) -> np.ndarray:
    """Return half the width that holds 68 % of the draws (..., B), which no rare draw can move.

    Where so many draws are equal that it is zero, return the standard deviation.
    """
    low, high = np.quantile(moved, _ONE_ERROR, axis=-1)
    return np.where(high - low > _ROUNDING, (high - low) / 2, moved.std(-1))


def _degrees_of_freedom(differences: np.ndarray) -> np.ndarray:
    """Return how well the standard error of a difference is known, as degrees of freedom of a t.

    A macro-F1 may hang on the few pairs of a rare class: then its standard error is no better known
    than from those. It is as uncertain as the squared influences of the groups vary.

    Args:
        differences: (M, G) of the metric without one group.
    """
    squares = (differences - differences.mean(1, keepdims=True)) ** 2
    total = squares.sum(1)
    share = np.divide(
        (squares**2).sum(1), total**2, out=np.zeros_like(total), where=total > _ROUNDING**2
    )
    return 2 / np.maximum(share - 1 / squares.shape[1], 1e-6)


def _p_values(differences: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """Return p of each difference in standard errors, from the largest one of each draw, sorted.

    It is two standard errors of the simulated p too high: the draws must not make a
    difference significant.
    """
    count = len(largest)
    p = (1 + count - np.searchsorted(largest, differences)) / (1 + count)
    return np.minimum(1, p + 2 * _error(p, count))


def _error(p: np.ndarray | float, count: int) -> np.ndarray | float:
    """Return the standard error of a p that is estimated from so many draws."""
    return np.sqrt(p * (1 - p) / count)
