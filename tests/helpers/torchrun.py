"""Runs a training command in several processes, one of which may come to grief.

As a program, started by torchrun::

    torchrun.py <fault> <rank> <step> <script> <flags of the script>
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

HELPERS = Path(__file__).resolve().parent
SCRIPTS = HELPERS.parents[1] / "stage2_compare" / "scripts"
NO_FAULT = ("none", "0", "0")


def torchrun(
    count: int, script: str, flags: list[str], fault: tuple[str, str, str] = NO_FAULT
) -> tuple[int, str, list[str]]:
    """Run ``script`` in ``count`` processes; return the status, the output and what the command
    itself wrote to stderr, without what torchrun reports."""
    launcher = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={count}"]
    command = [*launcher, __file__, *fault, script, *flags, "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=300)
    lines = [line for line in done.stderr.splitlines() if re.match("error|stopped", line)]
    assert done.stderr.count("Traceback") <= 1, done.stderr  # torchrun's own
    assert done.returncode or "Warning:" not in done.stderr, done.stderr
    return done.returncode, done.stdout, lines


def _be_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _run_out_of_memory() -> None:
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory")


FAULTS = {"killed": _be_killed, "memory": _run_out_of_memory}


def _main(fault: str, rank: str, step: str, script: str, *flags: str) -> None:
    sys.path[0] = str(SCRIPTS)
    sys.argv = [script, *flags]
    from common.command import run_command

    if os.environ["RANK"] == rank and fault in FAULTS:
        _meet(FAULTS[fault], int(step))
    run_command(__import__(script).main)


def _meet(fault, step: int) -> None:
    """Let the fault happen at an optimizer step, counted from 1, before its weights change."""
    from common.training.engine import Trainer

    real, calls = Trainer._take_step, []

    def instead(self, *args):
        calls.append(1)
        if len(calls) == step:
            fault()
        return real(self, *args)

    Trainer._take_step = instead


if __name__ == "__main__":
    _main(*sys.argv[1:])
