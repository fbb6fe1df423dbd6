"""Devices by name, the number format of each, and memory that stays with the process."""

import ctypes
import platform

import numpy as np
import pytest
import torch
from common.errors import UserError
from common.training.device import Precision, choose_precision, find_device, keep_freed_memory
from helpers.hub import CLIP
from helpers.twelve_pairs import make_model, make_part, make_photos

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


def test_bf16_stays_near_float32(hub, tmp_path):
    """Eight bits of fraction: logits within a few hundredths of those in float32."""
    model, part = make_model(hub, CLIP).eval(), make_part(hub, CLIP, make_photos(tmp_path))
    batch = part.batch(0, 0, np.arange(2))
    batch.pop("labels")
    logits = []
    with torch.no_grad():
        for name in ("fp32", "bf16"):
            with Precision(name, torch.device("cpu")).autocast():
                logits.append(model(**batch).float())
    torch.testing.assert_close(logits[0], logits[1], atol=0.05, rtol=0)
    assert not torch.equal(logits[0], logits[1])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told what to do")
def test_memory_of_a_freed_array_serves_the_next():
    import resource

    def new_pages() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        np.ones(2**23)  # 64 MB, freed at once
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    keep_freed_memory()
    found = [new_pages() for _ in range(2)]
    keep_freed_memory(False)
    assert found[1] < 100  # of 16,384


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: pytest.fail("a C library was asked for"))
    keep_freed_memory()
