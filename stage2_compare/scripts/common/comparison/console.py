"""The tables that the console shows: at most 120 columns wide, and no figure twice."""

from __future__ import annotations

import unicodedata

import pandas as pd

from ..files import printable
from ..metrics import MAIN, METRICS
from ..runs.reader import Run
from .compare import NO, Compared, Comparison
from .intervals import Estimate
from .judging import Judged
from .tables import PROBE
from .wording import conclusion

WIDTH = 120
_OTHER_METRICS = [metric for metric in METRICS if metric.key == "acc" or not metric.required]


def report(comparison: Comparison) -> str:
    """Return the tables, what weakens the comparison, and the sentences that sum it up."""
    tables = _result_tables(comparison)
    if comparison.ensembles:
        tables.append([_judged_result("together", *item) for item in comparison.ensembles.items()])
    if comparison.test:
        named = [(entry.name, entry.test) for entry in comparison.families if entry.test]
        tables.append([_judged_result("on the test pairs", *item) for item in named])
    probed = [entry.runs[0] for entry in comparison.runs if entry.runs[0].recorded("probe")]
    if probed:
        tables.append([_probe_row(run) for run in probed])
    remarks = [
        f"not comparable: {entry.name}: {', '.join(entry.differs)}"
        for entry in comparison.runs
        if entry.comparable == NO
    ]
    remarks += [f"warning: {note}" for note in comparison.notes]
    parts = [_aligned(_without_empty(rows)) for rows in tables]
    if remarks:
        parts.append("\n".join(map(printable, remarks)))
    return "\n\n".join([*parts, printable(conclusion(comparison))])


def _result_tables(comparison: Comparison) -> list[list[dict[str, str]]]:
    """Return the rows of the tables of results.

    A verdict stands beside the figures that it is on: those of the runs, or of the families where
    one has several runs.
    """
    reference = []
    if comparison.majority:
        main = _figure(comparison.majority[MAIN.column])
        others = _other_metrics(comparison.majority)
        reference = [{"run": f"(always {comparison.majority_class})", MAIN.title: main, **others}]
    if comparison.several_runs:
        runs = [{**_result(entry), **_costs(entry)} for entry in comparison.runs]
        others = [_mean_result(group) for group in comparison.families]
    else:
        runs = [
            _result(entry, _verdict(entry.verdict, entry.p_vs_best)) for entry in comparison.runs
        ]
        others = [{"run": entry.name, **_costs(entry)} for entry in comparison.runs]
    return [runs + reference, others]


def _without_empty(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Leave out the corrected figures where none is corrected."""
    if any(row.get("corrected") for row in rows):
        return rows
    table = pd.DataFrame(rows).fillna("").drop(columns="corrected", errors="ignore")
    return table.to_dict("records")


def _result(entry: Compared, verdict: dict[str, str] | None = None) -> dict[str, str]:
    (run,) = entry.runs
    return {
        "run": run.name,
        MAIN.title: _figure(run.best[MAIN.column]),
        **_corrected(entry.scores[MAIN.column]),
        **(verdict or {}),
        **_other_metrics(run.best),
    }


def _mean_result(group: Compared) -> dict[str, str]:
    values = {column: estimate.value for column, estimate in group.scores.items()}
    mean, spread = _figure(values[MAIN.column]), group.spread[MAIN.column]
    return {
        "over folds and seeds": group.name,
        "seeds": str(group.seeds),
        f"{MAIN.title} ± sd": mean if spread is None else f"{mean} ± {_figure(spread)}",
        **_corrected(group.scores[MAIN.column]),
        **_verdict(group.verdict, group.p_vs_best),
        **_other_metrics(values),
    }


def _judged_result(heading: str, name: str, judged: Judged) -> dict[str, str]:
    values = {column: estimate.value for column, estimate in judged.estimates.items()}
    return {
        heading: name,
        MAIN.title: _figure(values[MAIN.column]),
        **_corrected(judged.estimates[MAIN.column]),
        **_verdict(judged.verdict, judged.p),
        **_other_metrics(values),
    }


def _verdict(verdict: str, p: float | None) -> dict[str, str]:
    text = "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"
    return {"against the best": verdict, "p": text}


def _other_metrics(values: dict[str, float | None]) -> dict[str, str]:
    return {metric.short: _figure(values[metric.column]) for metric in _OTHER_METRICS}


def _costs(entry: Compared) -> dict[str, str]:
    (run,) = entry.runs

    def number(key: str, decimals: int, factor: int = 1, unit: str = "") -> str:
        value = run.recorded(key)
        if value is None:
            return ""
        value = float(value) * factor  # a whole number may have 300 digits
        return f"{value:.{decimals}f}{unit}" if value < 1e6 else f"{value:.0e}{unit}"

    return {
        "epoch": f"{run.best['epoch']:g}/{len(run.history)}",
        "params (M)": number("params_million", 1),
        "time (s)": number("train_time_sec", 0),
        "cut texts": number("truncated_rate", 1, 100, "%"),
        "unknown": number("unknown_rate", 1, 100, "%"),
    }


def _probe_row(run: Run) -> dict[str, str]:
    images, texts, additive, pairs = (run.number("probe", key) for key in PROBE)
    return {
        "what it relies on": run.name,
        "F1 lost: images shuffled": _figure(images),
        "texts shuffled": _figure(texts),
        "F1 of best additive model": _figure(additive),
        "pairs": "" if pairs is None else f"{pairs:g}",
    }


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}" if abs(value) < 1e3 else f"{value:.1e}"


def _corrected(estimate: Estimate) -> dict[str, str]:
    """Return the figure less what choosing gains by luck, and the interval around it."""
    value, corrected = _figure(estimate.value), _figure(estimate.corrected)
    shown = corrected if corrected != value else ""
    return {"corrected": shown, "95% interval": _bounds(estimate)}


def _bounds(estimate: Estimate) -> str:
    """Format an interval as [.519, .631]."""
    if estimate.low is None:
        return ""
    low, high = (f"{end:.3f}".removeprefix("0") for end in (estimate.low, estimate.high))
    return f"[{low}, {high}]"


def _aligned(rows: list[dict[str, str]]) -> str:
    """Lay out rows under their keys; long names in the first column lose their middle."""
    table = pd.DataFrame(rows).fillna("").map(printable)
    heading = table.columns[0]
    table = table.set_index(heading).rename_axis(index=None, columns=heading)
    text = _laid_out(table)
    excess = max(map(console_width, text.splitlines())) - WIDTH
    if excess > 0:
        room = max(map(console_width, table.index)) - excess
        text = _laid_out(table.rename(index=lambda name: _shortened(name, room)))
    return "\n".join(line.rstrip() for line in text.splitlines())


def _laid_out(table: pd.DataFrame) -> str:
    # Without widths, pandas leaves two spaces before long cells and one before long headings.
    widths = {name: 1 + max(map(console_width, [name, *table[name]])) for name in table}
    with pd.option_context("display.unicode.east_asian_width", True):
        return table.to_string(col_space=widths)


def _shortened(text: str, width: int) -> str:
    """Replace the middle of a text that is wider than this by three dots."""
    shown, end = text, len(text) // 2
    start = end
    while console_width(shown) > width and start:
        if start > len(text) - end:
            start -= 1
        else:
            end += 1
        shown = f"{text[:start]}...{text[end:]}"
    return shown


def console_width(text: str) -> int:
    """Count the columns of a text on a console: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
