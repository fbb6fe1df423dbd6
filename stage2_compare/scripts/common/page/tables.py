"""The tables of the page beside that of the models."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, NamedTuple
from urllib.parse import urlencode

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from ..comparison.decided import KINDS
from ..comparison.results import NO, Group, Results, shown
from ..comparison.view import (
    ACC,
    DASH,
    F1,
    Cell,
    Table,
    columns_of,
    number,
    numbers,
    rate,
    table_of,
    times,
)
from ..data.report import SHARED
from ..metrics import MAIN, METRICS, wilson
from ..runs.reading import Run
from ..words import Language, phrase
from .pairs import PairTable

_DATA = ("samples", "class_counts", "text_encodings", "text_notes", "image_notes", "duplicates")
_QUALITY = (
    *("class_counts", "text_encodings", "text_notes", "same_text", "near_text"),
    *("same_photo", "near_photo", "largest_group", "left_out", "corrected_labels"),
)
_SHA256 = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{28,52}\b")
_LONGEST_VALUE = 80  # characters of a setting
_MOST_TICKS = 5
_MOST_COLUMNS = 6  # models beside each other; the others are shown on demand


def decided_table(group: Group, say: Language) -> Table:
    """Return the share of the answers of each probed model that each of KINDS decides, in percent;
    a cell leads to the pairs."""
    rows = []
    for decided in group.decided.values():
        row = [Cell(decided.name, model=decided.name), number(decided.pairs, 0)]
        for kind, (share, low, high, _) in decided.shares.items():
            link = urlencode({"model1": decided.name, "is1": f"decided:{kind}"})
            note = f"{100 * low:.1f}{DASH}{100 * high:.1f}"
            row.append(number(100 * share, 1, note=note, link=link))
        rows.append(row)
    keys = ("model", "probed_pairs", *(f"decided_{kind}" for kind in KINDS))
    return table_of(say("decided_caption"), columns_of(keys, rows), say)


def run_table(results: Results, say: Language) -> Table:
    """Return the runs of all groups with the names of their folders, as they were recorded."""
    frame = results.runs[(results.runs["imported"] == NO) & results.runs["group"].notna()]
    frame = frame.sort_values("group", kind="stable")
    everyone = [model for group in results.groups for model in group.models]
    models = {run.name: model.name for model in everyone for run in model.runs}
    names = zip(frame["model"], frame["run"].map(models), strict=True)
    epochs = zip(frame["best_epoch"], frame["epochs_run"], strict=True)
    cells = {
        "run": [Cell(name, model=model) for name, model in names],
        "folder": map(Cell, frame["run"]),
        **({"group": numbers(frame["group"], 0)} if len(results.groups) > 1 else {}),
        F1: numbers(frame[MAIN.column]),
        ACC: numbers(frame[METRICS[0].column]),
        "lr": map(rate, frame["lr"]),
        "best_epoch": [Cell(f"{best}/{last}", best) for best, last in epochs],
        "time": times(frame, say),
        "truncated": map(_percent, frame["truncated_rate"]),
        "unknown_tokens": map(_percent, frame["unknown_rate"]),
        "device": [Cell(str(device or DASH)) for device in frame["device"]],
    }
    return table_of(say("runs_caption"), cells, say, at_first=len(cells) - 3)


def _percent(value: float | None) -> Cell:
    return Cell() if value is None else Cell(f"{value:.1%}", value)


class Row(NamedTuple):
    """A model in the picture of the verdicts."""

    model: str
    value: float
    low: float | None
    high: float | None


def tiers(table: pd.DataFrame) -> tuple[dict[str, list[Row]], list[float]]:
    """Return the models by their verdicts, both in the order of the table, and the ticks of an axis
    that holds their macro-F1."""
    found, values = {}, []
    columns = (shown(table, MAIN), table["f1_low"], table["f1_high"])
    for verdict, row in zip(table["verdict"], map(Row, table["model"], *columns), strict=True):
        found.setdefault(verdict, []).append(row)
        values += [value for value in row[1:] if value is not None]
    ticks = MaxNLocator(_MOST_TICKS, steps=[1, 2, 5, 10])
    return found, ticks.tick_values(min(values) - 0.01, max(values) + 0.01).tolist()


def slice_table(table: PairTable, slices: dict[str, np.ndarray], say: Language) -> Table:
    """Return the accuracy of each model on each kind of pairs."""
    rows = []
    for name, members in slices.items():
        count = int(members.sum())
        shares = (table.right & members).sum(1) / count  # (M,)
        ends = zip(*wilson(shares, np.full(len(shares), count)), strict=True)
        row = [Cell(say(f"slice_{name}")), number(count, 0, link=f"slice={name}")]
        for share, (low, high) in zip(shares, ends, strict=True):
            row.append(number(share, note=f"{low:.2f}{DASH}{high:.2f}"))
        rows.append(row)
    models = [phrase("as_written", text=model.name) for model in table.models]
    cells = columns_of(("slice", "n", *models), rows)
    return table_of(say("slices_caption"), cells, say, at_first=2 + _MOST_COLUMNS)


def setting_table(runs: list[Run], say: Language) -> Table:
    """Return the usual value and other values of each setting of the protocol, with the number of
    runs."""
    protocols = [run.recorded("protocol") or {} for run in runs]
    rows = []
    for name in dict.fromkeys(name for protocol in protocols for name in protocol):
        values = Counter(_shortened(written(each[name])) for each in protocols if name in each)
        (usual, _), *others = values.most_common()
        listed = "; ".join(f"{value} ({count})" for value, count in others)
        rows.append([Cell(name), Cell(usual), Cell(listed or DASH)])
    return table_of(say("settings"), columns_of(("setting", "usual", "others"), rows), say)


def data_table(runs: list[Run], say: Language) -> Table:
    """Return what most runs recorded of their data, and whether others differ."""
    found = {}
    for name in _DATA:
        values = [_listed(run.recorded(name)) for run in runs if run.recorded(name)]
        if values:
            note = say("data_several") if len(set(values)) > 1 else ""
            found[name] = Cell(Counter(values).most_common(1)[0][0], note=note)
    return _facts("data", found, say)


def quality_table(found: list[dict[str, Any]], say: Language) -> Table:
    """Return what make_splits.py found in the data, with its different values in the splits."""
    values = {
        name: [_quality(one[name], say) for one in found if one.get(name) is not None]
        for name in _QUALITY
    }
    told = {name: Cell("; ".join(dict.fromkeys(own))) for name, own in values.items() if own}
    return _facts("quality", told, say)


def _facts(kind: str, found: dict[str, Cell], say: Language) -> Table:
    rows = [(Cell(say(f"{kind}_{name}")), cell) for name, cell in found.items()]
    return table_of(say(f"{kind}_caption"), columns_of(("what", "value"), rows), say)


def _quality(value: Any, say: Language) -> str:
    if isinstance(value, dict) and sorted(value) == sorted(SHARED):
        return say("quality_shared", **{key: _listed(count) for key, count in value.items()})
    return _listed(value)


def _listed(value: Any) -> str:
    """Write counts of counts as text: "train: negative 3, positive 4; val: ..."."""
    if not isinstance(value, dict):
        return _shortened(written(value))
    deep = any(isinstance(item, dict) for item in value.values())
    between, joint = (": ", "; ") if deep else (" ", ", ")
    return joint.join(f"{name}{between}{_listed(item)}" for name, item in value.items())


def written(value: Any) -> str:
    """Return a value of a record as text; of a hash the first twelve digits."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return _SHA256.sub(r"\1", text)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
