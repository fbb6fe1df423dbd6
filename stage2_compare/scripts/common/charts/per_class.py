"""per_class.png: F1, precision and recall of each class."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..metrics import per_class as class_scores
from .confusion import answers, confusions
from .page import GREY, INNER, MARGIN, PALE, Look, Page, dot
from .table import Table, metric_columns, remark_on_best
from .text import widest, wrap

PANELS = {"f1": "F1", "precision": "Precision", "recall": "Recall"}
LINE, GAP = 0.15, 0.25


def per_class(looks: list[Look]) -> Figure:
    """A band per class and in it a row per run, in three panels side by side."""
    classes, matrices = confusions(looks)
    scores = [class_scores(*answers(look, classes), len(classes)) for look in looks]
    names = [
        [*wrap(name, 8.5, 1.5), support]
        for name, support in zip(classes, supports(scores), strict=True)
    ]
    row = min(0.12, max(0.075, 6 / (len(classes) * len(looks))))
    heights = [max(row * len(looks), LINE * len(name)) + 0.14 for name in names]
    table = Table(looks, metric_columns(looks))
    left = 0.25 + max(widest(name, 8.5) for name in names)
    width = (INNER - left) / len(PANELS) - GAP
    chart = 0.2 + sum(heights)
    page = Page(
        "F1, precision and recall of each class", remark_on_best(looks), chart + 0.5 + table.height
    )
    write_names(page, names, heights)
    for place, (key, title) in enumerate(PANELS.items()):
        axes = page.axes(MARGIN + left + place * (width + GAP), 0.2, width, sum(heights))
        axes.set_title(title, size=8.5, pad=4)
        bands(axes, heights)
        for which, (look, score) in enumerate(zip(looks, scores, strict=True)):
            away = row * (which - (len(looks) - 1) / 2)
            axes.plot(
                score[key],
                middles(heights) + away,
                linestyle="none",
                clip_on=False,
                **dot(look, 4.5),
            )
    table.draw(page, chart + 0.5)
    return page.figure


def supports(scores: list[dict[str, np.ndarray]]) -> list[str]:
    """How many samples each class has, from fewest to most where the runs were measured on different ones."""
    least, most = (
        choose([score["support"] for score in scores], axis=0) for choose in (np.min, np.max)
    )
    return [
        f"n = {low}" if low == high else f"n = {low} to {high}"
        for low, high in zip(least, most, strict=True)
    ]


def middles(heights: list[float]) -> np.ndarray:
    return np.cumsum(heights) - np.array(heights) / 2


def write_names(page: Page, names: list[list[str]], heights: list[float]) -> None:
    axes = page.inches(MARGIN, 0.2, INNER, sum(heights))
    for lines, middle in zip(names, middles(heights), strict=True):
        for place, text in enumerate(lines):
            y = middle + LINE * (place - (len(lines) - 1) / 2)
            axes.text(
                0, y, text, va="center_baseline", color=GREY if place == len(lines) - 1 else None
            )


def bands(axes: Axes, heights: list[float]) -> None:
    """Every other class on grey, and values from 0 to 1."""
    axes.set(xlim=(0, 1), ylim=(sum(heights), 0), yticks=())
    edges = np.cumsum([0, *heights])
    for top, bottom in list(zip(edges[:-1], edges[1:], strict=True))[::2]:
        axes.axhspan(top, bottom, color="#f3f3f3", linewidth=0, zorder=0)
    axes.set_xticks((0, 0.25, 0.5, 0.75, 1), ("0", ".25", ".5", ".75", "1"))
    axes.grid(True, axis="x", color=PALE)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
