"""confusion.png: the predicted classes of each true class, for each run."""

from __future__ import annotations

import math

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..metrics import confusion_matrix
from ..words import Language
from .page import INNER, LINE, MARGIN, Page, Panels
from .styles import GREY, INK, RunStyle
from .text import fitting_size, widest, wrap

_SIZE = 7.5  # of the names of the classes
_TWO_LINES = 0.36  # inches: a higher cell has room for two lines of text
_COLOURS = colormaps["Blues"]


def confusion(styles: list[RunStyle], say: Language) -> Figure:
    """Draw one panel per run over the classes of all runs, on one colour scale."""
    classes, matrices = confusions(styles)
    count = len(classes)
    most = 3 if count <= 4 else 2
    column = (INNER - 0.3 - widest(classes, _SIZE)) / most / count - Panels.GAP / count
    names, key = _axis_names(classes, column, say)
    panels = Panels(
        styles,
        lambda width: _matrix_height(width, count) + 0.42,
        most=most,
        least=2,
        left=0.3 + widest(names, _SIZE),
    )
    height = _matrix_height(panels.width, count)
    remark = say("cells_with_share" if height / count > _TWO_LINES else "cells")
    page = Page(say("title_confusion"), remark, 0.4 + panels.height + LINE * len(key))
    _draw_colour_key(page, say("key_share"))
    for panel, matrix in zip(panels.draw(page, 0.35), matrices, strict=True):
        axes = page.axes(panel.x, panel.y, panels.width, height)
        _draw_matrix(axes, matrix, panels.width / count, height / count)
        places, across = np.arange(count) + 0.5, widest(names, _SIZE) + 0.04
        axes.set_xticks(places, _thin_out(names, across, panels.width))
        axes.set_yticks(places, _thin_out(names, 0.12, height) if panel.first else [""] * count)
        axes.tick_params(length=0, labelsize=_SIZE)
        axes.spines[:].set_visible(False)
        if panel.first:
            axes.set_ylabel(say("axis_true"), size=_SIZE, color=GREY)
        if panel.lowest:
            axes.set_xlabel(say("axis_predicted"), size=_SIZE, color=GREY)
    page.lines(0.4 + panels.height, key)
    return page.figure


def confusions(styles: list[RunStyle]) -> tuple[list[str], list[np.ndarray]]:
    """Return all classes of these runs, and for each run the counts (C, C) of true by predicted
    classes."""
    classes = list(dict.fromkeys(name for style in styles for name in style.classes))
    matrices = [
        confusion_matrix(*true_and_predicted(style, classes), len(classes)) for style in styles
    ]
    return classes, matrices


def true_and_predicted(style: RunStyle, classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the true and the predicted classes (N,) of a run, as places in ``classes``."""
    places = np.array([classes.index(name) for name in style.classes])
    return places[style.run.predictions.labels], places[style.run.predictions.predicted]


def _axis_names(classes: list[str], column: float, say: Language) -> tuple[list[str], list[str]]:
    """Return the classes where they fit columns of so many inches, and no key.

    Else return numbers, and the lines of text of a key to them.
    """
    if widest(classes, _SIZE) <= column - 0.06:
        return classes, []
    numbers = [str(number) for number in range(1, len(classes) + 1)]
    key = [f"{number} {name}" for number, name in zip(numbers, classes, strict=True)]
    if widest(classes, _SIZE) <= 1.5:
        key = [say("key_classes", classes=say("between_names").join(key))]
    return numbers, [line for text in key for line in wrap(text, 8, INNER)]


def _matrix_height(width: float, classes: int) -> float:
    """Return the height of square cells, or of two lines of text a cell where that is less."""
    return min(width, 0.46 * classes)


def _draw_matrix(axes: Axes, matrix: np.ndarray, width: float, height: float) -> None:
    """Draw counts (C, C) in cells of so many inches, with the shares where there is room.

    No text is written where nobody could read it.
    """
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    axes.pcolormesh(shares, cmap=_COLOURS, vmin=0, vmax=1, edgecolors="white", linewidth=0.8)
    axes.invert_yaxis()
    size = fitting_size([str(matrix.max())], width - 0.04, min(7, 72 * 0.7 * height))
    if size is None:
        return
    for (row, column), count in np.ndenumerate(matrix):
        colour = "white" if shares[row, column] > 0.65 else INK
        text = {"ha": "center", "va": "center_baseline", "color": colour}
        if height > _TWO_LINES and matrix[row].any():
            axes.text(column + 0.5, row + 0.33, f"{shares[row, column]:.0%}", size=8, **text)
            axes.text(column + 0.5, row + 0.7, str(count), size=size * 0.93, **text)
        elif count:
            axes.text(column + 0.5, row + 0.5, str(count), size=size, **text)


def _thin_out(names: list[str], pitch: float, length: float) -> list[str]:
    """Keep every k-th name and empty the others, so that each has ``pitch`` inches on the axis."""
    step = math.ceil(len(names) * pitch / length)
    return [name if place % step == 0 else "" for place, name in enumerate(names)]


def _draw_colour_key(page: Page, name: str) -> None:
    axes = page.axes(MARGIN + 1.4, 0, 1.4, 0.12)
    ramp = np.linspace(0, 1, 256)[None]
    axes.imshow(ramp, cmap=_COLOURS, vmin=0, vmax=1, aspect="auto", extent=(0, 1, 0, 1))
    axes.set_xticks((0, 0.5, 1), ("0%", "50%", "100%"))
    axes.set_yticks(())
    axes.tick_params(length=2, labelsize=_SIZE, pad=2)
    axes.spines[:].set_visible(False)
    text = page.inches(MARGIN, 0, 1.3, 0.12)
    text.text(0, 0.06, name, size=8, va="center_baseline")
