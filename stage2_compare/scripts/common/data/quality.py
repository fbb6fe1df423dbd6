"""quality.json beside the tables of a split: what make_splits.py found in the data.

It holds the SHA-256 of each table, so a reader sees whether it is still about them.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

QUALITY = "quality.json"
_MOST_BYTES = 1_000_000


class Shared(NamedTuple):
    """A count of groups of pairs with the same text or photo, or nearly."""

    groups: int
    pairs: int  # in them
    conflicts: int  # groups whose labels differ


def shared(keys: list[str], exact: list[str], labels: list[str]) -> tuple[Shared, list[list[int]]]:
    """Group pairs by their keys, N each. Near copies: only keys that join several exact values.

    Returns:
        The counts, and the groups whose labels differ, as places in the split.
    """
    sharing = defaultdict(list)
    for i, key in enumerate(keys):
        if key:
            sharing[key].append(i)
    groups = [
        group
        for group in sharing.values()
        if len(group) > 1 and (keys is exact or _several(exact, group))
    ]
    conflicts = [group for group in groups if _several(labels, group)]
    return Shared(len(groups), sum(map(len, groups)), len(conflicts)), conflicts


def _several(values: list[str], group: list[int]) -> bool:
    return len({values[i] for i in group}) > 1


def class_counts(sides: dict[str, Iterable[int]], labels: list[str]) -> dict[str, dict[str, int]]:
    """Count the pairs of each class in each table."""
    counts = {side: Counter() for side in sides}
    for side, places in sides.items():
        counts[side].update(labels[i] for i in places)
    return {side: dict(found) for side, found in counts.items()}


def quality_json(tables: dict[str, bytes], facts: dict[str, Any]) -> bytes:
    """Return the content of quality.json for tables by their names."""
    files = {name: hashlib.sha256(content).hexdigest() for name, content in tables.items()}
    return (json.dumps({"files": files, **facts}, indent=1) + "\n").encode()


def read_quality(csv_path: Path) -> dict[str, Any] | None:
    """Return what quality.json says of a table, or of the fold that it is in; None where it is
    about another one or cannot be read."""
    digest = hashlib.sha256(csv_path.read_bytes()).hexdigest()
    for folder in csv_path.parents[:2]:
        try:
            found = _read(folder / QUALITY)
        except (OSError, ValueError, RecursionError):
            continue
        files = found.pop("files", None)
        name = csv_path.relative_to(folder).as_posix()
        if isinstance(files, dict) and files.get(name) == digest:
            return found
    return None


def _read(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError("too large")
    found = json.loads(path.read_text(encoding="utf-8"))
    return found if isinstance(found, dict) else {}
