"""Split csv -> guids, texts, image paths and labels. Standard library only: all code may import it.

Columns: ``guid,text_path,image_path,label``. ``tag`` is accepted for ``label``, a ``text`` column
for ``text_path``. Without both path columns the guid names the files, see splits_files.py.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import UserError
from ..files import error_text, listed, quoted
from .encodings import choose_encoding, decode
from .splits_files import (
    IMAGE_SUFFIXES,
    MAX_CHARACTERS,
    Fault,
    SplitFiles,
    decode_text,
    describe,
    file_problem,
    find_data_folder,
    refuse,
)

# Lies beside the splits while make_splits.py replaces them, and stays if it is killed.
UNFINISHED = ".make_splits.unfinished"
UNLABELLED = "unlabelled"  # name of the test list among the splits where it has no labels
FOLD = "fold_"  # begins the name of a fold's folder, which lies beside the splits

_CLASS_ORDER = ("negative", "neutral", "positive")
_UNLABELLED = ("", "null", "nan")  # no label: an empty cell, the published test list, pandas
# What lists of pairs without labels have in their place, as ``_appearance`` gives it.
_PLACEHOLDERS = {
    "null", "nan", "none", "nil", "n/a", "na", "<na>", "#n/a", "?", "??", "???", "-", "--", "---",
    "–", "—", "_", ".", "...", "unknown", "unlabeled", "unlabelled", "missing", "undefined", "tbd",
    "todo", "无", "空", "未知", "未标注", "待标注", "待预测",
}  # fmt: skip
_MAX_CSV_BYTES = 1 << 28
_MAX_ROWS = 2_000_000
_MAX_COMMAS = 1_000_000  # in a line
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")

# The default of 131,072 characters is less than a long text; more than this overflows on Windows.
csv.field_size_limit(2**31 - 1)


@dataclass(frozen=True)
class Split:
    """N pairs in the order of the file; every list has length N.

    ``notes`` count what is odd but accepted: "gb18030_csv" (1 if the csv is in that encoding, not
    in UTF-8), "blank_row" (left out), "windows_path" (backslashes read as slashes), "long_text"
    (cut after ``MAX_CHARACTERS``), "nul_text" (NUL characters were removed) and "empty_text".
    """

    path: Path  # the csv
    guids: list[str]
    texts: list[str]  # stripped; may be empty
    image_paths: list[str]
    labels: list[str]  # "" where the pair has none (only in lists that may lack labels)
    rows: list[int]  # as a spreadsheet counts: header = 1, a quoted newline starts no new row
    encodings: dict[str, int]  # number of texts by encoding, see encodings.decode
    text_encodings: list[str] = field(default_factory=list)  # of each text
    text_paths: list[str] = field(default_factory=list)  # empty if there is a ``text`` column
    notes: dict[str, int] = field(default_factory=dict)  # only those that are not 0
    line_end: str = "\n"  # of the csv

    def __len__(self) -> int:
        return len(self.guids)


def read_split(
    csv_path: str | Path,
    project_root: str | Path,
    *,
    allow_unlabelled: bool = False,
    data_dir: str | Path | None = None,
    text_encoding: str = "auto",
) -> Split:
    """Read one split, as ``read_splits`` does.

    Raises:
        UserError: names file, row and value; also where a file of a pair is missing.
    """
    splits, faults = read_splits(
        {"split": csv_path},
        project_root,
        unlabelled=("split",) if allow_unlabelled else (),
        data_dir=data_dir,
        text_encoding=text_encoding,
    )
    if faults:
        raise UserError(describe(faults, Path(project_root)))
    return splits["split"]


def read_splits(
    csv_paths: dict[str, str | Path],
    project_root: str | Path,
    *,
    unlabelled: Collection[str] = (),
    data_dir: str | Path | None = None,
    text_encoding: str = "auto",
    leave_out: dict[str, set[int]] | None = None,
) -> tuple[dict[str, Split], list[Fault]]:
    """Read splits and their texts. Check that their images exist, but do not open them.

    Args:
        csv_paths: absolute, or relative to ``project_root`` like the paths in the csv.
        unlabelled: names of splits that may lack labels; they are "" in the result. What is no
            class of the other splits and stands for a label, such as "None", is none either.
        data_dir: the folder of files named by guid; by default one of ``DATA_FOLDERS``.
        text_encoding: one of ``settings.ENCODINGS``, for texts that are not UTF-8. "auto" decides
            for all splits together.
        leave_out: rows by the name of the split.

    Returns:
        The splits, and the files that are missing or unreadable: their pairs are in the splits.

    Raises:
        UserError: names file, row and value.
    """
    root = Path(project_root)
    paths = {name: root / path for name, path in csv_paths.items()}
    tables = _read_tables(paths, unlabelled, text_encoding)
    for name, rows in (leave_out or {}).items():
        tables[name] = _without_rows(tables[name], rows)
    return _read_texts(tables, root, data_dir, text_encoding)


def read_training_splits(
    csv_paths: dict[str, str | Path],
    project_root: str | Path,
    *,
    test_is_optional: bool,
    text_encoding: str = "auto",
) -> tuple[dict[str, Split], list[str]]:
    """Read "train", "val" and "test", which is called ``UNLABELLED`` where a label is missing.

    Args:
        test_is_optional: do without a test list where there is no such file.

    Returns:
        The splits, and remarks for the user, one line each.

    Raises:
        UserError: names file, row and value; also for files of pairs that are missing.
    """
    root = Path(project_root)
    paths = {name: root / path for name, path in csv_paths.items()}
    if test_is_optional and not os.path.lexists(paths["test"]):
        del paths["test"]
    check_finished(paths.values())
    tables = _read_tables(paths, ("test",), text_encoding)
    remarks = []
    if "test" in tables and "" in tables["test"].labels:
        test = tables[UNLABELLED] = tables.pop("test")
        count = test.labels.count("")
        some = "its pairs have" if count == len(test.labels) else f"{count:,} of its pairs have"
        remarks.append(f"{test.path}: {some} no label, so they are predicted, not measured")
    splits, faults = _read_texts(tables, root, None, text_encoding)
    if faults:
        raise UserError(describe(faults, root))
    return splits, [*remarks, *encoding_remarks(splits.values())]


def encoding_remarks(splits: Iterable[Split]) -> list[str]:
    """Return what was decided about texts that are not UTF-8, one line each."""
    counts = Counter()
    for split in splits:
        counts.update(split.encodings)
    remarks = []
    for name, title in (("gb18030", "GB18030"), ("cp1252", "Windows-1252")):
        if counts[name]:
            remarks.append(
                f"texts: {counts[name]:,} are not UTF-8 and were read as {title}; "
                "--text-encoding overrules this"
            )
    if counts["replaced"]:
        remarks.append(
            f"warning: texts: {counts['replaced']:,} hold bytes that are wrong in their encoding, "
            "shown as \ufffd; --text-encoding chooses another"
        )
    return remarks


def check_finished(csv_paths: Iterable[Path]) -> None:
    """Refuse splits that make_splits.py has only begun to replace."""
    folders = [path.parent for path in csv_paths]
    folders = [part.parent if part.name.startswith(FOLD) else part for part in folders]
    for folder in dict.fromkeys(folders):
        if (folder / UNFINISHED).exists():
            raise UserError(
                f"{folder}: make_splits.py is writing there, or was stopped while it wrote, so the "
                "files may belong to two different splits: run make_splits.py again"
            )


def squeezed(text: str) -> str:
    """Return the text with one blank for each run of white space: texts are compared like this."""
    return " ".join(text.split())


def class_names(labels: Iterable[str]) -> list[str]:
    """Return the classes: negative, neutral, positive if there are no others, else sorted."""
    found = set(labels)
    return sorted(found, key=_CLASS_ORDER.index if found <= set(_CLASS_ORDER) else None)


def fingerprint(split: Split, digests: Iterable[str], in_order: bool = True) -> str:
    """Return a hash that changes with any guid, label, text or photo of a split, and with the order
    of its rows unless ``in_order`` is False.

    ``digests`` are the SHA-256 of the photo files (N,).
    """
    digest = hashlib.sha256()
    rows = zip(split.guids, split.labels, split.texts, digests, strict=True)
    for row in rows if in_order else sorted(rows):
        digest.update(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


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
    cells: dict[str, list[str]]  # by column: guid, maybe label, text or text_path, image_path
    encoding: str
    blank_rows: int
    line_end: str
    guids: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)


def _read_tables(
    paths: dict[str, Path], unlabelled: Collection[str], text_encoding: str
) -> dict[str, _Table]:
    """Read the csv files, and check guids and labels."""
    contents = {name: _read_csv(path) for name, path in paths.items()}
    legacy = choose_encoding(contents.values()) if text_encoding == "auto" else text_encoding
    tables, classes = {}, set()
    for name in sorted(paths, key=lambda name: name in unlabelled):  # those with labels first
        may_lack = name in unlabelled
        table = _read_table(paths[name], contents.pop(name), legacy, may_lack)
        guids = _read_guids(table)
        labels = _read_labels(table, classes, may_lack)
        tables[name] = replace(table, guids=guids, labels=labels)
        classes |= set() if may_lack else set(labels)
    return {name: tables[name] for name in paths}


def _without_rows(table: _Table, rows: set[int]) -> _Table:
    kept = [i for i, row in enumerate(table.rows) if row not in rows]
    if not kept:
        raise UserError(f"{table.path}: no pair is left without the broken ones")
    cells = {}
    for column, values in table.cells.items():
        cells[column] = [values[i] for i in kept]
    return replace(
        table,
        rows=[table.rows[i] for i in kept],
        cells=cells,
        guids=[table.guids[i] for i in kept],
        labels=[table.labels[i] for i in kept],
    )


def _read_csv(path: Path) -> bytes:
    problem = file_problem(path)
    try:
        if not problem and path.stat().st_size > _MAX_CSV_BYTES:
            raise UserError(
                f"{path}: larger than {_MAX_CSV_BYTES / 1e6:,.0f} MB; "
                "put the texts into files of their own"
            )
        content = b"" if problem else path.read_bytes()
    except OSError as error:
        problem = error_text(error)
    if problem:
        hint = "make the splits with make_splits.py, or check --project-root and the path"
        raise UserError(f"{path}: cannot read the split file ({problem}); {hint}")
    return content


def _read_table(path: Path, content: bytes, legacy: str, may_lack_labels: bool) -> _Table:
    text, encoding = decode(content, legacy)
    odd = "\ufffd" if encoding == "replaced" else "\0"
    if odd in text:  # it would break guids and paths, which then look like missing files
        line = 1 + text[: text.index(odd)].count("\n")
        raise UserError(
            f"{path}, line {line}: not a text file in UTF-8 or GB18030; save it as CSV in UTF-8"
        )
    header: list[str] = []
    columns: dict[str, int] = {}
    rows, cells, odd_rows, blank_rows = [], {}, [], 0
    for row, fields in _records(path, text):
        if not any(map(str.strip, fields)):
            blank_rows += 1
        elif not header:
            header = [name.strip() for name in fields]
            columns = _choose_columns(path, row, header, may_lack_labels)
            cells = {column: [] for column in columns}
        elif len(fields) != len(header):
            odd_rows.append(f"row {row}: {len(fields):,} fields")
        else:
            rows.append(row)
            for column, place in columns.items():
                cells[column].append(fields[place])
    if odd_rows:
        raise UserError(
            f"{path}, {listed(odd_rows)} where the header has {len(header)} "
            f"({quoted(','.join(header))}); "
            "put a value that holds a comma or line break in double quotes"
        )
    if not rows:
        raise UserError(
            f"{path}: no pairs in it, the split is empty; "
            "give another file, or make it with make_splits.py"
        )
    return _Table(path, rows, cells, encoding, blank_rows, _line_end(text))


def _records(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield row number and fields of every record; a blank one counts, as in a spreadsheet."""
    row = 0
    try:
        for row, fields in enumerate(csv.reader(_lines(text), strict=True), start=1):
            if row > _MAX_ROWS:
                raise UserError(f"{path}: more than {_MAX_ROWS:,} rows; make it shorter")
            yield row, fields
    except csv.Error as error:
        raise UserError(
            f"{path}, row {row + 1}: not valid CSV ({error}); check its double quotes"
        ) from None


