"""What people read of the results: tables of cells, each a column by its title. Console, page and
report pick their columns; the template of each gives them its looks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..metrics import MAIN, METRICS
from ..runs.labels import short_rate
from ..runs.layout import INFERENCE
from ..words import Language, Phrase, duration
from .results import MODEL, Results, shown, spent
from .wording import BEST, NO_DIFFERENCE, REFERENCE, metric_title

DASH = "–"
F1, ACC = metric_title(MAIN), metric_title(METRICS[0])


class Cell(NamedTuple):
    text: str = DASH
    value: float | None = None  # of a number, by which the table is sorted
    note: str = ""  # smaller, behind the text
    link: str = ""
    model: str = ""  # whose marker stands before the text


class Column(NamedTuple):
    title: str
    cells: list[Cell]
    more: bool = False  # shown on demand
    model: str = ""  # whose marker stands before the title

    @property
    def numeric(self) -> bool:
        return any(cell.value is not None for cell in self.cells)


@dataclass(frozen=True)
class Table:
    caption: str
    columns: dict[str | Phrase, Column]
    first: Collection[int] = ()  # rows that LaTeX prints in bold
    latex: str = ""  # the caption there, where it is another one

    @property
    def rows(self) -> list[tuple[Cell, ...]]:
        return list(zip(*(column.cells for column in self.columns.values()), strict=True))

    @property
    def has_more(self) -> bool:
        return any(column.more for column in self.columns.values())


def table_of(
    caption: str,
    cells: dict[str | Phrase, Iterable[Cell]],
    say: Language,
    at_first: int | None = None,
) -> Table:
    """Make a table of columns by their titles; those behind the first are shown on demand."""
    hidden = list(cells)[at_first:] if at_first else []
    columns = {key: Column(say(key), list(own), key in hidden) for key, own in cells.items()}
    return Table(caption, columns)


def columns_of(
    keys: Iterable[str | Phrase], rows: list[Sequence[Cell]]
) -> dict[str | Phrase, list[Cell]]:
    """Return the columns of rows by their titles."""
    return {key: [row[place] for row in rows] for place, key in enumerate(keys)}


def number(value: float | None, decimals: int = 3, **more: Any) -> Cell:
    """Return the cell of a number, which may not be known."""
    known = value is not None and value == value
    return Cell(f"{value:,.{decimals}f}", float(value), **more) if known else Cell(**more)


def numbers(values: Iterable[float | None], decimals: int = 3) -> list[Cell]:
    return [number(value, decimals) for value in values]


def intervals(lows: Iterable[float | None], highs: Iterable[float | None]) -> list[Cell]:
    return [
        Cell() if low is None else Cell(f"{low:.3f}{DASH}{high:.3f}", float(low))
        for low, high in zip(lows, highs, strict=True)
    ]


def times(table: pd.DataFrame, say: Language) -> list[Cell]:
    """Return the cells of what training took, see ``spent``."""
    return [Cell(duration(each, say), each) if each == each else Cell() for each in spent(table)]


def rate(value: float | None) -> Cell:
    return Cell() if value is None else Cell(short_rate(value), value)


def p_value(p: float | None) -> Cell:
    return Cell("< 0.001", p) if p is not None and p < 0.001 else number(p)


def model_table(results: Results, say: Language) -> Table:
    """Return the table of the first group: a row a model, an ensemble, and the majority class."""
    group, frame = results.groups[0], results.models
    frame = frame[frame["group"] == group.number]
    names = {name: say(name) for name in group.ensembles}
    names |= {name: say("imported_name", name=name) for name in group.imported}
    if group.majority:
        names[f"always {group.majority_class}"] = say("always", name=group.majority_class)
    models = frame["model"].where(frame["kind"] == MODEL, "")
    figures = {metric_title(metric): numbers(shown(frame, metric)) for metric in METRICS}
    cells = {
        "model": [
            Cell(names.get(name, name), model=own)
            for name, own in zip(frame["model"], models, strict=True)
        ],
        F1: figures[F1],
        "interval": intervals(frame["f1_low"], frame["f1_high"]),
        "verdict": [Cell(DASH if each == REFERENCE else say(each)) for each in frame["verdict"]],
        ACC: figures[ACC],
        "time": times(frame, say),
        "params": numbers(frame["params_million"], 1),
        **figures,
        "as_measured": numbers(frame[MAIN.column]),
        "p": map(p_value, frame["p_vs_best"]),
        "seeds": numbers(frame["seeds"], 0),
        "sd": numbers(frame[f"{MAIN.column}_sd"]),
        "lr": map(rate, frame["lr"]),
        "epochs": numbers(frame["epochs"], 0),
        "trainable": numbers(frame["trainable_params_million"], 1),
        "memory": numbers(frame["peak_memory_mb"], 0),
        **{key: numbers(frame[key], 0 if "memory" in key else 1) for key in INFERENCE},
    }
    if group.test:
        cells["test"] = numbers(frame["test_f1_macro"])
        cells["test_interval"] = intervals(frame["test_f1_low"], frame["test_f1_high"])
    first = (models != "") & frame["verdict"].isin((BEST, NO_DIFFERENCE))
    judged = len(group.validation.models) if group.validation else 0
    tested = judged > 1 and not group.validation.too_few
    latex = say("latex_caption" if tested else "latex_caption_alone", n=group.pairs, models=judged)
    table = table_of(say("results_caption"), cells, say, at_first=7)
    return replace(table, first=set(np.flatnonzero(first).tolist()), latex=latex)
