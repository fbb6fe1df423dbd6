"""The first command on a fresh machine: it finds a Python, makes .venv, installs what changed, runs."""

import ast
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import start
from helpers.fast_start import make_fast_project
from helpers.hub import STAGE2
from helpers.signals import heed_ctrl_c

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has neither these signals nor scripts")
PYTHON = Path(start.PYTHON).relative_to(start.ROOT)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    make_fast_project(tmp_path / "有 空格")
    return tmp_path / "有 空格"


def begin(project: Path, *arguments: str, **more) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(project / "stage2_compare" / "start.py"), *(arguments or ["test"])],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1"},
        **more,
    )


def run(project: Path, *arguments: str) -> tuple[int, str]:
    """Run start.py; return its status and its errors, one line at most."""
    process = begin(project, *arguments)
    errors = process.communicate(timeout=300)[1]
    assert errors.count("\n") <= 1, errors
    return process.returncode, errors


def programs(project: Path) -> list[str]:
    """Return the programs that changed .venv, in order, and forget them."""
    path = project / "programs.log"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return [line.split()[0] for line in lines]


# A Python that fits


def test_only_3_10_to_3_12_in_64_bit_fits(tmp_path):
    def says(text: str) -> bool:
        return start.fits(sys.executable, "-c", f"print({text!r})", "--")

    assert start.fits(sys.executable) and not start.fits(str(tmp_path / "missing"))
    assert says("3.10 True") and says("3.11 True") and says("3.12 True")
    assert not any(map(says, ("3.9 True", "3.13 True", "3.11 False", "something else", "")))


def test_another_python_hands_over_to_one_that_fits_or_says_what_to_install(monkeypatch):
    commands = []
    monkeypatch.setattr(start, "run", lambda *command: commands.append(command) or 5)
    monkeypatch.setattr(start.shutil, "which", lambda name: "/usr/bin/" + name)
    monkeypatch.setattr(start, "fits", lambda *command: command == ("py", "-3.12"))
    assert start.main(["test", "-k", "summary"]) == 5
    assert commands == [("py", "-3.12", str(STAGE2 / "start.py"), "test", "-k", "summary")]
    monkeypatch.setattr(start, "fits", lambda *command: False)
    with pytest.raises(start.Failed, match=r"this is Python 3\..*install 3\.11"):
        start.main(["test"])


def test_old_pythons_can_read_the_file():
    ast.parse((STAGE2 / "start.py").read_text(encoding="utf-8"), feature_version=(3, 7))


# The environment


def test_it_is_made_once_and_what_changed_or_failed_is_installed(project):
    run(project, "demo")  # the project has none, and says so; it needs less than the tests
    assert run(project) == run(project) == (0, "")
    log = (project / "programs.log").read_text(encoding="utf-8").splitlines()
    expected = [" ".join(["pip", *start.COMMANDS[command][1]]) for command in ("demo", "test")]
    assert log == ["venv", *expected] and len(log[1]) < len(log[2])
    assert programs(project)
    requirements = project / "requirements.txt"
    requirements.write_text("nonsense\n", encoding="utf-8")
    status, error = run(project)
    assert status == 2 and "PIP_INDEX_URL" in error and "10 GB" in error
    requirements.write_text("numpy\n", encoding="utf-8")  # as before; what was left is not
    assert run(project) == run(project) == (0, "")
    assert programs(project) == ["pip", "pip"]


def test_an_environment_that_is_there_is_completed_and_another_one_is_named_and_left(project):
    stamp = project / ".venv" / start.STAMP.name
    stamp.parent.mkdir()
    if os.name != "nt":  # one of another Python
        (project / PYTHON).parent.mkdir()
        (project / PYTHON).write_text("#!/bin/sh\necho 3.13 True\n", encoding="utf-8")
        (project / PYTHON).chmod(0o755)
    status, error = run(project)
    assert status == 2 and f"{stamp.parent} starts no Python that fits" in error
    assert programs(project) == []
    if os.name != "nt":
        (project / PYTHON).unlink()
        (project / PYTHON).symlink_to(sys.executable)  # made by hand
        assert run(project) == (0, "") and programs(project) == ["pip"]
        (project / PYTHON).unlink()
    stamp.write_text(start.HALF_MADE, encoding="utf-8")  # stopped while it was made
    assert run(project) == (0, "") and programs(project) == ["venv", "pip"]


def test_of_two_starts_at_once_one_prepares_even_where_it_is_killed(project):
    hold = project / "hold_pip"
    hold.touch()
    first = begin(project)
    while not (project / "pip_waits").exists():
        assert first.poll() is None, first.communicate()
        time.sleep(0.02)
    second = run(project)
    assert second[0] == 2 and "another start.py prepares .venv" in second[1]
    if os.name != "nt":  # there a lock ends with its process
        first.kill()
        first.wait()
        assert run(project) == second  # its pip goes on
    assert programs(project) == ["venv", "pip"]
    hold.unlink()
    first.communicate(timeout=300)
    assert run(project) == (0, "")


# The program


def test_arguments_and_status_pass_through(project):
    process = begin(project, "test", "7", "-k", "a b")
    assert process.communicate(timeout=300)[0].endswith("7 -k a b\n")
    assert process.returncode == 7


@posix
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_waits_for_the_program(project, sent, status):
    """Ctrl-C reaches both, as from a terminal: the program ends in its own way."""
    process = begin(project, "test", "wait", start_new_session=True, preexec_fn=heed_ctrl_c)
    while process.stdout.readline() != "wait\n":
        assert process.poll() is None
    if sent == signal.SIGINT:
        os.killpg(process.pid, sent)
    else:
        process.send_signal(sent)
    # at the end of all that have its streams
    output, errors = process.communicate(timeout=300)
    assert (process.returncode, "Traceback" in errors) == (status, False)
    assert output == ("ended\n" if sent == signal.SIGINT else "")


def test_without_a_command_it_says_what_it_does(capsys):
    assert (start.main([]), start.main(["-h"])) == (2, 0)
    assert "start.py demo" in capsys.readouterr().out
    with pytest.raises(start.Failed, match="demo, test"):
        start.main(["démo"])


# The lists


def lines(name: str) -> list[str]:
    content = (STAGE2.parent / name).read_text(encoding="utf-8").splitlines()
    return [line for line in content if line and not line.startswith("#")]


def test_every_requirement_has_an_upper_end_and_the_gpu_build_of_torch_is_free():
    constraints, runtime, tests = start.COMMANDS["test"][1][1::2]
    for line in [*lines(runtime), *lines(tests)]:
        assert re.fullmatch(r"[\w-]+(==[\d.]+|>=[\d.]+,<[\d.]+)", line), line
    for line in lines(constraints):
        assert re.fullmatch(r"[\w-]+<=[\d.]+", line), line
        assert not re.match("torch|nvidia|cuda|triton", line), line
