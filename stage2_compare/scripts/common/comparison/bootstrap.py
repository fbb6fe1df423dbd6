"""The metrics of a model in many draws of the validation pairs, the best epoch chosen in each.

Nothing is assumed of how errors go together: all models share the draws, so they stay paired.
tests/simulate_verdicts.py measures what is promised here.

``resample`` counts confusion matrices instead of calling scikit-learn, because that takes 2.9
seconds for the four metrics of one model in 2,000 draws of 400 samples, and this takes 0.02.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy import sparse

from ..metrics import MAIN, METRICS, scores
from .draws import Draws, parts
from .selection import choose

PLACE = METRICS.index(MAIN)  # of macro-F1 among the metrics


class Answers(NamedTuple):
    """The classes that one run says at each of its epochs (E), on all N pairs, or on those of its fold."""

    rows: np.ndarray  # (n,) places among the N pairs
    predicted: np.ndarray  # (E, n) classes, counted from 0


@dataclass(frozen=True)
class Figures:
    """The metrics (K, as in METRICS) of one model, in B draws of G groups of pairs."""

    apparent: np.ndarray  # (K,) at the chosen epoch, as observed
    corrected: np.ndarray  # (K,) without selection bias
    draws: np.ndarray  # (K, B) of the corrected figure
    left_out: np.ndarray  # (K, G) the apparent figure without one group
    epochs: tuple[np.ndarray, ...] = ()  # (B,) chosen in each draw, of each run that is joined


def resample(answers: list[Answers], labels: np.ndarray, classes: int, draws: Draws) -> Figures:
    """Resample the metrics of a model.

    Args:
        answers: those of one run, or of one run per fold: then their pairs are joined.
        labels: (N,) true classes, counted from 0.
        classes: C.
    """
    runs = [Cells(of_run, labels, classes, draws) for of_run in answers]
    observed = [run.observed() for run in runs]  # (E, C, C) each
    best = [int(scores(of_run)[MAIN.key].argmax()) for of_run in observed]
    chosen = [run.choose() for run in runs]  # (B,) each
    # 1. The joined metrics in the draws: of the epochs chosen there, and of those chosen once.
    of_chosen, expected, of_best = [], [], []
    most_epochs = max(run.epochs for run in runs)
    for part in parts(draws.resamples, max(draws.groups, most_epochs * classes**2)):
        drawn = [run.drawn(part) for run in runs]  # (b, E, C, C) each
        here, rows = [of_run[part] for of_run in chosen], np.arange(part.stop - part.start)
        of_chosen.append(_joined(drawn, [(rows, epochs) for epochs in here]))
        expected.append(_joined(observed, here))
        of_best.append(_joined(drawn, [(slice(None), epoch) for epoch in best]))
    # 2. What the choice gains.
    apparent = _joined(observed, best)  # (K,)
    figures = Figures(
        apparent=apparent,
        corrected=apparent,
        draws=np.concatenate(of_best, axis=1),
        left_out=_without_each_group(runs, best, observed, draws.groups),
        epochs=tuple(chosen),
    )
    return without_selection_bias(
        figures, np.concatenate(of_chosen, axis=1), np.concatenate(expected, axis=1)
    )


def without_selection_bias(fixed: Figures, drawn: np.ndarray, expected: np.ndarray) -> Figures:
    """Correct for selection bias: how much higher the draws are in which one is chosen than expected.

    Args:
        fixed: of what was chosen once, in all draws.
        drawn: (K, B) metrics, in each draw, of what is chosen there.
        expected: (K, B) the same as observed, without drawing.
    """
    moved = drawn - expected  # (K, B)
    gain = moved.mean(1) - (fixed.draws - fixed.apparent[:, None]).mean(1)  # (K,)
    corrected = fixed.apparent - gain
    return replace(fixed, corrected=corrected, draws=(corrected - gain)[:, None] + moved)


def mean(models: list[Figures]) -> Figures:
    """Average the metrics of models, or of one model's seeds, draw by draw."""

    def averaged(name: str) -> np.ndarray:
        return np.mean([getattr(model, name) for model in models], axis=0)

    return Figures(*map(averaged, ("apparent", "corrected", "draws", "left_out")))


