"""Split csv -> guids, texts, image paths and labels. Standard library only, so that everything may import it.

Columns: ``guid,text_path,image_path,label``. ``tag`` is accepted for ``label``, a ``text`` column for ``text_path``;
with neither path column, the guid names ``<guid>.txt`` and ``<guid>.jpg``/``.jpeg``/``.png`` in the data folder.
"""

from __future__ import annotations

import csv
import io
import os
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath

from ..errors import UserError

CLASS_ORDER = ("negative", "neutral", "positive")
UNLABELLED = (
    "",
    "null",
    "nan",
)  # what "no label" looks like: an empty cell, the published test list, pandas
DATA_FOLDERS = (
    "data/data",
    "data/project5/data",
    "data",
)  # where pairs named by guid lie, below the project root
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")
LISTED = 10  # an error names this many files and counts the rest

csv.field_size_limit(
    2**31 - 1
)  # the default, 131,072 characters, is less than a long text; more overflows on Windows


@dataclass(frozen=True)
class Split:
    """N pairs in the order of the file; every list has length N."""

    path: Path  # the csv
    guids: list[str]
    texts: list[str]  # stripped; may be empty
    image_paths: list[str]
    labels: list[str]  # "" where the pair has none (only with allow_unlabelled)
    rows: list[
        int
    ]  # row in the csv as a person counts: the header is row 1, a quoted newline starts no new row
    encodings: dict[str, int]  # texts by encoding: "utf-8", "gb18030", "replaced"
    text_paths: list[str] = field(
        default_factory=list
    )  # empty when the texts came from a ``text`` column
    notes: dict[str, int] = field(
        default_factory=dict
    )  # what was found and let pass, see read_split

    def __len__(self) -> int:
        return len(self.guids)


def decode(data: bytes) -> tuple[str, str]:
    """Bytes as text, and the encoding that fitted: strict UTF-8 (with or without BOM), strict GB18030, else UTF-8 with
    replacement characters (``"replaced"``). Never fails, and drops no byte silently."""
    for codec, name in (("utf-8-sig", "utf-8"), ("gb18030", "gb18030")):
        try:
            return data.decode(codec).removeprefix("\ufeff"), name
        except UnicodeDecodeError:
            pass
    return data.decode("utf-8-sig", errors="replace"), "replaced"


def read_split(
    csv_path: str | Path,
    project_root: str | Path,
    *,
    allow_unlabelled: bool = False,
    data_dir: str | Path | None = None,
) -> Split:
    """Read a split and its texts, and see that its images are there (they are not opened).

    ``csv_path`` and the paths in the file are absolute or relative to ``project_root``. ``data_dir`` replaces the
    search for the data folder. With ``allow_unlabelled`` a missing label is "" in the result, otherwise an error.
    ``notes`` of the result counts what was odd and let pass: "gb18030_csv" (1 where the split file is not UTF-8),
    "blank_row" (left out), "windows_path" (backslashes that were read as slashes), "nul_text" (texts whose NUL
    characters were left out), "empty_text".
    Raises UserError that names file, row and value.
    """
    root = Path(project_root)
    path = root / csv_path
    header, records, encoding, blank = _read_table(path)
    columns = _choose_columns(path, header)
    rows = [row for row, _ in records]
    guids = [fields[columns["guid"]].strip() for _, fields in records]
    _check_guids(path, rows, guids)
    labels = _read_labels(
        path, rows, [fields[columns["label"]] for _, fields in records], allow_unlabelled
    )

    files = _Files(path, root)
    folder = (
        None if columns.keys() & {"text_path", "image_path"} else _data_folder(path, root, data_dir)
    )
    if "image_path" in columns:
        image_paths = [
            files.named(row, "image_path", fields[columns["image_path"]]) for row, fields in records
        ]
    else:
        image_paths = [
            files.by_guid(row, folder, guid, IMAGE_SUFFIXES)
            for row, guid in zip(rows, guids, strict=True)
        ]
    text_paths, texts = [], []
    if "text" in columns:
        texts = [(fields[columns["text"]], encoding) for _, fields in records]
    elif "text_path" in columns:
        text_paths = [
            files.named(row, "text_path", fields[columns["text_path"]]) for row, fields in records
        ]
    else:
        text_paths = [
            files.by_guid(row, folder, guid, (".txt",))
            for row, guid in zip(rows, guids, strict=True)
        ]
    texts = texts or [
        files.read_text(row, name) for row, name in zip(rows, text_paths, strict=True)
    ]
    files.report()

    stripped = [text.replace("\0", "").strip() for text, _ in texts]  # tokenizers differ on NUL
    encodings = Counter({"utf-8": 0, "gb18030": 0, "replaced": 0})
    encodings.update(name for _, name in texts)
    notes = {
        "gb18030_csv": int(encoding == "gb18030"),
        "blank_row": blank,
        "windows_path": files.windows_paths,
        "nul_text": sum("\0" in text for text, _ in texts),
        "empty_text": sum(not text for text in stripped),
    }
    found = {name: count for name, count in notes.items() if count}
    return Split(
        path, guids, stripped, image_paths, labels, rows, dict(encodings), text_paths, found
    )


