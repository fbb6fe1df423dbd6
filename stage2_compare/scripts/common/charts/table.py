"""result_table.png: all models in numbers."""

from __future__ import annotations

from matplotlib.figure import Figure

from ..comparison.results import shown as figure_of
from ..comparison.results import spent
from ..comparison.view import F1, numbers
from ..comparison.wording import BEST, NO_DIFFERENCE, metric_title
from ..metrics import MAIN, METRICS
from ..words import phrase, unit_of
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
    unit, seconds = unit_of(spent(table).max())
    f1 = zip(numbers(figure_of(table, MAIN)), table["f1_low"], table["f1_high"], strict=True)
    columns = {
        say(F1): [
            cell.text if low is None else f"{cell.text}\n[{low:.3f}, {high:.3f}]"
            for cell, low, high in f1
        ]
    }
    if len(table) > 1:
        columns[say("verdict")] = [wrap(say(each), SMALL, 0.9) for each in table["verdict"]]
    cells = {
        metric_title(each): numbers(figure_of(table, each)) for each in METRICS if each != MAIN
    }
    if table["test_f1_macro"].notna().any():
        cells[phrase("column_test", metric=F1)] = numbers(table["test_f1_macro"])
    cells["column_params"] = numbers(table["params_million"], 1)
    cells[phrase("column_time", unit=unit)] = numbers(spent(table) / seconds, 1)
    return columns | {say(title): [cell.text for cell in own] for title, own in cells.items()}
