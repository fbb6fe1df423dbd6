"""The benchmark compares like with like, and says all it promises. No figure is judged here."""

import re
import sys
import threading
from itertools import chain
from pathlib import Path

import benchmark
import compare_blip
import compare_clip
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from common.benchmarking import command, hugging_face, plain_loop, whole
from common.benchmarking.timing import Stopwatch
from common.benchmarking.workload import Workload
from common.data.batches import Prefetcher
from common.errors import UserError
from helpers.hub import BLIP, CLIP
from helpers.project import make_project

SMALL = ["--image-size", "64", "--max-length", "12"]


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> str:
    import make_splits

    root = make_project(tmp_path_factory.mktemp("benchmark"), pairs=60)
    make_splits.main(["--project-root", str(root)])
    return str(root)


@pytest.fixture(scope="module")
def commands(hub) -> dict:
    """Two of the benchmark's own commands, on small checkpoints."""
    return {
        "clip": (compare_clip.parse, ["--model-name", hub.folder(CLIP), *SMALL]),
        "blip": (compare_blip.parse, ["--model-name", hub.folder(BLIP), *SMALL]),
    }


@pytest.fixture(scope="module")
def blip(commands, project) -> Workload:
    parse, flags = commands["blip"]
    return Workload(parse([*flags, "--project-root", project]), steps=2, plain_size=96)


def test_it_prints_every_figure_for_every_model_and_number_of_workers(
    commands, project, monkeypatch, capsys
):
    monkeypatch.setattr(benchmark, "COMMANDS", commands)
    monkeypatch.setattr(benchmark, "PLAIN_SIZES", {"blip": 96})
    benchmark.main(
        [
            "--project-root",
            project,
            "--models",
            "clip",
            "blip",
            "--steps",
            "1",
            "--repetitions",
            "2",
        ]
        + ["--num-workers", "0"]
    )
    printed = capsys.readouterr().out
    variants = "acd" if "b is left out" in printed else "abcd"
    for model in ("clip", "blip"):
        block = printed[printed.index(f"\n{model}, 0 workers") :].strip().split("\n\n")[0]
        rows = [line.split() for line in block.splitlines()]
        assert "".join(rows[0][3:]) == variants
        assert len(rows[1]) == 1 + len(variants) and all(float(rate) > 0 for rate in rows[1][1:])
        assert len(rows[2]) == 2 + len(variants)
        assert re.findall(r"c/([abd]) [\d.]+", block)[: len(variants) - 1] == [
            v for v in variants if v != "c"
        ]
        for part in ("wait for data", "copy", "forward", "backward", "optimizer", "rest"):
            assert re.search(rf"{part} -?[\d.]+%", block), part
        assert re.search(
            r"pipeline alone: a \d+, c \d+ samples/s.*\n.*\n  validation .* checkpoint and best.pt",
            block,
        )


@pytest.mark.skipif(sys.platform == "win32", reason="torchrun does not work there")
def test_it_measures_several_processes_against_one(commands, project, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "COMMANDS", commands)
    flags = ["--models", "clip", "--steps", "1", "--repetitions", "1", "--num-workers", "0"]
    benchmark.main(["--project-root", project, "--device", "cpu", "--processes", "2", *flags])
    lines = capsys.readouterr().out.splitlines()
    number = r"\d+\.\d\d"
    one = rf"  1 x 1: {number} samples/s; 2 x 1 is {number} times as fast"
    assert re.fullmatch(one, lines[-2])
    assert re.fullmatch(rf"  2 x 1: {number} samples/s", lines[-1])


def test_it_measures_whole_runs_and_leaves_nothing(commands, project, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "COMMANDS", commands)
    monkeypatch.setattr(benchmark, "PLAIN_SIZES", {"blip": 96})
    outputs = Path(project) / "outputs"
    (outputs / "cache").mkdir(exist_ok=True)
    before = set(outputs.iterdir())
    flags = ["--models", "blip", "--num-workers", "0", "--device", "cpu", "--whole"]
    benchmark.main(["--project-root", project, *flags])
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("epoch ") for line in lines) == 5  # of the command
    assert lines[-4] == "blip, 0 workers, whole runs"
    assert re.fullmatch(r"  plain loop: \d+\.\d s", lines[-3])
    assert re.fullmatch(r"  command: \d+\.\d s", lines[-2])
    assert re.fullmatch(r"  the command is \d+\.\d\d times as fast", lines[-1])
    assert set(outputs.iterdir()) == before


