"""Files that are replaced whole or not at all, and text that a console may show.

Standard library only.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from .errors import UserError


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that takes the place of ``path`` at the end of the block.

    So ``path`` is written whole or not at all, even when the power fails. Its folder must exist.

    Raises:
        OSError: as the system gives it; the caller knows what the user can do.
    """
    temporary = _temporary_name(path)
    try:
        with _synced(temporary) as file:
            yield file
        os.replace(temporary, path)
    except BaseException:
        _remove(temporary)
        raise


def write_result(path: Path, content: bytes) -> None:
    """Write a table or picture that a person opens, and make its folder.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(content)
    except OSError as error:  # Windows lets nobody replace a file that Excel has open
        reason = error_text(error)
        raise UserError(f"cannot write {path}: {reason}. Is it open in another program?") from error


def error_text(error: Exception) -> str:
    """Return the system's description of an error without number and path, else its message."""
    return getattr(error, "strerror", None) or str(error)


def printable(text: str) -> str:
    """Show as ``?`` what would move a console's cursor or change its colours."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _temporary_name(path: Path) -> Path:
    """Name the file that will take the place of ``path``. No two writers get the same name."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")


@contextmanager
def _synced(path: Path) -> Iterator[BinaryIO]:
    """Open a new file; at the end of the block its content is on the disk."""
    with open(path, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())  # the final name must not appear before the content


def _remove(path: Path) -> None:
    with suppress(OSError):  # a second failure must not hide the first one
        path.unlink(missing_ok=True)
