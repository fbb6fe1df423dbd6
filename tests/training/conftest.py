"""What several tests of training begin with; a module has its own."""

from pathlib import Path

import pytest
from helpers.small_project import make_small_project
from helpers.twelve_pairs import make_photos


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    return make_small_project(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return make_photos(tmp_path_factory.mktemp("images"))
