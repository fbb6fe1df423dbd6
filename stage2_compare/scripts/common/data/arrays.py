"""Large arrays that are made once and mapped by all runs: photos, and features of frozen encoders.

The name of a file holds a hash of all that decides its content, so it never changes::

    outputs/cache/<name>_<key>.npy = as numpy writes it | seconds it took to make, float64

Whoever needs the room deletes the folder by hand, when no command runs.
"""

from __future__ import annotations

import errno
import hashlib
import math
import shutil
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..files import alone, remove_left_overs, replacing


class Plan(NamedTuple):
    """An array that is to be made."""

    shape: tuple[int, ...]
    dtype: np.dtype
    blocks: Iterator[np.ndarray]  # its rows, some at once


class Kept(NamedTuple):
    """An array that was made, by this process or an earlier one."""

    values: np.ndarray
    seconds: float  # that it took to make


def keep(
    folder: Path, name: str, decides: bytes, plan: Callable[[], Plan], share: float = 1.0
) -> Kept:
    """Map an array, read-only, whose content is decided by ``decides``. Where there is none, or a
    broken one, make what ``plan`` says, on a ``share`` of the free disk at most: of several commands
    that want it, one makes it, and the others wait. Raise OSError where it cannot be written."""
    path = folder / f"{name}_{hashlib.sha256(decides).hexdigest()[:16]}.npy"
    if kept := _kept(path):
        return kept
    folder.mkdir(parents=True, exist_ok=True)
    with alone(path):
        if not (kept := _kept(path)):  # another command may have made it meanwhile
            remove_left_overs(folder, ".*.npy.*.tmp")
            _make(path, plan, share * shutil.disk_usage(folder).free)
            kept = _kept(path)
    return kept


def _kept(path: Path) -> Kept | None:
    """Map an array; return None where it is missing, or not of the length that it should have."""
    try:
        values = np.load(path, mmap_mode="r")
        with open(path, "rb") as file:
            file.seek(values.offset + values.nbytes)
            (seconds,) = struct.unpack("<d", file.read())
    except Exception:  # of almost any class, as numpy raises them on broken files
        return None
    return Kept(np.asarray(values), seconds)


def _make(path: Path, plan: Callable[[], Plan], room: float) -> None:
    """Write an array of at most ``room`` bytes. Not through ``open_memmap``: where a disk becomes
    full, a mapped file ends the process (SIGBUS)."""
    started = time.perf_counter()
    with replacing(path) as file:
        shape, dtype, blocks = plan()
        needed = math.prod(shape) * dtype.itemsize
        if needed > room:
            reason = f"{needed / 1e6:,.0f} MB are needed, and {room / 1e6:,.0f} MB may be used"
            raise OSError(errno.ENOSPC, reason)
        descr = np.lib.format.dtype_to_descr(dtype)
        header = {"descr": descr, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            file.write(block)
        file.write(struct.pack("<d", time.perf_counter() - started))
