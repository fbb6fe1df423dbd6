"""Large arrays that are made once and mapped by all runs: photos, and features of frozen encoders.

The name of a file holds a hash of all that decides its content, so it never changes::

    outputs/cache/<name>_<key>.npy = as numpy writes it | seconds it took to make, float64 | CRC-32

The CRC-32 is of values and seconds; earlier versions kept no seconds.
Whoever needs the room deletes the folder by hand, when no command runs.
"""

from __future__ import annotations

import errno
import hashlib
import math
import shutil
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..files import alone, remove_left_overs, replacing

_OF_EARLIER_VERSIONS = ("*images_*.u8*", "*features_*.f32*")  # with locks and temporary files


class Plan(NamedTuple):
    """An array that is to be made."""

    shape: tuple[int, ...]
    dtype: np.dtype
    blocks: Iterator[np.ndarray]  # its rows, some at once


class Kept(NamedTuple):
    """An array that was made, by this process or an earlier one."""

    values: np.ndarray
    seconds: float | None = None  # that it took to make; None: not recorded


def keep(
    folder: Path, name: str, decides: bytes, plan: Callable[[], Plan], share: float = 1.0
) -> Kept:
    """Map an array, read-only; make it where there is none, or a broken one.

    Of several commands that want the same one, one makes it, and the others wait.

    Args:
        decides: all that decides the content.
        plan: called where the array is not there.
        share: how much of what is free on the disk it may take.
    Raises:
        OSError: it cannot be written.
    """
    path = folder / f"{name}_{hashlib.sha256(decides).hexdigest()[:16]}.npy"
    kept = _whole(path)
    if kept is None:
        folder.mkdir(parents=True, exist_ok=True)
        with alone(path):
            kept = _whole(path)  # another command may have made it meanwhile
            if kept is None:
                remove_left_overs(folder, ".*.npy.*.tmp")
                freed = sum(remove_left_overs(folder, each, 0) for each in _OF_EARLIER_VERSIONS)
                if freed:  # on stderr: what --dry-run prints are commands
                    said = f"removed {freed / 1e6:,.0f} MB that an earlier version kept in {folder}"
                    print(said, file=sys.stderr, flush=True)
                seconds = _make(path, plan, share * shutil.disk_usage(folder).free)
                kept = Kept(np.load(path, mmap_mode="r"), seconds)
    return kept._replace(values=np.asarray(kept.values))


def _whole(path: Path) -> Kept | None:
    """Map an array after reading it to its end; return None where it is missing or broken."""
    try:
        values = np.load(path, mmap_mode="r")
        with open(path, "rb") as file:
            file.seek(values.offset + values.nbytes)
            end = file.read()
        *seconds, checksum = struct.unpack("<I" if len(end) == 4 else "<dI", end)
    except Exception:  # of almost any class, as numpy raises them on broken files
        return None
    whole = checksum == zlib.crc32(end[:-4], zlib.crc32(values))
    return Kept(values, *seconds) if whole else None


def _make(path: Path, plan: Callable[[], Plan], room: float) -> float:
    """Write an array of at most ``room`` bytes; return the seconds it took. Not through
    ``open_memmap``: where a disk becomes full, a mapped file ends the process (SIGBUS)."""
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
        checksum = 0
        for block in blocks:
            file.write(block)
            checksum = zlib.crc32(block, checksum)
        seconds = time.perf_counter() - started
        told = struct.pack("<d", seconds)
        file.write(told + struct.pack("<I", zlib.crc32(told, checksum)))
    return seconds
