"""Files that are replaced whole or not at all, locks, and text that a console may show."""

from __future__ import annotations

import csv
import errno
import glob
import hashlib
import io
import os
import re
import stat
import sys
import threading
import time
import unicodedata
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from filelock import BaseFileLock, FileLock, Timeout

from .errors import UserError, reason_of

LISTED = 10  # an error names this many faults and counts the rest
WAITING = threading.Event()  # set while this process waits for what another one makes
_PAUSE_SEC = 0.2  # between two tries to move a file
_LEFT_OVER_SEC = 24 * 3600  # nobody has written so long at one file
_HELD_OPEN = (5, 32)  # Windows' numbers for what a program has open, which then cannot be moved
_HELD_SEC = 3.0  # a virus scanner, an indexer or a synchroniser lets go of new files within it

_LONGEST_NAME = 120  # file systems allow 255 bytes, and Windows 260 characters for a whole path
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
# What packages written in Rust say of ENOSPC, of Windows' own number for it, and of EDQUOT.
_DISK_FULL_IN_RUST = re.compile(r"\(os error (28|112|122)\)")

MARK = b"\xef\xbb\xbf"  # without it, Excel on a Chinese Windows reads GBK
# A spreadsheet, a Chinese one too, may take these for the start of a formula.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that takes the place of ``path`` at the end of the block: it is written
    whole or not at all, even when the power fails. Its folder must exist."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")  # of this writer alone
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # the final name must not appear before the content
        move(temporary, path)
    except BaseException:
        with suppress(OSError):  # a second failure must not hide the first one
            temporary.unlink(missing_ok=True)
        raise


def move(source: Path, target: Path) -> None:
    """Give a file or folder another name, like ``os.replace``; on Windows try again for a while."""
    end = time.monotonic() + _HELD_SEC
    while True:
        try:
            os.replace(source, target)
            return
        except OSError as error:
            if getattr(error, "winerror", None) not in _HELD_OPEN or time.monotonic() > end:
                raise
        time.sleep(_PAUSE_SEC)


def lock(path: Path) -> BaseFileLock | None:
    """Return the lock of a file, held by this process until ``unlock`` or its end; None where another
    process holds it. Raise OSError where the file cannot be made, or its disk has no locks."""
    held = FileLock(path)
    try:
        held.acquire(timeout=0)
    except Timeout:
        return None
    return held


def unlock(held: BaseFileLock) -> None:
    """End a lock, and remove its file."""
    # While it is held: whoever locks the removed file next sees in its st_nlink that it is gone, and
    # makes a new one (filelock does so from 3.24 on). Windows removes no file that is open.
    with suppress(OSError):
        os.unlink(held.lock_file)
    held.release()


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Let one process at a time make a file; the others wait, and say so."""
    marker = path.with_name(f"{path.name}.lock")
    held = lock(marker)
    if held is None:
        # On stderr: what --dry-run prints are commands.
        said = f"waiting for another command, which makes {path.name}"
        print(said, file=sys.stderr, flush=True)
        WAITING.set()
        held = FileLock(marker)
        held.acquire()
        WAITING.clear()
    try:
        yield
    finally:
        unlock(held)


def remove_left_overs(folder: Path, pattern: str, age: float = _LEFT_OVER_SEC) -> None:
    """Remove the temporary files of killed processes, whose names fit a pattern: those that are
    older than ``age`` seconds."""
    for path in folder.glob(pattern):
        with suppress(OSError):  # another may be removing it; Windows removes no file that is open
            if time.time() - path.stat().st_mtime >= age:
                path.unlink()


def write_result(path: Path, content: bytes) -> None:
    """Write a table or picture that a person opens, and make its folder; raise UserError where that
    fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_left_overs(path.parent, f".{glob.escape(path.name)}.*.tmp")
        with replacing(path) as file:
            file.write(content)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: Exception) -> UserError:
    """Return the error that names a file or folder, and says what to do."""
    return UserError(f"cannot write {path}: {reason_of(error)}. {remedy(error)}")


