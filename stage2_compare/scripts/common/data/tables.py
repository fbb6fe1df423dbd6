"""Lists of pairs: csv -> one row a pair, checked. Any fault ends with one line that names its row."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError, reason_of
from ..files import listed, open_file, quoted
from .encodings import choose_encoding, decode

_UNLABELLED = ("", "null", "nan")  # no label: an empty cell, the published test list, pandas
# What lists of pairs without labels have in their place, as ``_appearance`` gives it.
_PLACEHOLDERS = {
    "null", "nan", "none", "nil", "n/a", "na", "<na>", "#n/a", "?", "??", "???", "-", "--", "---",
    "–", "—", "_", ".", "...", "unknown", "unlabeled", "unlabelled", "missing", "undefined", "tbd",
    "todo", "无", "空", "未知", "未标注", "待标注", "待预测",
}  # fmt: skip
_MAX_BYTES = 100_000_000  # of a csv, which takes some ten times as much memory
# The default of 131,072 characters is less than a long text; more than this overflows on Windows.
csv.field_size_limit(2**31 - 1)


@dataclass
class Split:
    """N pairs in the order of their csv; every list has length N.

    Where guids name the files, the paths are empty until ``pair_files`` has found them; so are the
    texts until ``splits`` has decoded them.

    ``notes`` count what is odd but accepted: "gb18030_csv" (1 if the csv is in that encoding, not
    in UTF-8), "blank_row" (left out), "windows_path" (backslashes read as slashes), "nul_text"
    (NUL characters were removed) and "empty_text".
    """

    path: Path  # the csv
    guids: list[str]
    texts: list[str]  # stripped; may be empty
    image_paths: list[str]
    labels: list[str]  # "" where the pair has none (only in lists that may lack labels)
    rows: list[int]  # as a spreadsheet counts: header = 1, a quoted newline starts no new row
    text_encodings: list[str] = field(default_factory=list)  # see encodings.decode
    text_paths: list[str] = field(default_factory=list)  # none if there is a ``text`` column
    notes: dict[str, int] = field(default_factory=dict)  # in the end only those that are not 0
    line_end: str = "\n"  # of the csv

    def __len__(self) -> int:
        return len(self.guids)

    @property
    def encodings(self) -> dict[str, int]:
        """Number of texts by encoding."""
        return {"utf-8": 0, "gb18030": 0, "replaced": 0, **Counter(self.text_encodings)}


def read_tables(
    paths: dict[str, Path], text_encoding: str, leave_out: dict[str, set[int]]
) -> dict[str, Split]:
    """Read csv files by their names, and check guids and labels; see ``splits.read_splits``."""
    contents = {name: _read(path) for name, path in paths.items()}
    legacy = choose_encoding(contents.values()) if text_encoding == "auto" else text_encoding
    splits = {}
    classes: set[str] = set()
    for name in sorted(paths, key=lambda name: name == "test"):  # it follows those with labels
        may_lack = name == "test"
        content, left_out = contents.pop(name), leave_out.get(name, ())
        split = splits[name] = _parsed(paths[name], content, legacy, may_lack, left_out)
        _check_guids(split)
        split.labels = _checked_labels(split, classes, may_lack)
        if not may_lack:
            classes.update(split.labels)
    return {name: splits[name] for name in paths}


def _read(path: Path) -> bytes:
    try:
        with open_file(path, _MAX_BYTES) as file:
            content = file.read()
    except OSError as error:
        raise UserError(
            f"{path}: cannot read the split file ({reason_of(error)}); make the splits with "
            "make_splits.py, or check --project-root and the path"
        ) from error
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):  # .xlsx, .xls
        raise UserError(f"{path} is a workbook of Excel: save it as CSV UTF-8, and give that file")
    return content


def _parsed(
    path: Path, content: bytes, legacy: str, may_lack_labels: bool, left_out: Collection[int]
) -> Split:
    """Take the csv apart. pandas' own reader would fill rows that are too short, and name no row."""
    text, encoding = decode(content, legacy)
    odd = "\ufffd" if encoding == "replaced" else "\0"
    if odd in text:  # it would break guids and paths, which then look like missing files
        line = 1 + text[: text.index(odd)].count("\n")
        raise UserError(
            f"{path}, line {line}: not a text file in UTF-8 or GB18030; save it as CSV in UTF-8"
        )
    # 1. Records, numbered from 1; blank ones count
    records: list[list[str]] = []
    try:
        records.extend(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise UserError(
            f"{path}, row {len(records) + 1}: not valid CSV ({error}); check its double quotes"
        ) from None
    filled = [(row, record) for row, record in enumerate(records, 1) if any(map(str.strip, record))]
    if len(filled) < 2:
        raise UserError(
            f"{path}: no pairs in it, the split is empty; "
            "give another file, or make it with make_splits.py"
        )
    # 2. Columns
    (header_row, header), *filled = filled
    header = [name.strip() for name in header]
    columns = _choose_columns(f"{path}, row {header_row}", header, may_lack_labels)
    fields = {row: f"{len(r):,} fields" for row, r in filled if len(r) != len(header)}
    need = f"the header has {len(header)} ({quoted(','.join(header))}): "
    refuse(path, fields, f"{need}put a value that holds a comma or line break in double quotes")
    pairs = [(row, record) for row, record in filled if row not in left_out]
    if not pairs:
        raise UserError(f"{path}: no pair is left without the broken ones")
    cells = {name: [record[place] for _, record in pairs] for name, place in columns.items()}
    texts = cells.pop("text", [])  # stripped when it is known what is left out of them
    cells = {name: list(map(str.strip, column)) for name, column in cells.items()}
    notes = {f"{encoding}_csv": int(encoding != "utf-8")}
    notes["blank_row"] = len(records) - len(filled) - 1
    return Split(
        path,
        cells["guid"],
        texts,
        cells.get("image_path", []),
        cells.get("label", [""] * len(pairs)),
        rows=[row for row, _ in pairs],
        text_encodings=[encoding] * len(pairs),
        text_paths=cells.get("text_path", []),
        notes=notes,
        line_end=re.search("\r\n|\r|\n", text).group(),
    )


def _choose_columns(place: str, header: list[str], may_lack_labels: bool) -> dict[str, int]:
    """Return the place of each needed column: guid, label, and those that name text and image."""
    names = {"guid": "guid", "label": "label" if "label" in header else "tag"}
    if may_lack_labels and names["label"] not in header:
        del names["label"]
    if "text_path" in header or ("image_path" in header and "text" not in header):
        names |= {"text_path": "text_path", "image_path": "image_path"}
    else:
        names |= {name: name for name in ("text", "image_path") if name in header}
    for column, name in names.items():
        if header.count(name) != 1:
            missing = f"column {column!r} is missing"
            fault = f"column {name!r} is there twice" if name in header else missing
            raise UserError(
                f"{place}: {fault}; columns found: {quoted(','.join(header))}; needed, "
                "separated by commas: guid,text_path,image_path,label "
                "(or guid,tag beside a data folder)"
            )
    return {column: header.index(name) for column, name in names.items()}


def refuse(path: Path, faults: dict[int, str], remedy: str) -> None:
    """Raise one UserError for all rows that are wrong, if there are any; ten are told."""
    if faults:
        told = [f"row {row}: {fault}" for row, fault in faults.items()]
        count = f" ({len(faults):,} rows in all)" if len(faults) > 1 else ""
        raise UserError(f"{path}, {listed(told)}{count}; {remedy}")


def _check_guids(split: Split) -> None:
    row_of, faults = {}, {}
    for row, guid in zip(split.rows, split.guids, strict=True):
        if not guid:
            faults[row] = "the guid is empty"
        elif _has_control(guid):
            faults[row] = f"the guid {quoted(guid)} holds a control character"
        elif row_of.setdefault(guid, row) != row:
            faults[row] = f"guid {quoted(guid)} is in row {row_of[guid]} already"
    refuse(split.path, faults, "every pair needs a guid of its own")


def _checked_labels(split: Split, classes: set[str], may_lack: bool) -> list[str]:
    labels = ["" if label.lower() in _UNLABELLED else label for label in split.labels]
    if may_lack:
        labels = without_placeholders(labels, classes)
    faults, seen = {}, {}  # how a class looks -> its first spelling and row
    for row, label, cell in zip(split.rows, labels, split.labels, strict=True):
        first, first_row = seen.setdefault(_appearance(label), (label, row))
        if not (label or may_lack):
            faults[row] = f"the label is {quoted(cell) if cell else 'empty'}"
        elif _has_control(label):  # labels are printed, and a console obeys these
            faults[row] = f"the label {quoted(label)} holds a control character"
        elif label != first:
            faults[row] = f"label {quoted(label)}, but {quoted(first)} in row {first_row}"
    remedy = "give each pair a class, spelled one way, in printable characters, or remove its row"
    refuse(split.path, faults, remedy)
    return labels


def without_placeholders(labels: list[str], classes: Collection[str]) -> list[str]:
    """Return labels (N,) with "" for what stands in their place in a list without labels: a usual
    word or sign such as "None" or "?", or one value in all rows, unless it is one of the
    ``classes``. If these are not known, all labels stay."""
    if not classes:
        return labels
    looks = set(map(_appearance, classes))
    found = set(labels) - {""}
    placeholders = {label for label in found if _appearance(label) in _PLACEHOLDERS}
    if len(found) == 1 and len(labels) > 1:
        placeholders |= found
    placeholders = {label for label in placeholders if _appearance(label) not in looks}
    return ["" if label in placeholders else label for label in labels]


def _has_control(text: str) -> bool:
    return any(unicodedata.category(c) == "Cc" for c in text)


def _appearance(label: str) -> str:
    """Return the label without upper case, wide forms and invisible characters: labels that differ
    only in these look like one class to a person."""
    folded = unicodedata.normalize("NFKC", label).casefold()
    return "".join(c for c in folded if unicodedata.category(c) != "Cf")