class Cells:
    """The answers of one run as cells of confusion matrices, summed over each group of pairs."""

    def __init__(self, answers: Answers, labels: np.ndarray, classes: int, draws: Draws):
        self.classes, self.draws = classes, draws
        self.epochs = len(answers.predicted)
        cells = labels[answers.rows] * classes + answers.predicted  # (E, n)
        self.used, places = np.unique(cells, return_inverse=True)  # few of the cells are in use
        rows = places.reshape(cells.shape) + len(self.used) * np.arange(self.epochs)[:, None]
        columns = np.broadcast_to(draws.of_pair[answers.rows], cells.shape)
        self.table = sparse.csr_matrix(
            (np.ones(cells.size, np.float32), (rows.ravel(), columns.ravel())),
            shape=(self.epochs * len(self.used), draws.groups),
        )  # (E * U, G)

    def observed(self) -> np.ndarray:
        """Return the confusion matrices (E, C, C)."""
        return self._dense(np.asarray(self.table.sum(1)).reshape(self.epochs, -1))

    def drawn(self, part: slice) -> np.ndarray:
        """Return the confusion matrices in some draws, (b, E, C, C)."""
        counts = np.ascontiguousarray(self.draws.counts[part].T, np.float32)  # (G, b)
        cells = (self.table @ counts).reshape(self.epochs, len(self.used), -1)  # (E, U, b)
        return self._dense(cells.transpose(2, 0, 1))

    def of_groups(self, part: slice, epoch: int) -> np.ndarray:
        """Return what each of some groups adds to the confusion matrix of an epoch, (g, C, C)."""
        rows = slice(epoch * len(self.used), (epoch + 1) * len(self.used))
        return self._dense(self.table[rows, part].toarray().T)

    def choose(self) -> np.ndarray:
        """Choose the epoch of each draw, (B,)."""
        if self.epochs == 1:
            return np.zeros(self.draws.resamples, int)
        numbers = max(self.draws.groups, self.epochs * self.classes**2)
        drawn = map(self.drawn, parts(self.draws.resamples, numbers))
        in_draws = np.concatenate([scores(of_part)[MAIN.key] for of_part in drawn])  # (B, E)
        return choose(scores(self.observed())[MAIN.key], in_draws.T)

    def _dense(self, cells: np.ndarray) -> np.ndarray:
        """Put the used cells (..., U) where they belong in confusion matrices (..., C, C)."""
        confusions = np.zeros((*cells.shape[:-1], self.classes**2), np.float32)
        confusions[..., self.used] = cells
        return confusions.reshape(*cells.shape[:-1], self.classes, self.classes)


def _joined(confusions: list[np.ndarray], places: list) -> np.ndarray:
    """Return the metrics (K, ...) of confusion matrices at one place each, summed over the runs."""
    return metrics(sum(of_run[place] for of_run, place in zip(confusions, places, strict=True)))


def metrics(confusions: np.ndarray) -> np.ndarray:
    """Return the metrics (K, ...) of confusion matrices (..., C, C)."""
    found = scores(confusions)
    return np.array([found[metric.key] for metric in METRICS])


def _without_each_group(
    runs: list[Cells], epochs: list[int], observed: list[np.ndarray], groups: int
) -> np.ndarray:
    """Return the metrics (K, G) at these epochs without one group of pairs."""
    total = sum(of_run[epoch] for of_run, epoch in zip(observed, epochs, strict=True))
    found = []
    for part in parts(groups, total.size):
        of_groups = sum(
            run.of_groups(part, epoch) for run, epoch in zip(runs, epochs, strict=True)
        )  # (g, C, C)
        found.append(metrics(total - of_groups))
    return np.concatenate(found, axis=1)
