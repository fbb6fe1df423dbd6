"""The files that a split names: find them and read the texts; what is wrong with them is collected.

Standard library only. A cell of the split gives the path of a file, or the guid does:
``<guid>.txt`` and ``<guid>.jpg``, or another of ``IMAGE_SUFFIXES``, in the data folder.
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from ..errors import UserError
from ..files import error_text, listed, quoted
from .encodings import decode

# below the project root; the first one that exists holds the files that guids name
DATA_FOLDERS = ("data/data", "data/project5/data", "data")
# Of several photos of a guid the first in this order is taken, on every system.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".jfif", ".jpe")
IMAGE_SUFFIXES += (".tif", ".tiff", ".avif")
MAX_CHARACTERS = 1 << 20  # of one text; the rest is left out and counted
_MAX_BYTES = 4 * MAX_CHARACTERS + 8  # with a mark, more characters than that in every encoding
_MAX_TOTAL_BYTES = 1 << 28  # of all texts of a split


@dataclass(frozen=True)
class Fault:
    """A file of a pair that cannot be used."""

    csv_path: Path
    place: int  # of the pair in its split
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


class SplitFiles:
    """The files of one split csv.

    ``faults`` has those that are missing or unreadable, in the order of the split.
    ``windows_paths`` counts the paths whose backslashes were read as slashes.
    """

    def __init__(self, csv_path: Path, root: Path, rows: list[int], guids: list[str]):
        self.csv_path, self.root, self.rows, self.guids = csv_path, root, rows, guids
        self.windows_paths = 0
        self._faults: dict[tuple[int, str], str] = {}  # place in the split and path -> reason
        self._missing: set[str] = set()  # paths as they are returned

    @property
    def faults(self) -> list[Fault]:
        found = []
        for (place, path), reason in sorted(self._faults.items()):
            row, guid = self.rows[place], self.guids[place]
            found.append(Fault(self.csv_path, place, row, guid, path, reason))
        return found

    def from_cells(self, column: str, cells: list[str]) -> list[str]:
        """Return the paths that the cells (N,) of a column name.

        Raises:
            UserError: a cell is empty.
        """
        values = [cell.strip() for cell in cells]
        faults = []
        for row, value in zip(self.rows, values, strict=True):
            if not value:
                faults.append(f"row {row}: {column} is empty")
        refuse(self.csv_path, faults, "give the file, or remove the row")
        paths = []
        for place, value in enumerate(values):
            candidates = [os.path.join(self.root, value)]
            if "\\" in value and not PureWindowsPath(value).drive:  # maybe written on Windows
                candidates.append(os.path.join(self.root, value.replace("\\", "/")))
            paths.append(self._first_file(place, value, candidates))
            self.windows_paths += paths[-1] != candidates[0]
        return paths

    def from_guids(self, folder: Path, suffixes: Sequence[str]) -> list[str]:
        """Return ``folder/<guid><suffix>`` for each guid (N,), with the first suffix that exists.

        The letter case of the suffix does not matter.

        Raises:
            UserError: a guid is not a plain file name.
        """
        faults = []
        for row, guid in zip(self.rows, self.guids, strict=True):
            name = f"{guid}.txt"
            if PureWindowsPath(name).name != name:  # "../7" must not leave the folder
                faults.append(f"row {row}: guid {quoted(guid)} cannot name files")
        refuse(self.csv_path, faults, "use plain names")
        names = _names_by_stem(folder)
        paths = []
        for place, guid in enumerate(self.guids):
            found = names.get(os.path.normcase(guid), {})
            known = [found[suffix] for suffix in suffixes if suffix in found]
            candidates = [os.path.join(folder, name) for name in known or [guid + suffixes[0]]]
            paths.append(self._first_file(place, candidates[0], candidates))
        return paths

    def read(self, paths: list[str]) -> list[bytes]:
        """Return the content of each file (N,), b"" where it cannot be read.

        Of a file that is too long for one text only the beginning is read.

        Raises:
            UserError: they are too long in total.
        """
        contents, total = [], 0
        for place, path in enumerate(paths):
            contents.append(b"")
            if path in self._missing:
                continue
            try:
                with open(path, "rb") as file:
                    contents[-1] = file.read(_MAX_BYTES)
            except OSError as error:
                self._faults[place, path] = error_text(error)
            total += len(contents[-1])
            if total > _MAX_TOTAL_BYTES:
                raise UserError(
                    f"{self.csv_path}, row {self.rows[place]}: the texts up to here hold more than "
                    f"{_MAX_TOTAL_BYTES / 1e6:,.0f} MB; shorten them"
                )
        return contents

    def _first_file(self, place: int, shown: str, candidates: list[str]) -> str:
        """Return the first path that exists. If none does, note a fault of ``shown``."""
        for path in candidates:
            if not file_problem(path):
                return path
        self._faults[place, shown] = file_problem(candidates[0])
        self._missing.add(candidates[0])
        return candidates[0]


def refuse(csv_path: Path, faults: list[str], remedy: str) -> None:
    """Raise UserError if there are faults, all in one; each begins with its row."""
    if faults:
        count = f" ({len(faults):,} rows in all)" if len(faults) > 1 else ""
        raise UserError(f"{csv_path}, {listed(faults)}{count}; {remedy}")


def decode_text(data: bytes, legacy: str) -> tuple[str, str]:
    """Return text and encoding of what ``SplitFiles.read`` has read of a file."""
    return decode(data, legacy, whole=len(data) < _MAX_BYTES)


def find_data_folder(csv_path: Path, root: Path, data_dir: str | Path | None) -> Path:
    """Return ``data_dir`` or, if it is None, the first of ``DATA_FOLDERS`` that exists.

    Raises:
        UserError: there is no such folder.
    """
    choices = [root / name for name in ([data_dir] if data_dir else DATA_FOLDERS)]
    for choice in choices:
        if choice.is_dir():
            return choice
    raise UserError(
        f"{csv_path}: no text_path and image_path columns, so the guids name the files, but there "
        f"is no folder {' or '.join(map(str, choices))}; check --project-root"
    )


def _names_by_stem(folder: Path) -> dict[str, dict[str, str]]:
    """Map the stem of each file in a folder to its names by suffix in lower case.

    Where two names differ in the case of their suffix alone, the one in lower case is taken.
    """
    names: dict[str, dict[str, str]] = defaultdict(dict)
    with suppress(OSError):  # a folder may be readable file by file alone
        for name in sorted(os.listdir(folder)):  # lower case comes last
            stem, suffix = os.path.splitext(name)
            names[os.path.normcase(stem)][suffix.lower()] = name
    return names


def file_problem(path: str | Path) -> str:
    """Return why ``path`` is not a regular file, or "" if it is one.

    A device or a pipe is refused, because reading it could hang.
    """
    try:
        return "" if stat.S_ISREG(os.stat(path).st_mode) else "not a file"
    except (OSError, ValueError) as error:
        return error_text(error)
