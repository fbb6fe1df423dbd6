"""The time that is left, by the runs that were made, and the disk that runs need."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path

from ..models.checkpoint import local_folder
from ..runs.layout import BEST
from .jobs import Job

_IN_PROGRESS = 6  # two checkpoints, each of the weights and AdamW's two numbers for each weight


class Pace:
    """The mean time of runs of the same model, or, before there is one, of all runs."""

    def __init__(self, devices: int):
        self._devices = devices
        self._seconds: dict[tuple, list[float]] = defaultdict(list)  # by Job.kind

    def add(self, job: Job, seconds: float) -> None:
        self._seconds[job.kind].append(seconds)

    def remaining(self, waiting: Iterable[Job], at_work: dict[Job, float]) -> float | None:
        """Return the seconds until all is made; None before any run was made.

        Args:
            at_work: seconds since a job began.
        """
        if not self._seconds:
            return None
        left = [self._of(job) for job in waiting]
        left += [max(0.0, self._of(job) - since) for job, since in at_work.items()]
        return sum(left) / self._devices

    def _of(self, job: Job) -> float:
        found = self._seconds.get(job.kind) or list(chain.from_iterable(self._seconds.values()))
        return sum(found) / len(found)


def until(seconds: float, now: datetime) -> str:
    """Return the time of day that is so far away, and the day if it is another one."""
    then = now + timedelta(seconds=seconds)
    return f"{then:%H:%M}" if then.date() == now.date() else f"{then:%Y-%m-%d %H:%M}"


def disk_needed(jobs: list[Job], devices: int) -> tuple[float, int]:
    """Return the gigabytes that the runs take, and for how many runs that is not known yet, because
    their checkpoint is not on this machine."""
    sizes = [_weights_size(job) for job in jobs]
    known = [size for size in sizes if size]
    in_progress = _IN_PROGRESS * devices * max(known, default=0)
    return (sum(known) + in_progress) / 1e9, len(sizes) - len(known)


def _weights_size(job: Job) -> int:
    """Return the bytes of best.pt: those of an earlier run, or else of the checkpoint; 0 if there is
    neither."""
    earlier = job.folder / BEST
    if earlier.is_file():
        return earlier.stat().st_size
    folder = local_folder(job.run.model.name)
    if folder is None:
        return 0
    return max(_size_of(folder, pattern) for pattern in ("*.safetensors", "*.bin"))


def _size_of(folder: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in folder.glob(pattern))
