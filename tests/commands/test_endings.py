"""A command ends as its user expects, whatever ends it: a status, one line, no traceback."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.hub import STAGE2
from helpers.run_folders import make_run
from helpers.signals import heed_ctrl_c
from helpers.small_project import arguments, compare_dir, make_small_project

SCRIPTS = STAGE2 / "scripts"
SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals and no /dev/full")


@pytest.fixture
def project(tmp_path) -> Path:
    return make_small_project(tmp_path)


def train(project: Path, hub, *more: str, before: tuple[str, ...] = ()) -> subprocess.Popen:
    script = str(SCRIPTS / "compare_clip.py")
    flags = ["--project-root", str(project), *arguments(hub, "clip", *more)]
    variables = {**os.environ, **hub.variables, "PYTHONUTF8": "1"}
    command = [sys.executable, *before, script, *flags]
    return subprocess.Popen(command, env=variables, preexec_fn=heed_ctrl_c, **PIPES)


def run_main(body: str, *flags: str, start=heed_ctrl_c, **streams) -> subprocess.Popen:
    """Start a command whose main function has this body."""
    code = f"import os, time\nfrom common.command import run_command\ndef main():\n{body}\n"
    command = [sys.executable, "-c", code + "run_command(main)", *flags]
    return subprocess.Popen(command, cwd=SCRIPTS, preexec_fn=start, **PIPES | streams)


@posix
def test_a_signal_keeps_the_finished_epochs_and_says_how_to_go_on(project, hub):
    process = train(project, hub, "--epochs", "500")
    for line in process.stdout:
        if "epoch 2/500" in line:
            process.send_signal(signal.SIGINT)
            break
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130 and "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("stopped: the epochs that were finished are kept")
    (unfinished,) = compare_dir(project).iterdir()
    assert (unfinished / "checkpoint.pt").is_file()


@posix
def test_a_second_signal_ends_a_command_at_once():
    waits = "    print('{}', flush=True)\n        time.sleep(600)\n"
    body = f"    try:\n    {waits.format('begun')}    finally:\n    {waits.format('ending')}"
    for number, status in SIGNALS:
        process = run_main(body)
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
def test_a_signal_while_packages_are_imported_leaves_no_traceback(project, hub):
    process = train(project, hub, before=("-c", INTERRUPTED, "torch", str(int(signal.SIGTERM))))
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 143
    assert len(errors.splitlines()) == 1 and errors.startswith("stopped")


def test_an_unknown_error_is_one_line_and_its_traceback_a_file(tmp_path):
    body = "    raise LookupError('no\\nsuch thing')"
    process = run_main(body, "--project-root", str(tmp_path))
    _, errors = process.communicate(timeout=120)
    (log,) = (tmp_path / "outputs" / "logs").iterdir()
    assert process.returncode == 1 and len(errors.splitlines()) == 1
    assert errors.startswith("error: unexpected: LookupError: no such thing;")
    assert log.name in errors and "Traceback" in log.read_text(encoding="utf-8")

    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    process = run_main(body, f"--project-root={tmp_path / 'file'}")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1 and "Traceback" in errors
    assert errors.splitlines()[-1].startswith("error: unexpected: LookupError")


def test_a_console_shows_what_it_cannot_as_question_marks(project):
    """A Chinese Windows has consoles in GBK, which knows no emoji."""
    make_run(project / "outputs" / "compare", "天气 😀")
    command = [sys.executable, str(SCRIPTS / "compare_summary.py"), "--project-root", str(project)]
    variables = {**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": "gbk"}
    done = subprocess.run(command, env=variables, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert "天气 ? has a macro-F1 of" in done.stdout.decode("gbk")


@posix
def test_outputs_that_are_full_or_closed_leave_no_traceback():
    body = "    import sys\n    print('out')\n    print('err', file=sys.stderr)"
    with open("/dev/full", "w") as full:
        process = run_main(body, stdout=full)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 1
        assert errors.splitlines()[-1].startswith("error: No space left on device: make room")
        process = run_main(body, stderr=full)
        assert process.communicate(timeout=120)[0] == "out\n" and process.returncode in (0, 1)
    read, write = os.pipe()
    os.close(read)  # the reader has left, as head does
    process = run_main(body, stdout=write)
    assert "Traceback" not in process.communicate(timeout=120)[1] and process.returncode == 1
    os.close(write)
    for closed in ((1,), (2,), (1, 2)):
        process = run_main(body, start=lambda numbers=closed: [*map(os.close, numbers)])
        assert "Traceback" not in "".join(process.communicate(timeout=120))
        assert process.returncode in (0, 1)
