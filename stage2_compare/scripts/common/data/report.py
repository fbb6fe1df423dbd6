"""What make_splits.py found in the data: lines for the console, and facts for quality.json.

quality.json lies beside the tables of a split. It holds the SHA-256 of each, so a reader sees
whether it is still about them.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ..files import listed, quoted
from .copies import Keys
from .pair_files import Fault
from .splits import Split, class_names, encoding_remarks

QUALITY = "quality.json"
_KINDS = {  # key -> words, keys, and keys of exact copies
    "same_text": ("same text", "texts", "texts"),
    "near_text": ("nearly the same text", "near_texts", "texts"),
    "same_photo": ("same picture", "photos", "photos"),
    "near_photo": ("nearly the same picture", "near_photos", "photos"),
}


class Shared(NamedTuple):
    """A count of groups of pairs with the same text or photo, or nearly."""

    groups: int
    pairs: int  # in them
    conflicts: int  # groups whose labels differ


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
            found = json.loads((folder / QUALITY).read_text(encoding="utf-8"))
            files = found.pop("files")
            if files[csv_path.relative_to(folder).as_posix()] == digest:
                return found
        except Exception:  # not there, or of another kind
            continue
    return None


def of_data(
    splits: dict[str, Split],
    keys: dict[str, Keys],
    sides: dict[str, list[int]],
    groups: list[list[int]],
    left_out: list[Fault],
) -> tuple[dict[str, Any], list[str]]:
    """Return facts and lines on the lists "labelled" and, where there is one, "test".

    Args:
        sides: the places of the labelled pairs in each table.
        groups: of labelled pairs that hang together by copies.
    """
    split, test = splits["labelled"], splits.get("test")
    counts = {side: Counter(split.labels[i] for i in places) for side, places in sides.items()}
    pairs_left_out = len({(fault.csv_path, fault.row) for fault in left_out})
    copies, of_copies = _copies(split, keys["labelled"])
    facts = {
        "class_counts": {side: dict(count) for side, count in counts.items()},
        "text_encodings": {name: part.encodings for name, part in splits.items()},
        "text_notes": {name: part.notes for name, part in splits.items() if part.notes},
        **copies,
        "largest_group": max(map(len, groups)),
        "left_out": pairs_left_out,
    }
    lines = _of_classes(split, counts, test)
    for name, part in splits.items():
        encodings = ", ".join(f"{n:,} {encoding}" for encoding, n in part.encodings.items())
        empty = part.notes.get("empty_text", 0)
        lines.append(f"texts ({name}): {encodings}; {empty:,} empty; no file missing")
        odd = {note: n for note, n in part.notes.items() if note != "empty_text"}
        if odd:
            shown = ", ".join(f"{n:,} {note.replace('_', ' ')}" for note, n in odd.items())
            lines.append(f"odd, but used ({name}): {shown}")
    lines += encoding_remarks(splits.values())
    formulas = [guid for part in splits.values() for guid in part.guids if guid[0] in "=+-@"]
    if formulas:
        lines.append(
            f"warning: {len(formulas):,} guids begin with = + - or @, for example "
            f"{quoted(formulas[0])}: Excel takes them for formulas, so do not save the files there"
        )
    lines += of_copies
    largest = max(groups, key=len)
    if len(largest) > 1:
        lines.append(
            f"largest group: {len(largest):,} pairs that hang together by texts and pictures, "
            f"on one side: {_members(split, sorted(largest))}"
        )
    columns = {
        name: (splits[name].guids, of.near_texts, of.near_photos) for name, of in keys.items()
    }
    met = [set(column) - {""} for column in columns["labelled"]]
    pairs = zip(*columns["test"], strict=True) if test else ()
    overlap = sum(any(key in known for key, known in zip(pair, met, strict=True)) for pair in pairs)
    if overlap:
        lines.append(
            "warning: test pairs that share guid, text or picture (or nearly) with labelled ones: "
            f"{overlap:,}"
        )
    if left_out:
        shown = [f"{fault.guid}: {quoted(fault.path)} ({fault.reason})" for fault in left_out]
        lines += [
            f"left out: {pairs_left_out:,} pairs with {len(left_out):,} files that are missing or "
            "broken:",
            f"  {listed(shown)}",
        ]
    return facts, lines


def _of_classes(split: Split, counts: dict[str, Counter], test: Split | None) -> list[str]:
    """Show the pairs of each class in each table, and warn of a class that one side lacks."""
    shown = {}
    for side, count in counts.items():
        if side in ("train", "val") or side.endswith("/val"):  # of a fold: what it is measured on
            shown[side.removesuffix("/val")] = count
    if test:
        shown["test"] = Counter(test.labels)
    found = set().union(*shown.values())
    names = class_names(found - {""}) + [""] * ("" in found)
    table = pd.DataFrame(shown, index=names).fillna(0).astype(int)
    table.loc["all"] = table.sum()
    table = table.rename(index={"": "(no label)"}).map("{:,}".format)
    with pd.option_context("display.unicode.east_asian_width", True):
        lines = table.to_string(col_space=8).splitlines()
    for name in class_names(split.labels):
        for side in ("train", "val"):
            if not counts[side][name]:
                lines.append(
                    f"warning: {side} has no pair of class {name!r}: "
                    "too few of its pairs have a text and a picture of their own"
                )
    return lines


def _copies(split: Split, keys: Keys) -> tuple[dict[str, dict[str, int]], list[str]]:
    facts, lines = {}, []
    for kind, (words, near, exact) in _KINDS.items():
        sharing = defaultdict(list)
        for place, key in enumerate(getattr(keys, near)):
            sharing[key].append(place)
        exact_keys = getattr(keys, exact)
        groups = []
        for key, group in sharing.items():
            differ = near == exact or len({exact_keys[i] for i in group}) > 1
            if key and len(group) > 1 and differ:
                groups.append(group)
        conflicts = [group for group in groups if len({split.labels[i] for i in group}) > 1]
        pairs = sum(map(len, groups))
        facts[kind] = Shared(len(groups), pairs, len(conflicts))._asdict()
        more = f"; {len(conflicts):,} of them with conflicting labels" if groups else ""
        lines.append(
            f"{words}: {len(groups):,} shared by {pairs:,} pairs, each kept on one side{more}"
        )
        lines += [f"  for example {_members(split, group)}" for group in conflicts[:3]]
    return facts, lines


def _members(split: Split, group: list[int]) -> str:
    """Name the first pairs of a group with their labels."""
    more = ", ..." if len(group) > 5 else ""
    return ", ".join(f"{split.guids[i]} ({split.labels[i]})" for i in group[:5]) + more
