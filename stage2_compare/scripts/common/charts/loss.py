"""loss_curves.png: training and validation loss of each model, all on the same axes."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..words import phrase
from .shown import Shown, fit_panels, legend, new_figure, panels
from .styles import GREY, PAPER

_LINES = {
    "train_loss": {"linestyle": "-", "marker": ".", "markersize": 4},
    "val_loss": {"linestyle": (0, (4, 1.5)), "marker": "o", "markersize": 3, "mfc": PAPER},
}
_BEST = {"marker": "*", "markersize": 9, "markeredgecolor": "none", "linestyle": "none"}


def loss_curves(shown: Shown) -> Figure:
    """Draw one panel per model, with a line per run."""
    say = shown.say
    runs = {model.name: shown.runs(model) for model in shown.models}
    rows = [row for own in runs.values() for run in own for row in run.history]
    method = [phrase("about_loss")]
    if any(row["val_loss"] is None for row in rows):
        method.append(phrase("no_val_loss"))
    figure, body = new_figure(shown, say("title_loss_curves"), method)
    grid = panels(body, shown, shown.models, 3)
    losses = [row[name] for row in rows for name in _LINES if row[name] is not None]
    middle = (min(losses) + max(losses)) / 2
    half = max(0.55 * (max(losses) - min(losses)), 0.1 * middle, 0.05)  # one epoch has no range
    last = max(row["epoch"] for row in rows)
    grid[0].set(ylim=(max(0, middle - half), middle + half), xlim=(0.7, last + 0.3))
    grid[0].set_xticks(np.unique(np.linspace(1, last, 6).astype(int)))
    grid[0].yaxis.set_major_locator(MaxNLocator(5))
    # Written out: a common factor would stand in the name of the model.
    grid[0].yaxis.set_major_formatter("{x:g}")
    for axes, model in zip(grid, shown.models, strict=True):
        colour, several = shown.looks[model.name].colour, len(runs[model.name]) > 1
        thin = {"color": colour, "linewidth": 1.0 if several else 1.5}
        for run in runs[model.name]:
            epochs = [row["epoch"] for row in run.history]
            for name, line in _LINES.items():
                own = [math.nan if row[name] is None else row[name] for row in run.history]
                axes.plot(epochs, own, **thin, **line)
            loss = run.best["val_loss"]
            star = run.best["train_loss"] if loss is None else loss
            axes.plot(run.best["epoch"], star, color=colour, **_BEST)
    marks = [Line2D([], [], color=GREY, **mark) for mark in (*_LINES.values(), _BEST)]
    legend(body, marks, [say(f"key_{name}") for name in ("training", "validation", "best_epoch")])
    height = 1.25 if len(grid) > 1 else 2.4
    return fit_panels(figure, grid, say("axis_epoch"), say("axis_loss"), height)
