"""A command ends as its user expects, whatever ends it: a status, one line, no traceback."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.hub import STAGE2
from helpers.run_folders import make_run, make_runs
from helpers.signals import heed_ctrl_c
from helpers.small_project import arguments, compare_dir, make_small_project

SCRIPTS = STAGE2 / "scripts"
posix = pytest.mark.skipif(
    os.name == "nt", reason="Windows has neither these signals nor /dev/full"
)


@pytest.fixture
def project(tmp_path) -> Path:
    return make_small_project(tmp_path)


def environment(hub=None) -> dict[str, str]:
    return {**os.environ, **(hub.variables if hub else {}), "PYTHONUTF8": "1"}


def train(project: Path, hub, *more: str) -> subprocess.Popen:
    script = str(SCRIPTS / "compare_clip.py")
    command = [
        sys.executable,
        script,
        "--project-root",
        str(project),
        *arguments(hub, "clip", *more),
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
    return subprocess.Popen(command, env=environment(hub), preexec_fn=heed_ctrl_c, **pipes)


@posix
@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_the_finished_epochs_and_says_how_to_go_on(
    project, hub, number: int, status: int
):
    process = train(project, hub, "--epochs", "500")
    for line in process.stdout:
        if "epoch 2/500" in line:
            process.send_signal(number)
            break
    _, errors = process.communicate(timeout=300)
    assert process.returncode == status and "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("stopped: the epochs that were finished are kept")
    (unfinished,) = compare_dir(project).iterdir()
    assert (unfinished / "checkpoint.pt").is_file()


SLOW_TO_END = """
import time
from common.command import run_command
def main():
    try:
        print("begun", flush=True)
        time.sleep(600)
    finally:
        print("ending", flush=True)
        time.sleep(600)
run_command(main)
"""


@posix
@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_a_command_at_once(number: int, status: int):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
    command = [sys.executable, "-c", SLOW_TO_END]
    process = subprocess.Popen(command, cwd=SCRIPTS, preexec_fn=heed_ctrl_c, **pipes)
    for line in ("begun", "ending"):
        assert process.stdout.readline().strip() == line
        process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (status, "stopped at once\n")


# Starts a command, and sends a signal to itself while it imports a package.
INTERRUPTED = """
import builtins, os, runpy, signal, sys
package, number, script = sys.argv[1], int(sys.argv[2]), sys.argv[3]
real = builtins.__import__
def importing(name, *args, **kwargs):
    if name.split(".")[0] == package and args and args[0] is not None:
        builtins.__import__ = real
        os.kill(os.getpid(), number)
    return real(name, *args, **kwargs)
builtins.__import__ = importing
sys.argv = sys.argv[3:]
sys.path.insert(0, os.path.dirname(script))
runpy.run_path(script, run_name="__main__")
"""


@posix
@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("package", ["torch", "transformers"])
def test_a_signal_while_packages_are_imported_leaves_no_traceback(
    project, hub, package: str, number: int, status: int
):
    script = str(SCRIPTS / "compare_clip.py")
    command = [sys.executable, "-c", INTERRUPTED, package, str(int(number)), script]
    command += ["--project-root", str(project), *arguments(hub, "clip")]
    done = subprocess.run(
        command, env=environment(hub), preexec_fn=heed_ctrl_c, capture_output=True, text=True
    )
    assert done.returncode == status
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("stopped")


def quick_commands(project: Path) -> list[list[str]]:
    make_runs(project / "outputs" / "compare", 2)
    return [
        [str(SCRIPTS / "compare_summary.py"), "--project-root", str(project)],
        [str(SCRIPTS / "compare_clip.py"), "--help"],
    ]


def test_a_console_shows_what_it_cannot_as_question_marks(project):
    """A Chinese Windows has consoles in GBK, which knows no emoji."""
    make_run(project / "outputs" / "compare", "天气 😀")
    command = [sys.executable, str(SCRIPTS / "compare_summary.py"), "--project-root", str(project)]
    variables = {**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": "gbk"}
    done = subprocess.run(command, env=variables, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert "天气 ? has a macro-F1 of" in done.stdout.decode("gbk")


@posix
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_full_output_ends_without_a_traceback(project, hub, stream: str):
    for command in quick_commands(project):
        with open("/dev/full", "w") as full:
            streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: full}
            done = subprocess.run(
                [sys.executable, *command], env=environment(), text=True, **streams
            )
        assert done.returncode in (0, 1)
        assert "Traceback" not in (done.stdout or "") + (done.stderr or "")
        if stream == "stdout" and done.returncode:
            assert "error: No space left on device: make room" in done.stderr


@posix
@pytest.mark.parametrize("streams", [(1,), (2,), (1, 2)], ids=str)
def test_closed_outputs_hinder_nothing(project, hub, streams: tuple[int, ...]):
    for command in quick_commands(project):
        done = subprocess.run(
            [sys.executable, *command],
            env=environment(),
            capture_output=True,
            text=True,
            preexec_fn=lambda: [os.close(number) for number in streams],
        )
        assert done.returncode in (0, 1) and "Traceback" not in done.stdout + done.stderr
    assert (project / "outputs" / "compare" / "compare_summary.csv").is_file()


def test_a_training_whose_output_is_gone_keeps_its_checkpoint(project, hub):
    process = train(project, hub, "--epochs", "500")
    for line in process.stdout:
        if "epoch 2/500" in line:
            break
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait(timeout=300) == 1 and "Traceback" not in errors
    (unfinished,) = compare_dir(project).iterdir()
    assert (unfinished / "checkpoint.pt").is_file()
