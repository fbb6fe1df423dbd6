"""Files that are replaced whole or not at all, and text that a console may show. Standard library
only."""

from __future__ import annotations

import os
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
    temporary = temporary_name(path)
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # the name must not appear before the content
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):  # its own failure must not hide the first one
            temporary.unlink(missing_ok=True)
        raise


def temporary_name(path: Path) -> Path:
    """Name the file that will take the place of ``path``: one of its own for each process."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


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
        reason = error.strerror or error
        raise UserError(f"cannot write {path}: {reason}. Is it open in another program?") from error


def printable(text: str) -> str:
    """Show as ``?`` what would move a console's cursor or change its colours."""
    return "".join(c if c.isprintable() else "?" for c in text)