def _lines(text: str) -> Iterator[str]:
    """Yield the lines with their ends. A stream of the text would take four bytes a character."""
    for found in _LINE.finditer(text):
        line = found.group()
        if line.count(",") > _MAX_COMMAS:
            raise csv.Error(f"more than {_MAX_COMMAS:,} fields")
        yield line


def _line_end(text: str) -> str:
    first = next(_lines(text), "")
    return first[len(first.rstrip("\r\n")) :] or "\n"


def _choose_columns(
    path: Path, row: int, header: list[str], may_lack_labels: bool
) -> dict[str, int]:
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
                f"{path}, row {row}: {fault}; columns found: {quoted(','.join(header))}; needed, "
                "separated by commas: guid,text_path,image_path,label "
                "(or guid,tag beside a data folder)"
            )
    return {column: header.index(name) for column, name in names.items()}


def _read_guids(table: _Table) -> list[str]:
    guids = [cell.strip() for cell in table.cells["guid"]]
    seen: dict[str, int] = {}
    faults = []
    for row, guid in zip(table.rows, guids, strict=True):
        first = seen.setdefault(guid, row)
        if not guid:
            faults.append(f"row {row}: the guid is empty")
        elif _has_control_character(guid):
            faults.append(f"row {row}: the guid {quoted(guid)} holds a control character")
        elif first != row:
            faults.append(f"row {row}: guid {quoted(guid)} is in row {first} already")
    refuse(table.path, faults, "every pair needs a guid of its own")
    return guids


