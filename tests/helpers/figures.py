"""Predictions, and the figures that the comparison makes of them, without run folders."""

import numpy as np
from common.comparison.bootstrap import PLACE, Answers, Figures, resample
from common.comparison.draws import Draws
from common.comparison.ranking import Ranking, rank
from common.metrics import METRICS

from helpers.run_folders import LABELS


def some_predictions(runs: int, right: float, seed: int = 0) -> np.ndarray:
    """(runs, 400) for LABELS, right in about this share, or by chance."""
    random = np.random.default_rng(seed)
    return np.where(random.random((runs, 400)) < right, LABELS, random.integers(0, 3, (runs, 400)))


def figures_of(
    predicted: np.ndarray,
    labels: np.ndarray = LABELS,
    groups: np.ndarray | None = None,
    resamples: int = 2000,
) -> list[Figures]:
    """The figures of models of three classes that say this (M, N), each after one epoch."""
    draws = Draws(np.arange(len(labels)) if groups is None else groups, resamples)
    rows = np.arange(len(labels))
    return [resample([Answers(rows, said[None])], labels, 3, draws) for said in predicted]


def ranked(predicted: np.ndarray, labels: np.ndarray = LABELS) -> Ranking:
    """The ranking of models that say this (M, N)."""
    observed, draws, left_out = f1_of(figures_of(predicted, labels))
    return rank(observed, draws, left_out, (predicted[:, None] != predicted).sum(-1))


def f1_of(figures: list[Figures]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The macro-F1 of models, (M,), in the draws, (M, B), and without one group, (M, G)."""
    return (
        np.array([of_model.corrected[PLACE] for of_model in figures]),
        np.array([of_model.draws[PLACE] for of_model in figures]),
        np.array([of_model.left_out[PLACE] for of_model in figures]),
    )


def made_figures(value: float, draws: np.ndarray) -> Figures:
    """Figures with this value and these draws (B,) in all metrics."""
    values = np.full(len(METRICS), value)
    return Figures(values, values, np.tile(draws, (len(METRICS), 1)), np.zeros((len(METRICS), 3)))
