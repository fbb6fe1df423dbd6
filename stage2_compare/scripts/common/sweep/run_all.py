"""Jobs -> runs, as many at once as there are devices."""

from __future__ import annotations

import multiprocessing.connection
import time
from collections import deque

from ..files import printable
from .jobs import Job
from .pace import Pace
from .process import Process
from .screen import Screen

LOCK_PATIENCE_SEC = 60.0  # for the last process of an earlier call, which may still be ending
SILENCE_SEC = 1800.0  # without a sign of life, after which a run counts as hanging
ENDING_SEC = 4.0  # for all processes together
_TICK_SEC = 0.5


def run_all(jobs: list[Job], devices: list[str]) -> dict[str, str]:
    """Make all runs. One that fails, or hangs, does not keep the others from being made.

    Args:
        devices: one process for each, as ``--device`` calls them.

    Returns:
        Why a run was not made, by its name.
    """
    sweep = Sweep(jobs, devices)
    try:
        while not sweep.is_done():
            sweep.start_what_can_start()
            sweep.wait_for_an_event()
        return sweep.faults
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            "runs and epochs that were finished are kept: the same command goes on"
        ) from None
    finally:
        sweep.screen.clear()
        sweep.end_processes(list(sweep.processes.values()))


class Sweep:
    """The queue, the processes by their device, and the runs that have failed."""

    def __init__(self, jobs: list[Job], devices: list[str]):
        self.waiting = deque(jobs)
        self.screen, self.pace = Screen(), Pace(len(devices))
        self.devices = devices
        self.processes: dict[str, Process] = {}  # by device
        self.faults: dict[str, str] = {}
        self.made = 0
        self._held_since: dict[str, float] = {}  # runs that another process is making

    def is_done(self) -> bool:
        return not self.waiting and not self._at_work()

    def _at_work(self) -> list[Process]:
        return [process for process in self.processes.values() if process.job is not None]

    def start_what_can_start(self) -> None:
        for device in self.devices:
            process = self.processes.get(device)
            if process is not None and process.job is not None:
                continue
            job = self._next_job()
            if job is None:
                return
            if process is None or not process.can_go_on_with(job):
                self.end_processes([process] if process else [])
                process = Process(device)
                self.processes[device] = process
            process.give(job)
            self.screen.line(f"{job.name}: started on {device}", only_log=True)

    def _next_job(self) -> Job | None:
        """Take the first job off the queue whose run nobody else is making."""
        for _ in range(len(self.waiting)):
            job = self.waiting.popleft()
            if not job.is_being_trained():
                if job.name not in self._held_since or not job.is_finished():
                    return job
                self.made += 1  # by the process that held it
                continue
            since = self._held_since.setdefault(job.name, time.monotonic())
            if time.monotonic() - since < LOCK_PATIENCE_SEC:
                self.waiting.append(job)
            else:
                self._failed(job, "another process is training it: end that one, or wait for it")
        return None

    def wait_for_an_event(self) -> None:
        by_sign = {each.connection: each for each in self.processes.values()}
        by_sign |= {each.process.sentinel: each for each in self.processes.values()}
        if not by_sign:  # Windows would not wait for nothing
            time.sleep(_TICK_SEC)
        signs = multiprocessing.connection.wait(by_sign, _TICK_SEC)
        for process in {by_sign[sign] for sign in signs}:
            for report in process.reports():
                self._hear(process, report)
        for process in self._at_work():
            if time.monotonic() - process.last_sign > SILENCE_SEC:
                job = process.take()
                self.end_processes([process], patience=0)
                self._failed(job, f"it hangs: no sign of life for {SILENCE_SEC / 60:.0f} minutes")
        self.screen.show(self._at_work(), list(self.waiting), self.made, self.faults, self.pace)

    def _hear(self, process: Process, report: dict[str, str] | None) -> None:
        """Take in what a process reports; None: it has ended."""
        process.last_sign = time.monotonic()
        if report == {}:
            return
        if process.job is None:
            self.end_processes([process])
            return
        seconds = time.monotonic() - process.started
        job = process.take()
        if report is None:
            self._failed(job, process.how_it_ended())
        elif report["fault"]:
            self._failed(job, report["fault"])
        else:
            self._made(job, seconds)
            return
        # What an error has left in the process must not reach the next run.
        self.end_processes([process])

    def _made(self, job: Job, seconds: float) -> None:
        self.made += 1
        self.pace.add(job, seconds)
        self.screen.line(f"{job.name}: made in {seconds:.0f} s")

    def _failed(self, job: Job, fault: str) -> None:
        self.faults[job.name] = printable(fault)
        self.screen.line(f"{job.name}: failed: {printable(fault)}")

    def end_processes(self, processes: list[Process], patience: float = ENDING_SEC) -> None:
        deadline = time.monotonic() + patience
        for process in processes:
            process.ask_to_end()
        for process in processes:
            process.end(deadline)
            if self.processes.get(process.device) is process:
                del self.processes[process.device]
