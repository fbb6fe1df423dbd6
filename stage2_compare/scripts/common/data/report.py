"""What make_splits.py found in the data: on the console, and as facts for quality.json."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..files import console_width, listed, padded, quoted
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


def facts(
    splits: dict[str, Split],
    keys: Keys,
    sides: dict[str, list[int]],
    groups: list[list[int]],
    left_out: list[Fault],
) -> dict[str, Any]:
    """Return what quality.json says; ``keys`` are those of the labelled pairs."""
    labels = splits["labelled"].labels
    counts = {side: dict(Counter(labels[i] for i in places)) for side, places in sides.items()}
    found = {}
    for kind, (_, near, exact) in _KINDS.items():
        found[kind] = shared_by(getattr(keys, near), getattr(keys, exact), labels)[0]._asdict()
    return {
        "class_counts": counts,
        "text_encodings": {name: split.encodings for name, split in splits.items()},
        "text_notes": {name: split.notes for name, split in splits.items() if split.notes},
        **found,
        "largest_group": max(map(len, groups)),
        "left_out": len({(fault.csv_path, fault.row) for fault in left_out}),
    }


def show(
    splits: dict[str, Split],
    keys: dict[str, Keys],
    sides: dict[str, list[int]],
    groups: list[list[int]],
    left_out: list[Fault],
) -> None:
    """Print the counts, what was odd in the data, and the copies."""
    split, test = splits["labelled"], splits.get("test")
    _show_counts(split, sides, test)
    for name, part in splits.items():
        encodings = ", ".join(f"{n:,} {encoding}" for encoding, n in part.encodings.items())
        empty = part.notes.get("empty_text", 0)
        print(f"texts ({name}): {encodings}; {empty:,} empty; no file missing")
        odd = [f"{n:,} {note.replace('_', ' ')}" for note, n in part.notes.items()]
        odd = [remark for remark in odd if not remark.endswith("empty text")]
        if odd:
            print(f"odd, but used ({name}): {', '.join(odd)}")
    for remark in encoding_remarks(splits.values()):
        print(remark)
    formulas = [guid for part in splits.values() for guid in part.guids if guid[0] in "=+-@"]
    if formulas:
        print(
            f"warning: {len(formulas):,} guids begin with = + - or @, for example "
            f"{quoted(formulas[0])}: Excel takes them for formulas, so do not save the files there"
        )
    _show_copies(split, keys["labelled"], groups)
    if test:
        _show_overlap(split, keys["labelled"], test, keys["test"])
    if left_out:
        pairs = len({(fault.csv_path, fault.row) for fault in left_out})
        print(f"left out: {pairs:,} pairs with {len(left_out):,} files that are missing or broken:")
        shown = [f"{fault.guid}: {quoted(fault.path)} ({fault.reason})" for fault in left_out]
        print(f"  {listed(shown)}")


def _show_counts(split: Split, sides: dict[str, list[int]], test: Split | None) -> None:
    """Print the pairs of each class in each table, and warn of a class that one side lacks."""
    counts = {}
    for side, places in sides.items():
        if side in ("train", "val") or side.endswith("/val"):  # of a fold: what it is measured on
            counts[side.removesuffix("/val")] = Counter(split.labels[i] for i in places)
    if test:
        counts["test"] = Counter(test.labels)
    classes = class_names(set().union(*counts.values()) - {""})
    titles = {name: name for name in classes}
    if any("" in count for count in counts.values()):
        titles[""] = "(no label)"
    width = max(map(console_width, [*titles.values(), "all"]))
    print(" " * width + "".join(f"{side:>9}" for side in counts))
    for name, title in titles.items():
        print(padded(title, width) + "".join(f"{count[name]:>9,}" for count in counts.values()))
    print(f"{'all':<{width}}" + "".join(f"{count.total():>9,}" for count in counts.values()))
    for name in class_names(split.labels):
        for side in ("train", "val"):
            if not counts[side][name]:
                print(
                    f"warning: {side} has no pair of class {name!r}: "
                    "too few of its pairs have a text and a picture of their own"
                )


def _show_copies(split: Split, keys: Keys, groups: list[list[int]]) -> None:
    for words, near, exact in _KINDS.values():
        found, conflicts = shared_by(getattr(keys, near), getattr(keys, exact), split.labels)
        more = ""
        if found.groups:
            more = f"; {found.conflicts:,} of them with conflicting labels"
        print(
            f"{words}: {found.groups:,} shared by {found.pairs:,} pairs, each kept on one side{more}"
        )
        for group in conflicts[:3]:
            print("  for example", _members(split, group))
    largest = max(groups, key=len)
    if len(largest) > 1:
        print(
            f"largest group: {len(largest):,} pairs that hang together by texts and pictures, "
            f"on one side: {_members(split, sorted(largest))}"
        )


def _members(split: Split, group: list[int]) -> str:
    """Name the first pairs of a group with their labels."""
    more = ", ..." if len(group) > 5 else ""
    return ", ".join(f"{split.guids[i]} ({split.labels[i]})" for i in group[:5]) + more


def _show_overlap(split: Split, keys: Keys, test: Split, test_keys: Keys) -> None:
    texts = set(keys.near_texts) - {""}
    known = (set(split.guids), texts, set(keys.near_photos))
    overlap = 0
    for values in zip(test.guids, test_keys.near_texts, test_keys.near_photos, strict=True):
        overlap += any(value in seen for value, seen in zip(values, known, strict=True))
    if overlap:
        print(
            "warning: test pairs that share guid, text or picture (or nearly) with labelled ones: "
            f"{overlap:,}"
        )
