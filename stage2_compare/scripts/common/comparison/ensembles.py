"""Ensembles: the mean of the probabilities that the models say, of all or of the best two.

Folds and seeds of a model are averaged first. What was chosen, the epochs and the best two, is
chosen again in every draw.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from .bootstrap import PLACE, Answers, Figures, metrics, resample, without_selection_bias
from .draws import Draws
from .judging import Judged, Judgement, beside
from .pairs import Pairs
from .selection import centred
from .wording import NOT_CORRECTED, TOO_FEW

ALL, BEST_TWO = "ensemble of all models", "ensemble of the best two"  # phrases
_MOST_WORK = 2_000_000_000  # probabilities that are added up


class _Voice(NamedTuple):
    """The probabilities that one run gives the pairs of its fold."""

    rows: np.ndarray  # (n,) places among the N pairs
    shares: np.ndarray  # (E, n, C)
    epochs: np.ndarray  # (B,) chosen in each draw
    best: int  # chosen once
    seeds: int  # of its model


def ensembles(judgement: Judgement) -> dict[str, Judged]:
    """Judge ensembles, each by itself, against the best of the models, by name.

    There is none where fewer than two models have kept their probabilities. What other seeds would
    change in an ensemble is not known, and not in its interval.
    """
    pairs, draws = judgement.pairs, judgement.draws
    models = [_voices(model, pairs) for model in judgement.models.values()]
    if len(models) < 2 or not all(models):
        return {}
    runs = sum(map(len, models))
    correct = runs * len(pairs) * len(pairs.classes) * draws.resamples <= _MOST_WORK
    found = {}
    for name, once, in_draws in _choices(judgement.figures):
        said = _said(models, once, None, pairs)
        answers = [Answers(np.arange(len(pairs)), said[None])]
        own = resample(answers, pairs.labels, len(pairs.classes), draws)
        if correct:
            own = _corrected(own, models, in_draws, pairs, draws)
        ensemble = Judged(name=name, figures=[own], predicted=said[None])
        judged = beside(judgement, [ensemble], [own])[name]
        if not correct and judged.verdict != TOO_FEW:
            judged = replace(judged, verdict=NOT_CORRECTED, p=None)
        found[name] = judged
    return found


def _choices(figures: list[Figures]) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return each ensemble: its name, its models, and its models in each draw (m, B)."""
    observed = np.array([of_model.corrected[PLACE] for of_model in figures])  # (M,)
    main = np.array([of_model.draws[PLACE] for of_model in figures])  # (M, B)
    everyone = np.arange(len(figures))
    found = [(ALL, everyone, np.repeat(everyone[:, None], main.shape[1], axis=1))]
    if len(figures) > 2:
        in_draws = np.argsort(-centred(observed, main), axis=0, kind="stable")[:2]
        found.append((BEST_TWO, np.argsort(-observed, kind="stable")[:2], in_draws))
    return found


def _voices(model: Judged, pairs: Pairs) -> list[_Voice]:
    """Read the probabilities of a model's runs; [] where one has kept none."""
    found = []
    for trial, figures in zip(model.trials, model.figures, strict=True):
        for run, epochs in zip(trial.runs, figures.epochs, strict=True):
            if run.shares is None:
                return []
            rows, shares = pairs.rows(run.predictions), run.shares.astype(np.float32)
            best = int(run.best["epoch"]) - 1 if run.chose_epoch else 0  # the only one there is
            found.append(_Voice(rows, shares, epochs, best, len(model.trials)))
    return found


def _said(
    models: list[list[_Voice]], which: np.ndarray, draw: int | None, pairs: Pairs
) -> np.ndarray:
    """Return the classes (N,) that some models say together, with the epochs of a draw."""
    together = 0
    for voices in (models[place] for place in which):
        total = np.zeros((len(pairs), len(pairs.classes)), np.float32)  # of its seeds
        for voice in voices:
            epoch = voice.best if draw is None else voice.epochs[draw]
            total[voice.rows] += voice.shares[epoch]
        together = together + total / voice.seeds
    return together.argmax(1)


def _corrected(
    fixed: Figures, models: list[list[_Voice]], in_draws: np.ndarray, pairs: Pairs, draws: Draws
) -> Figures:
    """Choose the epochs, and the models (m, B), again in every draw."""
    classes = len(pairs.classes)
    drawn, expected = [], []
    for draw in range(draws.resamples):
        cells = pairs.labels * classes + _said(models, in_draws[:, draw], draw, pairs)
        weights = draws.counts[draw][draws.of_pair]
        for confusions, counts in ((drawn, weights), (expected, None)):
            counted = np.bincount(cells, counts, minlength=classes**2)
            confusions.append(counted.reshape(classes, classes))
    return without_selection_bias(fixed, metrics(np.array(drawn)), metrics(np.array(expected)))