def remedy(error: Exception) -> str:
    """Say what to do about a file that cannot be written."""
    if is_disk_full(error):
        return "Make room on that disk, and run the same command again"
    # Windows lets nobody replace what Excel has open. torch.save hides that a disk is full.
    return "Is the file open in another program, or the disk full?"


def is_disk_full(error: Exception) -> bool:
    """Tell if an error says that the disk, or the user's share of it, is full."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _DISK_FULL
    return bool(_DISK_FULL_IN_RUST.search(str(error)))


def listed(faults: Sequence[str]) -> str:
    """Join the first faults for a message, and count the rest."""
    more = f"; and {len(faults) - LISTED:,} more" if len(faults) > LISTED else ""
    return "; ".join(faults[:LISTED]) + more


def escaped(text: str) -> str:
    """Put ``'`` before a text that a spreadsheet would run as a formula, and before one that is
    escaped already, so that ``unescaped`` gives back every text."""
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA) else text


def unescaped(text: str) -> str:
    """Undo ``escaped``."""
    return text[1:] if text.startswith("'") and escaped(text) != text else text


def file_problem(path: str | Path) -> str:
    """Return why ``path`` is not a regular file, or "" if it is one: to read a pipe may hang."""
    try:
        return "" if stat.S_ISREG(os.stat(path).st_mode) else "not a file"
    except (OSError, ValueError) as error:
        return reason_of(error)


def open_file(path: str | Path, most: int = 1 << 30) -> BinaryIO:
    """Open a regular file of at most so many bytes; raise OSError where it is none or larger."""
    if problem := file_problem(path):
        raise OSError(problem)
    if os.path.getsize(path) > most:
        raise OSError(f"larger than {most / 1e6:,.0f} MB")
    return open(path, "rb")


def sha256_of(file: BinaryIO) -> str:
    """Return the hash of an open file, and go back to its start."""
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    file.seek(0)
    return digest.hexdigest()


def read_csv(path: Path, most: int) -> tuple[list[str], list[list[str]]]:
    """Return the header (K cells) and the rows (N of K cells) of a csv file in UTF-8, each cell as
    it was written.

    A file with a mark is for spreadsheets, in which texts are escaped. The csv module refuses a
    million columns at once, which take pandas minutes. Raise OSError where it is no regular file of
    at most ``most`` bytes, ValueError or csv.Error where it is not UTF-8 or no table."""
    with open_file(path, most) as file:
        content = file.read()
    try:
        text = content.removeprefix(MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError("it is no text in UTF-8: save it as CSV UTF-8") from error
    rows: list[list[str]] = []
    for row in filter(None, csv.reader(io.StringIO(text, newline=""), strict=True)):
        rows.append([unescaped(cell) for cell in row] if content.startswith(MARK) else row)
        if len(row) != len(rows[0]):
            raise ValueError(f"row {len(rows)} has {len(row)} cells, the header {len(rows[0])}")
    if len(rows) < 2:
        raise ValueError("it has no row")
    return rows[0], rows[1:]


def printable(text: str) -> str:
    """Show as ``?`` what would move a console's cursor or change its colours."""
    return "".join(c if c.isprintable() else "?" for c in text)


def console_width(text: str) -> int:
    """Count the columns of a text on a console: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def padded(text: str, width: int) -> str:
    """Fill a text up with blanks to so many columns of a console."""
    return text + " " * (width - console_width(text))


def quoted(value: str) -> str:
    """Return ``value`` in quotes for a message, unprintable characters as escapes, and a long one
    without its middle. Python's ``repr`` would double the backslashes of a Windows path."""
    short = value if len(value) <= 200 else f"{value[:100]}...{value[-80:]}"
    return "'" + "".join(c if c.isprintable() else repr(c)[1:-1] for c in short) + "'"


def folder_name(text: str) -> str:
    """Return a name that every file system takes: without separators, not hidden, not too long."""
    name = re.sub(r'[/\\:*?"<>|\x00-\x1f\ud800-\udfff]', "_", text).strip(" ")
    name = re.sub(r"^\.+|\.+$", "_", name)  # a leading dot hides it, Windows drops a trailing one
    if len(name.encode("utf-8")) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{name[: _LONGEST_NAME // 4]}_{digest}"
