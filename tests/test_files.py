"""A lock belongs to one process, and files are replaced together or not at all."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from common import files
from common.errors import UserError
from common.files import (
    LISTED,
    WAITING,
    alone,
    is_disk_full,
    listed,
    lock,
    owned,
    replace_all,
    unlock,
    write_result,
)
from helpers.hub import STAGE2

HOLDER = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from common.files import lock
held = lock(Path(sys.argv[2]))
print(held is not None, flush=True)
sys.stdin.read()
"""


def hold(path: Path) -> subprocess.Popen:
    """Lock a file in another process, which ends with its standard input."""
    command = [sys.executable, "-c", HOLDER, str(STAGE2 / "scripts"), str(path)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout.readline().strip() == b"True"
    return holder


@pytest.mark.parametrize("end", ["killed", "finished"])
def test_a_lock_ends_with_its_process_and_not_before(tmp_path, end):
    path = tmp_path / "a.lock"
    holder = hold(path)
    assert lock(path) is None and path.exists()
    if end == "killed":
        holder.kill()
    holder.communicate()
    held = lock(path)
    assert held is not None
    unlock(path, held)
    assert not path.exists()


class HeldOpen(PermissionError):
    """What Windows says of a file, or a folder with a file in it, that a program has open."""

    winerror = 32


@pytest.mark.parametrize("tries", [3, 10**6])
def test_what_a_scanner_has_open_for_a_moment_is_moved_when_it_is_closed(
    tmp_path, monkeypatch, tries
):
    """A program that keeps it open is told of in the end, and nothing has changed."""
    folder, moved = tmp_path / "a", tmp_path / "b"
    folder.mkdir()
    real, calls = os.replace, []

    def replace(source, target):
        calls.append(source)
        if len(calls) < tries:
            raise HeldOpen(errno.EACCES, "in use")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(files.time, "sleep", lambda seconds: None)
    if tries == 3:
        files.move(folder, moved)
        assert moved.is_dir() and len(calls) == 3
    else:
        monkeypatch.setattr(files, "_HELD_SEC", 0.01)
        with pytest.raises(HeldOpen):
            files.move(folder, moved)
        assert folder.is_dir() and not moved.exists()


def refuse_locks(monkeypatch, number: int) -> None:
    def refuse(*args):
        raise OSError(number, os.strerror(number))

    module, name = ("msvcrt", "locking") if os.name == "nt" else ("fcntl", "lockf")
    monkeypatch.setattr(f"{module}.{name}", refuse)


ON_WINDOWS = [errno.EDEADLK, errno.ENOLCK] if os.name == "nt" else []


@pytest.mark.parametrize("number", [errno.EACCES, errno.EAGAIN, *ON_WINDOWS])
def test_a_file_that_can_be_opened_but_not_locked_is_held_by_another(tmp_path, monkeypatch, number):
    refuse_locks(monkeypatch, number)
    assert lock(tmp_path / "a.lock") is None


@pytest.mark.skipif(os.name == "nt", reason="there any failure means that another holds it")
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_not_taken_for_another_command(tmp_path, monkeypatch, number):
    refuse_locks(monkeypatch, number)
    with pytest.raises(OSError, match=os.strerror(number)), alone(tmp_path / "features.f32"):
        pass  # it would wait for ever
    write_result(tmp_path / "table.csv", b"a\n")  # needs none
    assert (tmp_path / "table.csv").read_bytes() == b"a\n"


def test_who_waits_for_another_says_so_until_it_has_its_turn(tmp_path, monkeypatch, capsys):
    path = tmp_path / "features.f32"
    answers = iter([None, None, lock(tmp_path / "features.f32.lock")])
    seen = []
    monkeypatch.setattr(
        files, "lock", lambda marker: seen.append(WAITING.is_set()) or next(answers)
    )
    monkeypatch.setattr(files, "_PAUSE_SEC", 0)
    with alone(path):
        assert not WAITING.is_set()
    assert seen == [False, True, True]
    assert capsys.readouterr().out == "waiting for another command, which makes features.f32\n"
    assert not list(tmp_path.iterdir())


def test_a_lock_that_cannot_be_opened_is_an_error(tmp_path):
    with pytest.raises(OSError):
        lock(tmp_path / "no folder" / "a.lock")


def test_left_overs_of_a_killed_command_are_removed_with_the_next_write(tmp_path):
    marker, path = tmp_path / ".unfinished", tmp_path / "a[1].csv"
    other = tmp_path / ".b.csv.1.tmp"
    for left_over in (marker, tmp_path / ".a[1].csv.0123.tmp", other):
        left_over.write_bytes(b"x")
    assert replace_all({path: "天气"}, marker) == {path: None}
    assert path.read_text(encoding="utf-8") == "天气"
    assert {path.name for path in tmp_path.iterdir()} == {path.name, other.name}


def test_left_overs_of_a_result_go_with_its_next_write_unless_their_process_runs(tmp_path):
    path = tmp_path / "a[1].csv"
    dead, busy, other = (tmp_path / f".{name}.tmp" for name in ("a[1].csv.0", "a[1].csv.1", "b.2"))
    for left_over in (dead, busy, other, tmp_path / ".a[1].csv.3.tmp.lock"):
        left_over.write_bytes(b"x")
    lock_of_busy = tmp_path / f"{busy.name}.lock"
    holder = hold(lock_of_busy)
    write_result(path, b"new")
    assert set(tmp_path.iterdir()) == {path, busy, other, lock_of_busy}
    holder.kill()
    holder.communicate()
    write_result(path, b"newer")
    assert set(tmp_path.iterdir()) == {path, other} and path.read_bytes() == b"newer"
    with owned(busy) as is_ours:
        assert is_ours


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "Make room on that disk"),
        (errno.EDQUOT, "Make room on that disk"),
        (errno.EACCES, "open in another program"),
    ],
)
def test_a_result_that_cannot_be_written_says_what_to_do(tmp_path, monkeypatch, number, says):
    def refuse(descriptor):
        raise OSError(number, os.strerror(number))

    path = tmp_path / "a.csv"
    write_result(path, b"earlier")
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(UserError, match=f"cannot write .*a.csv: {os.strerror(number)}. .*{says}"):
        write_result(path, b"later")
    assert path.read_bytes() == b"earlier" and list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_known_by_its_number_and_else_by_the_words_of_rust():
    assert is_disk_full(OSError(errno.ENOSPC, "x")) and is_disk_full(OSError(errno.EDQUOT, "x"))
    assert is_disk_full(Exception("No space left on device (os error 28)"))
    others = (
        OSError(errno.EACCES, "(os error 28)"),
        Exception("Denied (os error 13)"),
        ValueError(),
    )
    assert not any(map(is_disk_full, others))


def test_a_message_names_the_first_faults_and_counts_the_others():
    faults = [f"row {row}" for row in range(12)]
    assert listed(faults[:2]) == "row 0; row 1"
    assert listed(faults) == "; ".join(faults[:LISTED]) + "; and 2 more"
