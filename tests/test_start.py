"""The first command on a fresh machine: it names what is missing, repairs what was left half-made,
and passes on arguments and exit status."""

import ast
import os
import re
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import pytest
import start
from helpers.fast_start import make_fast_project
from helpers.hub import STAGE2
from helpers.signals import heed_ctrl_c

SCRIPT = STAGE2 / "start.py"
Version = namedtuple("Version", "major minor micro")


class Programs:
    """Stand in for every program that start.py would run: record the commands, and answer with the
    statuses given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.commands: list[list[str]] = []
        self.status: dict[str, int] = {}  # by a word of the command; 0 where none fits
        monkeypatch.setattr(start, "run", self.run)

    def run(self, command: list[str], quiet: bool = False) -> int:
        self.commands.append(command)
        if "venv" in command and not self.status.get("venv"):
            make_python(Path(command[-1]))
        return next((status for word, status in self.status.items() if word in command), 0)

    def named(self, word: str) -> int:
        return sum(word in command for command in self.commands)


def make_python(venv: Path) -> None:
    """Leave what ``python -m venv`` leaves, as far as start.py reads it."""
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    python.parent.mkdir(parents=True)
    python.write_bytes(b"")


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Programs:
    monkeypatch.setattr(start, "works", lambda command: Path(command[0]).is_file())
    return Programs(monkeypatch)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    make_fast_project(tmp_path / "有 空格")
    return tmp_path / "有 空格"


def prepare(root: Path, command: str = "demo") -> str:
    return start.prepare(root, start.LISTS[command])


@pytest.mark.parametrize(
    ("version", "is_64_bit", "fits"),
    [
        ((3, 10, 0), True, True),
        ((3, 11, 9), True, True),
        ((3, 12, 4), True, True),
        ((3, 9, 18), True, False),
        ((3, 13, 0), True, False),
        ((4, 11, 0), True, False),
        ((3, 11, 9), False, False),
    ],
)
def test_only_3_10_to_3_12_in_64_bit_fits(version, is_64_bit, fits):
    assert start.suitable(version, is_64_bit) is fits


def test_an_unsuitable_python_without_another_is_told_what_to_install(monkeypatch, programs):
    monkeypatch.setattr(sys, "version_info", Version(3, 13, 1))
    monkeypatch.setattr(start.shutil, "which", lambda name: None)
    with pytest.raises(
        start.Failed, match=r"this is Python 3\.13 in 64 bit.*Install Python 3\.11"
    ) as failed:
        start.main(["test"])
    assert failed.value.status == 2
    assert not programs.commands


def test_an_unsuitable_python_hands_over_to_a_suitable_one(monkeypatch, programs):
    monkeypatch.setattr(sys, "version_info", Version(3, 13, 1))
    monkeypatch.setattr(start.shutil, "which", lambda name: "/usr/bin/" + name)
    monkeypatch.setattr(start, "works", lambda command: command == ["py", "-3.12"])
    assert start.main(["test", "-k", "summary"]) == 0
    assert programs.commands == [["py", "-3.12", str(SCRIPT), "test", "-k", "summary"]]


def test_the_running_python_is_recognised_and_what_is_no_python_is_not(tmp_path):
    assert start.works([sys.executable])
    assert not start.works([sys.executable, "-c", "print('something else')", "--"])
    assert not start.works([str(tmp_path / "missing")])


def test_old_pythons_can_read_the_file():
    ast.parse(SCRIPT.read_text(encoding="utf-8"), feature_version=(3, 7))


def test_a_fresh_project_gets_an_environment_and_its_packages_once(project, programs):
    python = prepare(project)
    assert [programs.named("venv"), programs.named("install")] == [1, 1]
    assert Path(python).is_relative_to(project / ".venv")
    assert prepare(project) == python
    assert [programs.named("venv"), programs.named("install")] == [1, 1]


def test_changed_requirements_are_installed_into_the_same_environment(project, programs):
    prepare(project)
    (project / "requirements.txt").write_text("numpy\npandas\n", encoding="utf-8")
    prepare(project)
    prepare(project)
    assert [programs.named("venv"), programs.named("install")] == [1, 2]


def test_what_only_the_tests_need_is_installed_for_the_tests_only(project, programs):
    prepare(project, "demo")
    assert not any("requirements-dev.txt" in word for word in programs.commands[-1])
    prepare(project, "test")
    assert any("requirements-dev.txt" in word for word in programs.commands[-1])
    prepare(project, "demo")
    prepare(project, "test")
    assert [programs.named("venv"), programs.named("install")] == [1, 2]


@pytest.mark.parametrize("name", [start.CONSTRAINTS, *start.LISTS["test"]])
def test_every_list_counts_as_a_change_of_the_requirements(project, programs, name):
    prepare(project, "test")
    (project / name).write_text("numpy\npandas\n", encoding="utf-8")
    prepare(project, "test")
    assert [programs.named("venv"), programs.named("install")] == [1, 2]


def test_the_constraints_are_given_to_pip_whatever_is_installed(project, programs):
    for command in start.COMMANDS:
        prepare(project, command)
        line = programs.commands[-1]
        assert line[line.index("-c", line.index("install")) + 1] == str(project / start.CONSTRAINTS)


def test_an_environment_made_by_hand_is_completed_not_replaced(project, programs):
    make_python(project / ".venv")
    (project / ".venv" / "kept").write_text("", encoding="utf-8")
    prepare(project)
    assert [programs.named("venv"), programs.named("install")] == [0, 1]
    assert (project / ".venv" / "kept").exists()


def test_what_failed_at_its_first_installation_is_made_again(project, programs):
    programs.status = {"install": 1}
    with pytest.raises(start.Failed) as failed:
        prepare(project)
    assert failed.value.status == 2
    (project / ".venv" / "left_over").write_text("", encoding="utf-8")
    programs.status = {}
    prepare(project)
    assert [programs.named("venv"), programs.named("install")] == [2, 2]
    assert not (project / ".venv" / "left_over").exists()


def test_a_failed_update_keeps_the_environment_and_is_tried_again(project, programs):
    prepare(project)
    (project / "requirements.txt").write_text("nonsense\n", encoding="utf-8")
    programs.status = {"install": 1}
    for _ in range(2):
        with pytest.raises(start.Failed):
            prepare(project)
    assert [programs.named("venv"), programs.named("install")] == [1, 3]


def test_an_update_that_failed_is_not_forgotten_when_the_old_list_comes_back(project, programs):
    """What pip changed before it failed does not match the old list either."""
    prepare(project)
    (project / "requirements.txt").write_text("nonsense\n", encoding="utf-8")
    programs.status = {"install": 1}
    with pytest.raises(start.Failed):
        prepare(project)
    (project / "requirements.txt").write_text("numpy\n", encoding="utf-8")
    programs.status = {}
    prepare(project)
    assert [programs.named("venv"), programs.named("install")] == [1, 3]


def test_an_environment_whose_python_does_not_start_is_made_again(project, programs):
    (project / ".venv").mkdir()
    (project / ".venv" / "left_over").write_text("", encoding="utf-8")
    prepare(project)
    assert programs.named("venv") == 1
    assert not (project / ".venv" / "left_over").exists()


def test_an_environment_that_cannot_be_made_names_the_package(project, programs):
    programs.status = {"venv": 1}
    with pytest.raises(start.Failed, match=r"apt install python3\.1\d-venv"):
        prepare(project)
    assert not programs.named("install")


@pytest.mark.parametrize(("free", "told"), [(0.1, True), (9.9, True), (10.1, False)])
def test_a_failed_installation_names_a_disk_that_may_be_too_full(
    project, programs, monkeypatch, free, told
):
    """The fuller one of those of .venv and of the temporary files."""
    temporary = str(project.parent / "tmp")
    monkeypatch.setattr(start.tempfile, "gettempdir", lambda: temporary)
    room = namedtuple("Usage", "free")
    monkeypatch.setattr(
        start.shutil, "disk_usage", lambda path: room((free if path == temporary else 50) * 1e9)
    )
    programs.status = {"install": 1}
    with pytest.raises(start.Failed, match="pip says why above.*Start again") as failed:
        prepare(project)
    assert (f"{temporary} has {free} GB free" in str(failed.value)) == told


def test_pip_is_put_in_where_an_environment_lacks_it(project, programs):
    programs.status = {"import pip": 1}
    prepare(project)
    assert programs.named("ensurepip") == 1


@pytest.mark.parametrize(
    ("command", "module"), [("demo", "stage2_compare.demo.run"), ("test", "pytest")]
)
def test_arguments_and_exit_status_pass_through(monkeypatch, programs, command, module):
    monkeypatch.setattr(start, "prepare", lambda root, lists: "the python")
    programs.status = {"the python": 5}
    assert start.main([command, "-k", "summary"]) == 5
    assert programs.commands == [["the python", "-m", module, "-k", "summary"]]


@pytest.mark.parametrize(("arguments", "status"), [([], 2), (["--help"], 0), (["-h"], 0)])
def test_without_a_command_it_says_what_it_does(arguments, status, programs, capsys):
    assert start.main(arguments) == status
    assert "start.py demo" in capsys.readouterr().out
    assert not programs.commands


def test_an_unknown_command_is_one_line_and_status_2():
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "démo"],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown command") and done.stderr.count("\n") == 1


def test_a_program_runs_at_the_project_root_and_its_status_is_kept(capfd):
    assert (
        start.run([sys.executable, "-c", "import os; print(os.getcwd()); raise SystemExit(7)"]) == 7
    )
    assert Path(capfd.readouterr().out.strip()) == start.ROOT


# The lists


def lines(name: str) -> list[str]:
    content = (STAGE2.parent / name).read_text(encoding="utf-8").splitlines()
    return [line for line in content if line and not line.startswith("#")]


@pytest.mark.parametrize("name", start.LISTS["test"])
def test_every_requirement_has_an_upper_end(name):
    for line in lines(name):
        assert re.fullmatch(r"[\w-]+(==[\d.]+|>=[\d.]+,<[\d.]+)", line), line


def test_users_install_nothing_that_only_the_tests_need():
    assert not {"pytest", "pytest-xdist", "hypothesis", "ruff"} & {
        re.split("[=<>]", line)[0] for line in lines("requirements.txt")
    }


def test_the_constraints_leave_the_gpu_build_of_torch_free():
    """Nor do they bar an older numpy, which the older builds of torch need."""
    for line in lines(start.CONSTRAINTS):
        assert re.fullmatch(r"[\w-]+<=[\d.]+", line), line
        assert not re.match("torch|nvidia|cuda|triton", line), line


# Two at once


def begin(project: Path, **more) -> subprocess.Popen:
    """Start ``start.py test`` in a project of helpers.fast_start."""
    return subprocess.Popen(
        [sys.executable, str(project / "stage2_compare" / "start.py"), "test"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1"},
        **more,
    )


def programs_log(project: Path) -> list[str]:
    path = project / "programs.log"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def wait_for(project: Path, process: subprocess.Popen, line: str) -> None:
    """Wait until a program that start.py runs has written the line."""
    while line not in programs_log(project):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def begin_held(project: Path, program: str) -> subprocess.Popen:
    """Start, and return when the program has begun: it waits for ``go_on``."""
    (project / f"hold_{program}").touch()
    process = begin(project)
    wait_for(project, process, f"begin {program}")
    return process


def go_on(project: Path, first: subprocess.Popen) -> None:
    """Start once more, see for whom it waits, let the program go on, and see a good end."""
    second = begin(project)
    line = second.stdout.readline()
    assert line == f"waiting: process {first.pid}, or a pip that it started, is preparing .venv\n"
    for path in project.glob("hold_*"):
        path.unlink()
    _, errors = second.communicate(timeout=300)
    assert (second.returncode, errors) == (0, "")


ALL = ["begin venv", "end venv", "begin pip", "end pip"]


@pytest.mark.parametrize("program", ["venv", "pip"])
def test_of_two_starts_at_once_one_prepares_and_the_other_says_for_which_it_waits(project, program):
    first = begin_held(project, program)
    go_on(project, first)
    assert first.communicate(timeout=300)[1] == "" and first.returncode == 0
    assert programs_log(project) == ALL


@pytest.mark.parametrize("program", ["venv", "pip"])
def test_a_program_that_outlives_its_killed_start_is_waited_for(project, program):
    first = begin_held(project, program)
    first.kill()
    first.wait(timeout=300)
    go_on(project, first)
    first.communicate()
    assert programs_log(project) == (ALL[:2] if program == "venv" else ALL) + ALL


def test_many_starts_at_once_end_well(project):
    everyone = [begin(project) for _ in range(5)]
    ends = [process.communicate(timeout=300) for process in everyone]
    assert [process.returncode for process in everyone] == [0] * 5, ends
    assert programs_log(project) == ALL


def test_a_lock_that_cannot_be_written_is_one_line_and_status_2(project):
    (project / ".venv.lock").mkdir()
    _, errors = (process := begin(project)).communicate(timeout=300)
    assert process.returncode == 2
    assert re.fullmatch(r"error: cannot write .*\.venv\.lock: .+\n", errors)


def test_a_ready_environment_needs_no_lock(project, programs):
    """The project may lie where this user cannot write."""
    prepare(project)
    (project / ".venv.lock").unlink()
    (project / ".venv.lock").mkdir()
    prepare(project)


# Stopped


def ready(project: Path) -> None:
    """Make .venv, and a pytest that notes its start, and its end by Ctrl-C."""
    assert begin(project).wait(timeout=300) == 0
    (project / "pytest.py").write_text(
        "import pathlib, time\n"
        "try:\n    pathlib.Path('started').touch(); time.sleep(60)\n"
        "except KeyboardInterrupt:\n    time.sleep(1); pathlib.Path('ended').touch()\n",
        encoding="utf-8",
    )


def begin_and_wait(project: Path) -> subprocess.Popen:
    process = begin(project, start_new_session=True, preexec_fn=heed_ctrl_c)
    while not (project / "started").exists():
        assert process.poll() is None
        time.sleep(0.05)
    return process


posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no signals to send from a test")


@posix
def test_ctrl_c_waits_for_the_program_and_is_status_130_without_traceback(project):
    """Ctrl-C reaches both, as from a terminal: the program ends in its own way."""
    ready(project)
    process = begin_and_wait(project)
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=300)[1] == ""
    assert process.returncode == 130
    assert (project / "ended").exists()


@posix
def test_sigterm_ends_the_program_too_and_is_status_143(project):
    ready(project)
    process = begin_and_wait(project)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=300) == ("", "")  # at the end of all that have its streams
    assert process.returncode == 143


@posix
def test_an_installation_ended_by_sigterm_blames_no_network(project):
    process = begin_held(project, "pip")
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=300)[1] == ""
    assert process.returncode == 143
    assert "end pip" not in programs_log(project)
