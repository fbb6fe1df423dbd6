"""params_time.png: what each model costs, parameters, time and inference, beside what it is worth."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..comparison.results import shown as figure_of
from ..comparison.wording import metric_title
from ..metrics import MAIN
from ..runs.layout import INFERENCE
from ..words import phrase, unit_of
from .shown import SMALL, Shown, clean, fit, legend, new_figure, rows_of
from .styles import GREY

_PALE = 0.4  # of the part of a bar that is no training


def params_time(shown: Shown) -> Figure:
    """Draw a row per model: its parameters, the time that its training took with the reading of
    pairs by a frozen encoder, the milliseconds of an answer where a model has them, and its
    macro-F1."""
    say, table = shown.say, shown.table
    keys = ["params_million", "trainable_params_million", "train_time_sec", "encode_time_sec"]
    parameters, trained, training, reading = table[keys].astype(float).fillna(0).to_numpy().T
    unit, seconds = unit_of((training + reading).max())
    answer = table[INFERENCE[0]].astype(float).to_numpy()
    figure, body = new_figure(shown, say("title_params_time"), [phrase("about_params_time")])
    widths = (1, 1, 0.9) if np.isnan(answer).all() else (0.85, 0.85, 0.85, 1.15)
    left, middle, *others, right = body.subplots(1, len(widths), sharey=True, width_ratios=widths)
    colours = [shown.looks[model.name].colour for model in shown.models]
    _bars(left, trained, parameters - trained, colours)
    _bars(middle, training / seconds, reading / seconds, colours)
    for axes in others:
        _bars(axes, answer, np.zeros(len(answer)), colours)
        axes.set_xlabel(say("axis_inference"))
    height = rows_of(left, [shown.label(model) for model in shown.models])
    left.set_xlabel(say("axis_params"))
    middle.set_xlabel(say("axis_time", unit=unit))
    _figures(right, shown, colours)
    right.set_xlabel(say(metric_title(MAIN)))
    if (parameters - trained > 1e-6).any() or reading.any():
        patches = [Patch(color=GREY, alpha=alpha, linewidth=0) for alpha in (1, _PALE)]
        legend(body, patches, [say("key_training_cost"), say("key_frozen_cost")])
    return fit(figure, [left], height)


def _bars(axes: Axes, solid: np.ndarray, pale: np.ndarray, colours: list[str]) -> None:
    """Draw a bar of two parts per row, and its whole length as a number; nan has no bar."""
    rows, ends = range(len(solid)), solid + pale
    longest = np.nanmax(ends)
    axes.barh(rows, solid, 0.5, color=colours)
    axes.barh(rows, pale, 0.5, left=solid, color=colours, alpha=_PALE)
    decimals = 1 if np.nanmin(ends) >= 1 else 2
    for row, end in enumerate(ends):
        number = "–" if np.isnan(end) else f"{end:,.{decimals}f}"
        axes.text(np.nan_to_num(end) + 0.03 * longest, row, number, va="center", size=SMALL)
    axes.set_xlim(0, 1.55 * longest or 1)
    axes.locator_params(axis="x", nbins=2)  # the panels are narrow, and bars have their numbers
    clean(axes, "x")
    axes.grid(False)  # it would cross the numbers


def _figures(axes: Axes, shown: Shown, colours: list[str]) -> None:
    values, rows = figure_of(shown.table, MAIN), range(len(colours))
    low, high = (shown.table[f"{MAIN.prefix}_{end}"].astype(float) for end in ("low", "high"))
    axes.hlines(rows, low, high, color=colours, linewidth=1.6)
    for row, (model, value) in enumerate(zip(shown.models, values, strict=True)):
        axes.plot(value, row, **shown.looks[model.name].dot())
    axes.margins(x=0.12)
    axes.locator_params(axis="x", nbins=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("0.", "."))
    clean(axes, "x")
