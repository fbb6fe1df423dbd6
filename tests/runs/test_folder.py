"""A run folder: one process at a time, whole or not at all, and what holds its files open."""

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from common.errors import UserError
from common.runs.folder import RunFolder
from common.runs.layout import CHECKPOINT, METRICS_JSON
from helpers.hub import STAGE2
from helpers.small_project import record

HOLD = """
import sys, time, torch
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from common.runs.folder import RunFolder
with RunFolder(Path(sys.argv[2]), "run") as folder:
    print("locked", flush=True)
    time.sleep(60)
"""


def holder(parent: Path) -> subprocess.Popen:
    command = [sys.executable, "-c", HOLD, str(STAGE2 / "scripts"), str(parent)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "locked\n"
    return process


def test_a_second_process_is_told_who_was_first_until_that_is_killed(tmp_path):
    process = holder(tmp_path)
    says = f"being trained by process {process.pid} on .*, started {time.strftime('%Y-')}"
    with pytest.raises(UserError, match=says), RunFolder(tmp_path, "run"):
        pass
    process.kill()
    process.wait()
    with RunFolder(tmp_path, "run") as folder:
        owner = json.loads((folder.partial / "owner.json").read_text(encoding="utf-8"))
        assert owner["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


# Files that are open elsewhere


def grown(parent: Path, seed: int) -> RunFolder:
    """A run folder that only waits for its name."""
    folder = RunFolder(parent, "run")
    with folder:
        folder.write_json(METRICS_JSON, {"protocol": {"seed": seed}, "model": {}})
        folder.write_tensors(CHECKPOINT, {})
    return folder


def seeds(parent: Path) -> dict[str, int]:
    """Return the seed of the run in each folder below ``parent``."""
    return {
        path.parent.relative_to(parent).as_posix(): record(path.parent)["protocol"]["seed"]
        for path in parent.rglob(METRICS_JSON)
    }


@contextmanager
def open_elsewhere(monkeypatch, folder: Path) -> Iterator[None]:
    """Windows moves no folder in which a file is open; other systems do."""
    real = os.replace

    def refuse(source, target):
        if Path(source) == folder:
            raise PermissionError(errno.EACCES, "Access is denied", str(source))
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        yield


@pytest.mark.parametrize("held", ["run", ".run.partial"])
def test_a_run_whose_files_are_open_elsewhere_gets_its_name_when_they_are_closed(
    tmp_path, monkeypatch, held: str
):
    grown(tmp_path, 1).finish()
    newer = grown(tmp_path, 2)
    says = "Close the programs .* nothing is trained anew"
    with open_elsewhere(monkeypatch, tmp_path / held), pytest.raises(UserError, match=says):
        newer.finish()
    assert seeds(tmp_path) == {"run": 1, ".run.partial": 2}
    newer.finish()
    (earlier,) = (tmp_path / "earlier").iterdir()
    assert seeds(tmp_path) == {"run": 2, f"earlier/{earlier.name}": 1}


def test_a_checkpoint_that_is_open_elsewhere_at_the_end_goes_later(tmp_path, monkeypatch):
    finished = grown(tmp_path, 1)
    real = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.name == CHECKPOINT:
            raise PermissionError(errno.EACCES, "Access is denied", str(path))
        real(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        finished.finish()
    assert seeds(tmp_path) == {"run": 1} and (tmp_path / "run" / CHECKPOINT).exists()
    with RunFolder(tmp_path, "run"):
        assert not (tmp_path / "run" / CHECKPOINT).exists()


def test_an_earlier_run_whose_files_are_open_elsewhere_is_kept_and_moves_later(
    tmp_path, monkeypatch, capsys
):
    grown(tmp_path, 1).finish()
    with open_elsewhere(monkeypatch, tmp_path / ".run.old"):
        grown(tmp_path, 2).finish()
    assert "cannot move to" in capsys.readouterr().out
    assert seeds(tmp_path) == {"run": 2, ".run.old": 1}
    with RunFolder(tmp_path, "run"):
        (earlier,) = (tmp_path / "earlier").iterdir()
    assert seeds(tmp_path) == {"run": 2, f"earlier/{earlier.name}": 1}


@pytest.mark.skipif(os.name == "nt", reason="there every disk has locks")
def test_a_disk_without_locks_is_named_and_no_other_process(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    folder = RunFolder(tmp_path, "a")
    with pytest.raises(UserError, match="No locks available.*--output-dir"), folder:
        pass
