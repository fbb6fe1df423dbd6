"""quality.json beside the tables of a split: what make_splits.py found in the data.

It holds the SHA-256 of each table, so a reader sees whether it is still about them.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

QUALITY = "quality.json"
_MOST_BYTES = 1_000_000


class Shared(NamedTuple):
    """A count of groups of pairs with the same text or photo, or nearly."""

    groups: int
    pairs: int  # in them
    conflicts: int  # groups whose labels differ


def shared_by(
    keys: list[str], exact: list[str], labels: list[str]
) -> tuple[Shared, list[list[int]]]:
    """Group pairs by their keys, N each. Near copies: only keys that join several exact values.

    Returns:
        The counts, and the groups whose labels differ, as places in the split.
    """
    sharing = defaultdict(list)
    for i, key in enumerate(keys):
        if key:
            sharing[key].append(i)
    groups, conflicts = [], []
    for group in sharing.values():
        if len(group) > 1 and (keys is exact or len({exact[i] for i in group}) > 1):
            groups.append(group)
            if len({labels[i] for i in group}) > 1:
                conflicts.append(group)
    return Shared(len(groups), sum(map(len, groups)), len(conflicts)), conflicts


def quality_json(tables: dict[str, bytes], facts: dict[str, Any]) -> bytes:
    """Return the content of quality.json for tables by their names."""
    files = {name: hashlib.sha256(content).hexdigest() for name, content in tables.items()}
    return (json.dumps({"files": files, **facts}, indent=1) + "\n").encode()


def read_quality(csv_path: Path) -> dict[str, Any] | None:
    """Return what quality.json says of a table, or of the fold that it is in; None where it is
    about another one or cannot be read."""
    digest = hashlib.sha256(csv_path.read_bytes()).hexdigest()
    for folder in csv_path.parents[:2]:
        path = folder / QUALITY
        try:
            small = path.stat().st_size <= _MOST_BYTES
            found = json.loads(path.read_text(encoding="utf-8")) if small else {}
            files = found.pop("files")
            if files[csv_path.relative_to(folder).as_posix()] == digest:
                return found
        except Exception:  # not there, or of another kind
            continue
    return None
