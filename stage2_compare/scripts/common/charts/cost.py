"""params_time.png: what a run costs, and what its time buys."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

from .page import MARGIN, WIDTH, Look, Page, bare
from .table import Column, Table, cost_columns, remark_on_best, time_unit, values


def params_time(looks: list[Look]) -> Figure:
    """What a run costs, and what its time buys."""
    unit, seconds = time_unit(looks)
    params = values(looks, "params_million")
    times = [value / seconds for value in values(looks, "train_time_sec")]
    f1 = [look.run.best["val_f1_macro"] for look in looks]
    table = Table(looks, [*cost_columns(looks), Column.of(looks, ["Macro-F1"], f1, 4, max)])
    page = Page(
        "Parameters, training time and macro-F1", remark_on_best(looks), 3.35 + table.height
    )
    side = 2.95
    left, right = (
        page.axes(x, 0.05, side, 2.75) for x in (MARGIN + 0.45, WIDTH - MARGIN - side - 0.05)
    )
    scatter(left, looks, params, times)
    scatter(right, looks, times, f1)
    scale_axis(left, "x", params, "Parameters (million)")
    scale_axis(left, "y", times, f"Training time ({unit})")
    scale_axis(right, "x", times, f"Training time ({unit})")
    around = max(0.05, 0.15 * (max(f1) - min(f1)))
    right.set(ylabel="Macro-F1", ylim=(max(0, min(f1) - around), min(1.02, max(f1) + around)))
    table.draw(page, 3.35)
    return page.figure


def scatter(axes: Axes, looks: list[Look], x: list[float], y: list[float]) -> None:
    """Hollow markers, so that runs of the same cost show through each other."""
    for look, *point in zip(looks, x, y, strict=True):
        axes.plot(
            *point,
            look.marker,
            markersize=9,
            color=look.colour,
            markerfacecolor="none",
            markeredgewidth=1.7,
            clip_on=False,
        )
    bare(axes)


def scale_axis(axes: Axes, which: str, numbers: list[float], name: str) -> None:
    """From 0, or logarithmic and saying so where the values span a wide range."""
    least, most = min(numbers), max(numbers)
    axis = getattr(axes, f"{which}axis")
    if least > 0 and most > 5 * least:
        getattr(axes, f"set_{which}scale")("log")
        getattr(axes, f"set_{which}lim")(least / 1.5, most * 1.5)
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if most < 200 * least else (1,)))
        axis.set_minor_formatter(FuncFormatter(lambda value, place: ""))
        name += ", log scale"
    else:
        getattr(axes, f"set_{which}lim")(0, most * 1.15 or 1)
        axis.set_major_locator(MaxNLocator(5, steps=(1, 2, 2.5, 5, 10)))
    axis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
    axis.set_label_text(name)
