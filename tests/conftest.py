"""Shared by all tests: the commands' folder on the path, as running one of them puts it there, and
a small hub."""

import os
import sys
from pathlib import Path

# Small tensors on few cores: more threads would wait for each other. Commands that the tests start
# inherit it.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["LC_ALL"] = "C.UTF-8"  # commands speak English, whoever runs the tests
os.environ["HF_HUB_OFFLINE"] = "1"  # no test may wait for a network

import pytest
from hypothesis import HealthCheck, settings

# The same examples in every run, and no limit of time, which depends on what else runs.
settings.register_profile(
    "suite",
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("suite")

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [
    str(ROOT / "stage2_compare" / "scripts"),
    str(ROOT / "stage2_compare"),
    str(ROOT / "tests"),
]

from helpers.hub import Hub  # noqa: E402 - needs the path


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Hub:
    made = Hub(tmp_path_factory.mktemp("hub"))
    os.environ["TORCH_HOME"] = made.variables["TORCH_HOME"]  # torch reads it at every use
    return made
