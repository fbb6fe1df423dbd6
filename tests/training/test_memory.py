"""Whether freed memory stays with the process."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest
from common.training.device import keep_freed_memory
from helpers.hub import STAGE2

PROGRAM = """
import resource
import numpy as np
from common.training.device import keep_freed_memory

def new_pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**23)  # 64 MB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

keep_freed_memory()
new_pages()
print(new_pages())
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc is told what to do with it"
)
def test_memory_of_a_freed_array_serves_the_next():
    command = [sys.executable, "-c", PROGRAM]
    out = subprocess.run(
        command, cwd=STAGE2 / "scripts", capture_output=True, encoding="utf-8", check=True
    ).stdout
    assert int(out) < 100  # 64 MB are 16,384 pages


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: pytest.fail("a C library was asked for"))
    keep_freed_memory()
