"""What make_splits.py found in the data: lines for the console, and facts for quality.json, which lies
beside the tables of a split, with the SHA-256 of each: a reader sees if it is still about them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pandas as pd

from ..files import listed, open_file, quoted
from ..words import Language, known
from .copies import Keys
from .pair_files import Fault
from .splits import Split, class_names, encoding_remarks

QUALITY = "quality.json"
SHARED = ("groups", "pairs", "conflicts")  # with the same text or photo; their pairs; other labels


def quality_json(tables: dict[str, bytes], facts: dict[str, Any]) -> bytes:
    """Return the content of quality.json for tables by their names."""
    files = {name: _digest(content) for name, content in tables.items()}
    return (json.dumps({"files": files, **facts}, indent=1) + "\n").encode()


def read_quality(csv_path: Path) -> dict[str, Any] | None:
    """Return what quality.json says of a table, or of the fold that it is in; None where it is
    about another one or cannot be read."""
    digest = _digest(csv_path.read_bytes())
    for folder in csv_path.parents[:2]:
        try:
            with open_file(folder / QUALITY) as file:
                found = json.load(file)
            if found.pop("files")[csv_path.relative_to(folder).as_posix()] == digest:
                return found
        except Exception:  # not there, or of another kind
            continue
    return None


def _digest(table: bytes) -> str:
    """Return the SHA-256 of a table with LF."""
    return hashlib.sha256(table.replace(b"\r\n", b"\n")).hexdigest()


def of_data(
    splits: dict[str, Split],
    keys: dict[str, Keys],
    sides: dict[str, list[int]],
    groups: list[list[int]],
    left_out: list[Fault],
    say: Language,
) -> tuple[dict[str, Any], list[str]]:
    """Return facts and lines on the lists "labelled" and, where there is one, "test"; ``sides`` are
    the places of the labelled pairs in each table, ``groups`` those that hang together by copies."""
    split, test = splits["labelled"], splits.get("test")
    counts = {side: Counter(split.labels[i] for i in places) for side, places in sides.items()}
    pairs_left_out = len({(fault.csv_path, fault.row) for fault in left_out})
    copies, of_copies = _copies(split, keys["labelled"], say)
    facts = {
        "class_counts": {side: dict(count) for side, count in counts.items()},
        "text_encodings": {name: part.encodings for name, part in splits.items()},
        "text_notes": {name: part.notes for name, part in splits.items() if part.notes},
        **copies,
        "largest_group": max(map(len, groups)),
        "left_out": pairs_left_out,
    }
    lines = _of_classes(split, counts, test, say)
    for name, part in splits.items():
        names = {encoding: encoding for encoding in part.encodings}
        names["replaced"] = say("encoding_replaced")
        encodings = ", ".join(f"{n:,} {names[each]}" for each, n in part.encodings.items())
        notes = dict(part.notes)
        which = {"list": say(f"of_{name}"), "empty": notes.pop("empty_text", 0)}
        lines.append(say("texts_of", encodings=encodings, **which))
        if notes:
            names = {note: known(f"note_{note}", note.replace("_", " ")) for note in notes}
            shown = ", ".join(f"{n:,} {say(names[note])}" for note, n in notes.items())
            lines.append(say("odd_but_used", notes=shown, list=which["list"]))
    lines += encoding_remarks(splits.values(), say)
    formulas = [guid for part in splits.values() for guid in part.guids if guid[0] in "=+-@"]
    if formulas:
        lines.append(say("guids_like_formulas", n=len(formulas), guid=quoted(formulas[0])))
    lines += of_copies
    largest = max(groups, key=len)
    if len(largest) > 1:
        members = _members(split, sorted(largest))
        lines.append(say("largest_group", n=len(largest), pairs=members))
    if test:
        columns = ((splits[name].guids, of.near_texts, of.near_photos) for name, of in keys.items())
        overlap = set()
        for labelled, tested in zip(*columns, strict=True):
            met = set(labelled) - {""}
            overlap |= {i for i, key in enumerate(tested) if key in met}
        lines += [say("test_overlap", n=len(overlap))] if overlap else []
    if left_out:
        shown = [f"{fault.guid}: {quoted(fault.path)} ({fault.reason})" for fault in left_out]
        lines.append(say("pairs_left_out", pairs=pairs_left_out, files=len(left_out)))
        lines.append(f"  {listed(shown)}")
    return facts, lines


def _of_classes(
    split: Split, counts: dict[str, Counter], test: Split | None, say: Language
) -> list[str]:
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
    table.loc[say("row_all")] = table.sum()
    table = table.rename(index={"": say("row_no_label")}).map("{:,}".format)
    with pd.option_context("display.unicode.east_asian_width", True):
        lines = table.to_string(col_space=8).splitlines()
    for side in ("train", "val"):
        lacking = [name for name in class_names(split.labels) if not counts[side][name]]
        if lacking:
            lines.append(say("class_lacking", side=side, label=list(map(quoted, lacking))))
    unlabelled = test.labels.count("") if test else 0
    if test and 0 < unlabelled < len(test):
        lines.append(say("partly_labelled", n=unlabelled, all=len(test)))
    return lines


def _copies(split: Split, keys: Keys, say: Language) -> tuple[dict[str, dict[str, int]], list[str]]:
    """Count the groups of pairs with the same text or photo, or nearly, and those whose labels
    differ."""
    facts, lines = {}, []
    exact = (keys.texts, keys.texts, keys.photos, keys.photos)
    kinds = ("same_text", "near_text", "same_photo", "near_photo")
    for kind, near_keys, exact_keys in zip(kinds, keys, exact, strict=True):
        sharing = defaultdict(list)
        for place, key in enumerate(near_keys):
            if key:
                sharing[key].append(place)
        groups = [group for group in sharing.values() if len(group) > 1]
        if near_keys is not exact_keys:
            groups = [group for group in groups if len({exact_keys[i] for i in group}) > 1]
        conflicts = [group for group in groups if len({split.labels[i] for i in group}) > 1]
        counts = len(groups), sum(map(len, groups)), len(conflicts)
        facts[kind] = dict(zip(SHARED, counts, strict=True))
        more = say("with_conflicts", n=len(conflicts)) if groups else ""
        lines.append(say("shared", kind=say(kind), groups=counts[0], pairs=counts[1]) + more)
        lines += [say("for_example", pairs=_members(split, group)) for group in conflicts[:3]]
    return facts, lines


def _members(split: Split, group: list[int]) -> str:
    """Name the first pairs of a group with their labels."""
    more = ", ..." if len(group) > 5 else ""
    return ", ".join(f"{split.guids[i]} ({split.labels[i]})" for i in group[:5]) + more