def _read_labels(table: _Table, classes: set[str], may_lack: bool) -> list[str]:
    cells = [cell.strip() for cell in table.cells.get("label", [""] * len(table.rows))]
    labels = ["" if cell.lower() in _UNLABELLED else cell for cell in cells]
    if may_lack:
        labels = without_placeholders(labels, classes)
    elif "" in labels:
        first = labels.index("")
        raise UserError(
            f"{table.path}, row {table.rows[first]}: the label is "
            f"{quoted(cells[first]) if cells[first] else 'empty'}"
            f"{_other_rows(labels.count(''))}; give each pair a class, or remove its row"
        )
    # 1. Refuse control characters: labels are printed, and a console obeys them.
    faults = []
    for row, label in zip(table.rows, labels, strict=True):
        if _has_control_character(label):
            faults.append(f"row {row}: the label {quoted(label)} holds a control character")
    refuse(table.path, faults, "remove it")
    # 2. Refuse two spellings of a class.
    first_rows: dict[str, int] = {}
    for row, label in zip(table.rows, labels, strict=True):
        first_rows.setdefault(label, row)
    spelled: dict[str, str] = {}  # label as it looks -> first spelling
    for label, row in first_rows.items():
        other = spelled.setdefault(_appearance(label), label)
        if other != label:
            faults.append(
                f"row {row}: label {quoted(label)}, but {quoted(other)} in row {first_rows[other]}"
            )
    refuse(table.path, faults, "spell a class one way")
    return labels


