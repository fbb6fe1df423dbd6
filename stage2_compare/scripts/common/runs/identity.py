"""Which runs are the same, or of one checkpoint: decided by the contents of what they were made of.

A checkpoint is its files, wherever they lie and however their path is spelled; one of the hub is its
name. The ``model`` block of metrics.json holds both: what was typed under ``name``, and under
``checkpoints`` what ``models.checkpoint.checkpoint_records`` returns. No path that a record names is
followed: a stranger's record names any.
"""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

from ..settings import CHECKPOINTS

CHOICES = ("protocol", "model")  # the blocks of metrics.json that tell one run from another
RECORDS = "checkpoints"  # key of ``model``: what is recorded of each of them
# Of ``content``: what a run of an earlier version recorded of its checkpoint and its seed.
_CONTENT = ("weights_sha256", "config_sha256", "tokens_sha256", "pixel_statistics")
# The micro-batch is what fits in memory: another one is the same model.
_NO_CHOICE = (*CHECKPOINTS, RECORDS, "batch_size")


class Checkpoint(NamedTuple):
    """A checkpoint as a record names it."""

    name: str
    sha256: str  # of its files; "" where that is not recorded
    from_hub: bool

    @classmethod
    def of(cls, record: dict[str, Any], key: str) -> Checkpoint:
        """Return what a record says under a key of its model; a stranger's may hold anything."""
        said = recorded(record, "model", RECORDS, key, "sha256")
        from_hub = recorded(record, "model", RECORDS, key, "from_hub") is True
        return cls(str(recorded(record, "model", key)), str(said or ""), from_hub)

    def is_same(self, other: Checkpoint) -> bool:
        known = self.sha256 and other.sha256
        if known and not (self.from_hub and other.from_hub):
            return self.sha256 == other.sha256
        one, two = (os.path.normcase(os.path.abspath(each.name)) for each in (self, other))
        return one == two


def recorded(record: Any, *keys: str) -> Any:
    """Return the value of a record under these keys, or None where it is not there."""
    for key in keys:
        record = record.get(key) if isinstance(record, dict) else None
    return record


def differences(earlier: dict[str, Any], newer: dict[str, Any]) -> dict[str, str]:
    """Return what the earlier run had otherwise in its protocol or model, by key and in short."""
    if not (earlier and newer):
        return {"protocol": "unknown"}
    different = {}
    for block in CHOICES:
        old, new = earlier[block], json.loads(json.dumps(newer[block]))
        for key in old.keys() & new.keys() - set(_NO_CHOICE):  # what is not recorded is none
            if old[key] != new[key]:
                different[key] = str(old[key])[:40]
    contents = [[recorded(each, "content", key) for key in _CONTENT] for each in (earlier, newer)]
    if None not in contents[0] and contents[0] == contents[1]:
        return dict(sorted(different.items()))
    for key in CHECKPOINTS:
        old, new = Checkpoint.of(earlier, key), Checkpoint.of(newer, key)
        if key in earlier["model"].keys() & newer["model"].keys() and not old.is_same(new):
            other = " (other files)" if old.name == new.name else ""
            different[key] = old.name[:40] + other
    return dict(sorted(different.items()))


def under_one_name(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return records in which equal checkpoints have one name, that of the hub if one of them has."""
    named = [
        {key: Checkpoint.of(record, key) for key in CHECKPOINTS if recorded(record, "model", key)}
        for record in records
    ]
    names: dict[Checkpoint, str] = {}
    # Those first that others may equal by their files; earlier versions recorded the name only.
    distinct = {each for own in named for each in own.values()}
    for each in sorted(distinct, key=lambda each: (not each.from_hub, not each.sha256, each)):
        equal = [name for other, name in names.items() if each.is_same(other)]
        names[each] = equal[0] if equal else each.name
    found = []
    for record, own in zip(records, named, strict=True):
        if own:
            model = {**record["model"], **{key: names[each] for key, each in own.items()}}
            model.pop(RECORDS, None)
            record = {**record, "model": model}
        found.append(record)
    return found
