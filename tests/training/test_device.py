"""Devices by name."""

import pytest
from common.errors import UserError
from common.training.device import find_device

ABSENT = [
    "quantum",
    "cuda:99",
    "meta",
    "hpu",
    "privateuseone",
    "xla",
    "mtia",
    "vulkan",
    "mkldnn",
    "",
]


@pytest.mark.parametrize("name", ABSENT)
@pytest.mark.filterwarnings("ignore:'mkldnn'")
def test_a_device_that_cannot_be_used_is_named(name):
    with pytest.raises(UserError, match=f"--device {name} cannot be used"):
        find_device(name)


def test_the_processor_is_there():
    assert find_device("cpu").type == "cpu" and find_device("auto").type in ("cpu", "cuda")
