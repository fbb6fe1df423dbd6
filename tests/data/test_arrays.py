"""Arrays are made once, believed only when they are whole, and made by one process at a time."""

import errno
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from common.data import arrays
from common.data.arrays import Kept, Plan, keep
from helpers.hub import STAGE2

# Keeps an array that takes a second to make, and uses it when it is told to.
PROGRAM = """
import sys, time
from pathlib import Path
import numpy as np
from common.data.arrays import Plan, keep
def plan():
    print("made")
    return Plan((2,), np.dtype("f4"), (time.sleep(0.5) or np.ones(1, "f4") for _ in range(2)))
kept = keep(Path(sys.argv[1]), "features", b"key", plan)
print("kept", flush=True)
sys.stdin.readline()
print("sum", kept.values.sum())
"""
VALUES = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.fixture
def made() -> list[str]:
    """One entry for each array that was made."""
    return []


@pytest.fixture
def kept(tmp_path, made):
    """Keep VALUES in tmp_path/cache, made in blocks of two rows."""

    def find(decides: bytes = b"key", share: float = 1.0) -> Kept:
        def plan() -> Plan:
            made.append(decides)
            return Plan((4, 3), VALUES.dtype, iter([VALUES[:2], VALUES[2:]]))

        return keep(tmp_path / "cache", "features", decides, plan, share)

    return find


def only_file(tmp_path: Path) -> Path:
    [path] = (tmp_path / "cache").iterdir()
    return path


def test_what_is_kept_is_mapped_and_not_made_again(kept, made, tmp_path):
    first, again = kept(), kept()
    np.testing.assert_array_equal(first.values, VALUES)
    np.testing.assert_array_equal(again.values, VALUES)
    assert len(made) == 1 and not again.values.flags.writeable
    assert again.seconds == first.seconds > 0
    np.testing.assert_array_equal(np.load(only_file(tmp_path)), VALUES)
    kept(b"another key")
    assert len(made) == 2 and len(list((tmp_path / "cache").iterdir())) == 2


def test_a_broken_file_is_made_again(kept, made, tmp_path):
    kept()
    path = only_file(tmp_path)
    whole = path.read_bytes()
    for damaged in (
        b"",
        whole[:-1],
        whole + b"\0",
        whole[:40],
        b"[" * len(whole),
        whole.replace(b"(4, 3)", b"(3, 3)"),
        whole.replace(b"'<f4'", b"'|O' "),
    ):
        path.write_bytes(damaged)
        made.clear()
        np.testing.assert_array_equal(kept().values, VALUES)
        assert made and path.read_bytes()[:-8] == whole[:-8]  # then the time


def test_a_disk_that_is_or_becomes_full_and_a_stop_leave_nothing(kept, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(OSError, match="may be used"):
        usage = shutil.disk_usage(tmp_path)._replace(free=80)  # bytes, and the array takes 48
        patch.setattr(arrays.shutil, "disk_usage", lambda folder: usage)
        kept(share=0.5)
    for failure in (OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()):

        def fail(descriptor, failure=failure):
            raise failure

        with monkeypatch.context() as patch, pytest.raises(type(failure)):
            patch.setattr(os, "fsync", fail)
            kept()
        assert not list((tmp_path / "cache").iterdir())


def test_what_killed_commands_left_is_removed(kept, tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    gone, *stay = (folder / f".images_256_{i}.npy.89abcdef.tmp" for i in range(2))
    for path in (gone, *stay):
        path.touch()
    os.utime(gone, (1, 1))
    kept()
    assert not gone.exists() and all(path.exists() for path in stay)  # being written


def test_on_a_cold_cache_one_of_two_commands_makes_a_file_whose_loss_harms_neither(tmp_path):
    """The other waits for it. (Windows removes no file that is mapped.)"""
    line, pipe = [sys.executable, "-c", PROGRAM, str(tmp_path)], subprocess.PIPE
    how = {"cwd": STAGE2 / "scripts", "stdin": pipe, "stdout": pipe, "encoding": "utf-8"}
    commands = [subprocess.Popen(line, **how) for _ in range(2)]
    told = []
    for command in commands:
        for said in command.stdout:
            told.append(said)
            if said == "kept\n":
                break
    with suppress(PermissionError):
        next(tmp_path.glob("*.npy")).unlink()
    ends = [command.communicate("\n", timeout=60)[0] for command in commands]
    assert ends == ["sum 2.0\n"] * 2 and told.count("made\n") == 1
