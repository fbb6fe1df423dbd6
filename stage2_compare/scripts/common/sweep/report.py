"""The words of compare_all.py before its runs and after them, and the commands of --dry-run."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from ..errors import UserError
from ..files import printable, quoted
from .jobs import Job
from .pace import disk_needed

# Needs no quotes in PowerShell, in a shell, or after sed in a SLURM job.
_PLAIN = re.compile(r"[\w./:=+-]+", re.ASCII)


def report_start(jobs: list[Job], left: list[Job], devices: list[str]) -> None:
    """Say what is to be done, and what it needs. Read all pairs first: what is wrong with them would
    make every run fail.

    Raises:
        UserError: pairs are missing or broken.
    """
    for job in left:
        job.fingerprints()
    done = len(jobs) - len(left)
    finished = f", {done} of them finished before" if done else ""
    print(f"{len(jobs)} runs{finished}; {len(left)} to make on {', '.join(devices)}", flush=True)
    if not left:
        return
    needed, unknown = disk_needed(left, len(devices))
    place = next(path for path in [left[0].folder, *left[0].folder.parents] if path.is_dir())
    free = shutil.disk_usage(place).free / 1e9
    more = f", and what the {unknown} take whose checkpoint is not here yet" if unknown else ""
    print(f"disk: about {needed:.1f} GB are needed{more}; {free:.1f} GB are free", flush=True)
    print("time: known when the first run is made", flush=True)


def report_end(faults: dict[str, str]) -> None:
    """Name what failed, one line each."""
    for name, fault in faults.items():
        print(f"failed: {name}: {fault}", flush=True)
    if faults:
        print("the same command makes the failed runs again, and only these", flush=True)


def print_commands(jobs: list[Job]) -> None:
    """Print the command of each run: a line that PowerShell and other shells understand.

    Raises:
        UserError: a name cannot be written so that all of them do.
    """
    scripts = Path(sys.argv[0]).parent
    for job in jobs:
        script = (scripts / f"{job.command}.py").as_posix()
        print(" ".join(_quoted(part) for part in (_python(), script, *job.arguments)), flush=True)


def _python() -> str:
    """Return this Python as a path from here: PowerShell would take a quoted one for a text."""
    try:
        found = Path(os.path.relpath(sys.executable)).as_posix()
    except ValueError:  # on another drive of Windows
        found = Path(sys.executable).as_posix()
    return found if _PLAIN.fullmatch(found) and "../" not in found else "python"


def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    if "'" in text or printable(text) != text:
        raise UserError(f"{quoted(text)} cannot be written for every shell: give it a plainer name")
    return f"'{text}'"
