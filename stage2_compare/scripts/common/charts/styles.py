"""The colour, marker and dash of each model, the same in all pictures and on the page.

Nothing here imports matplotlib: the page takes the same looks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

# Colours with a name: in an SVG they are CSS variables, so that it follows a dark page.
INK, GREY, PALE, BAND, PAPER = "#222222", "#666666", "#d9d9d9", "#f1f1f1", "#ffffff"
WHITE = "#fffffe"  # on dark cells, whatever the paper is
BLUE, ORANGE = "#0072b2", "#d55e00"  # of cells
# Okabe and Ito's, and others as dark as these: all have a contrast of 3 on white and on #16181c.
# Their number shares no factor with the number of markers, so the first 110 models all look
# different. Markers with more corners would look like "o".
_COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#b8679a", "#b07d10",
    "#7a63d1", "#3c91c9", "#9a5a3c", "#7d8c1f", "#cf3f62",
)  # fmt: skip
_MARKERS = {  # in matplotlib's letters, with their outline in a box from -1 to 1
    "o": "M-1 0a1 1 0 1 0 2 0a1 1 0 1 0-2 0z",
    "s": "M-.85-.85h1.7v1.7h-1.7z",
    "^": "M0-1L1 .85H-1z",
    "D": "M0-1.1L1.1 0 0 1.1-1.1 0z",
    "v": "M0 1L1-.85H-1z",
    "<": "M-1 0L.85-1V1z",
    ">": "M1 0L-.85-1V1z",
    "p": "M0-1L.95-.31.59.81-.59.81-.95-.31z",
    "d": "M0-1.1L.66 0 0 1.1-.66 0z",
    "X": "M-.5-1L0-.5.5-1 1-.5.5 0 1 .5.5 1 0 .5-.5 1-1 .5-.5 0-1-.5z",
    "P": "M-.35-1H.35V-.35H1V.35H.35V1H-.35V.35H-1V-.35H-.35z",
}
_DASHES = (
    (0, ()), (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (9, 2)),
    (0, (3, 1, 1, 1, 1, 1)), (0, (2, 2)),
)  # fmt: skip


@dataclass(frozen=True)
class Look:
    """How a model is drawn."""

    colour: str
    marker: str  # matplotlib's letter
    dash: tuple

    @property
    def svg(self) -> str:
        """Return the outline of the marker as path data, in a box from -1 to 1."""
        return _MARKERS[self.marker]

    def dot(self, size: float = 5.5, **more: Any) -> dict[str, Any]:
        """Return the arguments of ``Axes.plot`` for the model's marker; ``size`` in points."""
        return {
            "color": self.colour,
            "marker": self.marker,
            "markersize": size,
            "markerfacecolor": PAPER,
            "markeredgewidth": 1.3 if size > 5 else 1.0,
            "linestyle": "none",
            **more,
        }

    def line(self, size: float = 5.5, **more: Any) -> dict[str, Any]:
        """Return the arguments of ``Axes.plot`` for the model's line and marker."""
        return self.dot(size, linestyle=self.dash, linewidth=1.4, **more)


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Return the look of each model of a group, by the order of the names: a model keeps its look
    whatever its rank."""
    markers, found = tuple(_MARKERS), {}
    for place, name in enumerate(sorted(set(names))):
        own = (each[place % len(each)] for each in (_COLOURS, markers, _DASHES))
        found[name] = Look(*own)
    return found