@pytest.mark.parametrize("idle, share", [(True, 1.0), (False, 0.0)])
def test_the_share_in_which_a_card_waits_is_that_of_the_looks_at_it(monkeypatch, idle, share):
    monkeypatch.setattr(whole, "_LOOK_EVERY_SEC", 0)
    looked = threading.Event()
    with whole._watched(lambda: looked.set() or idle) as run:
        assert looked.wait(60)
    assert run.waiting == share


def test_the_ceiling_trains_on_the_batches_of_the_command(blip, monkeypatch):
    seen = []
    monkeypatch.setattr(command, "engine_rate", lambda work, groups: seen.append(list(groups)))
    command.command_rate(blip)
    command.ceiling_rate(blip)
    of_command, of_ceiling = seen
    sizes = [len(group) for group in of_command]
    assert sizes == [len(group) for group in of_ceiling] == [2, 2, 2]
    for one, other in zip(of_command, of_ceiling, strict=True):
        for batch, same in zip(one, other, strict=True):
            assert batch.keys() == same.keys()
            assert all(torch.equal(batch[key], same[key]) for key in batch)


def test_the_plain_loop_reads_the_same_samples_as_the_command(blip):
    """Order and micro-batches agree; its texts are padded to the longest, its photos are larger."""
    plain = list(plain_loop.plain_loader(blip, blip.schedule))
    groups = Prefetcher(blip.schedule, 0, False).train_groups(1)
    of_command = list(chain.from_iterable(groups))
    assert len(plain) == len(of_command) == 6
    longest = blip.prepared.datasets["train"].tokens.lengths.max()
    for batch, same in zip(plain, of_command, strict=True):
        width = same["input_ids"].shape[1]
        assert torch.equal(batch["labels"], same["labels"])
        assert torch.equal(batch["input_ids"][:, :width], same["input_ids"])
        assert torch.equal(batch["attention_mask"][:, :width], same["attention_mask"])
        assert (
            batch["input_ids"].shape == (8, longest)
            and batch["attention_mask"][:, width:].sum() == 0
        )
        assert (
            batch["pixel_values"].shape == (8, 3, 96, 96)
            and batch["pixel_values"].dtype == torch.float32
        )
        assert same["pixel_values"].shape == (8, 3, 64, 64)


def test_the_plain_model_computes_what_the_command_does(blip):
    """Same weights, same pixels: the same logits, and the loss that the engine takes a step on."""
    model = blip.prepared.build().eval()
    plain = plain_loop.plain_model(blip, 64).eval()
    plain.model.load_state_dict(model.state_dict())
    batch = blip.prepared.datasets["val"].batch(0, 0, np.arange(6))
    labels = batch.pop("labels")
    pixels = batch["pixel_values"] / 255
    pixels = (pixels - torch.tensor(blip.mean).view(3, 1, 1)) / torch.tensor(blip.std).view(3, 1, 1)
    with torch.no_grad():
        found = plain(**{**batch, "pixel_values": pixels}, labels=labels)
        logits = model(**batch)
    torch.testing.assert_close(found["logits"], logits, atol=1e-5, rtol=0)
    weight = blip.class_weights[labels].sum()
    loss = F.cross_entropy(logits, labels, weight=blip.class_weights, reduction="sum") / weight
    torch.testing.assert_close(found["loss"], loss)


def test_the_stopwatch_adds_up_what_it_wraps_and_leaves_nothing_behind():
    class Owner:
        def work(self, x: int) -> int:
            return x + 1

    clock, original = Stopwatch(torch.device("cpu")), Owner.work
    with clock.calls(Owner, "work", "named"):
        assert Owner().work(1) == 2 and Owner().work(x=2) == 3
    assert (
        Owner.work is original and list(clock.seconds) == ["named"] and clock.seconds["named"] > 0
    )
    assert list(clock.waits([None, 5], "wait")) == [None, 5] and clock.seconds["wait"] > 0


def test_a_split_too_small_for_two_steps_is_refused(commands, tmp_path_factory):
    import make_splits

    root = make_project(tmp_path_factory.mktemp("few"), pairs=30)
    make_splits.main(["--project-root", str(root)])
    parse, flags = commands["clip"]
    with pytest.raises(UserError, match="too few to measure"):
        Workload(parse([*flags, "--project-root", str(root)]), steps=2)


def test_trainer_is_used_with_a_release_that_fits_only(monkeypatch):
    for version, fits in {
        "0.20.3": False,
        "0.21.0": True,
        "0.29.3": True,
        "0.30.0": False,
        "1.2.0": False,
    }.items():
        monkeypatch.setattr("importlib.metadata.version", lambda name, version=version: version)
        assert hugging_face.trainer_works() == fits, version
