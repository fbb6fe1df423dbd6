"""params_time.png: parameters and training time of each run, and its macro-F1 over its time."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

from ..metrics import MAIN
from .page import MARGIN, WIDTH, Page, clean_axes
from .styles import RunStyle
from .table import (
    Column,
    Table,
    cost_columns,
    metric_values,
    recorded,
    remark_on_best,
    training_times,
)

_SIDE = 2.95  # width of a chart


def params_time(styles: list[RunStyle]) -> Figure:
    """Draw time over parameters and macro-F1 over time, side by side."""
    params = recorded(styles, "params_million")
    unit, times = training_times(styles)
    f1 = metric_values(styles, MAIN)
    f1_column = Column.of(styles, [MAIN.title], f1, decimals=4, best=max)
    table = Table(styles, [*cost_columns(styles), f1_column])
    title = "Parameters, training time and macro-F1"
    page = Page(title, remark_on_best(styles), 3.35 + table.height)
    left = page.axes(MARGIN + 0.45, 0.05, _SIDE, 2.75)
    right = page.axes(WIDTH - MARGIN - _SIDE - 0.05, 0.05, _SIDE, 2.75)
    _scatter(left, styles, params, times)
    _scatter(right, styles, times, f1)
    _scale_axis(left, "x", params, "Parameters (million)")
    _scale_axis(left, "y", times, f"Training time ({unit})")
    _scale_axis(right, "x", times, f"Training time ({unit})")
    around = max(0.05, 0.15 * (max(f1) - min(f1)))
    right.set(ylabel=MAIN.title, ylim=(max(0, min(f1) - around), min(1.02, max(f1) + around)))
    table.draw(page, 3.35)
    return page.figure


def _scatter(axes: Axes, styles: list[RunStyle], xs: list[float], ys: list[float]) -> None:
    """Draw hollow markers: runs of the same cost show through each other."""
    for style, x, y in zip(styles, xs, ys, strict=True):
        marker = {**style.dot(9), "markerfacecolor": "none", "markeredgewidth": 1.7}
        axes.plot(x, y, linestyle="none", clip_on=False, **marker)
    clean_axes(axes)


def _scale_axis(axes: Axes, which: str, numbers: list[float], name: str) -> None:
    """Start the axis at 0, or make it logarithmic and say so where the numbers span a wide range.

    ``which`` is "x" or "y".
    """
    least, most = min(numbers), max(numbers)
    axis = getattr(axes, f"{which}axis")
    if least > 0 and most > 5 * least:
        axes.set(**{f"{which}scale": "log", f"{which}lim": (least / 1.5, most * 1.5)})
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if most < 200 * least else (1,)))
        axis.set_minor_formatter(FuncFormatter(lambda value, place: ""))
        name += ", log scale"
    else:
        axes.set(**{f"{which}lim": (0, most * 1.15 or 1)})
        axis.set_major_locator(MaxNLocator(5, steps=(1, 2, 2.5, 5, 10)))
    axis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
    axis.set_label_text(name)
