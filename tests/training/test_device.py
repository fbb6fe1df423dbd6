"""Devices by name, and the number format of each."""

import pytest
import torch
from common.errors import UserError
from common.training.device import choose_precision, find_device

ABSENT = ["quantum", "cuda:99", "meta", "hpu", "privateuseone", "mkldnn", ""]


@pytest.mark.filterwarnings("ignore:'mkldnn'")
def test_a_device_that_cannot_be_used_is_named():
    for name in ABSENT:
        with pytest.raises(UserError, match=f"--device {name} cannot be used"):
            find_device(name)
    assert find_device("cpu").type == "cpu" and find_device("auto").type in ("cpu", "cuda")


def test_each_process_takes_a_card_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [find_device(wanted, 3).type for wanted in ("auto", "cpu")] == ["cpu", "cpu"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(UserError, match="--device cuda:1: .*each process"):
        find_device("cuda:1", 0)
    for wanted in ("auto", "cuda"):
        with pytest.raises(UserError, match="--device cuda:99 cannot .*--nproc-per-node"):
            find_device(wanted, 99)


def test_a_processor_computes_in_float32_and_a_card_in_the_format_that_it_has(monkeypatch):
    cpu, card = torch.device("cpu"), torch.device("cuda")
    for wanted, name in (("auto", "fp32"), ("off", "fp32"), ("bf16", "bf16")):
        assert choose_precision(wanted, cpu).name == name
    with pytest.raises(UserError, match="--amp fp16 needs a CUDA device"):
        choose_precision("fp16", cpu)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a card")
    for capability, name in (((9, 0), "bf16"), ((8, 6), "bf16"), ((7, 5), "fp16")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, found=capability: found)
        assert choose_precision("auto", card).name == name
    with pytest.raises(UserError, match="a card has no bf16"):
        choose_precision("bf16", card)
