"""The page that pictures are laid out on in inches, how a run is drawn on it, and grids of one panel per run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..runs.reader import Run
from .text import BOLD, wrap

WIDTH = 7.5  # inches
MARGIN = 0.2
INNER = WIDTH - 2 * MARGIN
INK, GREY, PALE = "#222222", "#666666", "#d9d9d9"
# Okabe and Ito's colours without their yellow, which print loses, and three of Tol's: all told apart by the
# colour-blind. Their number shares no factor with that of the markers or dashes, so no pair of runs looks alike.
COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#222222",
    "#882255",
    "#332288",
    "#999933",
)
MARKERS = ("o", "s", "^", "D", "v", "<", ">", "p", "d", "h", "8")
DASHES = (
    (0, ()),
    (0, (5, 1.5)),
    (0, (1.2, 1.2)),
    (0, (6, 1.5, 1.2, 1.5)),
    (0, (9, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (2, 2)),
)


@dataclass(frozen=True)
class Look:
    """How a run is drawn in all pictures."""

    run: Run
    label: str
    name: str  # the run folder's, as far as there is a font for it
    classes: list[str]  # (C,) those of its predictions, likewise
    colour: str
    marker: str
    dash: tuple
    differs: str = ""  # where the run cannot be compared: from what protocol of the others


def dot(look: Look, size: float = 5.5) -> dict:
    """How a run's marker looks."""
    return {
        "color": look.colour,
        "marker": look.marker,
        "markersize": size,
        "markerfacecolor": "white",
        "markeredgewidth": 1.3 if size > 5 else 1.1,
    }


def line(look: Look, size: float = 5.5) -> dict:
    """How a run's line and marker look."""
    return {**dot(look, size), "linestyle": look.dash, "linewidth": 1.5}


class Page:
    """A figure that is filled from the top down; places are inches from its upper left corner."""

    def __init__(self, title: str, remark: str, height: float):
        self.lines = wrap(remark, 8, INNER)
        self.top = 0.45 + 0.15 * len(self.lines) + 0.12
        self.height = self.top + height + MARGIN
        self.figure = Figure(figsize=(WIDTH, self.height))
        self.text(MARGIN, 0.33, title, size=11, **BOLD)
        for place, text in enumerate(self.lines):
            self.text(MARGIN, 0.52 + 0.15 * place, text, size=8, color=GREY)

    def text(self, x: float, y: float, text: str, **style) -> None:
        self.figure.text(x / WIDTH, 1 - y / self.height, text, **style)

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes at (x, y) below the heading."""
        bottom = self.height - self.top - y - height
        return self.figure.add_axes(
            (x / WIDTH, bottom / self.height, width / WIDTH, height / self.height)
        )

    def inches(self, x: float, y: float, width: float, height: float) -> Axes:
        """The same without an axis, and with inches from its upper left corner for coordinates."""
        axes = self.axes(x, y, width, height)
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.axis("off")
        return axes


class Panels:
    """A grid of one panel per run, each under the run's marker and label."""

    LINE, MARK, GAP = 0.15, 0.17, 0.2

    def __init__(
        self,
        looks: list[Look],
        most: int,
        left: float,
        height: Callable[[float], float],
        least: int = 1,
        size: float = 8.5,
    ):
        """
        Args:
            most: panels side by side, as many as ``least`` leave room for.
            left: room before the first column.
            height: of a panel of a given width, and what stands below it.
        """
        rows = math.ceil(len(looks) / most)
        self.looks, self.left, self.size, self.across = (
            looks,
            left,
            size,
            max(least, math.ceil(len(looks) / rows)),
        )
        self.pitch = (INNER - left) / self.across
        self.width = self.pitch - self.GAP
        self.titles = [wrap(look.label, size, self.width - self.MARK) for look in looks]
        self.tops, self.height = [], 0.0  # of each row of panels, below its labels
        for start in range(0, len(looks), self.across):
            head = self._head(max(self.titles[start : start + self.across], key=len))
            self.tops.append(self.height + head)
            self.height += head + height(self.width)

    def draw(self, page: Page, y: float) -> Iterator[tuple[Look, float, float, bool, bool]]:
        """Writes a label, then gives the run, its panel's place, and whether it begins its row and ends its column."""
        for place, (look, title) in enumerate(zip(self.looks, self.titles, strict=True)):
            row, column = divmod(place, self.across)
            x, top, head = (
                MARGIN + self.left + column * self.pitch,
                y + self.tops[row],
                self._head(title),
            )
            axes = page.inches(x, top - head, self.width, head)
            axes.plot(0.06, self.LINE / 2, **dot(look))
            for place_in_title, text in enumerate(title):
                axes.text(
                    self.MARK,
                    self.LINE * (place_in_title + 0.5),
                    text,
                    va="center_baseline",
                    size=self.size,
                )
            yield look, x, top, column == 0, place + self.across >= len(self.looks)

    def _head(self, title: list[str]) -> float:
        return self.LINE * len(title) + 0.08


def bare(axes: Axes) -> None:
    """A grid behind the data, and an axis on two sides only."""
    axes.grid(True)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
