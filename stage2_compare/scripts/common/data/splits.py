"""Split csv -> guids, texts, image paths and labels. Standard library only: all code may import it.

Columns: ``guid,text_path,image_path,label``. ``tag`` is accepted for ``label``, a ``text`` column
for ``text_path``. Without both path columns the guid names the files, see splits_files.py.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError
from ..files import error_text, quoted
from .splits_files import IMAGE_SUFFIXES, SplitFiles, decode, file_problem, find_data_folder

_CLASS_ORDER = ("negative", "neutral", "positive")
_UNLABELLED = ("", "null", "nan")  # no label: an empty cell, the published test list, pandas

# The default of 131,072 characters is less than a long text; more than this overflows on Windows.
csv.field_size_limit(2**31 - 1)


@dataclass(frozen=True)
class Split:
    """N pairs in the order of the file; every list has length N.

    ``notes`` count what is odd but accepted: "gb18030_csv" (1 if the csv is not UTF-8), "blank_row"
    (left out), "windows_path" (backslashes read as slashes), "nul_text" (texts whose NUL characters
    were removed) and "empty_text".
    """

    path: Path  # the csv
    guids: list[str]
    texts: list[str]  # stripped; may be empty
    image_paths: list[str]
    labels: list[str]  # "" where the pair has none (only with allow_unlabelled)
    rows: list[int]  # as a spreadsheet counts: header = 1, a quoted newline starts no new row
    encodings: dict[str, int]  # number of texts by encoding: "utf-8", "gb18030", "replaced"
    text_paths: list[str] = field(default_factory=list)  # empty if there is a ``text`` column
    notes: dict[str, int] = field(default_factory=dict)  # only those that are not 0

    def __len__(self) -> int:
        return len(self.guids)


def read_split(
    csv_path: str | Path,
    project_root: str | Path,
    *,
    allow_unlabelled: bool = False,
    data_dir: str | Path | None = None,
) -> Split:
    """Read a split and its texts. Check that its images exist, but do not open them.

    Args:
        csv_path: absolute, or relative to ``project_root`` like the paths in the csv.
        allow_unlabelled: accept a missing label; it is "" in the result.
        data_dir: the folder of files named by guid; by default one of ``DATA_FOLDERS``.

    Raises:
        UserError: names file, row and value.
    """
    root = Path(project_root)
    table = _read_table(root / csv_path)
    guids = _read_guids(table)
    labels = _read_labels(table, allow_unlabelled)
    files = SplitFiles(table.path, root, table.rows)
    image_paths, text_paths, decoded = _read_files(files, table, guids, data_dir)
    encodings = Counter(encoding for _, encoding in decoded)
    texts = [text.replace("\0", "").strip() for text, _ in decoded]  # tokenizers differ on NUL
    notes = {
        "gb18030_csv": int(table.encoding == "gb18030"),
        "blank_row": table.blank_rows,
        "windows_path": files.windows_paths,
        "nul_text": sum("\0" in text for text, _ in decoded),
        "empty_text": texts.count(""),
    }
    return Split(
        path=table.path,
        guids=guids,
        texts=texts,
        image_paths=image_paths,
        labels=labels,
        rows=table.rows,
        encodings={"utf-8": 0, "gb18030": 0, "replaced": 0, **encodings},
        text_paths=text_paths,
        notes={name: count for name, count in notes.items() if count},
    )


def squeezed(text: str) -> str:
    """Return the text with one blank for each run of white space: texts are compared like this."""
    return " ".join(text.split())


def class_names(labels: Iterable[str]) -> list[str]:
    """Return the classes: negative, neutral, positive if there are no others, else sorted."""
    found = set(labels)
    return sorted(found, key=_CLASS_ORDER.index if found <= set(_CLASS_ORDER) else None)


def label_indices(split: Split, classes: list[str]) -> list[int]:
    """Return the labels as indices into ``classes`` (N,).

    Raises:
        UserError: a label is not in ``classes``, or there is only one class.
    """
    if len(classes) < 2:
        raise UserError(
            f"{split.path}: {quoted(classes[0])} is the only class; "
            "there is nothing to learn from one class"
        )
    index = {name: i for i, name in enumerate(classes)}
    unknown = [i for i, label in enumerate(split.labels) if label not in index]
    if unknown:
        row, label = split.rows[unknown[0]], split.labels[unknown[0]]
        raise UserError(
            f"{split.path}, row {row}: label {quoted(label)} is not a class of the training split "
            f"({quoted(', '.join(classes))}){_other_rows(len(unknown))}; "
            "correct it, or make the splits again"
        )
    return [index[label] for label in split.labels]


# Rows and columns


@dataclass(frozen=True)
class _Table:
    """The needed cells of a csv; every list has length N."""

    path: Path
    rows: list[int]
    cells: dict[str, list[str]]  # by column: guid, label, maybe text or text_path, image_path
    encoding: str
    blank_rows: int


def _read_table(path: Path) -> _Table:
    text, encoding = _read_csv_text(path)
    records = _parse(path, text)
    filled = [(row, fields) for row, fields in records if any(map(str.strip, fields))]
    if len(filled) < 2:
        raise UserError(
            f"{path}: no pairs in it, the split is empty; "
            "give another file, or make it with make_splits.py"
        )
    header = [name.strip() for name in filled[0][1]]
    for row, fields in filled:
        if len(fields) != len(header):
            raise UserError(
                f"{path}, row {row}: {len(fields)} fields where the header has {len(header)} "
                f"({quoted(','.join(header))}); "
                "put a value that holds a comma or line break in double quotes"
            )
    pairs = filled[1:]
    cells = {}
    for column, place in _choose_columns(path, header).items():
        cells[column] = [fields[place] for _, fields in pairs]
    return _Table(
        path=path,
        rows=[row for row, _ in pairs],
        cells=cells,
        encoding=encoding,
        blank_rows=len(records) - len(filled),
    )


def _read_csv_text(path: Path) -> tuple[str, str]:
    """Return the content of the csv and its encoding."""
    problem = file_problem(path)
    try:
        text, encoding = decode(b"" if problem else path.read_bytes())
    except OSError as error:
        problem = error_text(error)
    if problem:
        hint = "make the splits with make_splits.py, or check --project-root and the path"
        raise UserError(f"{path}: cannot read the split file ({problem}); {hint}")
    odd = "\ufffd" if encoding == "replaced" else "\0"
    if odd in text:  # it would break guids and paths, which then look like missing files
        line = 1 + text[: text.index(odd)].count("\n")
        raise UserError(
            f"{path}, line {line}: not a text file in UTF-8 or GB18030; save it as CSV in UTF-8"
        )
    return text, encoding


def _parse(path: Path, text: str) -> list[tuple[int, list[str]]]:
    """Return row number and fields of every record; a blank one counts, as in a spreadsheet."""
    records = []
    try:
        for fields in csv.reader(io.StringIO(text, newline=""), strict=True):
            records.append((len(records) + 1, fields))
    except csv.Error as error:
        raise UserError(
            f"{path}, row {len(records) + 1}: not valid CSV ({error}); check its double quotes"
        ) from None
    return records


def _choose_columns(path: Path, header: list[str]) -> dict[str, int]:
    """Return the place of each needed column: guid, label, and those that name text and image."""
    names = {"guid": "guid", "label": "label" if "label" in header else "tag"}
    if "text_path" in header or ("image_path" in header and "text" not in header):
        names |= {"text_path": "text_path", "image_path": "image_path"}
    else:
        names |= {name: name for name in ("text", "image_path") if name in header}
    for column, name in names.items():
        if header.count(name) != 1:
            missing = f"column {column!r} is missing"
            fault = f"column {name!r} is there twice" if name in header else missing
            raise UserError(
                f"{path}, row 1: {fault}; columns found: {quoted(','.join(header))}; needed, "
                "separated by commas: guid,text_path,image_path,label "
                "(or guid,tag beside a data folder)"
            )
    return {column: header.index(name) for column, name in names.items()}


def _read_files(
    files: SplitFiles, table: _Table, guids: list[str], data_dir: str | Path | None
) -> tuple[list[str], list[str], list[tuple[str, str]]]:
    """Return image paths, text paths (none if there is a ``text`` column), texts and encodings."""
    cells = table.cells
    text_paths = []
    if "image_path" in cells:
        image_paths = files.from_cells("image_path", cells["image_path"])
        if "text_path" in cells:
            text_paths = files.from_cells("text_path", cells["text_path"])
    else:
        folder = find_data_folder(files.csv_path, files.root, data_dir)
        image_paths = files.from_guids(folder, guids, IMAGE_SUFFIXES)
        if "text" not in cells:
            text_paths = files.from_guids(folder, guids, [".txt"])
    files.check()
    if "text" in cells:
        return image_paths, text_paths, [(text, table.encoding) for text in cells["text"]]
    return image_paths, text_paths, files.read_texts(text_paths)


def _read_guids(table: _Table) -> list[str]:
    guids = [cell.strip() for cell in table.cells["guid"]]
    seen: dict[str, int] = {}
    for row, guid in zip(table.rows, guids, strict=True):
        if not guid:
            raise UserError(
                f"{table.path}, row {row}: the guid is empty; every pair needs one of its own"
            )
        _check_printable(table.path, row, "guid", guid)
        if guid in seen:
            raise UserError(
                f"{table.path}, row {row}: guid {quoted(guid)} is in row {seen[guid]} already; "
                "remove one"
            )
        seen[guid] = row
    return guids


def _read_labels(table: _Table, allow_unlabelled: bool) -> list[str]:
    cells = [cell.strip() for cell in table.cells["label"]]
    labels = ["" if cell.lower() in _UNLABELLED else cell for cell in cells]
    if not allow_unlabelled and "" in labels:
        first = labels.index("")
        raise UserError(
            f"{table.path}, row {table.rows[first]}: the label is "
            f"{quoted(cells[first]) if cells[first] else 'empty'}"
            f"{_other_rows(labels.count(''))}; give each pair a class, or remove its row"
        )
    spelled: dict[str, tuple[int, str]] = {}  # label as it looks -> first row and spelling
    for row, label in zip(table.rows, labels, strict=True):
        _check_printable(table.path, row, "label", label)
        first, other = spelled.setdefault(_appearance(label), (row, label))
        if other != label:
            raise UserError(
                f"{table.path}, row {row}: label {quoted(label)}, but {quoted(other)} in row "
                f"{first}; spell a class one way"
            )
    return labels


def _check_printable(path: Path, row: int, column: str, value: str) -> None:
    """Refuse control characters: guids and labels are printed, and a console obeys them."""
    if any(unicodedata.category(c) == "Cc" for c in value):
        raise UserError(
            f"{path}, row {row}: the {column} {quoted(value)} holds a control character; remove it"
        )


def _appearance(label: str) -> str:
    """Return the label without upper case, wide forms and invisible characters.

    Two labels that differ only in these look like one class to a person.
    """
    folded = unicodedata.normalize("NFKC", label).casefold()
    return "".join(c for c in folded if unicodedata.category(c) != "Cf")


def _other_rows(count: int) -> str:
    """Return a remark on the other rows with a fault, where ``count`` rows have it in total."""
    return "" if count == 1 else f" (the same in {count - 1} other row{'s' if count > 2 else ''})"
