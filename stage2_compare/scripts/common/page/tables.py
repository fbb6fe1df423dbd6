"""The tables of the page, each with the texts of its cells; the template gives them their looks."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlencode

import numpy as np

from ..comparison.console import duration
from ..comparison.decided import KINDS
from ..comparison.results import MODEL, Group, Results, shown
from ..comparison.wording import BEST, NO_DIFFERENCE, REFERENCE, metric_title
from ..data.report import SHARED
from ..metrics import MAIN, METRICS, wilson
from ..runs.labels import run_names, short_rate
from ..runs.layout import INFERENCE
from ..runs.reading import Run
from ..words import Language
from .pairs import PairTable

_DATA = ("samples", "class_counts", "text_encodings", "text_notes", "image_notes", "duplicates")
_QUALITY = (
    *("class_counts", "text_encodings", "text_notes", "same_text", "near_text"),
    *("same_photo", "near_photo", "largest_group", "left_out", "corrected_labels"),
)
_SHA256 = re.compile("[0-9a-f]{64}")
_LONGEST_VALUE = 80  # characters of a setting
_MOST_COLUMNS = 6  # models beside each other; the others are shown on demand
_DASH = "–"


class Column(NamedTuple):
    title: str
    numeric: bool = False
    more: bool = False  # shown on demand
    copied: bool = True  # into LaTeX, which has the width of a page
    model: str = ""  # whose marker stands before the title


class Cell(NamedTuple):
    text: str = _DASH
    value: float | None = None  # of a number, by which the table is sorted
    note: str = ""  # smaller, behind the text
    link: str = ""
    model: str = ""  # whose marker stands before the text


@dataclass
class Table:
    caption: str
    columns: list[Column]
    rows: list[list[Cell]]
    first: set[int] = field(default_factory=set)  # rows that LaTeX prints in bold
    latex: str = ""  # the caption there, where it is another one

    @property
    def has_more(self) -> bool:
        return any(column.more for column in self.columns)


def number(value: float | None, decimals: int = 3, **more: Any) -> Cell:
    """Return the cell of a number, which may be None."""
    return Cell(**more) if value is None else Cell(f"{value:,.{decimals}f}", float(value), **more)


def interval(low: float | None, high: float | None) -> Cell:
    return Cell() if low is None else Cell(f"{low:.3f}{_DASH}{high:.3f}", float(low))


def time(seconds: list[float | None], say: Language) -> Cell:
    """Return the cell of times that add up."""
    known = [each for each in seconds if each is not None]
    return Cell(duration(sum(known), say), sum(known)) if known else Cell()


def model_table(results: Results, say: Language) -> Table:
    """Return the table of the first group: seven columns, and the rest on demand."""
    group, frame = results.groups[0], results.models
    frame = frame[frame["group"] == group.number]
    others = [metric for metric in METRICS if metric.key not in ("acc", MAIN.key)]
    figures = {metric: list(shown(frame, metric)) for metric in METRICS}
    acc, f1, *_ = METRICS
    has_test = group.test is not None
    columns = [
        Column(say("model")),
        Column(say(metric_title(f1)), True),
        Column(say("interval"), True),
        Column(say("verdict"), copied=False),
        Column(say(metric_title(acc)), True),
        Column(say("time"), True),
        Column(say("params"), True),
        *(Column(say(metric_title(metric)), True, True) for metric in others),
        *(Column(say(key), True, True) for key in ("as_measured", "p", "seeds", "sd", "lr")),
        *(Column(say(key), True, True) for key in ("epochs", "trainable", "memory")),
        *(Column(say(key), True, True) for key in INFERENCE),
        *(Column(say(key), True, True) for key in ("test", "test_interval") if has_test),
    ]
    names = {name: say(name) for name in group.ensembles}
    names |= {name: say("imported_name", name=name) for name in group.imported}
    if group.majority:
        names[f"always {group.majority_class}"] = say("always", name=group.majority_class)
    rows, first = [], set()
    for place, row in enumerate(frame.to_dict("records")):
        name, verdict = row["model"], row["verdict"]
        if row["kind"] == MODEL and verdict in (BEST, NO_DIFFERENCE):
            first.add(place)
        rows.append(
            [
                Cell(names.get(name, name), model=name if row["kind"] == MODEL else ""),
                number(figures[f1][place]),
                interval(row["f1_low"], row["f1_high"]),
                Cell(_DASH if verdict == REFERENCE else say(verdict)),
                number(figures[acc][place]),
                time([row["train_time_sec"], row["encode_time_sec"]], say),
                number(row["params_million"], 1),
                *(number(figures[metric][place]) for metric in others),
                number(row[MAIN.column]),
                p_value(row["p_vs_best"]),
                number(row["seeds"], 0),
                number(row[f"{MAIN.column}_sd"]),
                rate(row["lr"]),
                number(row["epochs"], 0),
                number(row["trainable_params_million"], 1),
                number(row["peak_memory_mb"], 0),
                *(number(row[key], 0 if "memory" in key else 1) for key in INFERENCE),
                *([number(row["test_f1_macro"])] if has_test else []),
                *([interval(row["test_f1_low"], row["test_f1_high"])] if has_test else []),
            ]
        )
    latex = say("latex_caption_alone", n=group.pairs)
    if group.validation and not group.validation.too_few and len(group.validation.models) > 1:
        latex = say("latex_caption", n=group.pairs, models=len(group.validation.models))
    return Table(say("results_caption"), columns, rows, first, latex)


def decided_table(group: Group, say: Language) -> Table:
    """Return the share of the answers of each probed model that each of KINDS decides, in percent;
    a cell leads to the pairs."""
    columns = [Column(say("model")), Column(say("probed_pairs"), True)]
    columns += [Column(say(f"decided_{kind}"), True) for kind in KINDS]
    rows = []
    for decided in group.decided.values():
        row = [Cell(decided.name, model=decided.name), number(decided.pairs, 0)]
        for kind, (share, low, high, _) in decided.shares.items():
            link = urlencode({"model1": decided.name, "is1": f"decided:{kind}"})
            note = f"{100 * low:.1f}{_DASH}{100 * high:.1f}"
            row.append(number(100 * share, 1, note=note, link=link))
        rows.append(row)
    return Table(say("decided_caption"), columns, rows)


def p_value(p: float | None) -> Cell:
    return Cell("< 0.001", p) if p is not None and p < 0.001 else number(p)


def run_table(results: Results, say: Language) -> Table:
    """Return all runs with the names of their folders, as they were recorded."""
    several = len(results.groups) > 1
    columns = [
        Column(say("run")),
        Column(say("folder")),
        *([Column(say("group"), True)] if several else []),
        *(Column(say(metric_title(metric)), True) for metric in (MAIN, METRICS[0])),
        *(Column(say(key), True) for key in ("lr", "best_epoch", "time")),
        *(Column(say(key), True, True) for key in ("truncated", "unknown_tokens")),
        Column(say("device"), more=True),
    ]
    rows = []
    for group in results.groups:
        for model in group.models:
            if model.imported:
                continue
            names = run_names(model.name, model.runs)
            for name, run in zip(names, model.runs, strict=True):
                epoch, device = run.best["epoch"], run.recorded("device")
                times = [run.number(key) for key in ("train_time_sec", "encode_time_sec")]
                rows.append(
                    [
                        Cell(name, model=model.name),
                        Cell(run.name),
                        *([number(group.number, 0)] if several else []),
                        *(number(run.best[each.column]) for each in (MAIN, METRICS[0])),
                        rate(run.number("protocol", "lr")),
                        Cell(f"{epoch:g}/{len(run.history)}", epoch),
                        time(times, say),
                        *(share(run.number(f"{key}_rate")) for key in ("truncated", "unknown")),
                        Cell(str(device or _DASH)),
                    ]
                )
    return Table(say("runs_caption"), columns, rows)


def rate(value: float | None) -> Cell:
    return Cell() if value is None else Cell(short_rate(value), value)


def share(value: float | None) -> Cell:
    return Cell() if value is None else Cell(f"{value:.1%}", value)


def slice_table(table: PairTable, slices: dict[str, np.ndarray], say: Language) -> Table:
    """Return the accuracy of each model on each kind of pairs."""
    columns = [Column(say("slice")), Column(say("n"), True)]
    for place, model in enumerate(table.models):
        columns.append(Column(model.name, True, place >= _MOST_COLUMNS, model=model.name))
    rows = []
    for name, members in slices.items():
        count = int(members.sum())
        shares = (table.right & members).sum(1) / count  # (M,)
        ends = zip(*wilson(shares, np.full(len(shares), count)), strict=True)
        row = [Cell(say(f"slice_{name}")), number(count, 0, link=f"slice={name}")]
        for share, (low, high) in zip(shares, ends, strict=True):
            row.append(number(share, note=f"{low:.2f}{_DASH}{high:.2f}"))
        rows.append(row)
    return Table(say("slices_caption"), columns, rows)


def setting_table(runs: list[Run], say: Language) -> Table:
    """Return the usual value and other values of each setting of the protocol, with the number of
    runs."""
    protocols = [run.recorded("protocol") or {} for run in runs]
    rows = []
    for name in dict.fromkeys(name for protocol in protocols for name in protocol):
        values = Counter(_shown(each[name]) for each in protocols if name in each)
        (usual, _), *others = values.most_common()
        listed = "; ".join(f"{value} ({count})" for value, count in others)
        rows.append([Cell(name), Cell(usual), Cell(listed or _DASH)])
    return Table(
        say("settings"), [Column(say(key)) for key in ("setting", "usual", "others")], rows
    )


def data_table(runs: list[Run], say: Language) -> Table:
    """Return what most runs recorded of their data, and whether others differ."""
    rows = []
    for name in _DATA:
        values = [_listed(run.recorded(name)) for run in runs if run.recorded(name)]
        if values:
            note = say("data_several") if len(set(values)) > 1 else ""
            usual = Counter(values).most_common(1)[0][0]
            rows.append([Cell(say(f"data_{name}")), Cell(usual, note=note)])
    return Table(say("data_caption"), [Column(say("what")), Column(say("value"))], rows)


def quality_table(found: list[dict[str, Any]], say: Language) -> Table:
    """Return what make_splits.py found in the data, with its different values in the splits."""
    rows = []
    for name in _QUALITY:
        values = [_fact(one[name], say) for one in found if one.get(name) is not None]
        if values:
            rows.append([Cell(say(f"quality_{name}")), Cell("; ".join(dict.fromkeys(values)))])
    return Table(say("quality_caption"), [Column(say("what")), Column(say("value"))], rows)


def _fact(value: Any, say: Language) -> str:
    if isinstance(value, dict) and sorted(value) == sorted(SHARED):
        return say("quality_shared", **{key: _listed(count) for key, count in value.items()})
    return _listed(value)


def _listed(value: Any) -> str:
    """Write counts of counts as text: "train: negative 3, positive 4; val: ..."."""
    if not isinstance(value, dict):
        return _shown(value)
    deep = any(isinstance(item, dict) for item in value.values())
    between, joint = (": ", "; ") if deep else (" ", ", ")
    return joint.join(f"{name}{between}{_listed(item)}" for name, item in value.items())


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if _SHA256.fullmatch(text):
        return text[:12]
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
