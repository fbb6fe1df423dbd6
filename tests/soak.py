"""Kill the commands with SIGKILL again and again, and see that nothing was lost. By hand, on POSIX:

    .venv/bin/python tests/soak.py [kills per command, 20 by default] [first letters of a case ...]

Three kinds of kill take turns: at a random moment; just before or after a file takes its name; and
after a file was written under its temporary name, before it takes its own. After every kill what
was finished must be whole, and at the end the command must leave what it leaves without a kill.
Where this may mount a small tmpfs, the disk also fills up during the checkpoint and during the
final write.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "stage2_compare" / "scripts"))
sys.path.insert(0, str(Path(__file__).parents[1] / "stage2_compare"))

from common.runs import layout
from common.runs.reading import read_runs
from helpers.hub import CLIP, STAGE2, Hub
from helpers.project import make_project
from helpers.run_folders import make_runs
from helpers.small_project import COMMANDS, arguments, assert_same_run, make_small_project

# Run a command in this process. At the n-th call of some functions of os, just before or after it,
# the process dies by its own hand, or a file fills the disk.
TROUBLE = """
import os, runpy, signal, sys
names, count, when, filler, script = sys.argv[1].split(","), int(sys.argv[2]), *sys.argv[3:6]
calls = []
def trouble():
    if not filler:
        os.kill(os.getpid(), signal.SIGKILL)
    with open(filler, "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
def troubled(real):
    def instead(*args, **more):
        calls.append(1)
        met = len(calls) == count
        if met and when == "before":
            trouble()
        result = real(*args, **more)
        if met and when == "after":
            trouble()
        return result
    return instead
for name in names:
    setattr(os, name, troubled(getattr(os, name)))
sys.argv = sys.argv[5:]
sys.path.insert(0, os.path.dirname(script))
runpy.run_path(script, run_name="__main__")
"""


# A case yields arguments of python, and about how many files the command writes; it is sent whether
# the command ended by itself, and checks what is there.
Case = Generator[tuple[list[str], int], bool, None]


def run(hub: Hub, line: list[str]) -> subprocess.Popen:
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8"}
    variables = {**os.environ, **hub.variables}
    return subprocess.Popen(
        [sys.executable, *line], env=variables, start_new_session=True, **streams
    )


def finish(hub: Hub, line: list[str], *statuses: int) -> tuple[int, str]:
    process = run(hub, line)
    output = process.communicate()[0]
    assert process.returncode in (statuses or (0,)), output
    return process.returncode, output


def soak(hub: Hub, case: Case, kills: int, draw: random.Random) -> dict[str, int]:
    """Return the count of kills by kind."""
    started = time.monotonic()
    line, files = next(case)
    finish(hub, line)
    duration = time.monotonic() - started
    line, _ = case.send(True)
    counts = Counter()
    while sum(counts.values()) - counts["finished between kills"] < kills:
        way = draw.choice(("random moment", "rename", "written, not moved"))
        number = str(draw.randint(1, files))
        if way == "random moment":
            process = run(hub, line)
            time.sleep(draw.uniform(0.3, 1.0) * duration)
            # a terminal that is closed takes all processes with it; alone, it may leave some
            if draw.random() < 0.5:
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
        else:
            names = "replace,rename" if way == "rename" else "fsync"
            when = draw.choice(("before", "after")) if way == "rename" else "after"
            process = run(hub, ["-c", TROUBLE, names, number, when, "", *line])
        output = process.communicate()[0]
        assert process.returncode in (0, -9), output
        counts[way if process.returncode else "finished between kills"] += 1
        line, _ = case.send(process.returncode == 0)
    finish(hub, line)
    case.send(True)
    return dict(counts)


def script(name: str, root: Path, *more: str) -> list[str]:
    return [str(STAGE2 / "scripts" / f"{name}.py"), "--project-root", str(root), *more]


def contents(folder: Path) -> dict[str, bytes]:
    """Return name -> bytes of the files of a folder, hidden ones too."""
    return {path.name: path.read_bytes() for path in folder.glob("*") if path.is_file()}


def finished(place: Path) -> set[str]:
    """Return the runs in a folder; what else lies there must be known as work in progress."""
    runs, problems = read_runs(place) if place.exists() else ([], [])
    for problem in problems:
        assert "in progress" in problem or "stopped" in problem, problems
    return {run.name for run in runs}


def left_over(place: Path) -> list[str]:
    """Return the hidden names in a folder, but for locks that nobody holds, and for tables of a
    killed summary, which go after a day."""
    hidden = [path.name for path in place.iterdir() if path.name.startswith(".")]
    return [name for name in hidden if not re.search(f"{layout.LOCK}$|^.compare_.*tmp$", name)]


# The cases


def training(root: Path, hub: Hub, draw: random.Random, kind: str, *more: str) -> Case:
    def line(output_dir: str, *flags: str) -> list[str]:
        own = arguments(hub, kind, "--output-dir", output_dir, *more, *flags)
        return script(COMMANDS[kind][0], root, *own)

    number = len(list((root / "outputs").glob("whole_*")))
    finish(hub, line(f"outputs/whole_{number}"))
    made = (root / "outputs" / f"whole_{number}").iterdir()
    (whole,) = (path for path in made if path.name not in layout.NOT_RUNS)
    place = root / "outputs" / f"soak_{number}"
    while True:
        if draw.random() < 0.5:  # photos and features are made again, and kills meet that too
            shutil.rmtree(root / "outputs" / "cache", ignore_errors=True)
        workers = str(draw.choice((0, 2)))
        ended = yield line(f"outputs/soak_{number}", "--num-workers", workers), 15
        if ended:
            assert finished(place) == {whole.name} and not left_over(place), left_over(place)
            assert_same_run(place / whole.name, whole)
        elif (place / whole.name).exists() or layout.old(place, whole.name).exists():
            assert finished(place) == {whole.name}


def sweeping(root: Path, hub: Hub, draw: random.Random) -> Case:
    """Two runs of compare_all.py. The process that makes them outlives a kill by seconds at most."""
    place = root / "outputs" / "soak_all"
    model = ("--models", "clip", "--clip-model", hub.folder(CLIP), "--seeds", "1,2")
    small = arguments(hub, "clip", "--output-dir", "outputs/soak_all")[2:]  # no --model-name
    flags = ["--lrs" if flag == "--lr" else flag for flag in small]
    command = script("compare_all", root, *model, *flags)
    finish(hub, command)
    whole = place.rename(root / "outputs" / "whole_all")
    names = finished(whole)
    assert len(names) == 2
    made: set[str] = set()
    while True:
        if made == names:  # so that there is something to do
            name = draw.choice(sorted(names))
            shutil.rmtree(place / name)
            made.remove(name)
        ended = yield command, 20
        found = finished(place)
        assert made <= found <= names, made  # what was finished stays
        made.update(found)
        if ended:
            for name in names:
                assert_same_run(place / name, whole / name)
            assert not left_over(place), left_over(place)


def splitting(root: Path, hub: Hub, draw: random.Random) -> Case:
    """Splits of two seeds replace each other. A mixture of them must not be trained on."""
    make_project(root, pairs=40)
    folder = root / "outputs" / "splits"
    lines = [script("make_splits", root, "--seed", seed) for seed in ("1", "2")]
    whole = []
    for line in lines:
        finish(hub, line)
        whole.append(contents(folder))
    assert whole[0] != whole[1]
    pairs = [(split["train.csv"], split["val.csv"]) for split in whole]
    while True:
        ended = yield draw.choice(lines), 3
        found = contents(folder)
        if ended:
            assert found in whole
        elif (found.get("train.csv"), found.get("val.csv")) not in pairs:
            _, said = finish(hub, script("compare_train", root, *arguments(hub, "bert")), 2)
            assert "make_splits" in said, said


def reading(root: Path, hub: Hub, command: str, results: str) -> Case:
    """The tables or pictures of five runs are replaced by those of ten, file by file."""
    compare, states = root / "outputs" / "compare", []
    for count in (5, 10):
        shutil.rmtree(compare, ignore_errors=True)
        make_runs(compare, count)
        finish(hub, script(command, root))
        states.append(contents(compare / results))
    for name, content in states[0].items():
        (compare / results / name).write_bytes(content)
    while True:
        ended = yield script(command, root), len(states[1])
        found = contents(compare / results)
        shown = {name: content for name, content in found.items() if not name.startswith(".")}
        for name, content in shown.items():
            assert content in [state.get(name) for state in states], name
        assert not ended or shown == states[1]


# The disk


def full_disk(root: Path, hub: Hub, disk: Path) -> dict[str, int]:
    """Return which file a run could not write, and how often, when the disk filled up after each of
    its files in turn."""
    disk.mkdir()
    whole_line = script("compare_clip", root, *arguments(hub, "clip", "--output-dir", "whole_disk"))
    finish(hub, whole_line)
    (whole,) = (root / "whole_disk").iterdir()
    output_dir = ("--output-dir", str(disk / "compare"))
    line, said = script("compare_clip", root, *arguments(hub, "clip", *output_dir)), Counter()
    for count in range(1, 12):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)], check=True)
        try:
            trouble = ["-c", TROUBLE, "replace", str(count), "after", str(disk / "filler"), *line]
            status, output = finish(hub, trouble, 0, 2)
            assert "Traceback" not in output, output
            if status == 2:
                found = re.search(
                    "free on this disk|cannot write (.*?): .*(disk, and|disk full)", output
                )
                said[Path(found[1]).name if found[1] else "start"] += 1
                (disk / "filler").unlink()
                finish(hub, line)
            assert_same_run(disk / "compare" / whole.name, whole)
        finally:
            subprocess.run(["umount", str(disk)], check=True)
    return dict(said)


def main() -> None:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    chosen = tuple(sys.argv[2:]) or ("",)
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        hub = Hub(base / "hub")
        small = make_small_project(base / "project")
        draw = random.Random(42)
        cases: dict[str, Callable[[], Case]] = {
            "splits": lambda: splitting(base / "splits", hub, draw),
            "summary": lambda: reading(base / "summary", hub, "compare_summary", "."),
            "visualize": lambda: reading(base / "visuals", hub, "compare_visualize", "visuals"),
            "train bert": lambda: training(small, hub, draw, "bert"),
            "train clip": lambda: training(small, hub, draw, "clip"),
            "train blip": lambda: training(small, hub, draw, "blip"),
            "train frozen": lambda: training(small, hub, draw, "clip", "--freeze-encoders"),
            "compare_all": lambda: sweeping(small, hub, draw),
        }
        for name, make in cases.items():
            if name.startswith(chosen):
                print(name, soak(hub, make(), kills, draw), flush=True)
        if os.geteuid() == 0 and "disk".startswith(chosen):
            print("disk full at", full_disk(small, hub, base / "disk"), flush=True)


if __name__ == "__main__":
    main()
