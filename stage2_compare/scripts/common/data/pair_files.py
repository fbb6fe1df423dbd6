"""The files that a list of pairs names: find them and read the texts; faults are collected.

A cell gives the path of a file, or the guid does: ``<guid>.txt`` and ``<guid>.jpg``, or another of
``IMAGE_SUFFIXES``, in the data folder.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath

from ..errors import UserError
from ..files import error_text, file_problem, listed, quoted
from .encodings import decode
from .tables import Table, refuse

# below the project root; see find_data_folder
DATA_FOLDERS = ("data/data", "data/project5/data", "data")
# Of several photos of a guid the first in this order is taken, on every system.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".jfif", ".jpe")
IMAGE_SUFFIXES += (".tif", ".tiff", ".avif")
MAX_CHARACTERS = 1 << 20  # of one text; the rest is left out and counted
_MAX_BYTES = 4 * MAX_CHARACTERS + 8  # with a mark, more characters than that in every encoding


@dataclass(frozen=True)
class Fault:
    """A file of a pair that cannot be used."""

    csv_path: Path
    row: int
    guid: str
    path: str
    reason: str

    def __str__(self) -> str:
        return f"row {self.row}: {quoted(self.path)} ({self.reason})"


def describe(faults: Sequence[Fault], root: Path) -> str:
    """Return one line on all files that are missing or broken: ten are named, the others counted.

    ``faults`` must not be empty; those of one split follow each other.
    """
    count = "1 file is" if len(faults) == 1 else f"{len(faults):,} files are"
    of_each = defaultdict(list)
    for fault in faults:
        of_each[fault.csv_path].append(str(fault))
    (first, shown), *others = of_each.items()
    more = "".join(f"; in {path}: {listed(of_other)}" for path, of_other in others)
    return (
        f"{first}: {count} missing or unreadable: {listed(shown)}{more}. Relative paths start at "
        f"{root.absolute()}: put the files there, or remove their rows"
    )


@dataclass
class PairFiles:
    """The files of N pairs, in the order of their table."""

    image_paths: list[str] = field(default_factory=list)
    text_paths: list[str] = field(default_factory=list)  # empty where the texts are in the table
    contents: list[bytes] = field(default_factory=list)  # of the texts, b"" where unreadable
    faults: list[Fault] = field(default_factory=list)
    windows_paths: int = 0  # whose backslashes were read as slashes

    def decoded(self, legacy: str) -> list[tuple[str, str]]:
        """Return text and encoding of each pair."""
        return [decode(data, legacy, whole=len(data) < _MAX_BYTES) for data in self.contents]


def find_files(table: Table, root: Path, data_dir: str | Path | None) -> PairFiles:
    """Find the files of all pairs and read their texts; of a long one only the beginning.

    Args:
        data_dir: see ``find_data_folder``.

    Raises:
        UserError: a cell or guid names no file, or there is no data folder.
    """
    cells, files = table.cells, PairFiles()
    guids, rows = cells["guid"].tolist(), cells.index.tolist()

    def note(place: int, path: str, reason: str) -> None:
        files.faults.append(Fault(table.path, rows[place], guids[place], path, reason))

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
    paths: dict[str, list[str]] = {"text_path": []}
    for column, of_pairs in named.items():
        paths[column] = []
        for place, (shown, candidates) in enumerate(of_pairs):
            path = next((path for path in candidates if not file_problem(path)), "")
            if not path:
                path = candidates[0]
                note(place, shown, file_problem(path))
            files.windows_paths += by_cells and path != candidates[0]
            paths[column].append(path)
    files.image_paths, files.text_paths = paths["image_path"], paths["text_path"]
    # 3. The texts
    missing = {fault.row for fault in files.faults}
    for place, path in enumerate(files.text_paths):
        files.contents.append(b"")
        if rows[place] in missing and file_problem(path):
            continue
        try:
            with open(path, "rb") as file:
                files.contents[-1] = file.read(_MAX_BYTES)
        except OSError as error:
            note(place, path, error_text(error))
    files.faults.sort(key=lambda fault: (fault.row, fault.path))
    return files


def _of_cells(table: Table, column: str, root: Path) -> list[tuple[str, list[str]]]:
    cells = table.cells[column]
    empty = (cells == "", lambda cell: f"{column} is empty")
    refuse(table.path, cells, [empty], "give the file, or remove the row")
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
    # "../7" must not leave the folder
    odd = guids.map(lambda guid: PureWindowsPath(f"{guid}.txt").name != f"{guid}.txt")
    check = (odd, lambda guid: f"guid {quoted(guid)} cannot name files")
    refuse(table.path, guids, [check], "use plain names")
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
