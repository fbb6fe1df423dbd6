"""confusion.png: what each run takes each class for."""

from __future__ import annotations

import math

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..metrics import confusion_matrix
from .page import GREY, INK, INNER, MARGIN, Look, Page, Panels
from .text import fitting_size, widest, wrap

SIZE = 7.5  # of the classes' names
COLOURS = colormaps["Blues"]


def confusion(looks: list[Look]) -> Figure:
    """One panel per run over the classes of all runs, on one colour scale."""
    classes, matrices = confusions(looks)
    count, most = len(classes), 3 if len(classes) <= 4 else 2
    names, key = axis_names(
        classes, (INNER - 0.3 - widest(classes, SIZE)) / most / count - Panels.GAP / count
    )
    panels = Panels(
        looks,
        most,
        0.3 + widest(names, SIZE),
        lambda width: panel_height(width, count) + 0.42,
        least=2,
    )
    width, height = panels.width, panel_height(panels.width, count)
    inside = "the share of its row and " if roomy(height / count) else ""
    remark = f"A row is a true class, a column what the run took it for. In each cell {inside}the number of samples."
    key_lines = [text for each in key for text in wrap(each, 8, INNER)]
    page = Page("Confusion matrices", remark, 0.4 + panels.height + 0.15 * len(key_lines))
    colour_key(page, 0)
    for (_, x, y, first, lowest), matrix in zip(panels.draw(page, 0.35), matrices, strict=True):
        axes = page.axes(x, y, width, height)
        heat(axes, matrix)
        write_cells(axes, matrix, width / count, height / count)
        across, down = sparse(names, widest(names, SIZE) + 0.04, width), sparse(names, 0.12, height)
        axes.set_xticks(np.arange(count) + 0.5, across)
        axes.set_yticks(np.arange(count) + 0.5, down if first else [""] * count)
        axes.tick_params(length=0, labelsize=SIZE)
        axes.spines[:].set_visible(False)
        if first:
            axes.set_ylabel("True class", size=SIZE, color=GREY)
        if lowest:
            axes.set_xlabel("Predicted class", size=SIZE, color=GREY)
    for place, text in enumerate(key_lines):
        page.text(MARGIN, page.top + 0.4 + panels.height + 0.15 * (place + 0.5), text, size=8)
    return page.figure


def confusions(looks: list[Look]) -> tuple[list[str], list[np.ndarray]]:
    """All classes of these runs, and for each run the counts (C, C) of true by predicted ones."""
    classes = list(dict.fromkeys(name for look in looks for name in look.classes))
    matrices = []
    for look in looks:
        matrices.append(confusion_matrix(*answers(look, classes), len(classes)))
    return classes, matrices


def answers(look: Look, classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted classes (N,) of a run, as places in ``classes``."""
    places = np.array([classes.index(name) for name in look.classes])
    return places[look.run.predictions.labels], places[look.run.predictions.predicted]


def axis_names(classes: list[str], room: float) -> tuple[list[str], list[str]]:
    """The classes where they fit columns of so many inches; else numbers and the paragraphs of a key to them."""
    if widest(classes, SIZE) <= room - 0.06:
        return classes, []
    numbers = [str(number) for number in range(1, len(classes) + 1)]
    key = [f"{number} {name}" for number, name in zip(numbers, classes, strict=True)]
    return numbers, key if widest(classes, SIZE) > 1.5 else ["Classes: " + ", ".join(key)]


def sparse(names: list[str], pitch: float, length: float) -> list[str]:
    """Every so many of the names on an axis of this length that each has ``pitch`` inches; the others empty."""
    step = math.ceil(len(names) * pitch / length)
    return [name if place % step == 0 else "" for place, name in enumerate(names)]


def panel_height(width: float, classes: int) -> float:
    """Square cells, but no taller than two lines of text need."""
    return min(width, 0.46 * classes)


def roomy(cell_height: float) -> bool:
    """Whether two lines of text fit a cell."""
    return cell_height > 0.36


def heat(axes: Axes, matrix: np.ndarray) -> None:
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    axes.pcolormesh(shares, cmap=COLOURS, vmin=0, vmax=1, edgecolors="white", linewidth=0.8)
    axes.invert_yaxis()


def write_cells(axes: Axes, matrix: np.ndarray, width: float, height: float) -> None:
    """Share and count, or the count alone where it is not 0, or nothing where nobody could read it."""
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    size = fitting_size([str(matrix.max())], width - 0.04, min(7, 72 * 0.7 * height))
    if size is None:
        return
    for (row, column), count in np.ndenumerate(matrix):
        colour = "white" if shares[row, column] > 0.65 else INK
        style = {"ha": "center", "va": "center_baseline", "color": colour}
        if roomy(height) and matrix[row].any():
            axes.text(column + 0.5, row + 0.33, f"{shares[row, column]:.0%}", size=8, **style)
            axes.text(column + 0.5, row + 0.7, str(count), size=size * 0.93, **style)
        elif count:
            axes.text(column + 0.5, row + 0.5, str(count), size=size, **style)


def colour_key(page: Page, y: float) -> None:
    axes = page.axes(MARGIN + 1.4, y, 1.4, 0.12)
    axes.imshow(
        np.linspace(0, 1, 256)[None],
        cmap=COLOURS,
        vmin=0,
        vmax=1,
        aspect="auto",
        extent=(0, 1, 0, 1),
    )
    axes.set_xticks((0, 0.5, 1), ("0%", "50%", "100%"))
    axes.set_yticks(())
    axes.tick_params(length=2, labelsize=SIZE, pad=2)
    axes.spines[:].set_visible(False)
    page.inches(MARGIN, y, 1.3, 0.12).text(
        0, 0.06, "Share of the true class:", size=8, va="center_baseline"
    )
