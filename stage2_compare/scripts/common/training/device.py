"""The device of a run: finding and naming it, its number format, its memory, and its failures in
words that help."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from ..errors import UserError, reason_of

_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
_CUDA_FAULTS = ("cuda error", "cublas", "cudnn", "illegal", "device-side assert")

SAVE_MEMORY = (
    "What helps: a smaller --batch-size (--effective-batch-size stays), --max-length or "
    "--image-size, --freeze-encoders, or closing other programs that use the device"
)


def find_device(wanted: str, local_rank: int | None = None) -> torch.device:
    """Return the device called ``wanted``; auto takes CUDA where there is one.

    Args:
        local_rank: of one of several processes on a machine: each takes a card of its own.
    Raises:
        UserError: it is not there, or holds no values.
    """
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    remedy = "Use auto or cpu, or see stage2_compare/docs/guide.en.md on the GPU"
    if local_rank is not None and wanted != "cpu":
        if wanted != "cuda":
            raise UserError(
                f"--device {wanted}: under torchrun each process takes a card of its own. Give "
                "auto, cuda or cpu"
            )
        wanted = f"cuda:{local_rank}"
        remedy = "Start one process for each card (--nproc-per-node), or give --device cpu"
    try:
        device = torch.device(wanted)
        torch.zeros(1, device=device).item()  # "meta" makes tensors, but without values
    except Exception as error:  # a device that this torch was not made for fails in its own way
        reason = reason_of(error)
        raise UserError(f"--device {wanted} cannot be used: {reason}. {remedy}") from error
    return device


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


@dataclass(frozen=True)
class Precision:
    """The number format of the computation: fp32, bf16 or fp16. In fp32 autocast and scaling are
    off."""

    name: str
    device: torch.device

    def autocast(self) -> torch.autocast:
        dtype = torch.float16 if self.name == "fp16" else torch.bfloat16
        return torch.autocast(self.device.type, dtype=dtype, enabled=self.name != "fp32")

    def scaler(self) -> torch.amp.GradScaler:
        """Return a loss scaler: small gradients vanish in fp16 without one; it is off otherwise."""
        if hasattr(torch.amp, "GradScaler"):  # since torch 2.3
            return torch.amp.GradScaler("cuda", enabled=self.name == "fp16")
        return torch.cuda.amp.GradScaler(enabled=self.name == "fp16")


def choose_precision(wanted: str, device: torch.device) -> Precision:
    """Choose the number format. ``auto`` is bf16 where the card computes in it (Ampere and later),
    else fp16; float32 on a processor.

    Raises:
        UserError: the device cannot do what is wanted.
    """
    if wanted == "off" or (wanted == "auto" and device.type != "cuda"):
        return Precision("fp32", device)
    if wanted == "fp16" and device.type != "cuda":
        raise UserError("--amp fp16 needs a CUDA device; use --amp off here, or bf16")
    # torch also says yes to cards that only emulate it, more slowly than float32
    native = device.type != "cuda" or torch.cuda.get_device_capability(device) >= (8, 0)
    if wanted == "bf16" and not native:
        raise UserError(
            f"--amp bf16: {torch.cuda.get_device_name(device)} has no bf16; use --amp fp16 or auto"
        )
    return Precision("fp16" if wanted == "fp16" or not native else "bf16", device)


def allow_fast_float32() -> None:
    """Allow TF32 and a search for the fastest convolution; both have an effect on CUDA only."""
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True


def keep_freed_memory(keep: bool = True) -> None:
    """Let glibc keep the memory of freed tensors for the next step; ``keep=False`` restores its
    default, to return large blocks to the system, which must clear them again in the next step."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of mallopt(3), and where glibc moves them at most
        for parameter, default in ((-3, 32 * 2**20), (-1, 64 * 2**20)):
            libc.mallopt(parameter, 2**30 if keep else default)


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


def is_out_of_memory(error: RuntimeError) -> bool:
    return any(words in str(error).lower() for words in _NO_MEMORY)


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
                "the torch build that fits the driver (see stage2_compare/docs/guide.en.md). The last "
                "checkpoint is kept"
            ) from error
        raise
