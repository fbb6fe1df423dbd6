"""Several processes against one: what torchrun brings, the sums of the gradients included."""

from __future__ import annotations

import uuid
from collections import defaultdict

import torch
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from ..training.device import keep_freed_memory
from ..training.precision import allow_fast_float32
from ..training.processes import joined
from ..training.settings import TrainingRun
from .command import command_rate
from .workload import Workload


def rates_of_processes(
    settings: TrainingRun, steps: int, count: int, repetitions: int
) -> dict[tuple[int, int], list[float]]:
    """Return the samples per second of each repetition, by (processes, threads of each).

    torchrun gives every process one thread. One process is measured with one thread too, and with
    those that torch takes by itself.
    """
    ways = list(dict.fromkeys([(1, 1), (1, torch.get_num_threads()), (count, 1)]))
    rates = defaultdict(list)
    for repetition in range(repetitions):
        for way in ways[:: -1 if repetition % 2 else 1]:  # as in measure.measure
            rates[way].append(_rate_of(settings, steps, *way))
    return rates


def _rate_of(settings: TrainingRun, steps: int, count: int, threads: int) -> float:
    """Measure in new processes, as torchrun would start them."""
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
    )
    return elastic_launch(config, _rate_of_process)(settings, steps, threads)[0]


def _rate_of_process(settings: TrainingRun, steps: int, threads: int) -> float:
    """Return the samples per second of all processes together."""
    torch.set_num_threads(threads)
    allow_fast_float32()
    keep_freed_memory()
    with joined(settings.machine.device) as processes:
        return command_rate(Workload(settings, steps, processes=processes))
