"""Confidence intervals of the scores of models on one validation set, by bootstrap.

The N samples are drawn N at a time with replacement, many times, and each time the same ones for
every model: so the models stay paired, and nothing is assumed of how their errors go together. The
draws depend on N alone: a model keeps its interval whichever others lie beside it.
tests/simulate_verdicts.py measures what is promised here.

``resample`` counts confusion matrices instead of calling scikit-learn, because that takes 2.9
seconds for the four metrics of one model in 2,000 draws of 400 samples, and this takes 0.02.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri  # scipy.stats takes longer to import than all the rest

from ..metrics import METRICS, scores

CONFIDENCE = 0.95
POWER = 0.80  # of the smallest difference that could have been shown
RESAMPLES = 2000
SEED = 20_000  # of the draws: the same folder gives the same table
_COUNTS_AT_ONCE = 4_000_000  # limits the memory


class Estimate(NamedTuple):
    """A metric with its 95 % interval.

    The value is None where a run has not recorded the metric, and the interval also where there are
    no predictions to resample.
    """

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Resampled:
    """One metric of M models: as observed, in B draws, and with each of the N samples left out."""

    observed: np.ndarray  # (M,)
    draws: np.ndarray  # (M, B)
    left_out: np.ndarray  # (M, N)


def resample(
    labels: np.ndarray,
    predicted: np.ndarray,
    classes: int,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> dict[str, Resampled]:
    """Resample every metric of METRICS, by its key, for M models.

    Args:
        labels: (N,) true classes, counted from 0.
        predicted: (M, N) the class that each model predicts.
        classes: C.
    """
    # 1. A confusion matrix needs only the cell of each sample, and few of its cells are in use.
    used, cells, one_hot = [], [], []
    for row in predicted:
        cells_in_use, cell = np.unique(labels * classes + row, return_inverse=True)
        used.append(cells_in_use)  # (U,)
        cells.append(cell.ravel())  # (N,) places in cells_in_use
        one_hot.append(np.eye(len(cells_in_use), dtype=np.float32)[cells[-1]])  # (N, U)
    # 2. All models share the draws.
    drawn = [[] for _ in predicted]
    for counts in _draws(len(labels), resamples, seed):  # (b, N)
        for parts, samples in zip(drawn, one_hot, strict=True):
            parts.append(counts @ samples)  # (b, U)
    # 3. The metrics of each model: as observed, in the draws, and without one sample of each cell.
    found = {metric.key: ([], [], []) for metric in METRICS}
    for parts, cells_in_use, cell in zip(drawn, used, cells, strict=True):
        total = np.bincount(cell)[None]  # (1, U)
        observed = _scores(total, cells_in_use, classes)
        draws = _scores(np.concatenate(parts), cells_in_use, classes)
        left_out = _scores(total - np.eye(total.size), cells_in_use, classes)
        for key, (of_observed, of_draws, of_left_out) in found.items():
            of_observed.append(observed[key][0])
            of_draws.append(draws[key])  # (B,)
            of_left_out.append(left_out[key][cell])  # (N,)
    return {key: Resampled(*map(np.array, values)) for key, values in found.items()}


def _draws(samples: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Count how often each sample is in each draw: (B, N), in parts (b, N) that fit in memory."""
    random = np.random.default_rng(seed)
    at_once = max(1, _COUNTS_AT_ONCE // samples)
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        chosen = random.integers(0, samples, (rows, samples)) + samples * np.arange(rows)[:, None]
        counts = np.bincount(chosen.ravel(), minlength=rows * samples)
        yield counts.reshape(rows, samples).astype(np.float32)


def _scores(counts: np.ndarray, used: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    """Compute metrics (K,) from the counts (K, U) in the used cells (U) of confusion matrices."""
    confusions = np.zeros((len(counts), classes * classes))
    confusions[:, used] = counts
    return scores(confusions.reshape(-1, classes, classes))


def over_seeds(
    of_runs: Resampled,
    groups: list[list[int]],
    seed: int = SEED,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Resampled:
    """Average over the seeds of each group; a group holds the places of its runs in ``of_runs``.

    Each draw of a group with several seeds also gets the change that other seeds would have made.
    Drawing from two or three seeds with replacement does not serve: in simulations it finds false
    differences in up to 39 % of cases where seeds matter, and in under 1 % where they do not. So
    the spread of its seeds beyond that of the samples is added to the draws, as Student's t with as
    many degrees of freedom as the seeds have. It takes three seeds to know their spread at all:
    with two, false differences are found in up to 12 %.

    Args:
        bounds: lowest and highest value that the metric can have.
    """
    observed = np.array([of_runs.observed[group].mean() for group in groups])  # (G,)
    draws = np.array([of_runs.draws[group].mean(0) for group in groups])  # (G, B)
    left_out = np.array([of_runs.left_out[group].mean(0) for group in groups])  # (G, N)
    random = np.random.default_rng(seed + 1)
    for row, group in zip(draws, groups, strict=True):
        if len(group) > 1:
            moved = of_runs.draws[group] - of_runs.observed[group][:, None]  # (seeds, B)
            excess = of_runs.observed[group].var(ddof=1) - moved.var(0, ddof=1).mean()
            error = np.sqrt(max(0.0, excess) / len(group))  # of the mean over the seeds
            row += error * random.standard_t(len(group) - 1, len(row))
    return Resampled(observed, np.clip(draws, *bounds), left_out)


def intervals(resampled: Resampled) -> list[Estimate]:
    """Estimate M models with 95 % intervals: bias-corrected and accelerated (Efron 1987, BCa).

    With classes of ten samples and good models, plain percentiles of macro recall cover the truth
    in 92 % of simulations, normal intervals in 89 %, and BCa in 94 %.
    """
    observed, draws = resampled.observed[:, None], resampled.draws  # (M, 1), (M, B)
    count, samples = draws.shape[1], resampled.left_out.shape[1]
    # 1. The bias: where the observed value lies among the draws. An equal draw counts half.
    below = ((draws < observed).mean(1) + (draws <= observed).mean(1)) / 2
    bias = ndtri(np.clip(below, 1 / count, 1 - 1 / count))[:, None]  # (M, 1)
    # 2. The acceleration: how skewed the influence of single samples is.
    influence = resampled.left_out.mean(1, keepdims=True) - resampled.left_out  # (M, N)
    cubes, squares = (influence**3).sum(1), (influence**2).sum(1)
    acceleration = np.divide(
        cubes, 6 * squares**1.5, out=np.zeros_like(cubes), where=squares > 1e-30
    )[:, None]  # (M, 1)
    # 3. Both shift the levels at which the draws are cut.
    tail = (1 - CONFIDENCE) / 2
    shifted = bias + ndtri([tail, 1 - tail])  # (M, 2)
    levels = ndtr(bias + shifted / (1 - acceleration * shifted))  # (M, 2)
    ends = [np.quantile(row, level) for row, level in zip(draws, levels, strict=True)]
    low, high = np.array(ends).T
    # 4. A model without one error, or without one hit, is the same in every draw: Clopper and
    # Pearson's limit instead.
    limit = tail ** (1 / samples)
    low = np.where(resampled.observed == 1, np.minimum(low, limit), low)
    high = np.where(resampled.observed == 0, np.maximum(high, 1 - limit), high)
    found = np.c_[resampled.observed, low, high].tolist()
    return [Estimate(*values) for values in found]
