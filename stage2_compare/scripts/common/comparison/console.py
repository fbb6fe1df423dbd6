"""What the console shows: one table of models, at most 100 columns wide, then the sentences."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from ..files import console_width, padded, printable
from ..metrics import BESIDE, MAIN
from ..runs.labels import BETWEEN
from ..words import Language
from .results import MODEL, YES, Results, shown, spent
from .wording import (
    REFERENCE,
    conclusion,
    method,
    metric_short,
    metric_title,
    other_groups,
    outside,
)

WIDTH = 100
_GAP = "  "


def report(results: Results, say: Language) -> str:
    """Return the table, what weakens the comparison, and the sentences that sum it up."""
    parts = [_table(results, say)]
    remarks = [say("warning", note=note) for note in results.groups[0].notes]
    if remarks:
        parts.append("\n".join(remarks))
    parts.append("\n".join(conclusion(results, say)))
    decided = results.groups[0].decided.values()
    parts += ["\n".join(say(found.sentence) for found in decided)]
    parts += [method(results, say), "\n".join(other_groups(results, say))]
    if results.tagged:
        parts.append("\n".join(["-" * WIDTH, say("outside"), *outside(results, say)]))
    return "\n".join(map(printable, "\n\n".join(filter(None, parts)).split("\n")))


def _table(results: Results, say: Language) -> str:
    """Lay out the rows of the group that is told first, and of its ensembles and reference."""
    rows = results.models[results.models["group"] == 1]
    intervals = [
        "" if low is None else f"{low:.3f}–{high:.3f}"
        for low, high in zip(rows[f"{MAIN.prefix}_low"], rows[f"{MAIN.prefix}_high"], strict=True)
    ]
    columns = {
        say(metric_title(MAIN)): shown(rows, MAIN).map(_figure),
        say("interval"): intervals,
        say("verdict"): ["" if each == REFERENCE else say(each) for each in rows["verdict"]],
        **{say(metric_short(metric)): shown(rows, metric).map(_figure) for metric in BESIDE},
        say("console_time"): [
            "" if np.isnan(time) else duration(time, say) for time in spent(rows)
        ],
    }
    models = rows[rows["kind"] == MODEL]
    names = [
        say("imported_name", name=name) if imported == YES else name
        for name, imported in zip(models["model"], models["imported"], strict=True)
    ]
    others = [say(name) for name in results.groups[0].ensembles]
    if results.groups[0].majority:
        others.append(say("always", name=results.groups[0].majority_class))
    return laid_out(names, others, columns, say)


def duration(seconds: float, say: Language) -> str:
    """Write a time in the unit in which it has few digits."""
    for unit, size in (("unit_h", 3600), ("unit_min", 60)):
        if seconds >= size:
            digits = ".1f" if seconds < 1e7 else ".0e"  # a record may hold any number
            return f"{seconds / size:{digits}} {say(unit)}"
    return f"{seconds:.0f} {say('unit_s')}"


def laid_out(
    names: list[str], others: list[str], columns: dict[str, Iterable[str]], say: Language
) -> str:
    """Align columns beside the names of models, then of other rows.

    Of names that are too long, what all models share stands in the heading; one that is still too
    long stands on a line of its own.
    """
    table = pd.DataFrame({title: list(cells) for title, cells in columns.items()})
    widths = {title: max(map(console_width, (title, *table[title]))) for title in table}
    room = WIDTH - sum(len(_GAP) + width for width in widths.values())
    heading = say("console_model")
    if max(map(console_width, names)) > room:
        names, shared = _without_shared(names)
        heading = " ".join([heading, *shared])
    names = [*names, *others]
    width = min(room, max(map(console_width, (heading, *names))))

    def line(name: str, cells: Iterable[str]) -> str:
        start = padded(name, width) if console_width(name) <= width else f"{name}\n{' ' * width}"
        texts = [padded(cell, widths[title]) for title, cell in zip(table, cells, strict=True)]
        return _GAP.join([start, *texts]).rstrip()

    rows = zip(names, table.itertuples(index=False), strict=True)
    return "\n".join([line(heading, table), *(line(name, cells) for name, cells in rows)])


def _without_shared(names: list[str]) -> tuple[list[str], list[str]]:
    """Return names without the parts that all of them have, and these parts in brackets."""
    parts = [name.split(BETWEEN) for name in names]
    shared = [part for part in parts[0] if all(part in others for others in parts)]
    rest = [BETWEEN.join(part for part in own if part not in shared) for own in parts]
    return (rest, [f"({BETWEEN.join(shared)})"]) if shared and all(rest) else (names, [])


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}" if abs(value) < 1e3 else f"{value:.1e}"
