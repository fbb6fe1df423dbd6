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

from ..errors import UserError
from ..files import error_text, file_problem, listed, quoted
from .tables import Table, refuse

DATA_FOLDERS = ("data/data", "data/project5/data", "data")  # below the project root
# Of several photos of a guid the first in this order is taken, on every system.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".jfif", ".jpe")
IMAGE_SUFFIXES += (".tif", ".tiff", ".avif")
MAX_CHARACTERS = 1 << 20  # of one text; the rest is left out and counted
MAX_BYTES = 4 * MAX_CHARACTERS + 8  # with a mark, more characters than that in every encoding


class Fault(NamedTuple):
    """A file of a pair that cannot be used."""

    csv_path: Path
    row: int
    guid: str
    path: str
    reason: str


def describe(faults: Sequence[Fault], root: Path) -> str:
    """Return one line on all files that are missing or broken: ten are named, the others counted.

    ``faults`` must not be empty; those of one split follow each other.
    """
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


class PairFiles(NamedTuple):
    """The files of N pairs, in the order of their table."""

    image_paths: list[str]
    text_paths: list[str]  # empty where the texts are in the table
    contents: list[bytes]  # of the texts, b"" where unreadable; of a long one only the beginning
    faults: list[Fault]
    windows_paths: int  # whose backslashes were read as slashes


def find_files(table: Table, root: Path, data_dir: str | Path | None) -> PairFiles:
    """Find the files of all pairs and read their texts.

    Args:
        data_dir: see ``find_data_folder``.

    Raises:
        UserError: a cell or guid names no file, or there is no data folder.
    """
    cells = table.cells
    # 1. What the table says: for each pair the name to show, and paths of which the first counts.
    by_cells = "image_path" in cells
    if by_cells:
        named = {name: _of_cells(table, name, root) for name in cells if name.endswith("_path")}
    else:
        folder = find_data_folder(table.path, root, data_dir)
        named = {"image_path": _of_guids(table, folder, IMAGE_SUFFIXES)}
        if "text" not in cells:
            named["text_path"] = _of_guids(table, folder, (".txt",))
    # 2. What is there
    paths: dict[str, list[str]] = {"image_path": [], "text_path": []}
    contents, faults, windows_paths = [], [], 0
    for column, of_pairs in named.items():
        for row, guid, (shown, candidates) in zip(
            cells.index, cells["guid"], of_pairs, strict=True
        ):
            path = next((path for path in candidates if not file_problem(path)), candidates[0])
            problem, content = file_problem(path), b""
            if column == "text_path" and not problem:
                try:
                    with open(path, "rb") as file:
                        content = file.read(MAX_BYTES)
                except OSError as error:
                    problem = error_text(error)
            if problem:
                faults.append(Fault(table.path, row, guid, shown, problem))
            if column == "text_path":
                contents.append(content)
            windows_paths += by_cells and path != candidates[0]
            paths[column].append(path)
    faults.sort(key=lambda fault: (fault.row, fault.path))
    return PairFiles(paths["image_path"], paths["text_path"], contents, faults, windows_paths)


def _of_cells(table: Table, column: str, root: Path) -> list[tuple[str, list[str]]]:
    cells = table.cells[column]
    faults = dict.fromkeys(cells.index[cells == ""], f"{column} is empty")
    refuse(table.path, faults, "give the file, or remove the row")
    named = []
    for cell in cells:
        candidates = [os.path.join(root, cell)]
        if "\\" in cell and not PureWindowsPath(cell).drive:  # maybe written on Windows
            candidates.append(os.path.join(root, cell.replace("\\", "/")))
        named.append((cell, candidates))
    return named


def _of_guids(table: Table, folder: Path, suffixes: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Name ``folder/<guid><suffix>``, in the order of the suffixes; their letter case is free."""
    guids = table.cells["guid"]
    faults = {}
    for row, guid in guids.items():
        if PureWindowsPath(f"{guid}.txt").name != f"{guid}.txt":  # "../7" must not leave the folder
            faults[row] = f"guid {quoted(guid)} cannot name files"
    refuse(table.path, faults, "use plain names")
    names: dict[str, dict[str, str]] = defaultdict(dict)  # stem -> suffix -> name
    with suppress(OSError):  # a folder may be readable file by file alone
        for name in sorted(os.listdir(folder)):  # ".jpg" comes after ".JPG", and is taken
            stem, suffix = os.path.splitext(name)
            names[os.path.normcase(stem)][suffix.lower()] = name
    named = []
    for guid in guids:
        found = names.get(os.path.normcase(guid), {})
        known = [found[suffix] for suffix in suffixes if suffix in found]
        candidates = [os.path.join(folder, name) for name in known or [guid + suffixes[0]]]
        named.append((candidates[0], candidates))
    return named


def find_data_folder(csv_path: Path, root: Path, data_dir: str | Path | None) -> Path:
    """Return the folder of the files that guids name: the first that holds pictures, or exists.

    Looked for in ``data_dir`` or, if it is None, beside the csv and in ``DATA_FOLDERS``.

    Raises:
        UserError: there is no such folder.
    """
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