def squeezed(text: str) -> str:
    """The text as it is compared with others: the kind and amount of white space make no difference."""
    return " ".join(text.split())


def class_names(labels: Iterable[str]) -> list[str]:
    """The classes in their order: negative, neutral, positive when the labels are among them, else sorted."""
    found = set(labels)
    return (
        [name for name in CLASS_ORDER if name in found]
        if found <= set(CLASS_ORDER)
        else sorted(found)
    )


def label_indices(split: Split, classes: list[str]) -> list[int]:
    """Labels as indices into ``classes`` (N,). Raises UserError for a class that ``classes`` lacks, or a lone one."""
    if len(classes) < 2:
        raise UserError(
            f"{split.path}: {_quote(classes[0])} is the only class; there is nothing to learn from one class"
        )
    index = {name: i for i, name in enumerate(classes)}
    strange = [
        (row, label)
        for row, label in zip(split.rows, split.labels, strict=True)
        if label not in index
    ]
    if strange:
        row, label = strange[0]
        raise UserError(
            f"{split.path}, row {row}: label {_quote(label)} is not a class of the training split "
            f"({_quote(', '.join(classes))}){_more(len(strange))}; correct it, or make the splits again"
        )
    return [index[label] for label in split.labels]


# Rows and columns


def _read_table(path: Path) -> tuple[list[str], list[tuple[int, list[str]]], str, int]:
    """Header, records with their row numbers, all as long as the header, the file's encoding, and its blank rows."""
    text, encoding = _csv_text(path)
    records = list(_parse(path, text))
    filled = [(row, fields) for row, fields in records if any(cell.strip() for cell in fields)]
    if len(filled) < 2:
        raise UserError(
            f"{path}: no pairs in it, the split is empty; give another file, or make it with make_splits.py"
        )
    header = [name.strip() for name in filled[0][1]]
    for row, fields in filled:
        if len(fields) != len(header):
            raise UserError(
                f"{path}, row {row}: {len(fields)} fields where the header has {len(header)} "
                f"({_quote(','.join(header))}); put a value that holds a comma or line break in double quotes"
            )
    return header, filled[1:], encoding, len(records) - len(filled)


def _csv_text(path: Path) -> tuple[str, str]:
    fault = _fault(str(path))
    try:
        text, encoding = decode(b"" if fault else path.read_bytes())
    except OSError as error:
        fault = _reason(error)
    if fault:
        hint = "make the splits with make_splits.py, or check --project-root and the path"
        raise UserError(f"{path}: cannot read the split file ({fault}); {hint}")
    odd = "\ufffd" if encoding == "replaced" else "\0"
    if odd in text:  # broken guids and paths would only surface as missing files
        line = 1 + text[: text.index(odd)].count("\n")
        raise UserError(
            f"{path}, line {line}: not a text file in UTF-8 or GB18030; save it as CSV in UTF-8"
        )
    return text, encoding


