"""The memory of this computer, by which sums of sizes are bounded. Standard library only."""

from __future__ import annotations

import ctypes
import os


def memory() -> int:
    """Return the bytes of memory that this machine has."""
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    kilobytes = ctypes.c_ulonglong()  # Windows
    ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kilobytes))
    return kilobytes.value * 1024 or 2**40  # 0 where the firmware does not say
