"""Keeps the photos and features below outputs/cache within a limit: what was not used for longest
goes first, and nothing that a process uses."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import BinaryIO

KEPT = ("images_*.u8", "features_*.f32")


def hold(path: Path) -> BinaryIO | None:
    """Mark a file as used now, and return it open: until it is closed no process throws it away.
    Return None where there is no such file.

    Windows removes no file that is open. Elsewhere a shared lock says that it is in use; that of
    ``flock`` belongs to the open file, so that other code may open and close the same file.
    """
    try:
        file = open(path, "rb")  # noqa: SIM115 - open for as long as it is in use
    except OSError:
        return None
    if os.name != "nt":
        import fcntl

        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_SH)
    with suppress(OSError):  # the file may be another user's, or just thrown away
        os.utime(path)
    return file


def keep_below(folder: Path, gigabytes: float) -> None:
    """Throw away files of photos and features until they take at most so much; say what was done."""
    found = []
    for path in chain.from_iterable(map(folder.glob, KEPT)):
        with suppress(OSError):  # another process has just thrown it away
            found.append((path.stat(), path))
    found.sort(key=lambda each: each[0].st_mtime)
    total, limit = sum(status.st_size for status, _ in found), 1e9 * gigabytes
    thrown = 0
    for status, path in found:
        if total - thrown > limit and _remove_unused(path):
            thrown += status.st_size
    if thrown:
        print(
            f"threw {thrown / 1e9:.2f} GB of photos and features away that were not used for "
            f"longest (--cache-limit {gigabytes:g})",
            flush=True,
        )
    if total - thrown > limit:
        print(
            f"{folder} holds {(total - thrown) / 1e9:.2f} GB, all in use: more than "
            f"--cache-limit {gigabytes:g}",
            flush=True,
        )


def _remove_unused(path: Path) -> bool:
    """Remove a file unless a process uses it; tell whether it is gone."""
    try:
        with open(path, "rb") as file:
            if os.name != "nt":
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
        if os.name == "nt":  # where a file that is open cannot be removed
            path.unlink()
        return True
    except OSError:
        return not path.exists()
