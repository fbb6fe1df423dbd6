"""per_class.png: F1, precision and recall of each class, with their intervals."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from ..comparison.bootstrap import Answers, Cells
from ..comparison.draws import Draws, parts
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
        said = shown.group.judged(model).predicted
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
    seeds = Cells(Answers(np.arange(len(labels)), predicted), labels, classes, draws)
    numbers = max(draws.groups, len(predicted) * classes**2)
    drawn = [_figures(seeds.drawn(part)) for part in parts(draws.resamples, numbers)]
    ends = np.quantile(np.concatenate(drawn), (0.025, 0.975), axis=0)
    return np.array([_figures(seeds.observed()), *ends])


def _figures(confusions: np.ndarray) -> np.ndarray:
    """Return F1, precision and recall (..., 3, C), means over the seeds of their confusion matrices
    (..., S, C, C)."""
    hits = np.diagonal(confusions, axis1=-2, axis2=-1)
    true, said = confusions.sum(-1), confusions.sum(-2)
    pairs = [(2 * hits, said + true), (hits, said), (hits, true)]
    return np.stack([(above / np.maximum(below, 1)).mean(-2) for above, below in pairs], axis=-2)
