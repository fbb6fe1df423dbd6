"""The rows of the page's tables on settings and data; the template gives them their looks."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np

from ..data.report import Shared
from ..runs.reading import Run
from ..words import Phrase, phrase

_DATA = ("samples", "class_counts", "text_encodings", "text_notes", "image_notes", "duplicates")
_QUALITY = (
    "class_counts",
    "text_encodings",
    "text_notes",
    "same_text",
    "near_text",
    "same_photo",
    "near_photo",
    "largest_group",
    "left_out",
)
_LONGEST_VALUE = 80  # characters of a setting


def mean(runs: list[Run], key: str) -> float | None:
    values = [run.number(key) for run in runs]
    return None if None in values else float(np.mean(values))


def settings(runs: list[Run]) -> list[tuple[str, str, str]]:
    """Return name, usual value and other values of each setting of the protocol."""
    protocols = {run.name: run.recorded("protocol") or {} for run in runs}
    names = dict.fromkeys(name for protocol in protocols.values() for name in protocol)
    rows = []
    for name in names:
        own = {run: _shown(found[name]) for run, found in protocols.items() if name in found}
        usual = Counter(own.values()).most_common(1)[0][0]
        others = [f"{run}: {value}" for run, value in own.items() if value != usual]
        rows.append((name, usual, "; ".join(others)))
    return rows


def data_facts(runs: list[Run]) -> list[tuple[str, str, bool]]:
    """Return what the runs recorded of their data: the name of the fact, the value of most runs,
    and whether others differ."""
    rows = []
    for name in _DATA:
        values = [_listed(run.recorded(name)) for run in runs if run.recorded(name)]
        if values:
            rows.append((name, Counter(values).most_common(1)[0][0], len(set(values)) > 1))
    return rows


def quality_facts(found: list[dict[str, Any]]) -> list[tuple[str, list[Phrase]]]:
    """Return what make_splits.py found in the data: the name of the fact, and its different values
    in the splits."""
    rows = []
    for name in _QUALITY:
        values = dict.fromkeys(_fact(one[name]) for one in found if one.get(name) is not None)
        if values:
            rows.append((name, list(values)))
    return rows


def _fact(value: Any) -> Phrase:
    if isinstance(value, dict) and sorted(value) == sorted(Shared._fields):
        return phrase("quality_shared", **{key: _listed(count) for key, count in value.items()})
    return phrase("as_written", text=_listed(value))


def _listed(value: Any) -> str:
    """Write counts of counts as text: "train: negative 3, positive 4; val: ..."."""
    if not isinstance(value, dict):
        return _shown(value)
    deep = any(isinstance(item, dict) for item in value.values())
    between, joint = (": ", "; ") if deep else (" ", ", ")
    return joint.join(f"{name}{between}{_listed(item)}" for name, item in value.items())


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
