"""What the C library does with memory that tensors on the processor have left."""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # bytes; mallopt(3)
OWN_THRESHOLD = 32 * 2**20  # where glibc's moving threshold ends up after tensors of that size
NEVER = 2**30


def keep_freed_memory(keep: bool = True) -> None:
    """Let glibc keep the memory of freed tensors for the next step, or give it back as it does by itself.

    By itself it returns large blocks to the system at once, which must map and clear every page of them again in the
    next step. Other C libraries are left alone.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_THRESHOLD, NEVER if keep else OWN_THRESHOLD)
    libc.mallopt(M_TRIM_THRESHOLD, NEVER if keep else 2 * OWN_THRESHOLD)
    if not keep:
        libc.malloc_trim(ctypes.c_size_t(0))
