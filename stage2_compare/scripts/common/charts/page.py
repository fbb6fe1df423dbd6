"""The page that a picture is laid out on in inches, and a grid of one panel per run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .styles import GREY, RunStyle
from .text import BOLD, wrap

MARGIN = 0.2  # inches
INNER = 7.1  # width of a page between its margins
LINE = 0.15  # from one line of text to the next


class Page:
    """A figure that is filled from the top down; places are inches from its upper left corner."""

    def __init__(self, title: str, remark: str, height: float, inner: float = INNER):
        """Begin a page with its heading; ``inner`` is its width without the margins."""
        lines = wrap(remark, 8, inner)
        self.width = inner + 2 * MARGIN
        self.top = 0.45 + LINE * len(lines) + 0.12
        self.height = self.top + height + MARGIN
        self.figure = Figure(figsize=(self.width, self.height))
        self._text(0.33, title, size=11, **BOLD)
        for place, text in enumerate(lines):
            self._text(0.52 + LINE * place, text, size=8, color=GREY)

    def _text(self, y: float, text: str, **style) -> None:
        self.figure.text(MARGIN / self.width, 1 - y / self.height, text, **style)

    def lines(self, y: float, texts: list[str], **style) -> None:
        """Write small lines of text from ``y`` below the heading downwards."""
        for place, text in enumerate(texts):
            self._text(self.top + y + LINE * (place + 0.5), text, size=8, **style)

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Add axes at (x, y) below the heading."""
        bottom = self.height - self.top - y - height
        return self.figure.add_axes(
            (x / self.width, bottom / self.height, width / self.width, height / self.height)
        )

    def inches(self, x: float, y: float, width: float, height: float) -> Axes:
        """Add axes whose coordinates are inches from their upper left corner, without lines."""
        axes = self.axes(x, y, width, height)
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.axis("off")
        return axes


def write_corner(figure: Figure, text: str) -> None:
    """Write a few words into the upper right corner of a page, beside its title."""
    x, y = 1 - MARGIN / figure.get_figwidth(), 1 - 0.33 / figure.get_figheight()
    figure.text(x, y, text, ha="right", size=8, color=GREY)


class Panel(NamedTuple):
    """The place of a run's panel, in inches below the heading."""

    style: RunStyle
    x: float
    y: float
    first: bool  # it is the first of its row
    lowest: bool  # no panel is below it


class Panels:
    """A grid of one panel per run, each under the run's marker and label."""

    GAP = 0.2
    _MARK = 0.17  # room for the marker

    def __init__(
        self,
        styles: list[RunStyle],
        height: Callable[[float], float],
        *,
        most: int,
        left: float,
        least: int = 1,
        size: float = 8.5,
    ):
        """Divide the width of the page among the panels.

        Args:
            height: gives, for a panel's width, its height with all that stands below it.
            most: number of panels side by side.
            left: room before the first column.
            least: number of panels side by side that there is room for, even with fewer runs.
            size: of the labels, in points.
        """
        rows = math.ceil(len(styles) / most)
        self.styles, self.left, self.size = styles, left, size
        self.across = max(least, math.ceil(len(styles) / rows))
        self.pitch = (INNER - left) / self.across
        self.width = self.pitch - self.GAP
        self.titles = [wrap(style.label, size, self.width - self._MARK) for style in styles]
        self.tops, self.height = [], 0.0  # of each row of panels, below its labels
        for start in range(0, len(styles), self.across):
            head = self._head(max(self.titles[start : start + self.across], key=len))
            self.tops.append(self.height + head)
            self.height += head + height(self.width)

    def draw(self, page: Page, y: float) -> Iterator[Panel]:
        """Write the label of each panel, then yield its place."""
        for place, (style, title) in enumerate(zip(self.styles, self.titles, strict=True)):
            row, column = divmod(place, self.across)
            x = MARGIN + self.left + column * self.pitch
            top = y + self.tops[row]
            head = self._head(title)
            axes = page.inches(x, top - head, self.width, head)
            axes.plot(0.06, LINE / 2, **style.dot())
            write_lines(axes, self._MARK, LINE / 2, title, size=self.size)
            lowest = place + self.across >= len(self.styles)
            yield Panel(style=style, x=x, y=top, first=column == 0, lowest=lowest)

    def _head(self, title: list[str]) -> float:
        return LINE * len(title) + 0.08


def write_lines(
    axes: Axes, x: float, first: float, texts: list[str], *, pitch: float = LINE, **style
) -> None:
    """Write lines of text below each other; ``first`` is the middle of the first one."""
    for place, text in enumerate(texts):
        axes.text(x, first + pitch * place, text, va="center_baseline", **style)


def centred(middle: float, texts: list[str]) -> float:
    """Return the middle of the first of these lines, where ``middle`` is that of all of them."""
    return middle - LINE * (len(texts) - 1) / 2


def clean_axes(axes: Axes) -> None:
    """Draw a grid behind the data, and an axis on two sides only."""
    axes.grid(True)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
