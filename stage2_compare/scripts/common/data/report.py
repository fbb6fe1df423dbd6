"""What make_splits.py found in the data: lines for the console, and facts for quality.json."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd

from ..files import listed, quoted
from .copies import Keys
from .pair_files import Fault
from .quality import shared_by
from .splits import Split, class_names, encoding_remarks

_KINDS = {  # of quality.json -> words, keys, and keys of exact copies
    "same_text": ("same text", "texts", "texts"),
    "near_text": ("nearly the same text", "near_texts", "texts"),
    "same_photo": ("same picture", "photos", "photos"),
    "near_photo": ("nearly the same picture", "near_photos", "photos"),
}


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
        lines += _of_texts(name, part)
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
    overlap = _overlap(split, keys["labelled"], test, keys["test"]) if test else 0
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


def _of_texts(name: str, split: Split) -> list[str]:
    encodings = ", ".join(f"{n:,} {encoding}" for encoding, n in split.encodings.items())
    notes = dict(split.notes)
    empty = notes.pop("empty_text", 0)
    lines = [f"texts ({name}): {encodings}; {empty:,} empty; no file missing"]
    if notes:
        odd = ", ".join(f"{n:,} {note.replace('_', ' ')}" for note, n in notes.items())
        lines.append(f"odd, but used ({name}): {odd}")
    return lines


def _copies(split: Split, keys: Keys) -> tuple[dict[str, dict[str, int]], list[str]]:
    facts, lines = {}, []
    for kind, (words, near, exact) in _KINDS.items():
        found, conflicts = shared_by(getattr(keys, near), getattr(keys, exact), split.labels)
        facts[kind] = found._asdict()
        more = f"; {found.conflicts:,} of them with conflicting labels" if found.groups else ""
        lines.append(
            f"{words}: {found.groups:,} shared by {found.pairs:,} pairs, "
            f"each kept on one side{more}"
        )
        lines += [f"  for example {_members(split, group)}" for group in conflicts[:3]]
    return facts, lines


def _members(split: Split, group: list[int]) -> str:
    """Name the first pairs of a group with their labels."""
    more = ", ..." if len(group) > 5 else ""
    return ", ".join(f"{split.guids[i]} ({split.labels[i]})" for i in group[:5]) + more


def _overlap(split: Split, keys: Keys, test: Split, test_keys: Keys) -> int:
    guids, texts, photos = set(split.guids), set(keys.near_texts) - {""}, set(keys.near_photos)
    overlap = 0
    for guid, text, photo in zip(
        test.guids, test_keys.near_texts, test_keys.near_photos, strict=True
    ):
        overlap += guid in guids or text in texts or photo in photos
    return overlap
