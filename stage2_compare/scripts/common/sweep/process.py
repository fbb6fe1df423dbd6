"""A worker process, as compare_all.py sees it: it takes a job, shows signs of life, ends."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from .jobs import Job

WORKER = "--work"  # makes compare_all.py a worker


class Process:
    """A process on one device. It puts itself into ``events`` with each report, and with None when
    it has ended."""

    def __init__(self, script: Path, device: str, events: queue.SimpleQueue):
        self.device, self.job, self.last_job = device, None, None
        self.started = self.last_sign = 0.0  # of the job, by time.monotonic()
        # A group of its own: Ctrl-C goes to compare_all.py only, which then ends this one.
        group = (
            {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
            if os.name == "nt"
            else {"start_new_session": True}
        )
        pipe = subprocess.PIPE
        command = [sys.executable, str(script), WORKER]
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, **group)
        threading.Thread(target=self._read_reports, args=(events,), daemon=True).start()

    def _read_reports(self, events: queue.SimpleQueue) -> None:
        for line in self._process.stdout:
            events.put((self, json.loads(line)))
        self._process.wait()
        events.put((self, None))

    def give(self, job: Job) -> None:
        """Let it make a run."""
        self.job = job
        self.started = self.last_sign = time.monotonic()
        job.log.parent.mkdir(parents=True, exist_ok=True)
        device = [] if self.device == "auto" else ["--device", self.device]
        order = {"command": job.command, "arguments": [*job.arguments, *device]}
        line = json.dumps({**order, "log": str(job.log)}) + "\n"
        with suppress(OSError):  # it has ended, which its report will say
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()

    def take(self) -> Job:
        """Return the job that has ended."""
        self.last_job, self.job = self.job, None
        return self.last_job

    def can_go_on_with(self, job: Job) -> bool:
        """Tell if the encoder that the last run left in memory is that of the job."""
        last = self.last_job
        return (
            last is not None
            and last.shared_encoder is not None
            and (last.shared_encoder == job.shared_encoder)
        )

    def ask_to_end(self) -> None:
        """End it as by Ctrl-C: what is finished is kept."""
        with suppress(OSError):
            self._process.stdin.close()

    def end(self, deadline: float) -> None:
        """Wait for its end until ``deadline``, by time.monotonic(); then kill it."""
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def how_it_ended(self) -> str:
        status = self._process.wait()
        killed = "; the system kills what takes too much memory" if status == -9 else ""
        return f"its process ended with status {status}{killed}"
