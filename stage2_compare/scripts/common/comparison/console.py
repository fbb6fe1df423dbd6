"""What the console shows: one table of models, at most 100 columns wide, then the sentences."""

from __future__ import annotations

from collections.abc import Iterable

from ..files import console_width, padded, printable
from ..metrics import BESIDE
from ..runs.labels import BETWEEN
from ..words import Language
from .results import Results
from .view import DASH, F1, model_table
from .wording import conclusion, method, metric_short, metric_title, other_groups, outside

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
    columns = model_table(results, say).columns
    titles = {each: each for each in (F1, "interval", "verdict")}
    titles |= {metric_title(metric): metric_short(metric) for metric in BESIDE}
    titles["time"] = "console_time"
    cells = {
        say(title): ["" if cell.text == DASH else cell.text for cell in columns[key].cells]
        for key, title in titles.items()
    }
    names = columns["model"].cells
    models = [cell.text for cell in names if cell.model]
    return laid_out(models, [cell.text for cell in names if not cell.model], cells, say)


def laid_out(
    names: list[str], others: list[str], columns: dict[str, list[str]], say: Language
) -> str:
    """Align columns beside the names of models, then of other rows.

    Of names that are too long, what all models share stands in the heading; one that is still too
    long stands on a line of its own.
    """
    widths = {title: max(map(console_width, (title, *cells))) for title, cells in columns.items()}
    room = WIDTH - sum(len(_GAP) + width for width in widths.values())
    heading = say("console_model")
    if max(map(console_width, names)) > room:
        names, shared = _without_shared(names)
        heading = " ".join([heading, *shared])
    names = [*names, *others]
    width = min(room, max(map(console_width, (heading, *names))))

    def line(name: str, cells: Iterable[str]) -> str:
        start = padded(name, width) if console_width(name) <= width else f"{name}\n{' ' * width}"
        texts = [padded(cell, widths[title]) for title, cell in zip(columns, cells, strict=True)]
        return _GAP.join([start, *texts]).rstrip()

    rows = zip(names, zip(*columns.values(), strict=True), strict=True)
    return "\n".join([line(heading, columns), *(line(name, cells) for name, cells in rows)])


def _without_shared(names: list[str]) -> tuple[list[str], list[str]]:
    """Return names without the parts that all of them have, and these parts in brackets."""
    parts = [name.split(BETWEEN) for name in names]
    shared = [part for part in parts[0] if all(part in others for others in parts)]
    rest = [BETWEEN.join(part for part in own if part not in shared) for own in parts]
    return (rest, [f"({BETWEEN.join(shared)})"]) if shared and all(rest) else (names, [])
