"""result_table.png: all models in numbers."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib.figure import Figure

from ..comparison.results import shown as figure_of
from ..comparison.results import spent
from ..comparison.wording import BEST, NO_DIFFERENCE, metric_title
from ..metrics import MAIN, METRICS
from ..words import phrase
from .cost import time_unit
from .shown import SMALL, Shown, fit, new_figure, rows_of
from .styles import BAND, GREY, INK
from .text import measure, wrap

_GAP = 0.15  # inches between two columns


def result_table(shown: Shown) -> Figure:
    """Draw a row per model. Those on grey are not significantly worse than the first."""
    table = shown.table
    columns = _columns(shown)
    verdicts = table["verdict"].tolist()
    first = [row for row, verdict in enumerate(verdicts) if verdict in (BEST, NO_DIFFERENCE)]
    marked = 1 < len(first) < len(table)
    n = shown.group.pairs
    method = [phrase("measured", pairs=phrase("validation_pairs", n=n)) if n else None]
    method += [phrase("first_tier")] if marked else []
    figure, body = new_figure(shown, shown.say("title_result_table"), method)
    axes = body.subplots()
    right, places, titles = 0.0, [], []
    for title, cells in columns.items():
        texts = [*title.split(), *(line for cell in cells for line in cell.split("\n"))]
        width = max(measure(text, SMALL) for text in texts)
        titles.append(wrap(title, SMALL, width + 0.01))
        right += width + _GAP
        places.append(right)
        for row, cell in enumerate(cells):
            axes.text(right, row, cell, ha="right", va="center", size=SMALL, linespacing=1.25)
    height = rows_of(axes, [shown.label(model) for model in shown.models])
    axes.set(xlim=(0, right + 0.05))
    axes.xaxis.tick_top()
    axes.set_xticks(places, titles, ha="right", color=GREY, size=SMALL)
    axes.tick_params(axis="x", length=0)
    axes.spines[:].set_visible(False)
    axes.spines[["top", "bottom"]].set(visible=True, color=INK)
    for row in first if marked else ():
        axes.axhspan(row - 0.5, row + 0.5, color=BAND, linewidth=0, zorder=0)
    return fit(figure, [axes], height, right + 0.05)


def _columns(shown: Shown) -> dict[str, list[str]]:
    """Return the cells of each column by its title."""
    say, table = shown.say, shown.table
    unit, seconds = time_unit(spent(table).max())
    columns = {}
    for metric in sorted(METRICS, key=lambda metric: metric != MAIN):
        title = say(metric_title(metric))
        columns[title] = _written(figure_of(table, metric))
        if metric == MAIN:
            ends = zip(table["f1_low"], table["f1_high"], strict=True)
            intervals = ["" if low is None else f"\n[{low:.3f}, {high:.3f}]" for low, high in ends]
            columns[title] = [a + b for a, b in zip(columns[title], intervals, strict=True)]
            if len(table) > 1:
                verdicts = [wrap(say(verdict), SMALL, 0.9) for verdict in table["verdict"]]
                columns[say("verdict")] = verdicts
    if table["test_f1_macro"].notna().any():
        title = say("column_test", metric=metric_title(MAIN))
        columns[title] = _written(table["test_f1_macro"])
    columns[say("column_params")] = _written(table["params_million"], 1)
    columns[say("column_time", unit=phrase(f"unit_{unit}"))] = _written(spent(table) / seconds, 1)
    return columns


def _written(values: Iterable[float | None], decimals: int = 3) -> list[str]:
    return [
        "–" if value is None or np.isnan(value) else f"{value:,.{decimals}f}" for value in values
    ]
