"""All measurements of one workload, in repetitions that go forwards and backwards in turn."""

from __future__ import annotations

import gc
import platform
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from ..training.device import device_name, find_device, keep_freed_memory
from ..training.precision import allow_fast_float32
from .command import (
    PartTimes,
    cache_rate,
    ceiling_rate,
    command_pipeline_rate,
    command_rate,
    time_parts,
)
from .hugging_face import trainer_rate
from .plain_loop import plain_pipeline_rate, plain_rate
from .workload import Workload

WAYS: dict[str, Callable[[Workload], float]] = {
    "plain loop": plain_rate,
    "Trainer": trainer_rate,
    "command": command_rate,
    "ceiling": ceiling_rate,
}
OWN_WAYS = ("command", "ceiling")  # with the torch settings of the command
PIPELINES = {"plain loop": plain_pipeline_rate, "command": command_pipeline_rate}


@dataclass
class Measurements:
    """Samples per second and peak memory of each repetition, and what was measured once."""

    rates: dict[str, list[float]]  # by way
    peaks: dict[str, list[float | None]]  # MB by way; None where the system cannot tell
    pipelines: dict[str, list[float]]  # rates of the input pipelines alone
    cache_rate: float
    times: PartTimes


def measure(work: Workload, repetitions: int, ways: list[str]) -> Measurements:
    """Measure all ``ways`` of training, and the input pipelines alone, in every repetition."""
    rates, peaks, pipelines = defaultdict(list), defaultdict(list), defaultdict(list)
    for repetition in range(repetitions):
        step = -1 if repetition % 2 else 1  # so that a machine that gets slower favours none
        for way in ways[::step]:
            with torch_settings(own=way in OWN_WAYS), _peak_memory(work.device) as peak:
                rates[way].append(WAYS[way](work))
            peaks[way].append(peak["mb"])
        for way in list(PIPELINES)[::step]:
            pipelines[way].append(PIPELINES[way](work))
    return Measurements(rates, peaks, pipelines, cache_rate(work), time_parts(work))


@contextmanager
def torch_settings(own: bool) -> Iterator[None]:
    """Set torch and the C library as the command does, if ``own``; restore their defaults after."""
    precision = torch.get_float32_matmul_precision()
    tf32, searching = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark
    if own:
        allow_fast_float32()
        keep_freed_memory()
    yield
    keep_freed_memory(False)  # so that the next one starts with as little as this one did
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = tf32, searching


@contextmanager
def _peak_memory(device: torch.device) -> Iterator[dict[str, float | None]]:
    """Measure the most memory that a block uses; the dict has it as ``mb`` after the block.

    On CUDA it is what was allocated; on a processor what was resident in this process, or None
    where the system cannot tell.
    """
    gc.collect()
    peak: dict[str, float | None] = {"mb": None}
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    elif reset.exists():
        reset.write_text("5", encoding="utf-8")  # the peak so far is forgotten (proc(5))
    yield peak
    if device.type == "cuda":
        peak["mb"] = torch.cuda.max_memory_allocated(device) / 2**20
    elif status.exists():
        lines = status.read_text(encoding="utf-8").splitlines()
        high_water = next(line for line in lines if line.startswith("VmHWM:"))
        peak["mb"] = int(high_water.split()[1]) / 2**10


def machine(wanted_device: str) -> str:
    """Describe where the figures are measured: torch's version, and the card or the processor."""
    device = find_device(wanted_device)
    name = device_name(device)
    if device.type != "cuda":
        name = f"{torch.get_num_threads()} threads of {platform.machine()}"
    return f"torch {torch.__version__}, {name}"
