"""The table of runs that stands below a chart as its key, and its columns."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..comparison.wording import metric_title
from ..metrics import MAIN, METRICS, Metric, confusion_matrix, scores
from ..words import Language, Phrase, phrase
from .page import INNER, MARGIN, Page, write_lines
from .styles import GREY, INK, RunStyle
from .text import BOLD, widest, wrap

_BEST = "#e9e9e9"


@dataclass
class Column:
    """The cells of a column."""

    title: list[str]  # lines
    cells: list[str]
    best: set[int] = field(default_factory=set)  # rows

    @classmethod
    def of(
        cls,
        styles: list[RunStyle],
        title: list[str],
        values: list[float | None],
        *,
        decimals: int,
        best: Callable,
    ) -> Column:
        """Make a column of numbers, "–" where a run has none, and mark the best ones.

        The best cells are those of comparable runs that read the same as their best value: a table
        cannot rank what it does not show.
        """
        cells = ["–" if value is None else f"{value:.{decimals}f}" for value in values]
        ranked = [
            i for i, value in enumerate(values) if value is not None and not styles[i].differs
        ]
        if len({cells[i] for i in ranked}) < 2:
            return cls(title, cells)
        first = cells[best(ranked, key=values.__getitem__)]
        return cls(title, cells, {i for i in ranked if cells[i] == first})


class Table:
    """A row per run: its line, its label, perhaps the name of its folder, and numbers.

    With the names it stands on a page of its own, which is widened to give labels their room."""

    LINE, PAD, SWATCH = 0.16, 0.05, 0.5
    GAP, LABEL = 0.12, 1.8  # the least between two columns; the most that widens a page
    AROUND = 0.05  # from a number to the edge of its mark: two marks side by side stay apart
    NAME_LINE = 0.85 * LINE  # of the names, which are smaller

    def __init__(self, styles: list[RunStyle], columns: list[Column], names: bool = False):
        self.styles, self.columns = styles, columns
        self.widths = [
            max(widest(column.title, 8.5), widest(column.cells, 8.5, **BOLD)) for column in columns
        ]
        taken = self.SWATCH + sum(self.widths)
        labels = widest([style.label for style in styles], 8.5) + 0.02
        kept = min(self.LABEL, labels) if names else 1.0
        self.inner = max(INNER, taken + self.GAP * len(columns) + kept) if names else INNER
        room = self.inner - taken
        # Many columns stand closer together, so that the labels keep their room.
        self.gap = min(0.2, max(self.GAP, (room - kept) / len(columns)))
        room -= self.gap * len(columns)
        self.labels, self.names, self.heights = [], [], []
        for style in styles:
            label, name = wrap(style.label, 8.5, room), []
            if names and style.name != style.label:
                name = wrap(style.name, 7, self.inner - self.SWATCH)
            self.labels.append(label)
            self.names.append(name)
            self.heights.append(self.LINE * len(label) + self.NAME_LINE * len(name) + 2 * self.PAD)
        self.head = self.LINE * max(len(column.title) for column in columns) + 2 * self.PAD
        self.height = self.head + sum(self.heights) + 0.05

    def draw(self, page: Page, y: float) -> None:
        """Draw the table ``y`` inches below the heading."""
        axes = page.inches(MARGIN, y, self.inner, self.height)
        for rule, strength in ((0.01, 1.0), (self.head, 0.6), (self.height - 0.03, 1.0)):
            axes.plot((0, self.inner), (rule, rule), color=INK, linewidth=strength)
        tops = [self.head + sum(self.heights[:row]) for row in range(len(self.styles))]
        for row, top in enumerate(tops):
            self._draw_run(axes, row, top + self.PAD + self.LINE / 2)
        for place, (column, width) in enumerate(zip(self.columns, self.widths, strict=True)):
            behind = self.widths[place + 1 :]
            right = self.inner - sum(behind) - self.gap * len(behind) - 0.06
            for up, text in enumerate(reversed(column.title)):
                bottom = self.head - self.PAD - 0.04 - self.LINE * up
                axes.text(right, bottom, text, ha="right", va="baseline", color=GREY)
            for row, top in enumerate(tops):
                y, weight = top + self.PAD + self.LINE / 2, {}
                if row in column.best:
                    corner, weight = (right - width - self.AROUND, y - 0.1), BOLD
                    wide = width + 2 * self.AROUND
                    axes.add_patch(Rectangle(corner, wide, 0.2, facecolor=_BEST, edgecolor="none"))
                axes.text(right, y, column.cells[row], ha="right", va="center_baseline", **weight)

    def _draw_run(self, axes: Axes, row: int, y: float) -> None:
        style = self.styles[row]
        # The line is drawn from the marker in its middle, so the dashes on both sides are alike.
        axes.plot((0.2, 0.02, math.nan, 0.2, 0.38), [y] * 5, **style.line(), markevery=[0])
        label, name = self.labels[row], self.names[row]
        write_lines(axes, self.SWATCH, y, label, pitch=self.LINE)
        below = y + self.LINE * len(label)
        write_lines(axes, self.SWATCH, below, name, pitch=self.NAME_LINE, size=7, color=GREY)


def metric_values(styles: list[RunStyle], metric: Metric) -> list[float | None]:
    """Return a metric of each run at its best epoch, None where the run did not record it."""
    return [style.run.best[metric.column] for style in styles]


def heading(key: str, say: Language, **values: Phrase) -> list[str]:
    """Return the lines of the heading of a column."""
    return say(key, **values).split("|")


def metric_columns(styles: list[RunStyle], say: Language) -> list[Column]:
    """Return one column per metric."""
    columns = []
    for metric in METRICS:
        title, values = say(metric_title(metric)).split(), metric_values(styles, metric)
        columns.append(Column.of(styles, title, values, decimals=4, best=max))
    return columns


def cost_columns(styles: list[RunStyle], say: Language) -> list[Column]:
    """Return parameters, trained parameters where they are not all of them, and training time."""
    total = recorded(styles, "params_million")
    trained = recorded(styles, "trainable_params_million")
    unit, times = training_times(styles)
    decimals = _decimals(total)
    params = heading("column_params", say)
    columns = [Column.of(styles, params, total, decimals=decimals, best=min)]
    if any(abs(a - b) > 1e-6 for a, b in zip(total, trained, strict=True)):
        cells = [f"{value:.{decimals}f}" for value in trained]
        columns.append(Column(heading("column_trained", say), cells))
    time = heading("column_time", say, unit=phrase(f"unit_{unit}"))
    return [*columns, Column.of(styles, time, times, decimals=_decimals(times), best=min)]


def recorded(styles: list[RunStyle], key: str) -> list[float]:
    """Return a number of metrics.json of each run."""
    return [style.run.recorded(key) for style in styles]


def _decimals(numbers: list[float]) -> int:
    """Return as many decimals as the smallest number of a column needs, one or two."""
    return 1 if min(numbers) >= 1 else 2


def training_times(styles: list[RunStyle]) -> tuple[str, list[float]]:
    """Return the unit that suits the longest run, and the training times in it."""
    times = recorded(styles, "train_time_sec")
    longest = max(times)
    unit, seconds = "h", 3600.0
    if longest < 180:
        unit, seconds = "s", 1.0
    elif longest < 180 * 60:
        unit, seconds = "min", 60.0
    return unit, [time / seconds for time in times]


def remark_on_best(styles: list[RunStyle]) -> Phrase:
    """Say on which samples and at which epoch the numbers were measured."""
    counts = {style.run.number("samples", "val") for style in styles}
    known = len(counts) == 1 and None not in counts
    where = phrase("so_many_samples", n=counts.pop()) if known else phrase("validation")
    return phrase("measured", where=where)


def _test_column(styles: list[RunStyle], say: Language) -> list[Column]:
    """Return macro-F1 on labelled test pairs, where any run was measured on them.

    None is marked as the best: nobody should choose by them.
    """
    tests, cells = [style.run.test for style in styles], []
    for test in tests:
        if test is None:
            cells.append("–")
        else:
            labels, predicted = np.array(test.labels), np.array(test.predicted)
            found = scores(confusion_matrix(labels, predicted, len(test.classes)))
            cells.append(f"{found[MAIN.key]:.4f}")
    column = Column(heading("column_test", say, metric=metric_title(MAIN)), cells)
    return [column] if any(tests) else []


def result_table(styles: list[RunStyle], say: Language) -> Figure:
    """Draw all runs in numbers."""
    runs = [style.run for style in styles]
    epochs = [f"{run.best['epoch']:.0f}/{len(run.history)}" for run in runs]
    best_epoch = Column(heading("column_best_epoch", say), epochs)
    columns = [*metric_columns(styles, say), *_test_column(styles, say), best_epoch]
    columns += cost_columns(styles, say)
    table = Table(styles, columns, names=True)
    some_differ = any(style.differs for style in styles)
    marked = phrase("bold_is_best_comparable" if some_differ else "bold_is_best")
    remark = [remark_on_best(styles), marked if len(styles) > 1 else None]
    page = Page(say("title_result_table"), say.sentences(remark), table.height, table.inner)
    table.draw(page, 0)
    return page.figure
