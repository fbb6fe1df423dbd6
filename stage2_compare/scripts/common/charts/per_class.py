"""per_class.png: F1, precision and recall of each class, with their intervals."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from ..comparison.draws import Draws
from ..words import phrase
from .shown import SMALL, Shown, clean, fit, legend_of_models, new_figure
from .styles import BAND
from .text import wrap

_PANELS = ("f1", "precision", "recall")
_DRAWS = 2_000
_MOST_ROWS = 130  # a higher picture fits on no page


def per_class(shown: Shown) -> Figure:
    """Draw a band per class and in it a row per model, in three panels side by side."""
    say, pairs = shown.say, shown.group.validation.pairs
    models = shown.judged[: _MOST_ROWS // len(shown.classes)]
    draws, found = Draws(pairs.groups, _DRAWS), []
    for model in models:
        said = np.array([predicted for predicted, _ in shown.group.of_trials(model)])  # (S, N)
        figures = class_figures(said, pairs.labels, len(pairs.classes), draws)
        found.append(figures[..., list(shown.classes)])
    method = [phrase("about_per_class"), shown.of_classes()]
    figure, body = new_figure(shown, say("title_per_class"), method, models)
    grid = body.subplots(1, len(_PANELS), sharey=True, sharex=True)
    row = 0.17 if len(models) * len(shown.classes) < 40 else 0.11  # inches
    band = max(len(models), 0.38 / row) + 1  # rows
    middles = band * (np.arange(len(shown.classes)) + 0.5)
    names = [
        f"{wrap(name, SMALL, 1.2)}\nn = {(pairs.labels == place).sum()}"
        for place, name in shown.classes.items()
    ]
    for place, (axes, key) in enumerate(zip(grid, _PANELS, strict=True)):
        axes.set_xlabel(say(f"panel_{key}"))
        for which, (model, figures) in enumerate(zip(models, found, strict=True)):
            look, (value, low, high) = shown.looks[model.name], figures[:, place]  # (C,) each
            rows = middles + which - (len(models) - 1) / 2
            axes.hlines(rows, low, high, color=look.colour, linewidth=1.0, alpha=0.7)
            axes.plot(value, rows, clip_on=False, **look.dot(4))
        for start in range(0, len(names), 2):
            axes.axhspan(band * start, band * (start + 1), color=BAND, linewidth=0, zorder=0)
        axes.set(xlim=(0, 1), ylim=(band * len(names), 0))
        axes.set_xticks((0, 0.5, 1), ("0", ".5", "1"))
        axes.set_yticks(middles, names, size=SMALL)
        clean(axes, "x")
    legend_of_models(body, shown, models)
    return fit(figure, grid[:1], row * band * len(names))


def class_figures(
    predicted: np.ndarray, labels: np.ndarray, classes: int, draws: Draws
) -> np.ndarray:
    """Return F1, precision and recall of each class, with their 95 % intervals, (3, 3, C).

    The first axis is value, low and high; the second one the figures. They are means over the
    seeds (S, N); the intervals are percentiles over draws of groups of pairs. A figure without a
    pair to divide by is 0.
    """
    observed, drawn, drawn_groups = [], [], draws.counts.astype(np.float32)
    for row in predicted:
        counts = np.zeros((draws.groups, 3, classes), np.float32)  # hits, said, true
        right = row == labels
        np.add.at(counts, (draws.of_pair[right], 0, labels[right]), 1)
        np.add.at(counts, (draws.of_pair, 1, row), 1)
        np.add.at(counts, (draws.of_pair, 2, labels), 1)
        observed.append(_figures(counts.sum(0)))
        in_draws = drawn_groups @ counts.reshape(draws.groups, -1)
        drawn.append(_figures(in_draws.reshape(-1, 3, classes)))
    ends = np.quantile(np.mean(drawn, axis=0), (0.025, 0.975), axis=0)
    return np.array([np.mean(observed, axis=0), *ends])


def _figures(counts: np.ndarray) -> np.ndarray:
    """Return F1, precision and recall (..., 3, C) from hits, said and true pairs (..., 3, C)."""
    hits, said, true = np.moveaxis(counts, -2, 0)
    pairs = [(2 * hits, said + true), (hits, said), (hits, true)]
    return np.stack([above / np.maximum(below, 1) for above, below in pairs], axis=-2)
