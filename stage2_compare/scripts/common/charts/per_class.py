"""per_class.png: F1, precision and recall of each class."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..metrics import per_class as class_scores
from ..words import Language
from .confusion import confusions, true_and_predicted
from .page import INNER, LINE, MARGIN, Page, centred, write_lines
from .styles import GREY, PALE, RunStyle
from .table import Table, metric_columns, remark_on_best
from .text import widest, wrap

_PANELS = ("f1", "precision", "recall")
_GAP = 0.25


def per_class(styles: list[RunStyle], say: Language) -> Figure:
    """Draw a band per class and in it a row per run, in three panels side by side."""
    classes, _ = confusions(styles)
    scores = [class_scores(*true_and_predicted(style, classes), len(classes)) for style in styles]
    names = [wrap(name, 8.5, 1.5) for name in classes]
    counts = np.array([score["support"] for score in scores])  # (R, C)
    supports = [
        f"n = {low}" if low == high else say("support_range", low=low, high=high)
        for low, high in zip(counts.min(0), counts.max(0), strict=True)
    ]
    row = min(0.12, max(0.075, 6 / (len(classes) * len(styles))))
    heights = [max(row * len(styles), LINE * (len(name) + 1)) + 0.14 for name in names]
    middles = np.cumsum(heights) - np.array(heights) / 2
    table = Table(styles, metric_columns(styles, say))
    left = 0.25 + max(widest([*name, *supports], 8.5) for name in names)
    width = (INNER - left) / len(_PANELS) - _GAP
    chart = 0.2 + sum(heights)
    page = Page(say("title_per_class"), say(remark_on_best(styles)), chart + 0.5 + table.height)
    text = page.inches(MARGIN, 0.2, INNER, sum(heights))
    for middle, name, support in zip(middles, names, supports, strict=True):
        first = centred(middle, [*name, support])
        write_lines(text, 0, first, name)
        write_lines(text, 0, first + LINE * len(name), [support], color=GREY)
    for place, key in enumerate(_PANELS):
        axes = page.axes(MARGIN + left + place * (width + _GAP), 0.2, width, sum(heights))
        axes.set_title(say(f"panel_{key}"), size=8.5, pad=4)
        _draw_bands(axes, heights)
        for which, (style, score) in enumerate(zip(styles, scores, strict=True)):
            y = middles + row * (which - (len(styles) - 1) / 2)
            axes.plot(score[key], y, linestyle="none", clip_on=False, **style.dot(4.5))
    table.draw(page, chart + 0.5)
    return page.figure


def _draw_bands(axes: Axes, heights: list[float]) -> None:
    """Put every other class on grey, and values from 0 to 1 on the axis."""
    axes.set(xlim=(0, 1), ylim=(sum(heights), 0), yticks=())
    edges = np.cumsum([0, *heights])
    for place in range(0, len(heights), 2):
        axes.axhspan(edges[place], edges[place + 1], color="#f3f3f3", linewidth=0, zorder=0)
    axes.set_xticks((0, 0.25, 0.5, 0.75, 1), ("0", ".25", ".5", ".75", "1"))
    axes.grid(True, axis="x", color=PALE)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
