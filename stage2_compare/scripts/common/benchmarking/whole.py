"""Whole runs: all epochs of the protocol with their validation and files, by the command and by the
plain loop, with the share of the time in which the card has nothing to do."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..training.run import train
from ..training.settings import TrainingRun
from .measure import torch_settings
from .plain_loop import train_plainly
from .workload import Workload

_LOOK_EVERY_SEC = 0.005


@dataclass
class WholeRun:
    """What one way of training took."""

    seconds: float
    waiting: float | None  # share of the time in which the card waits; None without a card


def whole_runs(settings: TrainingRun, plain_size: int | None) -> dict[str, WholeRun]:
    """Train once by the command and once by the plain loop; return what each took.

    Loading the model and the pairs counts, and so does decoding the photos where the command finds
    none in its cache. Needs the disk for two runs, and leaves nothing.
    """
    ways = {"plain loop": lambda: _by_plain_loop(settings, plain_size)}
    ways["command"] = lambda: _by_command(settings)
    found = {}
    for way, run in ways.items():
        with torch_settings(own=way == "command"), _watched(_idle_card(settings)) as whole:
            run()
        found[way] = whole
    return found


def _by_command(settings: TrainingRun) -> None:
    paths = settings.paths
    outputs = paths.project_root / "outputs"
    with tempfile.TemporaryDirectory(dir=outputs) as folder:
        output_dir = Path(folder).relative_to(paths.project_root)
        train(replace(settings, paths=replace(paths, output_dir=output_dir)))


def _by_plain_loop(settings: TrainingRun, plain_size: int | None) -> None:
    with tempfile.TemporaryDirectory(dir=settings.paths.project_root / "outputs") as folder:
        train_plainly(Workload(settings, 1, plain_size), Path(folder) / "best.pt")


def _idle_card(settings: TrainingRun) -> Callable[[], bool] | None:
    """Return a function that tells if the card has nothing to do; None where there is no card."""
    device = torch.device(settings.machine.device.replace("auto", "cuda"))
    if device.type != "cuda" or not torch.cuda.is_available():
        return None
    return torch.cuda.default_stream(device).query


@contextmanager
def _watched(is_idle: Callable[[], bool] | None) -> Iterator[WholeRun]:
    """Measure a block, looking at the card again and again."""
    looks: list[bool] = []
    ended = threading.Event()

    def look() -> None:
        while is_idle and not ended.wait(_LOOK_EVERY_SEC):
            looks.append(is_idle())

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    whole, started = WholeRun(0.0, None), time.perf_counter()
    try:
        yield whole
    finally:
        whole.seconds = time.perf_counter() - started
        ended.set()
        watcher.join()
        whole.waiting = sum(looks) / len(looks) if looks else None
