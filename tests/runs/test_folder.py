"""A run folder: one process at a time, whole or not at all, and what holds its files open."""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from common.errors import UserError
from common.runs.folder import RunFolder
from common.runs.layout import CHECKPOINT, METRICS_JSON, OWNER
from helpers.small_project import record


def test_a_second_process_is_told_who_was_first_until_that_is_killed(tmp_path):
    first = RunFolder(tmp_path, "run").__enter__()
    says = f"being trained by process {os.getpid()} on .*, started {time.strftime('%Y-')}"
    with pytest.raises(UserError, match=says), RunFolder(tmp_path, "run"):
        pass
    first._lock.release()  # as the system does where a process is killed
    with RunFolder(tmp_path, "run") as folder:
        assert (folder.partial / OWNER).exists()
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


def test_a_run_gets_its_name_and_the_earlier_one_moves_when_their_files_are_closed(
    tmp_path, monkeypatch, capsys
):
    for held in ("run", ".run.partial", ".run.old"):
        parent = tmp_path / held[1:]
        grown(parent, 1).finish()
        newer = grown(parent, 2)
        with open_elsewhere(monkeypatch, parent / held):
            if held == ".run.old":  # then only the earlier run waits
                newer.finish()
                assert "cannot move to" in capsys.readouterr().out
                assert seeds(parent) == {"run": 2, ".run.old": 1}
            else:
                with pytest.raises(
                    UserError, match="Close the programs .* nothing is trained anew"
                ):
                    newer.finish()
                assert seeds(parent) == {"run": 1, ".run.partial": 2}
        if held == ".run.old":
            with RunFolder(parent, "run"):
                pass  # the next training of this name
        else:
            newer.finish()
        (earlier,) = (parent / "earlier").iterdir()
        assert seeds(parent) == {"run": 2, f"earlier/{earlier.name}": 1}


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


@pytest.mark.skipif(os.name == "nt", reason="there every disk has locks")
def test_a_disk_without_locks_is_named_and_no_other_process(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    folder = RunFolder(tmp_path, "a")
    with pytest.raises(UserError, match="No locks available.*--output-dir"), folder:
        pass
