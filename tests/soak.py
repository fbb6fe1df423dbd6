"""Kill training commands with SIGKILL again and again, and see that nothing was lost. Long; run by hand on POSIX:

    .venv/bin/python tests/soak.py [kills per command, 20 by default]

Three kinds of kill take turns: at a random moment; just before or after a file takes its name (the final rename of the
run folder among them); and after a file was written under its temporary name, before it was moved. After every kill the
finished runs must be readable; at the end each run must equal one that was never interrupted. Where this may mount a
small tmpfs, the disk also fills up during the checkpoint and during the final write.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from helpers.hub import STAGE2, Hub  # puts the scripts on the path
from helpers.small_project import COMMANDS, arguments, assert_same_run, make_small_project

# Runs a command in this process, which dies by its own hand at the n-th call of a function of os.
SUICIDE = """
import os, runpy, signal, sys
name, count, when, script = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
real, calls = getattr(os, name), []
def instead(*args):
    calls.append(1)
    if len(calls) == count and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = real(*args)
    if len(calls) == count:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
setattr(os, name, instead)
sys.argv = sys.argv[4:]
sys.path.insert(0, os.path.dirname(script))
runpy.run_path(script, run_name="__main__")
"""

# Runs a command in this process; after the n-th file that it wrote, the disk is full.
FILL = """
import os, runpy, sys
filler, count, script = sys.argv[1], int(sys.argv[2]), sys.argv[3]
real, calls = os.replace, []
def instead(*args):
    real(*args)
    calls.append(1)
    if len(calls) == count:
        with open(filler, "wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass
os.replace = instead
sys.argv = sys.argv[3:]
sys.path.insert(0, os.path.dirname(script))
runpy.run_path(script, run_name="__main__")
"""


def command(project: Path, hub: Hub, kind: str, output_dir: str, *more: str) -> list[str]:
    script = str(STAGE2 / "scripts" / f"{COMMANDS[kind][0]}.py")
    return [
        script,
        "--project-root",
        str(project),
        *arguments(hub, kind, "--output-dir", output_dir, *more),
    ]


def run(hub: Hub, line: list[str]) -> subprocess.Popen:
    environment = {**os.environ, **hub.variables}
    return subprocess.Popen(
        [sys.executable, *line], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def finish(hub: Hub, line: list[str], status: int = 0) -> str:
    process = run(hub, line)
    output = process.communicate()[0].decode()
    assert process.returncode == status, output
    return output


def soak(project: Path, hub: Hub, kind: str, kills: int, draw: random.Random) -> dict[str, int]:
    """Count of kills by kind, once every run that was begun equals an uninterrupted one."""
    from common.runs.reader import read_runs

    started = time.monotonic()
    finish(hub, command(project, hub, kind, f"outputs/whole_{kind}"))
    duration = time.monotonic() - started
    (whole,) = (project / "outputs" / f"whole_{kind}").iterdir()
    place = project / "outputs" / f"soak_{kind}"
    counts = {"random moment": 0, "rename": 0, "written, not moved": 0, "finished between kills": 0}
    while sum(counts.values()) - counts["finished between kills"] < kills:
        line = command(
            project, hub, kind, f"outputs/soak_{kind}", "--num-workers", str(draw.choice((0, 2)))
        )
        way = draw.choice(("random moment", "rename", "written, not moved"))
        if way == "random moment":
            process = run(hub, line)
            time.sleep(draw.uniform(0.3, 1.0) * duration)
            process.kill()
        else:
            name, when = (
                ("replace", draw.choice(("before", "after")))
                if way == "rename"
                else ("fsync", "after")
            )
            process = run(hub, ["-c", SUICIDE, name, str(draw.randint(2, 12)), when, *line])
        process.communicate()
        counts[way if process.returncode == -9 else "finished between kills"] += 1
        assert process.returncode in (0, -9)
        runs, problems = read_runs(place) if place.exists() else ([], [])
        assert all("in progress" in problem or "stopped" in problem for problem in problems), (
            problems
        )
        if (place / whole.name).exists() or (place / f".{whole.name}.old").exists():
            assert [found.name for found in runs] == [whole.name], problems
    finish(hub, command(project, hub, kind, f"outputs/soak_{kind}"))
    assert [path.name for path in place.iterdir()] == [whole.name]
    assert_same_run(place / whole.name, whole)
    return counts


def full_disk(project: Path, hub: Hub, disk: Path) -> dict[str, int]:
    """Which file a run could not write, and how often, when the disk filled up after each of its files in turn."""
    finish(hub, command(project, hub, "clip", "outputs/whole_disk"))
    (whole,) = (project / "outputs" / "whole_disk").iterdir()
    line, said = command(project, hub, "clip", str(disk / "compare")), Counter()
    for count in range(1, 12):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)], check=True)
        try:
            process = run(hub, ["-c", FILL, str(disk / "filler"), str(count), *line])
            output = process.communicate()[0].decode()
            assert process.returncode in (0, 2) and "Traceback" not in output, output
            if process.returncode == 2:
                at_start = "free on this disk" in output
                assert at_start or "Is the disk full?" in output, output
                said[
                    "start"
                    if at_start
                    else output.split("cannot write ")[1].split(": ")[0].rsplit("/", 1)[-1]
                ] += 1
                (disk / "filler").unlink()
                finish(hub, line)
            assert_same_run(disk / "compare" / whole.name, whole)
        finally:
            subprocess.run(["umount", str(disk)], check=True)
    return dict(said)


def main() -> None:
    kills, draw = int(sys.argv[1]) if len(sys.argv) > 1 else 20, random.Random(42)
    with tempfile.TemporaryDirectory() as folder:
        project, hub = make_small_project(Path(folder) / "project"), Hub(Path(folder) / "hub")
        for kind in COMMANDS:
            print(kind, soak(project, hub, kind, kills, draw), flush=True)
        disk = Path(folder) / "disk"
        disk.mkdir()
        if os.geteuid() == 0:
            print("disk full at", full_disk(project, hub, disk), flush=True)


if __name__ == "__main__":
    main()
