"""Finding a device, naming it, its memory, and its failures in words that help."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..errors import UserError, reason_of

_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
_CUDA_FAULTS = ("cuda error", "cublas", "cudnn", "illegal", "device-side assert")

SAVE_MEMORY = (
    "What helps: a smaller --batch-size (--effective-batch-size stays), --max-length or "
    "--image-size, --freeze-encoders, or closing other programs that use the device"
)


def is_out_of_memory(error: RuntimeError) -> bool:
    text = str(error).lower()
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(
        word in text for word in _NO_MEMORY
    )


@contextmanager
def device_failures_named() -> Iterator[None]:
    """Turn a device's failures into UserErrors that say what helps; let other errors pass."""
    try:
        yield
    except RuntimeError as error:
        text = reason_of(error)
        if is_out_of_memory(error):
            raise UserError(f"out of memory ({text}). {SAVE_MEMORY}") from error
        if any(word in text.lower() for word in _CUDA_FAULTS):
            raise UserError(
                f"the CUDA device failed ({text}). Three things to try: 1. set "
                "CUDA_LAUNCH_BLOCKING=1 and run again, which names the real place; 2. --device "
                "cpu with --epochs 1, which shows errors in the data in plain words; 3. install "
                "the torch build that fits the driver (see README). The last checkpoint is kept"
            ) from error
        raise


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # parameters of mallopt(3), in bytes
_DEFAULT_THRESHOLD = 32 * 2**20  # glibc moves its threshold up to here when tensors are freed
_NEVER = 2**30


def keep_freed_memory(keep: bool = True) -> None:
    """Let glibc keep the memory of freed tensors for the next step; ``keep=False`` restores its
    default.

    By default it returns large blocks to the system at once, which must map and clear every page of
    them again in the next step. Other C libraries are left alone."""
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_THRESHOLD, _NEVER if keep else _DEFAULT_THRESHOLD)
    libc.mallopt(_M_TRIM_THRESHOLD, _NEVER if keep else 2 * _DEFAULT_THRESHOLD)
    if not keep:
        libc.malloc_trim(ctypes.c_size_t(0))


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread of the processor: on a head alone several wait for each other for longer
    than they work, ten times as long where other programs run."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def find_device(wanted: str) -> torch.device:
    """Return the device called ``wanted``; auto takes CUDA where there is one.

    Raises:
        UserError: it is not there, or holds no values.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.zeros(1, device=device).item()  # "meta" makes tensors, but without values
    except Exception as error:  # a device that this torch was not made for fails in its own way
        reason = reason_of(error)
        raise UserError(
            f"--device {wanted} cannot be used: {reason}. Use auto or cpu, or see README on CUDA"
        ) from error
    return device


def device_of_process(wanted: str, local_rank: int) -> str:
    """Name the device of one of several processes on a machine: each takes a card of its own.

    Raises:
        UserError: ``wanted`` names one card, or there are too few.
    """
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if wanted not in ("auto", "cuda"):
        raise UserError(
            f"--device {wanted}: under torchrun each process takes a card of its own. Give auto, "
            "cuda or cpu"
        )
    cards = torch.cuda.device_count()
    if local_rank >= cards:
        raise UserError(
            f"torchrun started more processes than this machine has CUDA cards ({cards}): lower "
            "--nproc-per-node, or give --device cpu"
        )
    return f"cuda:{local_rank}"


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def peak_memory_mb(device: torch.device) -> float | None:
    """Return the most memory used so far: allocated on CUDA, else resident in this process; None if
    unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes, on macOS bytes
    return peak / (2**20 if platform.system() == "Darwin" else 2**10)
