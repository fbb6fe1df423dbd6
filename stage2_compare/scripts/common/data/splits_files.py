"""The files that a split names: find them, decode the texts, report all faults in one error.

Standard library only. A cell of the split gives the path of a file, or the guid does:
``<guid>.txt`` and ``<guid>.jpg``, ``.jpeg`` or ``.png`` in the data folder.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath

from ..errors import UserError
from ..files import error_text, quoted

# below the project root; the first one that exists holds the files that guids name
DATA_FOLDERS = ("data/data", "data/project5/data", "data")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")
_LISTED = 10  # an error names this many files and counts the rest


def decode(data: bytes) -> tuple[str, str]:
    """Return ``data`` as text, and the name of its encoding: "utf-8", "gb18030" or "replaced".

    Try strict UTF-8 (with or without BOM), then strict GB18030. If both fail ("replaced"), decode
    UTF-8 with a replacement character for each wrong byte, so that no byte is lost silently.
    """
    for codec, name in (("utf-8-sig", "utf-8"), ("gb18030", "gb18030")):
        try:
            return data.decode(codec).removeprefix("\ufeff"), name
        except UnicodeDecodeError:
            pass
    return data.decode("utf-8-sig", errors="replace"), "replaced"


class SplitFiles:
    """The files of one split csv.

    Its methods collect the files that are missing or unreadable; ``check`` raises one error for
    all of them. ``windows_paths`` counts the paths whose backslashes were read as slashes.
    """

    def __init__(self, csv_path: Path, root: Path, rows: list[int]):
        self.csv_path, self.root, self.rows = csv_path, root, rows
        self.windows_paths = 0
        self._faults: list[tuple[int, str]] = []  # row, and what is wrong with a file of it

    def from_cells(self, column: str, cells: list[str]) -> list[str]:
        """Return the paths that the cells (N,) of a column name.

        Raises:
            UserError: a cell is empty.
        """
        paths = []
        for row, cell in zip(self.rows, cells, strict=True):
            value = cell.strip()
            if not value:
                raise UserError(
                    f"{self.csv_path}, row {row}: {column} is empty; "
                    "give the file, or remove the row"
                )
            candidates = [os.path.join(self.root, value)]
            if "\\" in value and not PureWindowsPath(value).drive:  # maybe written on Windows
                candidates.append(os.path.join(self.root, value.replace("\\", "/")))
            paths.append(self._first_file(row, value, candidates))
            self.windows_paths += paths[-1] != candidates[0]
        return paths

    def from_guids(self, folder: Path, guids: list[str], suffixes: Sequence[str]) -> list[str]:
        """Return ``folder/<guid><suffix>`` for each guid (N,), with the first suffix that exists.

        Raises:
            UserError: a guid is not a plain file name.
        """
        paths = []
        for row, guid in zip(self.rows, guids, strict=True):
            name = guid + suffixes[0]
            if PureWindowsPath(name).name != name:  # "../7" must not leave the folder
                raise UserError(
                    f"{self.csv_path}, row {row}: guid {quoted(guid)} cannot name files; "
                    "use plain names"
                )
            candidates = [os.path.join(folder, guid + suffix) for suffix in suffixes]
            paths.append(self._first_file(row, candidates[0], candidates))
        return paths

    def read_texts(self, paths: list[str]) -> list[tuple[str, str]]:
        """Return text and encoding of each file (N,), as ``decode`` gives them.

        Raises:
            UserError: names the files that cannot be read.
        """
        texts = []
        for row, path in zip(self.rows, paths, strict=True):
            try:
                with open(path, "rb") as file:
                    texts.append(decode(file.read()))
            except OSError as error:
                self._faults.append((row, f"{quoted(path)} ({error_text(error)})"))
        self.check()
        return texts

    def check(self) -> None:
        """Raise UserError if files are missing or unreadable; name ten of them, count the rest."""
        if not self._faults:
            return
        listed = [f"row {row}: {fault}" for row, fault in sorted(self._faults)[:_LISTED]]
        if len(self._faults) > _LISTED:
            listed.append(f"and {len(self._faults) - _LISTED} more")
        count = "1 file is" if len(self._faults) == 1 else f"{len(self._faults)} files are"
        raise UserError(
            f"{self.csv_path}: {count} missing or unreadable: {'; '.join(listed)}. Relative paths "
            f"start at {self.root.absolute()}: put the files there, or remove their rows"
        )

    def _first_file(self, row: int, shown: str, candidates: list[str]) -> str:
        """Return the first path that exists. If none does, note a fault of ``shown``."""
        for path in candidates:
            if not file_problem(path):
                return path
        self._faults.append((row, f"{quoted(shown)} ({file_problem(candidates[0])})"))
        return candidates[0]


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


def file_problem(path: str | Path) -> str:
    """Return why ``path`` is not a regular file, or "" if it is one.

    A device or a pipe is refused, because reading it could hang.
    """
    try:
        return "" if stat.S_ISREG(os.stat(path).st_mode) else "not a file"
    except (OSError, ValueError) as error:
        return error_text(error)
