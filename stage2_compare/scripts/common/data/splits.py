"""Split csv -> guids, texts, image paths and labels.

Columns: ``guid,text_path,image_path,label``. ``tag`` is accepted for ``label``, a ``text`` column
for ``text_path``. Without both path columns the guid names the files, see pair_files.py.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError
from ..files import quoted
from .encodings import choose_encoding, decode
from .pair_files import MAX_BYTES, MAX_CHARACTERS, Fault, PairFiles, describe, find_files
from .tables import Table, read_tables, refuse

# Lies beside the splits while make_splits.py replaces them, and stays if it is killed.
UNFINISHED = ".make_splits.unfinished"
UNLABELLED = "unlabelled"  # name of the test list among the splits where it has no labels
FOLD = "fold_"  # begins the name of a fold's folder, which lies beside the splits

_CLASS_ORDER = ("negative", "neutral", "positive")


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
    text_encodings: list[str] = field(default_factory=list)  # see encodings.decode
    text_paths: list[str] = field(default_factory=list)  # empty if there is a ``text`` column
    notes: dict[str, int] = field(default_factory=dict)  # only those that are not 0
    line_end: str = "\n"  # of the csv

    def __len__(self) -> int:
        return len(self.guids)

    @property
    def encodings(self) -> dict[str, int]:
        """Number of texts by encoding."""
        return {"utf-8": 0, "gb18030": 0, "replaced": 0, **Counter(self.text_encodings)}


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
        data_dir: of the files that guids name, see ``pair_files.find_data_folder``.
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
    tables = read_tables(paths, unlabelled, text_encoding)
    for name, rows in (leave_out or {}).items():
        tables[name] = tables[name].without(rows)
    files = {name: find_files(table, root, data_dir) for name, table in tables.items()}
    legacy = text_encoding
    if legacy == "auto":
        legacy = choose_encoding(data for found in files.values() for data in found.contents)
    splits = {name: _decoded(table, files[name], legacy) for name, table in tables.items()}
    return splits, [fault for found in files.values() for fault in found.faults]


def _decoded(table: Table, files: PairFiles, legacy: str) -> Split:
    cells = table.cells
    if "text" in cells:
        decoded, encodings = cells["text"], [table.encoding] * len(cells)
    else:
        found = [decode(data, legacy, whole=len(data) < MAX_BYTES) for data in files.contents]
        decoded, encodings = zip(*found, strict=True)
    # Tokenizers differ on NUL.
    texts = [text[:MAX_CHARACTERS].replace("\0", "").strip() for text in decoded]
    notes = {
        f"{table.encoding}_csv": int(table.encoding != "utf-8"),
        "blank_row": table.blank_rows,
        "windows_path": files.windows_paths,
        "long_text": sum(len(text) > MAX_CHARACTERS for text in decoded),
        "nul_text": sum("\0" in text for text in decoded),
        "empty_text": texts.count(""),
    }
    return Split(
        path=table.path,
        guids=cells["guid"].tolist(),
        texts=texts,
        image_paths=files.image_paths,
        labels=cells["label"].tolist(),
        rows=cells.index.tolist(),
        text_encodings=list(encodings),
        text_paths=files.text_paths,
        notes={name: count for name, count in notes.items() if count},
        line_end=table.line_end,
    )


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
    root, paths = Path(project_root), dict(csv_paths)
    if test_is_optional and not os.path.lexists(root / paths["test"]):
        del paths["test"]
    check_finished(root / path for path in paths.values())
    splits, faults = read_splits(paths, root, unlabelled=("test",), text_encoding=text_encoding)
    if faults:
        raise UserError(describe(faults, root))
    remarks = []
    if "test" in splits and "" in splits["test"].labels:
        test = splits[UNLABELLED] = splits.pop("test")
        count = test.labels.count("")
        some = "its pairs have" if count == len(test) else f"{count:,} of its pairs have"
        remarks.append(f"{test.path}: {some} no label, so they are predicted, not measured")
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
    faults = {}
    for row, label in zip(split.rows, split.labels, strict=True):
        if label not in classes:
            faults[row] = f"label {quoted(label)} is not a class of the training split"
    known = quoted(", ".join(classes))
    refuse(split.path, faults, f"its classes are {known}: correct it, or make the splits again")
    return [classes.index(label) for label in split.labels]
