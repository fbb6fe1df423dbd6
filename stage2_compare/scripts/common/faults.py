"""What a device does when it fails, told apart and explained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from .errors import UserError

NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
CUDA_FAULTS = ("cuda error", "cublas", "cudnn", "illegal", "device-side assert")


def is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(word in str(error).lower() for word in NO_MEMORY)


@contextmanager
def explained() -> Iterator[None]:
    """A device's failures become UserErrors that say what helps; other errors pass."""
    try:
        yield
    except RuntimeError as error:
        text = " ".join(str(error).split())[:200]
        if is_out_of_memory(error):
            raise UserError(f"out of memory ({text}). {SAVE_MEMORY}") from error
        if any(word in text.lower() for word in CUDA_FAULTS):
            raise UserError(
                f"the CUDA device failed ({text}). Three things to try: 1. set CUDA_LAUNCH_BLOCKING=1 and run again, "
                "which names the real place; 2. --device cpu with --epochs 1, which shows errors in the data in plain "
                "words; 3. install the torch build that fits the driver (see README). The last checkpoint is kept"
            ) from error
        raise


SAVE_MEMORY = (
    "What helps: a smaller --batch-size (--effective-batch-size stays), --max-length or --image-size, "
    "--freeze-encoders, or closing other programs that use the device"
)
