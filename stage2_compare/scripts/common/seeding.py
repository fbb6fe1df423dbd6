"""Every source of randomness, each with a name of its own.

A stream depends on the seed and its name only, never on how many numbers were drawn before it, so
neither the number of workers, nor a resume, nor one model's size can shift what another part of a
run draws."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive(seed: int, *names: str | int) -> int:
    """Return a 63-bit seed for the stream called ``names``."""
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "little") >> 1


@contextmanager
def initialising(seed: int, part: str) -> Iterator[None]:
    """Initialise modules from the stream (seed, "init", part); leave the global state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "init", part))
        yield


def start_epoch(seed: int, epoch: int, rank: int = 0) -> None:
    """Put the encoders' dropout at the start of its stream for this epoch, on every device.

    So there is no random state to keep: a resumed epoch draws what it would have drawn. Of several
    processes each has a stream of its own; the first one's is that of one process.
    """
    torch.manual_seed(derive(seed, "dropout", epoch, *([rank] if rank else [])))


def use_deterministic_algorithms() -> None:
    """Add in a fixed order on CUDA too, at some cost in speed; call it before CUDA is used."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False


def permutation(seed: int, epoch: int, count: int) -> np.ndarray:
    """Return the training order of an epoch, (count,) int64."""
    return np.random.Generator(np.random.Philox(derive(seed, "order", epoch))).permutation(count)


def uniforms(seed: int, name: str, epoch: int, samples: np.ndarray, columns: int) -> np.ndarray:
    """Return numbers in [0, 1) that depend on (seed, name, epoch, sample) alone, (len(samples),
    columns) float64.

    SplitMix64 (Steele, Lea, Flood 2014) over a counter: a generator per sample would cost more than
    the batch itself."""
    first = samples.astype(np.uint64)[:, None] * np.uint64(columns)
    counter = first + np.arange(1, columns + 1, dtype=np.uint64)
    z = np.uint64(derive(seed, name, epoch)) + counter * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2.0**53
