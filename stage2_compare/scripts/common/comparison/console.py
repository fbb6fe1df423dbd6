"""The tables that the console shows: at most 120 columns wide, and no figure twice."""

from __future__ import annotations

import pandas as pd

from ..files import console_width, printable
from ..metrics import BESIDE, MAIN
from ..runs.reading import Run
from ..words import Language
from .compare import NO, Compared, Comparison
from .intervals import Estimate
from .judging import Judged
from .tables import PROBE
from .wording import conclusion, metric_short, metric_title

WIDTH = 120


def report(comparison: Comparison, say: Language) -> str:
    """Return the tables, what weakens the comparison, and the sentences that sum it up."""
    tables = _Tables(say)
    parts = [_aligned(rows) for rows in tables.all(comparison)]
    remarks = [
        say("is_not_comparable", name=entry.name, reasons=say.joined(entry.differs))
        for entry in comparison.runs
        if entry.comparable == NO
    ]
    remarks += [say("warning", note=note) for note in comparison.notes]
    if remarks:
        parts.append("\n".join(map(printable, remarks)))
    return "\n\n".join([*parts, printable(conclusion(comparison, say))])


class _Tables:
    """Rows by their headings, in a language."""

    def __init__(self, say: Language):
        self.say = say
        self.main = say(metric_title(MAIN))

    def all(self, comparison: Comparison) -> list[list[dict[str, str]]]:
        """Return the rows of each table."""
        ensembles, families = comparison.ensembles.items(), comparison.families
        tested = [(entry.name, entry.test) for entry in families if entry.test]
        probed = [entry.runs[0] for entry in comparison.runs if entry.runs[0].recorded("probe")]
        tables = [
            *self._results(comparison),
            [
                self._judged("console_together", self.say(name), judged)
                for name, judged in ensembles
            ],
            [self._judged("console_on_test", *item) for item in tested],
            [self._probe(run) for run in probed],
        ]
        corrected = self.say("console_corrected")
        for rows in tables:
            if not any(row.get(corrected) for row in rows):
                for row in rows:
                    row.pop(corrected, None)
        return list(filter(None, tables))

    def _results(self, comparison: Comparison) -> list[list[dict[str, str]]]:
        """Return the rows of the tables of results.

        A verdict stands beside the figures that it is on: those of the runs, or of the families
        where one has several runs.
        """
        heading, reference = self.say("console_run"), []
        if comparison.majority:
            name = self.say("console_always", name=comparison.majority_class)
            main = _figure(comparison.majority[MAIN.column])
            others = self._other_metrics(comparison.majority)
            reference = [{heading: name, self.main: main, **others}]
        if comparison.several_runs:
            runs = [{**self._run(entry), **self._costs(entry)} for entry in comparison.runs]
            others = [self._mean(group) for group in comparison.families]
        else:
            runs = [
                self._run(entry, self._verdict(entry.verdict, entry.p_vs_best))
                for entry in comparison.runs
            ]
            others = [{heading: entry.name, **self._costs(entry)} for entry in comparison.runs]
        return [runs + reference, others]

    def _run(self, entry: Compared, verdict: dict[str, str] | None = None) -> dict[str, str]:
        (run,) = entry.runs
        return {
            self.say("console_run"): run.name,
            self.main: _figure(run.best[MAIN.column]),
            **self._corrected(entry.scores[MAIN.column]),
            **(verdict or {}),
            **self._other_metrics(run.best),
        }

    def _mean(self, group: Compared) -> dict[str, str]:
        values = {column: estimate.value for column, estimate in group.scores.items()}
        mean, spread = _figure(values[MAIN.column]), group.spread[MAIN.column]
        with_sd = self.say("console_with_sd", metric=self.main)
        return {
            self.say("console_families"): group.name,
            self.say("console_seeds"): str(group.seeds),
            with_sd: mean if spread is None else f"{mean} ± {_figure(spread)}",
            **self._corrected(group.scores[MAIN.column]),
            **self._verdict(group.verdict, group.p_vs_best),
            **self._other_metrics(values),
        }

    def _judged(self, heading: str, name: str, judged: Judged) -> dict[str, str]:
        values = {column: estimate.value for column, estimate in judged.estimates.items()}
        return {
            self.say(heading): name,
            self.main: _figure(values[MAIN.column]),
            **self._corrected(judged.estimates[MAIN.column]),
            **self._verdict(judged.verdict, judged.p),
            **self._other_metrics(values),
        }

    def _verdict(self, verdict: str, p: float | None) -> dict[str, str]:
        text = "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"
        return {self.say("console_verdict"): self.say(verdict), "p": text}

    def _other_metrics(self, values: dict[str, float | None]) -> dict[str, str]:
        return {self.say(metric_short(metric)): _figure(values[metric.column]) for metric in BESIDE}

    def _corrected(self, estimate: Estimate) -> dict[str, str]:
        """Return the figure less what choosing gains by luck, and the interval around it."""
        value, corrected = _figure(estimate.value), _figure(estimate.corrected)
        shown, bounds = corrected if corrected != value else "", ""
        if estimate.low is not None:
            low, high = (f"{end:.3f}".removeprefix("0") for end in (estimate.low, estimate.high))
            bounds = f"[{low}, {high}]"
        return {self.say("console_corrected"): shown, self.say("interval"): bounds}

    def _costs(self, entry: Compared) -> dict[str, str]:
        (run,) = entry.runs

        def number(key: str, decimals: int, factor: int = 1, unit: str = "") -> str:
            value = run.recorded(key)
            if value is None:
                return ""
            value = float(value) * factor  # a whole number may have 300 digits
            return f"{value:.{decimals}f}{unit}" if value < 1e6 else f"{value:.0e}{unit}"

        return {
            self.say("console_epoch"): f"{run.best['epoch']:g}/{len(run.history)}",
            self.say("console_params"): number("params_million", 1),
            self.say("console_time"): number("train_time_sec", 0),
            self.say("console_cut"): number("truncated_rate", 1, 100, "%"),
            self.say("console_unknown"): number("unknown_rate", 1, 100, "%"),
        }

    def _probe(self, run: Run) -> dict[str, str]:
        images, texts, additive, pairs = (run.number("probe", key) for key in PROBE)
        return {
            self.say("console_probed"): run.name,
            self.say("console_images_shuffled"): _figure(images),
            self.say("console_texts_shuffled"): _figure(texts),
            self.say("console_additive"): _figure(additive),
            self.say("console_probe_pairs"): "" if pairs is None else f"{pairs:g}",
        }


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}" if abs(value) < 1e3 else f"{value:.1e}"


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
