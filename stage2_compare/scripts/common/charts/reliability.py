"""reliability.png: the accuracy of each run over its confidence."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..metrics import reliability as calibration
from ..metrics import wilson
from ..words import Language
from .page import Page, Panels, clean_axes
from .styles import GREY, RunStyle
from .table import Column, Table, heading

_HISTOGRAM, _BETWEEN, _BELOW = 0.42, 0.15, 0.45  # inches
_TICKS = (0, 0.25, 0.5, 0.75, 1), ("0", ".25", ".5", ".75", "1")


def reliability(styles: list[RunStyle], say: Language) -> Figure:
    """Draw a reliability diagram per run, and below it a histogram of its confidence."""
    answers = []  # the probability of each predicted class (N,), and whether it is the true one (N,)
    for found in (style.run.predictions for style in styles):
        predicted = np.array(found.predicted)
        confidence = np.array(found.probabilities)[np.arange(len(predicted)), predicted]
        answers.append((confidence, predicted == np.array(found.labels)))
    results = [calibration(*answer) for answer in answers]
    most, least = (3, min(3, len(styles) + 1)) if len(styles) <= 6 else (4, 4)
    panels = Panels(
        styles,
        lambda width: width + _BETWEEN + _HISTOGRAM + _BELOW,
        most=most,
        least=least,
        left=0.5,
    )
    confidence = [float(values.mean()) for values, _ in answers]
    accuracy = [float(correct.mean()) for _, correct in answers]
    excess, errors = np.subtract(confidence, accuracy), [error for _, error in results]
    columns = [
        Column(heading("column_confidence", say), [f"{value:.3f}" for value in confidence]),
        Column.of(styles, heading("column_accuracy", say), accuracy, decimals=3, best=max),
        Column(heading("column_excess", say), [f"{value:+.3f}" for value in excess]),
        Column.of(styles, heading("column_ece", say), errors, decimals=3, best=min),
    ]
    table = Table(styles, columns)
    page = Page(
        say("title_reliability"), say("about_reliability"), panels.height + 0.1 + table.height
    )
    counts = np.array([_values(bins, "count") for bins, _ in results])  # (R, bins)
    shares = counts / counts.sum(1, keepdims=True)
    places = panels.draw(page, 0)
    for panel, (bins, _), share in zip(places, results, shares, strict=True):
        diagram = page.axes(panel.x, panel.y, panels.width, panels.width)
        below = panel.y + panels.width + _BETWEEN
        histogram = page.axes(panel.x, below, panels.width, _HISTOGRAM)
        _draw_diagram(diagram, panel.style, [row for row in bins if row["count"]])
        _draw_histogram(histogram, panel.style.colour, share, shares.max())
        for axes, name in ((diagram, "axis_accuracy"), (histogram, "axis_share")):
            axes.tick_params(labelleft=panel.first)
            if panel.first:
                axes.set_ylabel(say(name))
                axes.yaxis.set_label_coords(-0.36 / panels.width, 0.5)
        if panel.lowest:
            histogram.set_xlabel(say("axis_confidence"))
    table.draw(page, panels.height + 0.1)
    return page.figure


def _values(bins: list[dict], key: str) -> np.ndarray:
    return np.array([row[key] for row in bins], float)


def _draw_diagram(axes: Axes, style: RunStyle, bins: list[dict]) -> None:
    axes.plot((0, 1), (0, 1), color=GREY, linewidth=1, linestyle=(0, (4, 2)), zorder=1)
    confidence, accuracy = _values(bins, "confidence"), _values(bins, "accuracy")
    low, high = wilson(accuracy, _values(bins, "count"))
    axes.vlines(confidence, low, high, color=style.colour, linewidth=3.5, alpha=0.3, zorder=2)
    axes.plot(confidence, accuracy, linewidth=1.2, clip_on=False, **style.dot(4.5))
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_yticks(*_TICKS)
    axes.set_xticks(_TICKS[0], [""] * len(_TICKS[0]))
    clean_axes(axes)


def _draw_histogram(axes: Axes, colour: str, shares: np.ndarray, tallest: float) -> None:
    edges = np.arange(len(shares)) / len(shares)
    bars = {"align": "edge", "color": colour, "edgecolor": "white", "linewidth": 0.5}
    axes.bar(edges, shares, 1 / len(shares), **bars)
    axes.set(xlim=(0, 1), ylim=(0, tallest * 1.02))
    axes.set_yticks((0, tallest), ("0", f"{tallest:.2f}".lstrip("0")))
    axes.set_xticks(*_TICKS)
    axes.spines[["top", "right"]].set_visible(False)
