"""The code keeps the rules of .ruff.toml, checked with the release of ruff that the requirements pin."""

import subprocess
import sys

import pytest
from helpers.hub import STAGE2


@pytest.mark.parametrize("rule", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_finds_nothing(rule: list[str]):
    command = [sys.executable, "-m", "ruff", *rule, "--no-cache", "."]
    done = subprocess.run(
        command, cwd=STAGE2.parent, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stdout + done.stderr
