"""Runs a training command in several processes, one of which may come to grief.

As a program, started by torchrun::

    torchrun.py <fault> <rank> <step> <script> <flags of the script>
"""

import os
import re
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "stage2_compare" / "scripts"
NO_FAULT = ("none", "none", "0")


def torchrun(
    processes: int, script: str, flags: list[str], fault: tuple[str, str, str] = NO_FAULT
) -> tuple[int, str, list[str]]:
    """Run ``script`` in some processes; return the status, the output and what the command
    itself wrote to stderr, without what torchrun reports."""
    launcher = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
    command = [*launcher, __file__, *fault, script, *flags, "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=300)
    lines = [line for line in done.stderr.splitlines() if re.match("error|stopped", line)]
    assert done.stderr.count("Traceback") <= 1, done.stderr  # torchrun's own
    assert done.returncode or "Warning:" not in done.stderr, done.stderr
    return done.returncode, done.stdout, lines


def _main(fault: str, rank: str, step: str, script: str, *flags: str) -> None:
    sys.path[0] = str(SCRIPTS)
    sys.argv = [script, *flags]
    from common.command import run_command

    if os.environ["RANK"] == rank:
        _fail(fault, int(step))
    run_command(__import__(script).main)


def _fail(fault: str, step: int) -> None:
    """Let the fault happen at an optimizer step, counted from 1, before its weights change."""
    from common.training.engine import Trainer

    real, steps = Trainer._take_step, count(1)

    def take_step(self, *args):
        if next(steps) == step:
            if fault == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return real(self, *args)

    Trainer._take_step = take_step


if __name__ == "__main__":
    _main(*sys.argv[1:])
