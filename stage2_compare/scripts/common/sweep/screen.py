"""The output of compare_all.py: lines that stay, and on a terminal a table that changes."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import time
from datetime import datetime
from itertools import accumulate

from ..files import console_width, printable
from .jobs import Job
from .pace import Pace, until
from .process import Process

_LOOK_BACK = 4096  # bytes of a log in which its last line is found
_NAMES = 4  # waiting runs that the table names
_EVERY_SEC = 60.0  # off a terminal, a line about the whole so often


class Screen:
    def __init__(self):
        self._is_terminal = sys.stdout.isatty() and _understands_codes()
        self._height = 0  # lines of the table on the terminal
        self._last = 0.0

    def line(self, text: str, only_log: bool = False) -> None:
        """Print a line that stays; ``only_log``: not on a terminal, where the table says it."""
        if only_log and self._is_terminal:
            return
        self._replace_table([])
        print(text, flush=True)

    def show(
        self,
        at_work: list[Process],
        waiting: list[Job],
        made: int,
        faults: dict[str, str],
        pace: Pace,
    ) -> None:
        """Show what is being made, what is left, and until when."""
        total = made + len(faults) + len(at_work) + len(waiting)
        since = {process.job: time.monotonic() - process.started for process in at_work}
        seconds = pace.remaining(waiting, since)
        end = "" if seconds is None else f", until about {until(seconds, datetime.now())}"
        failed = f", {len(faults)} failed" if faults else ""
        summary = f"{made} of {total} runs made{failed}, {len(waiting)} waiting{end}"
        if self._is_terminal:
            self._replace_table(_table(at_work, waiting, summary))
        elif at_work and time.monotonic() - self._last > _EVERY_SEC:
            self._last = time.monotonic()
            print(summary, flush=True)

    def clear(self) -> None:
        self._replace_table([])

    def _replace_table(self, lines: list[str]) -> None:
        if not self._is_terminal:
            return
        width = shutil.get_terminal_size().columns - 1
        up = f"\x1b[{self._height}A" if self._height else ""
        sys.stdout.write(f"{up}\r\x1b[J" + "".join(f"{_cut(line, width)}\n" for line in lines))
        sys.stdout.flush()
        self._height = len(lines)


def _table(at_work: list[Process], waiting: list[Job], summary: str) -> list[str]:
    lines = [summary]
    for process in at_work:
        minutes, seconds = divmod(int(time.monotonic() - process.started), 60)
        lines.append(f"  {process.device}  {minutes}:{seconds:02d}  {process.job.name}")
        lines.append(f"      {_last_line(process.job)}")
    if waiting:
        more = f" and {len(waiting) - _NAMES} more" if len(waiting) > _NAMES else ""
        lines.append(f"  next: {', '.join(job.name for job in waiting[:_NAMES])}{more}")
    return lines


def _cut(line: str, width: int) -> str:
    """Cut a line so that it does not wrap: a Chinese character takes two columns."""
    columns = accumulate(map(console_width, line))
    return "".join(char for char, end in zip(line, columns, strict=True) if end <= width)


def _last_line(job: Job) -> str:
    """Return what the run has printed last."""
    try:
        with open(job.log, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LOOK_BACK))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return printable(next((line for line in reversed(lines) if line.strip()), ""))


def _understands_codes() -> bool:
    """Tell if the terminal moves its cursor when told to; a Windows console must be asked for it."""
    if os.name != "nt":
        return os.environ.get("TERM") != "dumb"
    kernel32 = ctypes.windll.kernel32
    handle, mode = kernel32.GetStdHandle(-11), ctypes.c_ulong()
    known = kernel32.GetConsoleMode(handle, ctypes.byref(mode))
    return bool(known and kernel32.SetConsoleMode(handle, mode.value | 4))
