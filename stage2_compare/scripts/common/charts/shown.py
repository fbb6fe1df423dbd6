"""What a picture shows, and the figure around it: its title, its method below, and a legend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from ..comparison.models import Model
from ..comparison.results import Group
from ..runs.reading import Run
from ..words import Language, Phrase, phrase
from .styles import GREY, Look
from .text import measure, wrap

DPI = 300
_MOST_CLASSES = 20  # a picture of more fits on no page
WIDTH = 5.5  # inches: 14 cm, so that text is legible in a column of 8.5 cm
LABEL = 1.7  # inches, of the name of a model beside its row
SIZE, SMALL = 9, 8  # of text, in points


@dataclass(frozen=True)
class Shown:
    """The models of a group that are drawn, and the words for them."""

    group: Group
    models: list[Model]  # best first
    table: pd.DataFrame  # a row each, by name
    looks: dict[str, Look]  # of all models of the group, by name
    names: dict[str, str]  # what is drawn for a name of a model or of a class
    say: Language
    methods: dict[Figure, list[Phrase | None]] = field(default_factory=dict)  # of pictures

    @cached_property
    def judged(self) -> list[Model]:
        """Return the models that have answers on the pairs of the group."""
        return [model for model in self.models if self.group.judged(model)]

    @cached_property
    def classes(self) -> dict[int, str]:
        """Return the names of the classes that are drawn, by their places: of many the commonest."""
        pairs = self.group.validation.pairs
        counts = np.bincount(pairs.labels, minlength=len(pairs.classes))
        commonest = np.argsort(-counts, kind="stable")[:_MOST_CLASSES]
        return {place: self.names[pairs.classes[place]] for place in sorted(commonest.tolist())}

    def of_classes(self) -> Phrase | None:
        """Say of how many classes these are the commonest, where not all are drawn."""
        drawn, total = len(self.classes), len(self.group.validation.pairs.classes)
        return phrase("commonest_classes", n=drawn, total=total) if drawn < total else None

    def label(self, model: Model, width: float = LABEL) -> str:
        """Return the name of a model in lines of so many inches."""
        return wrap(self.names[model.name], SIZE, width)

    def runs(self, model: Model) -> list[Run]:
        """Return the runs behind a model's figures; all of them where it is not judged."""
        judged = self.group.judged(model)
        return [run for trial in judged.trials for run in trial.runs] if judged else model.runs


def new_figure(
    shown: Shown, title: str, method: Sequence[Phrase | None], models: list[Model] | None = None
) -> tuple[Figure, SubFigure]:
    """Begin a picture with its method below; return it, and the part that axes and legend belong in.

    ``models``: that are drawn, where these are not all that are shown.
    """
    figure = Figure(figsize=(WIDTH, WIDTH), dpi=DPI, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06)
    figure.suptitle(title, x=0.012, ha="left", size=11, weight="bold")
    drawn, total = len(models or shown.models), len(shown.group.models)
    left_out = phrase("best_of", n=drawn, total=total) if drawn < total else None
    shown.methods[figure] = [*method, left_out]
    text = wrap(shown.say.sentences(shown.methods[figure]), SMALL, WIDTH - 0.15)
    figure.supxlabel(text, x=0.012, ha="left", size=SMALL, color=GREY, linespacing=1.35)
    return figure, figure.subfigures()


def fit(figure: Figure, axes: Sequence[Axes], height: float, width: float | None = None) -> Figure:
    """Size a figure so that each of these axes, which stand below each other, has this height in
    inches, and the first one at least this width; then keep the layout as it is."""
    layout, high = figure.get_layout_engine(), (height + 1) * len(axes) + 4  # room for any words
    figure.set_size_inches(WIDTH, high)
    layout.execute(figure)
    boxes = [each.get_window_extent() for each in axes]
    wide, high = WIDTH, high + sum(height - box.height / DPI for box in boxes)
    if width is not None:
        wide += max(0.0, width - boxes[0].width / DPI)
    figure.set_size_inches(wide, high)
    layout.execute(figure)
    figure.set_layout_engine("none")
    return figure


def legend(body: SubFigure, handles: list[Artist], labels: list[str]) -> None:
    """Explain marks below the axes, in as many columns as their words allow."""
    labels = [wrap(label, SMALL, WIDTH / 2 - 0.6) for label in labels]
    widest = max(measure(line, SMALL) for label in labels for line in label.split("\n"))
    columns = max(1, min(len(labels), int((WIDTH - 0.1) / (widest + 0.55))))
    style = {"fontsize": SMALL, "frameon": False, "handlelength": 2.4, "borderaxespad": 0.3}
    body.legend(handles, labels, loc="outside lower left", ncols=columns, **style)


def legend_of_models(
    body: SubFigure, shown: Shown, models: list[Model], line: bool = False
) -> None:
    """Explain the markers of models, or their lines."""
    looks = [shown.looks[model.name] for model in models]
    handles = [Line2D([], [], **(look.line() if line else look.dot())) for look in looks]
    legend(body, handles, [shown.names[model.name] for model in models])


def panels(
    body: SubFigure, shown: Shown, models: list[Model], most: int, left: float = 0.45
) -> list[Axes]:
    """Make axes for each model under its name on one scale, at most so many side by side; ``left``:
    room in inches for the words beside the first column."""
    across = min(most, len(models))
    rows = math.ceil(len(models) / across)
    grid = body.subplots(rows, across, sharex=True, sharey=True, squeeze=False)
    found = list(grid.flat)
    for axes in found[len(models) :]:
        axes.remove()
    for axes, model in zip(found, models, strict=False):
        label = shown.label(model, (WIDTH - left) / across - 0.25)
        axes.set_title(label, loc="left", size=SIZE, pad=5)
        axes.tick_params(labelbottom=True)
        clean(axes)
    return found[: len(models)]


def fit_panels(figure: Figure, grid: list[Axes], x: str, y: str, height: float) -> Figure:
    """Name the axes of panels, and give each panel this height; see ``fit``."""
    column = [axes for axes in grid if axes.get_subplotspec().is_first_col()]
    for axes in column:
        axes.set_ylabel(y)
    column[-1].set_xlabel(x)
    return fit(figure, column, height)


def clean(axes: Axes, grid: str = "both") -> None:
    """Draw a grid behind the data and an axis on two sides, on one where the y axis has rows."""
    axes.grid(True, axis=grid)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if grid == "x":
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)


def rows_of(axes: Axes, labels: Sequence[str], least: float = 0.36) -> float:
    """Make an axis of rows, the first on top, with these words; return the height in inches that
    all of them need, where each has at least so much."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    lines = 1 + max(label.count("\n") for label in labels)
    return max(least, 0.15 * lines + 0.05) * len(labels)


def dashed(colour: str = GREY) -> dict:
    """Return the arguments of a line to compare with."""
    return {"color": colour, "linewidth": 0.9, "linestyle": (0, (4, 2)), "zorder": 1}