def _parse(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """(row, fields) of all records; blank ones count as rows, as they do in a spreadsheet."""
    row = 0
    try:
        for row, fields in enumerate(
            csv.reader(io.StringIO(text, newline=""), strict=True), start=1
        ):
            yield row, fields
    except csv.Error as error:
        raise UserError(
            f"{path}, row {row + 1}: not valid CSV ({error}); check its double quotes"
        ) from None


def _choose_columns(path: Path, header: list[str]) -> dict[str, int]:
    """Place of each needed column, by the name of DESIGN: guid, label, and what says where text and image are."""
    chosen = {"guid": "guid", "label": "label" if "label" in header else "tag"}
    if "text_path" in header:
        chosen |= {"text_path": "text_path", "image_path": "image_path"}
    elif "text" in header:
        chosen |= {"text": "text"} | (
            {"image_path": "image_path"} if "image_path" in header else {}
        )
    elif "image_path" in header:
        chosen |= {"text_path": "text_path", "image_path": "image_path"}
    for wanted, name in chosen.items():
        if header.count(name) != 1:
            fault = (
                f"column {wanted!r} is missing"
                if name not in header
                else f"column {name!r} is there twice"
            )
            raise UserError(
                f"{path}, row 1: {fault}; columns found: {_quote(','.join(header))}; "
                "needed, separated by commas: guid,text_path,image_path,label (or guid,tag beside a data folder)"
            )
    return {wanted: header.index(name) for wanted, name in chosen.items()}


def _check_guids(path: Path, rows: list[int], guids: list[str]) -> None:
    seen: dict[str, int] = {}
    for row, guid in zip(rows, guids, strict=True):
        if not guid:
            raise UserError(
                f"{path}, row {row}: the guid is empty; every pair needs one of its own"
            )
        _check_printable(path, row, "guid", guid)
        if guid in seen:
            raise UserError(
                f"{path}, row {row}: guid {_quote(guid)} is in row {seen[guid]} already; remove one"
            )
        seen[guid] = row


def _read_labels(
    path: Path, rows: list[int], cells: list[str], allow_unlabelled: bool
) -> list[str]:
    labels = ["" if cell.strip().lower() in UNLABELLED else cell.strip() for cell in cells]
    missing = [
        (row, cell) for row, cell, label in zip(rows, cells, labels, strict=True) if not label
    ]
    if missing and not allow_unlabelled:
        row, cell = missing[0]
        raise UserError(
            f"{path}, row {row}: the label is {_quote(cell.strip()) if cell.strip() else 'empty'}"
            f"{_more(len(missing))}; give each pair a class, or remove its row"
        )
    spelled: dict[str, tuple[int, str]] = {}
    for row, label in zip(rows, labels, strict=True):
        _check_printable(path, row, "label", label)
        first, other = spelled.setdefault(_bare(label), (row, label))
        if other != label:
            raise UserError(
                f"{path}, row {row}: label {_quote(label)}, but {_quote(other)} in row {first}; spell a class one way"
            )
    return labels


def _check_printable(path: Path, row: int, column: str, value: str) -> None:
    """Guids and labels end up on consoles and in tables, where a control character is an order."""
    if any(unicodedata.category(c) == "Cc" for c in value):
        raise UserError(
            f"{path}, row {row}: the {column} {_quote(value)} holds a control character; remove it"
        )


def _bare(label: str) -> str:
    """What is left of a label for the eye: neither case nor width nor invisible characters make another class."""
    return "".join(
        c
        for c in unicodedata.normalize("NFKC", label).casefold()
        if unicodedata.category(c) != "Cf"
    )


# Files


class _Files:
    """Turns cells into paths and collects what is wrong with them, so that all of it can be told at once."""

    def __init__(self, csv_path: Path, root: Path):
        self.csv_path, self.root = csv_path, root
        self.faults: list[tuple[int, str]] = []  # (row, what is wrong)
        self.windows_paths = 0

    def named(self, row: int, column: str, cell: str) -> str:
        """The file that a cell names; a relative path may have been written on Windows."""
        value = cell.strip()
        if not value:
            raise UserError(
                f"{self.csv_path}, row {row}: {column} is empty; give the file, or remove the row"
            )
        path = os.path.join(self.root, value)
        fault = _fault(path)
        if fault and "\\" in value and not PureWindowsPath(value).drive:
            other = os.path.join(self.root, value.replace("\\", "/"))
            if not _fault(other):
                self.windows_paths += 1
                return other
        if fault:
            self.faults.append((row, f"{_quote(value)} ({fault})"))
        return path

    def by_guid(self, row: int, folder: Path, guid: str, suffixes: tuple[str, ...]) -> str:
        """The first of ``folder/guid + suffix`` that is there."""
        if (
            PureWindowsPath(guid + suffixes[0]).name != guid + suffixes[0]
        ):  # "../7" must not leave the folder
            raise UserError(
                f"{self.csv_path}, row {row}: guid {_quote(guid)} cannot name files; use plain names"
            )
        paths = [os.path.join(folder, guid + suffix) for suffix in suffixes]
        found = next((path for path in paths if not _fault(path)), None)
        if found is None:
            self.faults.append((row, f"{_quote(paths[0])} ({_fault(paths[0])})"))
        return found or paths[0]

    def read_text(self, row: int, path: str) -> tuple[str, str]:
        if self.faults:  # it will end in an error anyway, and this file may be one of the missing
            return "", "utf-8"
        try:
            with open(path, "rb") as file:
                return decode(file.read())
        except OSError as error:
            self.faults.append((row, f"{_quote(path)} ({_reason(error)})"))
            return "", "utf-8"

    def report(self) -> None:
        if self.faults:
            rest = len(self.faults) - LISTED
            listed = "; ".join(f"row {row}: {what}" for row, what in sorted(self.faults)[:LISTED])
            listed += f"; and {rest} more" if rest > 0 else ""
            count = "1 file is" if len(self.faults) == 1 else f"{len(self.faults)} files are"
            raise UserError(
                f"{self.csv_path}: {count} missing or unreadable: {listed}. "
                f"Relative paths start at {self.root.absolute()}: put the files there, or remove their rows"
            )


def _data_folder(path: Path, root: Path, data_dir: str | Path | None) -> Path:
    choices = [root / data_dir] if data_dir else [root / name for name in DATA_FOLDERS]
    for choice in choices:
        if choice.is_dir():
            return choice
    raise UserError(
        f"{path}: no text_path and image_path columns, so the guids name the files, but there is no folder "
        f"{' or '.join(map(str, choices))}; check --project-root"
    )


def _fault(path: str) -> str:
    """Why this is no file that could be opened, or "". A device or pipe is none: reading it could hang."""
    try:
        return "" if stat.S_ISREG(os.stat(path).st_mode) else "not a file"
    except (OSError, ValueError) as error:
        return _reason(error)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _quote(value: str) -> str:
    """In quotes, unprintable characters as escapes; cut in the middle: a cell may hold a million characters, and a
    path is known by its ends. Not repr, which doubles the backslashes of a Windows path."""
    cut = value if len(value) <= 200 else f"{value[:100]}...{value[-80:]}"
    return "'" + "".join(c if c.isprintable() else repr(c)[1:-1] for c in cut) + "'"


def _more(count: int) -> str:
    """How often beside the case already named."""
    return "" if count == 1 else f" (the same in {count - 1} other row{'s' if count > 2 else ''})"
