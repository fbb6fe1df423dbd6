"""params_time.png: parameters and training time of each run, and its macro-F1 over its time."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

from ..comparison.wording import metric_title
from ..metrics import MAIN
from ..words import Language, phrase
from .page import MARGIN, Page, clean_axes
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


def params_time(styles: list[RunStyle], say: Language) -> Figure:
    """Draw time over parameters and macro-F1 over time, side by side."""
    params = recorded(styles, "params_million")
    unit, times = training_times(styles)
    f1 = metric_values(styles, MAIN)
    main = say(metric_title(MAIN))
    f1_column = Column.of(styles, [main], f1, decimals=4, best=max)
    table = Table(styles, [*cost_columns(styles, say), f1_column])
    page = Page(say("title_params_time"), say(remark_on_best(styles)), 3.35 + table.height)
    left = page.axes(MARGIN + 0.45, 0.05, _SIDE, 2.75)
    right = page.axes(page.width - MARGIN - _SIDE - 0.05, 0.05, _SIDE, 2.75)
    _scatter(left, styles, params, times)
    _scatter(right, styles, times, f1)
    time = phrase("axis_time", unit=phrase(f"unit_{unit}"))
    for axes, which, numbers, name in (
        (left, "x", params, phrase("axis_params")),
        (left, "y", times, time),
        (right, "x", times, time),
    ):
        log = _scale_axis(axes, which, numbers)
        name = phrase("log_scale", name=name) if log else name
        getattr(axes, f"{which}axis").set_label_text(say(name))
    around = max(0.05, 0.15 * (max(f1) - min(f1)))
    right.set(ylabel=main, ylim=(max(0, min(f1) - around), min(1.02, max(f1) + around)))
    table.draw(page, 3.35)
    return page.figure


def _scatter(axes: Axes, styles: list[RunStyle], xs: list[float], ys: list[float]) -> None:
    """Draw hollow markers: runs of the same cost show through each other."""
    for style, x, y in zip(styles, xs, ys, strict=True):
        marker = {**style.dot(9), "markerfacecolor": "none", "markeredgewidth": 1.7}
        axes.plot(x, y, linestyle="none", clip_on=False, **marker)
    clean_axes(axes)


def _scale_axis(axes: Axes, which: str, numbers: list[float]) -> bool:
    """Start the axis at 0, or make it logarithmic where the numbers span a wide range: True.

    ``which`` is "x" or "y".
    """
    least, most = min(numbers), max(numbers)
    axis = getattr(axes, f"{which}axis")
    log = least > 0 and most > 5 * least
    if log:
        axes.set(**{f"{which}scale": "log", f"{which}lim": (least / 1.5, most * 1.5)})
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if most < 200 * least else (1,)))
        axis.set_minor_formatter(FuncFormatter(lambda value, place: ""))
    else:
        axes.set(**{f"{which}lim": (0, most * 1.15 or 1)})
        axis.set_major_locator(MaxNLocator(5, steps=(1, 2, 2.5, 5, 10)))
    axis.set_major_formatter("{x:g}")
    return log
