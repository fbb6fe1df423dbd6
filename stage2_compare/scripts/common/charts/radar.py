"""radar.png: the four metrics of each run on axes of one scale."""

from __future__ import annotations

import math
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from ..metrics import COLUMNS
from .page import GREY, INNER, MARGIN, PALE, Look, Page, Panels, line
from .table import Table, metric_columns, remark_on_best

NAME_ROOM = 0.26  # inches between a radar and what stands above or below it
METRIC_NAMES = ("Accuracy", "Macro-F1", "Macro precision", "Macro recall")


def radar(looks: list[Look]) -> Figure:
    """Up to six runs in one radar; more of them side by side, each before all others in grey."""
    shapes = [[look.run.best[key] for key in COLUMNS] for look in looks]
    together = len(looks) <= 6
    scale = Scale.of(shapes, coarse=not together)
    table = Table(looks, metric_columns(looks))
    radius = 1.75 if together else 0.6
    panels = Panels(looks, most=4, left=0, height=lambda width: 2 * (radius + NAME_ROOM), size=7.5)
    chart = 2 * (radius + NAME_ROOM) if together else panels.height
    remark = f"All four axes share one scale: {scale}. {remark_on_best(looks)}"
    page = Page("Validation metrics", remark, chart + 0.15 + table.height)
    if together:
        axes = radar_axes(page, MARGIN, 0, INNER, radius, scale, METRIC_NAMES, 8.5)
        radar_ruler(axes, scale)
        for look, shape in zip(looks, shapes, strict=True):
            radar_line(axes, shape, scale, **line(look))
    else:
        for look, x, y, *_ in panels.draw(page, 0):
            axes = radar_axes(
                page, x, y, panels.width, radius, scale, ("Acc", "F1", "Prec", "Rec"), 7
            )
            for shape in shapes:
                radar_line(axes, shape, scale, color="#b5b5b5", linewidth=0.6)
            radar_line(axes, [look.run.best[key] for key in COLUMNS], scale, **line(look, 4))
    table.draw(page, chart + 0.15)
    return page.figure


@dataclass(frozen=True)
class Scale:
    """What the centre, the rim and the rings of a radar stand for, on every one of its axes."""

    low: float
    high: float
    step: float

    @classmethod
    def of(cls, shapes: list[list[float]], coarse: bool) -> Scale:
        """From 0, unless the values of several runs lie so close that no difference would be seen."""
        numbers = sum(shapes, [])
        least, most = min(numbers), max(numbers)
        spread = most - least
        if len(shapes) == 1 or least == most or spread > 0.4 * most:
            return cls(0.0, max(0.2, math.ceil(most * 10 - 1e-9) / 10), 0.2 if coarse else 0.1)
        step = 0.1 if spread > 0.12 else 0.05 if spread > 0.04 else 0.02
        low = max(0, math.floor((least - spread / 4) / step + 1e-9)) * step
        return cls(low, math.ceil(most / step - 1e-9) * step, step)

    def __str__(self) -> str:
        centre = "0 at the centre" if self.low == 0 else f"{self.low:.2f}, not 0, at the centre"
        return f"{centre}, {self.high:.2f} at the rim, a ring every {self.step:.2f}"

    def radius(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)

    def rings(self) -> list[float]:
        """Their values, from the centre to the rim."""
        count = math.ceil((self.high - self.low) / self.step - 1e-9)
        return [*(self.low + self.step * i for i in range(count)), self.high]


def radar_point(axis: int, radius: float) -> tuple[float, float]:
    """Accuracy up, then clockwise."""
    return (0, radius, 0, -radius)[axis], (radius, 0, -radius, 0)[axis]


def radar_axes(
    page: Page, x: float, y: float, width: float, radius: float, scale: Scale, names, size: float
) -> Axes:
    """Rings, spokes and the names of the axes, in the middle of a box of this width; its rim is 1 from the centre."""
    height = 2 * (radius + NAME_ROOM)
    axes = page.axes(x, y, width, height)
    far_x, far_y = width / 2 / radius, height / 2 / radius
    axes.set(xlim=(-far_x, far_x), ylim=(-far_y, far_y))
    axes.axis("off")
    for value in scale.rings()[1:]:
        corners = [radar_point(axis, scale.radius(value)) for axis in range(4)]
        edge = GREY if value == scale.high else PALE
        axes.add_patch(Polygon(corners, fill=False, edgecolor=edge, linewidth=0.7))
    places = (("center", "bottom"), ("left", "center"), ("center", "top"), ("right", "center"))
    for axis, (name, (ha, va)) in enumerate(zip(names, places, strict=True)):
        axes.plot(
            *zip((0, 0), radar_point(axis, 1), strict=True), color=PALE, linewidth=0.7, zorder=1
        )
        axes.text(
            *radar_point(axis, 1 + 0.07 / radius),
            name.replace(" ", "\n") if axis % 2 else name,
            ha=ha,
            va=va,
            size=size,
        )
    return axes


def radar_ruler(axes: Axes, scale: Scale) -> None:
    """The scale of the upward axis, beside the rings, where no line crosses it."""
    axes.plot((-1, -1), (0, 1), color=GREY, linewidth=0.7)
    for value in scale.rings():
        y = scale.radius(value)
        axes.plot((-1.02, -1), (y, y), color=GREY, linewidth=0.7)
        if y > 0:  # at the centre stands the name of the leftward axis; the heading has the number
            axes.text(-1.035, y, f"{value:.2f}", ha="right", va="center", size=7.5, color=GREY)


def radar_line(axes: Axes, shape: list[float], scale: Scale, **style) -> None:
    points = [radar_point(axis, scale.radius(value)) for axis, value in enumerate(shape)]
    axes.plot(*zip(*points, points[0], strict=True), **style)
