"""The table of runs that stands below a chart as its key, and its columns."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..metrics import COLUMNS
from .page import GREY, INK, INNER, MARGIN, Look, Page, line
from .text import BOLD, measure, wrap

BEST = "#e9e9e9"


@dataclass
class Column:
    """Cells of a table, and which of them are the best."""

    title: list[str]
    cells: list[str]
    best: set[int]

    @classmethod
    def of(
        cls, looks: list[Look], title: list[str], values: list[float], decimals: int, best: Callable
    ) -> Column:
        """The best cells are those of comparable runs that read the same as their best value: a table cannot rank what
        it does not show.
        """
        cells = [f"{value:.{decimals}f}" for value in values]
        ranked = [i for i, look in enumerate(looks) if not look.differs]
        if len({cells[i] for i in ranked}) < 2:
            return cls(title, cells, set())
        first = f"{best(values[i] for i in ranked):.{decimals}f}"
        return cls(title, cells, {i for i in ranked if cells[i] == first})


class Table:
    """Rows of runs: how the run is drawn, its label, perhaps its folder's name, and columns of numbers."""

    LINE, PAD, SWATCH, GAP = 0.16, 0.05, 0.5, 0.2

    def __init__(self, looks: list[Look], columns: list[Column], names: bool = False):
        self.looks, self.columns = looks, columns
        self.widths = [
            max(
                *(measure(text, 8.5) for text in column.title),
                *(measure(text, 8.5, **BOLD) for text in column.cells),
            )
            for column in columns
        ]
        room = INNER - self.SWATCH - sum(self.widths) - self.GAP * len(columns)
        self.labels = [wrap(look.label, 8.5, room) for look in looks]
        self.names = [
            wrap(look.name, 7, INNER - self.SWATCH) if names and look.name != look.label else []
            for look in looks
        ]
        self.heights = [
            self.LINE * (len(label) + 0.85 * len(name)) + 2 * self.PAD
            for label, name in zip(self.labels, self.names, strict=True)
        ]
        self.head = self.LINE * max(len(column.title) for column in columns) + 2 * self.PAD
        self.height = self.head + sum(self.heights) + 0.05

    def draw(self, page: Page, y: float) -> None:
        axes = page.inches(MARGIN, y, INNER, self.height)
        right = INNER
        rights = [
            right - sum(self.widths[i + 1 :]) - self.GAP * (len(self.widths) - 1 - i) - 0.06
            for i in range(len(self.widths))
        ]
        for x, column in zip(rights, self.columns, strict=True):
            for up, text in enumerate(reversed(column.title)):
                axes.text(
                    x,
                    self.head - self.PAD - 0.04 - self.LINE * up,
                    text,
                    ha="right",
                    va="baseline",
                    color=GREY,
                )
        top = self.head
        for rule, strength in ((0.01, 1.0), (top, 0.6), (self.height - 0.03, 1.0)):
            axes.plot((0, right), (rule, rule), color=INK, linewidth=strength)
        for row, (look, height) in enumerate(zip(self.looks, self.heights, strict=True)):
            self._row(axes, row, look, top, height, rights)
            top += height

    def _row(
        self, axes: Axes, row: int, look: Look, top: float, height: float, rights: list[float]
    ) -> None:
        y = top + self.PAD + self.LINE / 2  # the middle of the first line
        axes.plot(
            (0.2, 0.02, math.nan, 0.2, 0.38), [y] * 5, **line(look), markevery=[0]
        )  # dashes alike on both sides
        for place, text in enumerate(self.labels[row]):
            axes.text(self.SWATCH, y + self.LINE * place, text, va="center_baseline")
        y_name = y + self.LINE * len(self.labels[row])
        for place, text in enumerate(self.names[row]):
            axes.text(
                self.SWATCH,
                y_name + 0.85 * self.LINE * place,
                text,
                va="center_baseline",
                size=7,
                color=GREY,
            )
        for x, width, column in zip(rights, self.widths, self.columns, strict=True):
            best = row in column.best
            if best:
                box = (x - width - 0.06, y - 0.1), width + 0.12, 0.2
                axes.add_patch(Rectangle(*box, facecolor=BEST, edgecolor="none"))
            axes.text(
                x, y, column.cells[row], ha="right", va="center_baseline", **(BOLD if best else {})
            )


def values(looks: list[Look], *keys: str) -> list[float]:
    return [look.run.recorded(*keys) for look in looks]


def metric_columns(looks: list[Look]) -> list[Column]:
    titles = (["Accuracy"], ["Macro-F1"], ["Macro", "precision"], ["Macro", "recall"])
    return [
        Column.of(looks, title, [look.run.best[key] for look in looks], 4, max)
        for title, key in zip(titles, COLUMNS, strict=True)
    ]


def cost_columns(looks: list[Look]) -> list[Column]:
    total, trained = values(looks, "params_million"), values(looks, "trainable_params_million")
    unit, seconds = time_unit(looks)
    times = [value / seconds for value in values(looks, "train_time_sec")]
    columns = [Column.of(looks, ["Params", "(M)"], total, decimals(total), min)]
    if any(abs(a - b) > 1e-6 for a, b in zip(total, trained, strict=True)):
        columns.append(
            Column(["Trained", "(M)"], [f"{value:.{decimals(total)}f}" for value in trained], set())
        )
    return [*columns, Column.of(looks, ["Time", f"({unit})"], times, decimals(times), min)]


def decimals(numbers: list[float]) -> int:
    """As many as the smallest of a column needs, one or two."""
    return 1 if min(numbers) >= 1 else 2


def time_unit(looks: list[Look]) -> tuple[str, float]:
    """The unit that suits the longest run, and its seconds."""
    longest = max(values(looks, "train_time_sec"))
    return ("s", 1.0) if longest < 180 else ("min", 60.0) if longest < 180 * 60 else ("h", 3600.0)


def remark_on_best(looks: list[Look]) -> str:
    """Where the numbers come from."""
    counts = {look.run.recorded("samples", "val") for look in looks}
    samples = (
        f"on {counts.pop()} validation samples"
        if len(counts) == 1 and None not in counts
        else "on validation"
    )
    return f"Measured {samples}, at the epoch with the highest macro-F1."


def result_table(looks: list[Look]) -> Figure:
    """All runs in numbers."""
    epochs = Column(
        ["Best", "epoch"],
        [f"{look.run.best['epoch']:.0f}/{len(look.run.history)}" for look in looks],
        set(),
    )
    table = Table(looks, [*metric_columns(looks), epochs, *cost_columns(looks)], names=True)
    among = " among the comparable runs" if any(look.differs for look in looks) else ""
    marked = f" Bold on grey: the best of its column{among}." if len(looks) > 1 else ""
    page = Page("Results", remark_on_best(looks) + marked, table.height)
    table.draw(page, 0)
    return page.figure
