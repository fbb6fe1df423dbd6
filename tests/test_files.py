"""A lock belongs to one process, and a file is replaced whole or not at all."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from common import files
from common.errors import UserError
from common.files import (
    escaped,
    is_disk_full,
    listed,
    lock,
    replacing,
    unescaped,
    unlock,
    write_result,
)
from helpers.hub import STAGE2
from hypothesis import given
from hypothesis import strategies as st

HOLDER = """
import sys
from pathlib import Path
from common.files import lock
held = lock(Path(sys.argv[1]))
print(held is not None, flush=True)
sys.stdin.read()
"""


def hold(path: Path) -> subprocess.Popen:
    """Lock a file in another process, which ends with its standard input."""
    how = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "cwd": STAGE2 / "scripts"}
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], **how)
    assert holder.stdout.readline().strip() == b"True"
    return holder


def test_a_lock_ends_with_its_process_and_leaves_no_file_behind(tmp_path):
    path = tmp_path / "a.lock"
    for end in (subprocess.Popen.kill, subprocess.Popen.communicate):
        holder = hold(path)
        assert lock(path) is None
        end(holder)
        holder.communicate()
        held = lock(path)
        assert held is not None and lock(path) is None
        unlock(held)
        assert not list(tmp_path.iterdir())


class HeldOpen(PermissionError):
    """What Windows says of a file, or a folder with a file in it, that a program has open."""

    winerror = 32


def test_what_another_program_has_open_is_moved_when_it_is_closed(tmp_path, monkeypatch):
    folder, moved, real, waited = tmp_path / "a", tmp_path / "b", os.replace, []
    folder.mkdir()

    def replace(source, target):
        if len(waited) < 2:
            raise HeldOpen(errno.EACCES, "in use")
        real(source, target)

    monkeypatch.setattr(files.time, "sleep", waited.append)
    monkeypatch.setattr(os, "replace", replace)
    files.move(folder, moved)
    assert moved.is_dir() and len(waited) == 2
    waited.clear()
    monkeypatch.setattr(files, "_HELD_SEC", -1.0)  # it stays open
    with pytest.raises(HeldOpen):
        files.move(moved, folder)


def test_what_a_killed_command_left_beside_a_result_goes_after_a_day(tmp_path):
    path = tmp_path / "a[1].csv"
    old, new, other = (tmp_path / f".{name}.tmp" for name in ("a[1].csv.0", "a[1].csv.1", "b.2"))
    for left_over in (old, new, other):
        left_over.write_bytes(b"x")
        os.utime(left_over, (time.time() - 9e4,) * 2)
    os.utime(new)
    write_result(path, b"x")
    assert set(tmp_path.iterdir()) == {path, new, other}


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "new" / "a.csv"
    write_result(path, b"old")
    with pytest.raises(ZeroDivisionError), replacing(path) as file:
        file.write(b"half")
        raise ZeroDivisionError
    with pytest.raises(UserError, match="cannot write .*new: "):
        write_result(path.parent, b"a folder has that name")
    remedies = {errno.ENOSPC: "Make room on that", errno.EACCES: "Is the file open in another"}
    for number, remedy in remedies.items():

        def refuse(descriptor, number=number):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", refuse)
        with pytest.raises(UserError, match=f"a.csv: {os.strerror(number)}. {remedy}"):
            write_result(path, b"new")
    assert path.read_bytes() == b"old" and list(path.parent.iterdir()) == [path]


def test_a_full_disk_is_known_by_its_number_and_else_by_the_words_of_rust():
    for error in (OSError(errno.ENOSPC, ""), OSError(errno.EDQUOT, ""), Exception("(os error 28)")):
        assert is_disk_full(error)
    for error in (OSError(errno.EACCES, "(os error 28)"), Exception("(os error 13)"), ValueError()):
        assert not is_disk_full(error)


@given(st.text() | st.text("'=+-@＝ a", max_size=6))
def test_an_escaped_text_is_no_formula_and_comes_back(text: str):
    assert unescaped(escaped(text)) == text
    assert not escaped(text).startswith(files._FORMULA)


def test_a_message_names_the_first_faults_and_counts_the_others():
    assert listed(["row 0", "row 1"]) == "row 0; row 1"
    assert listed(list("abcdefghijkl")) == "a; b; c; d; e; f; g; h; i; j; and 2 more"
