"""The number format of the computation. float32 is the same code, with autocast and scaling off."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..errors import UserError


@dataclass(frozen=True)
class Precision:
    """``name`` for the record: fp32, bf16 or fp16."""

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
    """Choose the number format.

    ``auto`` is bf16 where the card computes in it (Ampere and later), else fp16; float32 on a
    processor.

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
