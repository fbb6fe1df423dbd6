"""The protocol and the model of a finished run, to tell it from another one. Standard library
only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from . import layout

BLOCKS = ("protocol", "model")  # of metrics.json


def read_record(folder: Path) -> dict[str, Any]:
    """Read protocol and model of a finished run; {} where they cannot be read."""
    try:
        record = json.loads((folder / layout.METRICS_JSON).read_text(encoding="utf-8"))
        return {block: dict(record[block]) for block in BLOCKS}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def differences(earlier: dict[str, Any], newer: dict[str, Any]) -> dict[str, str]:
    """Return what the earlier run had otherwise in its protocol or model, by key and in short."""
    if not (earlier and newer):
        return {"protocol": "unknown"}
    different = {}
    for block in BLOCKS:
        old, new = earlier[block], json.loads(json.dumps(newer[block]))
        for key in old:  # a value that an earlier version did not record is no difference
            # The micro-batch is what fits in memory: another one is the same model.
            if key != "batch_size" and old.get(key) != new.get(key):
                different[key] = str(old.get(key))[:40]
    return dict(sorted(different.items()))