def without_placeholders(labels: list[str], classes: Collection[str]) -> list[str]:
    """Return labels (N,) with "" for what stands in their place in a list without labels.

    That is a usual word or sign such as "None" or "?", or one value in all rows, unless it is one
    of the ``classes``. If these are not known, all labels stay.
    """
    if not classes:
        return labels
    looks = set(map(_appearance, classes))
    found = set(labels) - {""}
    placeholders = {label for label in found if _appearance(label) in _PLACEHOLDERS}
    if len(found) == 1 and len(labels) > 1:
        placeholders |= found
    placeholders = {label for label in placeholders if _appearance(label) not in looks}
    return ["" if label in placeholders else label for label in labels]


def _has_control_character(value: str) -> bool:
    return any(unicodedata.category(c) == "Cc" for c in value)


def _appearance(label: str) -> str:
    """Return the label without upper case, wide forms and invisible characters.

    Two labels that differ only in these look like one class to a person.
    """
    folded = unicodedata.normalize("NFKC", label).casefold()
    return "".join(c for c in folded if unicodedata.category(c) != "Cf")


def _other_rows(count: int) -> str:
    """Return a remark on the other rows with a fault, where ``count`` rows have it in total."""
    return "" if count == 1 else f" (the same in {count - 1} other row{'s' if count > 2 else ''})"


