"""The process that makes runs, one after another, for the compare_all.py that has started it.

Jobs come through a connection, ``{"command", "arguments", "log"}`` each. Reports go back: ``{}`` now
and then as a sign of life, ``{"fault"}`` after a run, "" where it was made. The run's own output goes
to its log. When the other end of the connection is closed, because compare_all.py is stopped or
gone, the run is stopped as by Ctrl-C.

Several runs share a process where they share a frozen encoder: importing torch, and loading the
encoder, would take longer than the run.
"""

from __future__ import annotations

import _thread
import importlib
import io
import os
import queue
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import WAITING, error_text, is_disk_full

LOOK_EVERY_SEC = 1.0
GRACE_SEC = 3.0  # for keeping what is done, after which the process ends in any case
_AT_WORK = 0.02  # share of a processor below which a process is only waiting


def work(connection: Connection) -> None:
    """Make the runs that ``connection`` asks for, until its other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for compare_all.py, which then ends us
    signal.signal(signal.SIGTERM, _stop)
    worker = _Worker(connection)
    for task in (worker.listen, worker.show_life):
        threading.Thread(target=task, daemon=True).start()
    try:
        worker.make_runs()
    except KeyboardInterrupt as stop:
        print(f"stopped: {stop}", flush=True)


def _stop(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


class _Worker:
    def __init__(self, connection: Connection):
        self._connection = connection
        self._sending = threading.Lock()
        self._jobs: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._is_making = threading.Event()

    def make_runs(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._is_making.set()
            try:
                _print_to(Path(job["log"]))
                _prepare_bars()
            except OSError as error:
                fault = f"cannot write {job['log']}: {error_text(error)}"
            else:
                fault = make(job["command"], job["arguments"])
            self._is_making.clear()
            self._report({"fault": fault})

    def listen(self) -> None:
        """Hand over the jobs; at the end of the connection, stop the run that is being made."""
        try:
            while True:
                self._jobs.put(self._connection.recv())
        except (EOFError, OSError):
            self._jobs.put(None)
        if self._is_making.is_set():
            _interrupt_main_thread()
        time.sleep(GRACE_SEC)
        os._exit(1)

    def show_life(self) -> None:
        """Report now and then while the process computes, or waits for one that does: one that
        hangs does neither."""
        while True:
            used = time.process_time() - time.thread_time()
            time.sleep(LOOK_EVERY_SEC)
            computed = time.process_time() - time.thread_time() - used
            if computed > _AT_WORK * LOOK_EVERY_SEC or WAITING.is_set():
                self._report({})

    def _report(self, report: dict[str, str]) -> None:
        with suppress(OSError), self._sending:  # ``listen`` notices that nobody is there
            self._connection.send(report)


def make(command: str, arguments: list[str]) -> str:
    """Run a command; return why it failed, "" if it did not."""
    module = importlib.import_module(command)
    sys.argv = [str(module.__file__), *arguments]  # the run records it
    try:
        module.main(arguments)
        return ""
    except UserError as error:
        fault = " ".join(str(error).split())
        with suppress(OSError):  # the log's disk is full
            print(f"error: {fault}", flush=True)
    except Exception as error:  # the other runs go on
        fault = " ".join(f"{type(error).__name__}: {error}".split())
        if is_disk_full(error):
            fault = f"{error_text(error)}: make room, and run the same command again to go on"
        with suppress(OSError):
            traceback.print_exc()
    return fault


def _print_to(log: Path) -> None:
    """Send all output to a new file, also that of libraries that are not written in Python.

    The streams are new ones: those of a Windows console go on calling the console.

    Raises:
        OSError: it cannot be written.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as file:
        for name, number in (("stdout", 1), ("stderr", 2)):
            getattr(sys, name).flush()
            os.dup2(file.fileno(), number)
            raw = io.BufferedWriter(io.FileIO(number, "w", closefd=False))
            options = {"encoding": "utf-8", "errors": "replace", "line_buffering": True}
            setattr(sys, name, io.TextIOWrapper(raw, **options))


def _prepare_bars() -> None:
    from tqdm import tqdm  # not earlier: on Windows, it keeps the streams that it finds

    tqdm.set_lock(threading.RLock())  # its own one would be left behind where we are killed


def _interrupt_main_thread() -> None:
    if os.name == "nt":
        _thread.interrupt_main(signal.SIGTERM)
    else:  # unlike the former it also wakes a thread that waits for another one
        signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
