"""radar.png: the metrics of each run, on one axis each and all on one scale."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from ..comparison.wording import metric_short, metric_title
from ..metrics import METRICS
from ..words import Language, Phrase, phrase
from .page import INNER, MARGIN, Page, Panels
from .styles import GREY, PALE, RunStyle
from .table import Table, metric_columns, metric_values, remark_on_best
from .text import widest

_NAME_ROOM = 0.26  # inches between a radar and what stands above or below it
_NAME_GAP = 0.07  # inches between the rim and a name
_NAME_SIZE, _SMALL_NAME_SIZE = 8.5, 7
_SIDE_BY_SIDE = 4


def radar(styles: list[RunStyle], say: Language) -> Figure:
    """Draw up to six runs in one radar; more of them side by side, each before all others in grey.

    The line of a run has a gap at a metric that it did not record.
    """
    values = [metric_values(styles, metric) for metric in METRICS]
    shapes = np.array(values, float).T.tolist()  # nan where a run did not record a metric
    together = len(styles) <= 6
    scale = Scale.of(shapes, coarse=not together)
    table = Table(styles, metric_columns(styles, say))
    shorts = [say(metric_short(metric)) for metric in METRICS]
    radius = 1.75 if together else _small_radius(shorts)
    height = 2 * (radius + _NAME_ROOM)
    panels = Panels(styles, lambda width: height, most=_SIDE_BY_SIDE, left=0, size=7.5)
    chart = height if together else panels.height
    one_scale = phrase("one_scale", scale=scale.phrase())
    remark = say.sentences([one_scale, remark_on_best(styles)])
    page = Page(say("title_radar"), remark, chart + 0.15 + table.height)
    if together:
        axes = page.axes(MARGIN, 0, INNER, height)
        titles = [say(metric_title(metric)) for metric in METRICS]
        _draw_axes(axes, INNER, radius, scale)
        _write_names(axes, radius, titles, _NAME_SIZE)
        _draw_ruler(axes, scale, radius, titles)
        for style, shape in zip(styles, shapes, strict=True):
            _draw_line(axes, shape, scale, **style.line())
    else:
        for panel, own_shape in zip(panels.draw(page, 0), shapes, strict=True):
            axes = page.axes(panel.x, panel.y, panels.width, height)
            _draw_axes(axes, panels.width, radius, scale)
            _write_names(axes, radius, shorts, _SMALL_NAME_SIZE)
            for shape in shapes:
                _draw_line(axes, shape, scale, color="#b5b5b5", linewidth=0.6)
            _draw_line(axes, own_shape, scale, **panel.style.line(4))
    table.draw(page, chart + 0.15)
    return page.figure


@dataclass(frozen=True)
class Scale:
    """The values at the centre, the rim and the rings of a radar, the same on all axes."""

    low: float
    high: float
    step: float

    @classmethod
    def of(cls, shapes: list[list[float]], coarse: bool) -> Scale:
        """Start at 0, unless the runs lie so close that no difference would be seen."""
        numbers = [value for shape in shapes for value in shape if not math.isnan(value)]
        least, most = min(numbers), max(numbers)
        spread = most - least
        if len(shapes) == 1 or least == most or spread > 0.4 * most:
            return cls(0.0, max(0.2, math.ceil(most * 10 - 1e-9) / 10), 0.2 if coarse else 0.1)
        step = 0.1 if spread > 0.12 else 0.05 if spread > 0.04 else 0.02
        low = max(0, math.floor((least - spread / 4) / step + 1e-9)) * step
        return cls(low, math.ceil(most / step - 1e-9) * step, step)

    def phrase(self) -> Phrase:
        centre = phrase("centre_other", low=self.low) if self.low else phrase("centre_zero")
        return phrase("scale", centre=centre, high=self.high, step=self.step)

    def radius(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)

    def rings(self) -> list[float]:
        """Return the values of the rings, from the centre to the rim."""
        count = math.ceil((self.high - self.low) / self.step - 1e-9)
        return [*(self.low + self.step * i for i in range(count)), self.high]


def _point(axis: int, radius: float) -> tuple[float, float]:
    """Return x and y on an axis; the first axis points up, the others follow clockwise."""
    angle = 2 * math.pi * axis / len(METRICS)
    return radius * math.sin(angle), radius * math.cos(angle)


def _draw_axes(axes: Axes, width: float, radius: float, scale: Scale) -> None:
    """Draw rings and spokes in the middle of a box of this width; the rim is 1 from the centre."""
    far_x, far_y = width / 2 / radius, 1 + _NAME_ROOM / radius
    axes.set(xlim=(-far_x, far_x), ylim=(-far_y, far_y))
    axes.axis("off")
    for value in scale.rings()[1:]:
        corners = [_point(axis, scale.radius(value)) for axis in range(len(METRICS))]
        edge = GREY if value == scale.high else PALE
        axes.add_patch(Polygon(corners, fill=False, edgecolor=edge, linewidth=0.7))
    for axis in range(len(METRICS)):
        x, y = _point(axis, 1)
        axes.plot((0, x), (0, y), color=PALE, linewidth=0.7, zorder=1)


def _write_names(axes: Axes, radius: float, names: list[str], size: float) -> None:
    """Write the names of the axes; those beside the radar have a line per word."""
    for axis, name in enumerate(names):
        x, y = _point(axis, 1)
        ha = "center" if abs(x) < 0.01 else "left" if x > 0 else "right"
        va = "center" if abs(y) < 0.4 else "bottom" if y > 0 else "top"
        lines = name if ha == "center" else name.replace(" ", "\n")
        axes.text(*_point(axis, 1 + _NAME_GAP / radius), lines, ha=ha, va=va, size=size)


def _small_radius(names: list[str]) -> float:
    """Return the radius of radars side by side, between which their names stand apart."""
    sides = [_point(axis, 1)[0] for axis in range(len(names))]
    left = [name for name, x in zip(names, sides, strict=True) if x < -0.01]
    right = [name for name, x in zip(names, sides, strict=True) if x > 0.01]
    between = sum(widest(own, _SMALL_NAME_SIZE) for own in (left, right)) + 0.08 + 2 * _NAME_GAP
    return min(0.6, (INNER / _SIDE_BY_SIDE - between) / 2)


def _draw_ruler(axes: Axes, scale: Scale, radius: float, names: list[str]) -> None:
    """Draw the scale of the upward axis beside the rings, where no line crosses it: at the rim, or
    left of the names that would be in its way."""
    x = -1.0
    if len(names) > 4:
        upper_left = " ".join(names[math.ceil(len(names) * 3 / 4) :]).split()
        x -= (widest(upper_left, _NAME_SIZE) + 2 * _NAME_GAP) / radius
    axes.plot((x, x), (0, 1), color=GREY, linewidth=0.7)
    for value in scale.rings():
        y = scale.radius(value)
        axes.plot((x - 0.02, x), (y, y), color=GREY, linewidth=0.7)
        if y > 0:  # at the centre may stand the name of an axis; the heading has the number
            text = f"{value:.2f}"
            axes.text(x - 0.035, y, text, ha="right", va="center", size=7.5, color=GREY)


def _draw_line(axes: Axes, shape: list[float], scale: Scale, **style) -> None:
    points = [_point(axis, scale.radius(value)) for axis, value in enumerate(shape)]
    axes.plot(*zip(*points, points[0], strict=True), **style)
