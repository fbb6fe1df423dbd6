"""confusion.png: the predicted classes of each true class, for each model."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from ..comparison.models import Model
from ..metrics import confusion_matrix
from ..words import phrase
from .shown import SMALL, Shown, fit_panels, new_figure, panels
from .styles import BLUE, GREY, INK, ORANGE, PAPER, WHITE
from .text import measure

_FEW = 8  # classes
_MOST_OF_MANY = 6  # models, where there are more classes
DARK = 0.85  # share from which a cell needs white words


def confusion(shown: Shown) -> Figure:
    """Draw one panel per model, its cells the darker the larger their share of their row."""
    say, labels = shown.say, shown.group.validation.pairs.labels
    places, classes = list(shown.classes), list(shown.classes.values())
    names = [f"{name} ({(labels == place).sum()})" for place, name in shown.classes.items()]
    few = len(classes) <= _FEW  # else the cells are too small for a number
    models = shown.judged if few else shown.judged[:_MOST_OF_MANY]
    method = [phrase("about_confusion"), None if few else phrase("only_colours")]
    method.append(shown.of_classes())
    figure, body = new_figure(shown, say("title_confusion"), method, models)
    left = max(measure(name, SMALL) for name in names) + 0.4
    grid = panels(body, shown, models, 2 if few else 1, left)
    upright = max(measure(name, SMALL) for name in classes) > 1.9 / len(classes)
    for axes, model in zip(grid, models, strict=True):
        found = shares(shown, model)[np.ix_(places, places)]
        draw_cells(axes, found)
        if few:
            _write_shares(axes, found)
        axes.set_xticks(range(len(classes)), classes, rotation=90 if upright else 0, size=SMALL)
        axes.set_yticks(range(len(classes)), names, size=SMALL)
        axes.set(xlim=(-0.5, len(classes) - 0.5), ylim=(len(classes) - 0.5, -0.5))
        axes.grid(False)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    height = min(3.2, max(1.0, 0.3 * len(classes)))
    return fit_panels(figure, grid, say("axis_predicted"), say("axis_true"), height)


def shares(shown: Shown, model: Model) -> np.ndarray:
    """Return the share (C, C) of each true class that a model takes for each class, the mean of
    its seeds; nan for a class without a pair."""
    pairs = shown.group.validation.pairs
    counts = sum(
        confusion_matrix(pairs.labels, predicted, len(pairs.classes))
        for predicted in shown.group.judged(model).predicted
    )
    with np.errstate(invalid="ignore"):
        return counts / counts.sum(1, keepdims=True)


def draw_cells(axes: Axes, values: np.ndarray) -> None:
    """Colour cells (R, C) by values from -1 to 1; see-through, so that they suit dark paper too."""
    colours = np.where(values[..., None] < 0, to_rgb(ORANGE), to_rgb(BLUE))  # (R, C, 3)
    cells = np.dstack([colours, np.nan_to_num(np.abs(values))])
    rows, columns = (np.arange(count + 1) - 0.5 for count in values.shape)
    axes.pcolormesh(columns, rows, cells, edgecolors=PAPER)


def _write_shares(axes: Axes, shares: np.ndarray) -> None:
    for (row, column), share in np.ndenumerate(shares):
        if not np.isnan(share):
            colour = WHITE if share > DARK else INK if share >= 0.005 else GREY
            style = {"ha": "center", "va": "center", "size": SMALL, "color": colour}
            axes.text(column, row, f"{share:.0%}", **style)
