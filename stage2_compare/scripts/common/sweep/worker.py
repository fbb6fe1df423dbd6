"""The process that makes runs, one after another, for a compare_all.py that has started it.

Jobs come as lines of JSON on its standard input, ``{"command", "arguments", "log"}``, and reports go
as lines of JSON to its standard output: ``{}`` now and then as a sign of life, ``{"fault"}`` after a
run, "" where it was made. What the run itself prints goes to its log. When the input ends, because
compare_all.py stops it or is gone, the run is stopped as by Ctrl-C.

Several runs share a process where they share a frozen encoder: importing torch, and loading the
encoder, would take longer than the run.
"""

from __future__ import annotations

import _thread
import importlib
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from typing import Any

from ..errors import UserError

LOOK_EVERY_SEC = 1.0
GRACE_SEC = 3.0  # for keeping what is done, after which the process ends in any case
_AT_WORK = 0.02  # share of a processor below which a process is only waiting
_LONGEST_FAULT = 600  # characters, so that a report goes through a pipe in one piece


def work() -> None:
    """Make the runs that standard input asks for, until it ends."""
    worker = _Worker(os.dup(sys.stdout.fileno()))
    for task in (worker.listen, worker.show_life):
        threading.Thread(target=task, daemon=True).start()
    worker.make_runs()


class _Worker:
    """``out``: where reports go."""

    def __init__(self, out: int):
        self._out = out
        self._jobs: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._is_making = threading.Event()

    def make_runs(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._is_making.set()
            with open(job["log"], "wb") as log:
                _print_to(log.fileno())
            fault = make(job["command"], job["arguments"])
            self._is_making.clear()
            self._report({"fault": fault[:_LONGEST_FAULT]})

    def listen(self) -> None:
        """Hand over the jobs; at the end of the input, stop the run that is being made."""
        for line in sys.stdin:
            self._jobs.put(json.loads(line))
        self._jobs.put(None)
        if self._is_making.is_set():
            _interrupt_main_thread()
        time.sleep(GRACE_SEC)
        os._exit(1)

    def show_life(self) -> None:
        """Report now and then while the process computes: one that hangs does not."""
        while True:
            used = time.process_time() - time.thread_time()
            time.sleep(LOOK_EVERY_SEC)
            if time.process_time() - time.thread_time() - used > _AT_WORK * LOOK_EVERY_SEC:
                self._report({})

    def _report(self, report: dict[str, str]) -> None:
        try:
            os.write(self._out, json.dumps(report).encode() + b"\n")
        except OSError:  # compare_all.py is gone, which ``listen`` notices too
            os._exit(1)


def make(command: str, arguments: list[str]) -> str:
    """Run a command; return why it failed, "" if it did not."""
    module = importlib.import_module(command)
    sys.argv = [str(module.__file__), *arguments]  # the run records it
    try:
        module.main(arguments)
        return ""
    except UserError as error:
        fault = " ".join(str(error).split())
        print(f"error: {fault}", flush=True)
        return fault
    except Exception as error:  # the other runs go on
        traceback.print_exc()
        return " ".join(f"{type(error).__name__}: {error}".split())


def _print_to(file: int) -> None:
    """Send all output to an open file, also that of libraries that are not written in Python."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(file, stream.fileno())
        stream.reconfigure(encoding="utf-8", errors="replace", line_buffering=True)


def _interrupt_main_thread() -> None:
    if os.name == "nt":
        _thread.interrupt_main()
    else:  # unlike the former it also wakes a thread that waits for another one
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
