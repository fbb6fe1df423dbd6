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


def replace_all(texts: dict[Path, str]) -> dict[Path, bytes | None]:
    """Replace several text files (UTF-8), all of them or none. Make their folders.

    Returns:
        The earlier content of each file, None if there was none.

    Raises:
        OSError: a file cannot be written. ``filename`` names it and ``strerror`` says why. Files
            that were already replaced have got their earlier content back.
    """
    temporaries = {path: _temporary_name(path) for path in texts}
    earlier: dict[Path, bytes | None] = {}
    replaced: list[Path] = []
    try:
        # 1. Write the new files beside the old ones: a full disk shows here, before any change.
        for path, temporary in temporaries.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            earlier[path] = path.read_bytes() if path.exists() else None
            with _synced(temporary) as file:
                file.write(texts[path].encode("utf-8"))
        # 2. Let them take their places.
        for path, temporary in temporaries.items():
            os.replace(temporary, path)
            replaced.append(path)
    except BaseException as error:
        for done in replaced:
            _put_back(done, earlier[done])
        if isinstance(error, (OSError, UnicodeError)):
            number = getattr(error, "errno", None)
            raise OSError(number, error_text(error), str(path)) from error
        raise
    finally:
        for temporary in temporaries.values():
            _remove(temporary)
    return earlier


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


def quoted(value: str) -> str:
    """Return ``value`` in quotes for a message, unprintable characters as escapes.

    A long value is cut in the middle, because a path is known by its two ends. Python's ``repr``
    would double the backslashes of a Windows path.
    """
    short = value if len(value) <= 200 else f"{value[:100]}...{value[-80:]}"
    return "'" + "".join(c if c.isprintable() else repr(c)[1:-1] for c in short) + "'"


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


def _put_back(path: Path, content: bytes | None) -> None:
    if content is None:
        _remove(path)
        return
    with suppress(OSError):  # as in _remove
        path.write_bytes(content)