# Texts


def _read_texts(
    tables: dict[str, _Table], root: Path, data_dir: str | Path | None, text_encoding: str
) -> tuple[dict[str, Split], list[Fault]]:
    """Find the files of all tables, and read their texts. In them all, one encoding is decided."""
    found = {name: _find_files(table, root, data_dir) for name, table in tables.items()}
    legacy = text_encoding
    if text_encoding == "auto":
        legacy = choose_encoding(data for sources in found.values() for data in sources.contents)
    splits, faults = {}, []
    for name, sources in found.items():
        splits[name] = _decoded(tables[name], sources, legacy)
        faults += sources.files.faults
    return splits, faults


@dataclass(frozen=True)
class _Sources:
    """Where the pairs of a table come from; every list has length N, or 0 for a text column."""

    files: SplitFiles
    image_paths: list[str]
    text_paths: list[str]
    contents: list[bytes]  # of the texts


def _find_files(table: _Table, root: Path, data_dir: str | Path | None) -> _Sources:
    files = SplitFiles(table.path, root, table.rows, table.guids)
    cells, text_paths = table.cells, []
    if "image_path" in cells:
        image_paths = files.from_cells("image_path", cells["image_path"])
        if "text_path" in cells:
            text_paths = files.from_cells("text_path", cells["text_path"])
    else:
        folder = find_data_folder(table.path, root, data_dir)
        image_paths = files.from_guids(folder, IMAGE_SUFFIXES)
        if "text" not in cells:
            text_paths = files.from_guids(folder, [".txt"])
    return _Sources(files, image_paths, text_paths, contents=files.read(text_paths))


def _decoded(table: _Table, sources: _Sources, legacy: str) -> Split:
    if "text" in table.cells:
        decoded = [(text, table.encoding) for text in table.cells["text"]]
    else:
        decoded = [decode_text(data, legacy) for data in sources.contents]
    long_texts = sum(len(text) > MAX_CHARACTERS for text, _ in decoded)
    nul_texts = sum("\0" in text for text, _ in decoded)
    # Tokenizers differ on NUL.
    texts = [text[:MAX_CHARACTERS].replace("\0", "").strip() for text, _ in decoded]
    notes = {
        f"{table.encoding}_csv": int(table.encoding != "utf-8"),
        "blank_row": table.blank_rows,
        "windows_path": sources.files.windows_paths,
        "long_text": long_texts,
        "nul_text": nul_texts,
        "empty_text": texts.count(""),
    }
    encodings = [encoding for _, encoding in decoded]
    return Split(
        path=table.path,
        guids=table.guids,
        texts=texts,
        image_paths=sources.image_paths,
        labels=table.labels,
        rows=table.rows,
        encodings={"utf-8": 0, "gb18030": 0, "replaced": 0, **Counter(encodings)},
        text_encodings=encodings,
        text_paths=sources.text_paths,
        notes={name: count for name, count in notes.items() if count},
        line_end=table.line_end,
    )
