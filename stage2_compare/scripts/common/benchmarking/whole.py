"""Whole runs: all epochs of the protocol with their validation and files, by the command and by the
plain loop, with the share of the time in which the card has nothing to do."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from ..training.device import find_device
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
    ways = {
        "plain loop": partial(_by_plain_loop, settings, plain_size),
        "command": partial(_by_command, settings),
    }
    is_idle, found = _idle_card(find_device(settings.machine.device)), {}
    outputs = settings.paths.project_root / "outputs"
    for way, run in ways.items():
        with (
            tempfile.TemporaryDirectory(dir=outputs) as folder,
            torch_settings(own=way == "command"),
            _watched(is_idle) as found[way],
        ):
            run(Path(folder))
    return found


def _by_command(settings: TrainingRun, folder: Path) -> None:
    paths = settings.paths
    inside = replace(paths, output_dir=folder.relative_to(paths.project_root))
    train(replace(settings, paths=inside))


def _by_plain_loop(settings: TrainingRun, plain_size: int | None, folder: Path) -> None:
    train_plainly(Workload(settings, 1, plain_size), folder / "best.pt")


def _idle_card(device: torch.device) -> Callable[[], bool] | None:
    """Return a function that tells if the card has nothing to do; None where there is no card."""
    return torch.cuda.default_stream(device).query if device.type == "cuda" else None


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
