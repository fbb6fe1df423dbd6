"""A worker process, as compare_all.py sees it: it takes a job, shows signs of life, ends."""

from __future__ import annotations

import multiprocessing
import time
from contextlib import suppress

from .jobs import Job
from .worker import work


class Process:
    """A process on one device.

    Attributes:
        connection, process.sentinel: the one becomes ready with a report, either at the end.
        job: the run that it makes, or None.
        started, last_sign: of the job, by time.monotonic().
    """

    def __init__(self, device: str):
        self.device = device
        self.job: Job | None = None
        self._last_job: Job | None = None
        self.started = self.last_sign = 0.0
        # On Windows, a pipe to its standard input would hang the imports of numpy and torch.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def give(self, job: Job) -> None:
        """Let it make a run."""
        self.job = job
        self.started = self.last_sign = time.monotonic()
        device = [] if self.device == "auto" else ["--device", self.device]
        order = {"command": job.command, "arguments": [*job.arguments, *device]}
        with suppress(OSError):  # it has ended, and ``reports`` will say so
            self.connection.send({**order, "log": str(job.log)})

    def reports(self) -> list[dict[str, str] | None]:
        """Return what it has reported since the last call, with None at its end."""
        found: list[dict[str, str] | None] = []
        # Windows keeps a connection open that a process has not taken over before its end.
        has_ended = not self.process.is_alive()
        try:
            while self.connection.poll():
                found.append(self.connection.recv())
        except (EOFError, OSError):
            has_ended = True
        return [*found, None] if has_ended else found

    def take(self) -> Job:
        """Return the job that has ended."""
        self._last_job, self.job = self.job, None
        return self._last_job

    def can_go_on_with(self, job: Job) -> bool:
        """Tell if the encoder that the last run left in memory is that of the job."""
        shared = self._last_job.shared_encoder if self._last_job else None
        return shared is not None and shared == job.shared_encoder

    def ask_to_end(self) -> None:
        """End it as by Ctrl-C: what is finished is kept."""
        self.connection.close()

    def end(self, deadline: float) -> None:
        """Wait for its end until ``deadline``, by time.monotonic(); then kill it."""
        self.process.join(max(0.0, deadline - time.monotonic()))
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def how_it_ended(self) -> str:
        self.process.join(1.0)
        status = self.process.exitcode
        killed = "; the system kills what takes too much memory" if status == -9 else ""
        return f"its process ended with status {status}{killed}"
