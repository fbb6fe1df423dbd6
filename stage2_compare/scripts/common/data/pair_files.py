"""The files that a list of pairs names: find them and read the texts; faults are collected.

A cell gives the path of a file, or the guid does: ``<guid>.txt`` and ``<guid>.jpg``, or another of
``IMAGE_SUFFIXES``, in the data folder.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

from ..errors import UserError, reason_of
from ..files import file_problem, listed, open_file, quoted
from .tables import Split, refuse

TRAIN_LIST, TEST_LIST = "train.txt", "test_without_label.txt"  # beside the data folder
DATA_FOLDERS = ("data/data", "data/project5/data", "data")  # below the project root
# Of several photos of a guid the first in this order is taken, on every system.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".jfif", ".jpe")
IMAGE_SUFFIXES += (".tif", ".tiff", ".avif")
_MAX_BYTES = 100_000_000  # of one text


class Fault(NamedTuple):
    """A file of a pair that cannot be used."""

    csv_path: Path
    row: int
    guid: str
    path: str
    reason: str


def describe(faults: Sequence[Fault], root: Path) -> str:
    """Return one line on all files that are missing or broken, those of one split behind each
    other: ten are named, the others counted."""
    count = "1 file is" if len(faults) == 1 else f"{len(faults):,} files are"
    of_each = defaultdict(list)
    for fault in faults:
        shown = f"row {fault.row}: {quoted(fault.path)} ({fault.reason})"
        of_each[fault.csv_path].append(shown)
    (first, shown), *others = of_each.items()
    more = "".join(f"; in {path}: {listed(of_other)}" for path, of_other in others)
    return (
        f"{first}: {count} missing or unreadable: {listed(shown)}{more}. Relative paths start at "
        f"{root.absolute()}: put the files there, or remove their rows"
    )


def find_files(
    split: Split, root: Path, data_dir: str | Path | None
) -> tuple[list[bytes], list[Fault]]:
    """Find the files of all pairs, put their paths into the split, and return the texts (N,), b""
    where unreadable, none where they are in the csv; and the files that are missing or unreadable.
    Raise UserError where a cell or guid names no file, or there is no data folder."""
    # 1. The path of each file, how a message shows it, and what is there instead of it
    named = {}
    if split.image_paths:
        named["image_path"] = _of_cells(split, "image_path", split.image_paths, root)
        if split.text_paths:
            named["text_path"] = _of_cells(split, "text_path", split.text_paths, root)
    else:
        folder = find_data_folder(split.path, root, data_dir)
        named["image_path"] = _of_guids(split, folder, IMAGE_SUFFIXES)
        if not split.texts:
            named["text_path"] = _of_guids(split, folder, (".txt",))
    # 2. What is there
    contents, faults = [], []
    for column, of_pairs in named.items():
        for row, guid, (path, shown, instead) in zip(
            split.rows, split.guids, of_pairs, strict=True
        ):
            problem, content = file_problem(path), b""
            if column == "text_path":
                try:
                    with open_file(path, _MAX_BYTES) as file:
                        content = file.read()
                except OSError as error:
                    problem = reason_of(error)
                contents.append(content)
            if problem:
                faults.append(Fault(split.path, row, guid, shown, instead or problem))
    split.image_paths, split.text_paths = (
        [path for path, *_ in named.get(column, [])] for column in ("image_path", "text_path")
    )
    return contents, sorted(faults, key=lambda fault: (fault.row, fault.path))


def _of_cells(
    split: Split, column: str, cells: list[str], root: Path
) -> list[tuple[str, str, str]]:
    """Take the paths that cells give; one with backslashes was maybe written on Windows."""
    faults, named = {}, []
    for row, cell in zip(split.rows, cells, strict=True):
        path = os.path.join(root, cell)
        if not cell:
            faults[row] = f"{column} is empty"
        elif "\\" in cell and not PureWindowsPath(cell).drive and file_problem(path):
            other = os.path.join(root, cell.replace("\\", "/"))
            if not file_problem(other):
                path = other
                split.notes["windows_path"] = split.notes.get("windows_path", 0) + 1
        named.append((path, cell, ""))
    refuse(split.path, faults, "give the file, or remove the row")
    return named


def _of_guids(split: Split, folder: Path, suffixes: Sequence[str]) -> list[tuple[str, str, str]]:
    """Name ``folder/<guid><suffix>``, in the order of the suffixes; their letter case is free."""
    names: dict[str, dict[str, str]] = defaultdict(dict)  # stem -> suffix -> name
    with suppress(OSError):  # a folder may be readable file by file alone
        for name in sorted(os.listdir(folder)):  # ".jpg" comes after ".JPG", and is taken
            stem, suffix = os.path.splitext(name)
            names[os.path.normcase(stem)][suffix.lower()] = name
    faults, named = {}, []
    for row, guid in zip(split.rows, split.guids, strict=True):
        if PureWindowsPath(f"{guid}.txt").name != f"{guid}.txt":  # "../7" must not leave the folder
            faults[row] = f"guid {quoted(guid)} cannot name files"
        found = names.get(os.path.normcase(guid), {})
        known = [found[suffix] for suffix in suffixes if suffix in found]
        paths = [os.path.join(folder, name) for name in known or [guid + suffixes[0]]]
        path = next((path for path in paths if not file_problem(path)), paths[0])
        others = [found[suffix] for suffix in found if suffix not in (*IMAGE_SUFFIXES, ".txt")]
        instead = f"{', '.join(others)} is there: save it as one of {' '.join(suffixes)}"
        named.append((path, path, instead if others and not known else ""))
    refuse(split.path, faults, "use plain names")
    return named


def find_data_folder(csv_path: Path, root: Path, data_dir: str | Path | None) -> Path:
    """Return the folder of the files that guids name: the first that holds pictures, or exists, in
    ``data_dir`` or, if it is None, beside the csv and in ``DATA_FOLDERS``."""
    if data_dir:
        choices = [root / data_dir, root / data_dir / "data"]
    else:
        choices = [csv_path.parent / "data", *(root / name for name in DATA_FOLDERS)]
    for folder in (*choices, csv_path.parent):
        with suppress(OSError):
            if any(name.lower().endswith(IMAGE_SUFFIXES) for name in os.listdir(folder)):
                return folder
    for folder in choices:
        if os.path.isdir(folder):
            return folder
    raise UserError(
        f"{csv_path}: no text_path and image_path columns, so the guids name the files, but there "
        f"is no folder {' or '.join(map(str, choices))}; check --project-root"
    )
