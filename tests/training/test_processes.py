"""Several processes learn what one process learns, and end together."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import predict
import pytest
import torch
from common.data.batches import BatchSchedule, Share
from common.errors import UserError
from common.training import device, processes
from common.training.device import device_of_process
from common.training.processes import ALONE, Processes, buckets, joined
from helpers.hub import STAGE2
from helpers.small_project import (
    COMMANDS,
    arguments,
    assert_same_run,
    compare_dir,
    make_small_project,
    record,
    run_small,
)
from helpers.stops import stop_at_step
from helpers.torchrun import torchrun

# Odd on purpose: the last of four steps has 13 samples.
TRAIN, VAL = 61, 17
STEP = ("--effective-batch-size", "16", "--batch-size", "16")

# Join and leave a process group again and again; no thread gets Python's lock unless it is offered.
LEAVER = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
import torch.distributed as dist
from common.training.processes import _disconnect
sys.setswitchinterval(1000)
for _ in range(200):
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    for _ in range(3):
        dist.all_reduce(torch.ones(3))
    _disconnect()
"""

needs_torchrun = pytest.mark.skipif(sys.platform == "win32", reason="torchrun does not work there")


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    return make_small_project(tmp_path_factory.mktemp("small"), TRAIN, VAL)


def run_shared(project: Path, hub, kind: str, *more: str, count: int = 2, **fault) -> tuple:
    """Train in several processes; return the run folder and what ``torchrun`` returns."""
    flags = ["--project-root", str(project), *arguments(hub, kind, *more)]
    module = COMMANDS[kind][0]
    told = torchrun(count, module, flags, **fault)
    return compare_dir(project, *more) / __import__(module).parse(flags).name, *told


@pytest.fixture(scope="module")
def alone(project, hub) -> dict[str, Path]:
    """The runs of one process."""
    place = ("--output-dir", "outputs/alone", *STEP)
    return {kind: run_small(project, hub, kind, *place) for kind in ("clip", "blip")}


@pytest.fixture(scope="module")
def shared(project, hub) -> dict[str, Path]:
    """The runs of two processes."""
    found = {}
    for kind in ("clip", "blip"):
        place = ("--output-dir", "outputs/shared", *STEP)
        found[kind], status, _, complaints = run_shared(project, hub, kind, *place)
        assert (status, complaints) == (0, [])
    return found


def assert_nearly_same_run(one: Path, other: Path) -> None:
    """Losses and metrics of each epoch within 1e-4, the same predictions."""
    histories = [pd.read_csv(folder / "history.csv") for folder in (one, other)]
    columns = [name for name in histories[0] if "sec" not in name]
    assert len(histories[0]) == 3
    np.testing.assert_allclose(histories[0][columns], histories[1][columns], rtol=0, atol=1e-4)
    for name in ("predictions.csv", "epoch_predictions.csv"):
        tables = [pd.read_csv(folder / name) for folder in (one, other)]
        columns = [column for column in tables[0] if not column.startswith("p_")]
        assert "label" in columns and tables[0][columns].equals(tables[1][columns])


@needs_torchrun
@pytest.mark.parametrize("kind", ["clip", "blip"])
def test_two_processes_learn_what_one_learns(alone, shared, kind: str):
    assert_nearly_same_run(alone[kind], shared[kind])
    first, second = record(alone[kind]), record(shared[kind])
    assert (first["processes"], second["processes"]) == (1, 2)
    assert (first["model"]["batch_size"], second["model"]["batch_size"]) == (16, 8)


@needs_torchrun
def test_after_a_killed_process_the_run_goes_on_with_any_number(project, hub, alone, shared):
    place = ("--output-dir", "outputs/killed", *STEP)
    _, status, printed, complaints = run_shared(
        project, hub, "clip", *place, fault=("killed", "1", "6")
    )
    assert status and "epoch 1/3" in printed and "epoch 2/3" not in printed
    (complaint,) = complaints
    assert "another process of this run has ended" in complaint
    assert "run the same command again to go on" in complaint

    shutil.copytree(project / "outputs" / "killed", project / "outputs" / "copy")
    by_two, status, printed, _ = run_shared(project, hub, "clip", *place)
    assert status == 0 and "going on after epoch 1 of 3" in printed
    assert_same_run(shared["clip"], by_two)
    by_one = run_small(project, hub, "clip", "--output-dir", "outputs/copy", *STEP)
    assert_nearly_same_run(alone["clip"], by_one)


@needs_torchrun
def test_two_processes_go_on_and_halve_the_batch_together(project, hub, alone, monkeypatch):
    """One process began. Then memory runs out in the second of two: both start the epoch again."""
    place = ("--output-dir", "outputs/begun", *STEP)
    stop_at_step(6, project, hub, monkeypatch, *place)
    folder, status, printed, _ = run_shared(
        project, hub, "clip", *place, fault=("memory", "1", "2")
    )
    assert status == 0 and "going on after epoch 1 of 3" in printed
    assert printed.count("out of memory in epoch 2: it starts again with 4 samples at once") == 1
    assert record(folder)["out_of_memory"] == [{"epoch": 2, "batch_size": 8}]
    assert_nearly_same_run(alone["clip"], folder)


@needs_torchrun
def test_what_fails_in_one_process_is_said_once(project, hub):
    place = ("--output-dir", "outputs/failed", *STEP)
    _, status, printed, complaints = run_shared(
        project, hub, "clip", *place, fault=("file", "1", "1")
    )
    assert status and complaints == ["error: the file is gone"] and "epoch 1" not in printed
    assert not (project / "outputs" / "failed").exists()


@needs_torchrun
@pytest.mark.parametrize("flags", [("--train-csv", "absent.csv"), ("--fusion", "image", "--probe")])
def test_what_all_processes_find_is_said_once(project, hub, flags: tuple[str, ...]):
    _, status, printed, complaints = run_shared(project, hub, "clip", *flags)
    assert status and len(complaints) == 1 and flags[-1] in complaints[0] and not printed


@needs_torchrun
def test_a_head_that_learns_alone_and_uneven_shares(project, hub):
    """Three processes: 6, 5 and 5 samples of a step, and 5, 4 and 4 of the last."""
    frozen = (*STEP, "--freeze-encoders")
    one = run_small(project, hub, "clip", "--output-dir", "outputs/alone", *frozen)
    place = ("--output-dir", "outputs/shared", *frozen)
    three, status, printed, _ = run_shared(project, hub, "clip", *place, count=3)
    assert status == 0 and "batches of 6 are used" in printed
    assert_nearly_same_run(one, three)


@needs_torchrun
def test_leaving_the_group_does_not_wait_for_a_thread_that_waits_for_python():
    command = [sys.executable, "-c", LEAVER, str(STAGE2 / "scripts")]
    assert subprocess.run(command, timeout=120).returncode == 0


@needs_torchrun
def test_the_saved_batchnorm_statistics_are_those_that_were_measured(tmp_path, hub):
    project = make_small_project(tmp_path)
    folder, status, printed, _ = run_shared(project, hub, "bert")
    assert status == 0 and printed.count("BatchNorm") == 1
    answers = tmp_path / "answers.csv"
    pairs = ["--csv", "outputs/splits/val.csv", "--output", str(answers), "--probs"]
    predict.main(["--project-root", str(project), "--run", str(folder), *pairs])
    found, stored = pd.read_csv(answers), pd.read_csv(folder / "predictions.csv")
    columns = [name for name in stored if name.startswith("p_")]
    np.testing.assert_allclose(found[columns], stored[columns], atol=1e-5)


class Numbered:
    """A dataset of which only the size and the order by length matter here."""

    def __init__(self, count: int):
        self.by_length = np.random.default_rng(count).permutation(count)

    def __len__(self) -> int:
        return len(self.by_length)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
@pytest.mark.parametrize(("micro", "effective"), [(1, 7), (2, 8), (3, 8), (5, 16), (16, 16)])
def test_every_pair_belongs_to_one_process(count: int, micro: int, effective: int):
    plans = [
        BatchSchedule(
            Numbered(TRAIN), Numbered(VAL), 42, range(1, 2), micro, effective, (4, 256),
            Share(rank, count),
        )
        for rank in range(count)
    ]  # fmt: skip
    whole = BatchSchedule(
        Numbered(TRAIN), Numbered(VAL), 42, range(1, 2), effective, effective, (4, 256)
    )
    steps = zip(whole.groups(1), *(plan.groups(1) for plan in plans), strict=True)
    for (samples,), *parts in steps:
        shares = [np.concatenate(part) for part in parts]
        assert sorted(np.concatenate(shares)) == sorted(samples)
        sizes = [len(share) for share in shares]
        assert max(sizes) - min(sizes) <= 1
        assert len({len(part) for part in parts}) == 1  # as many micro-batches in each
        assert max(len(batch) for part in parts for batch in part) <= micro
    measured = np.concatenate([np.concatenate(plan.val_batches()) for plan in plans])
    assert sorted(measured) == list(range(VAL))


def test_buckets_keep_the_order_and_the_limit(monkeypatch):
    monkeypatch.setattr(processes, "BUCKET_BYTES", 12)
    sizes = [1, 2, 1, 5, 3]  # times four bytes
    found = list(buckets([torch.zeros(size) for size in sizes]))
    assert [[len(tensor) for tensor in bucket] for bucket in found] == [[1, 2], [1], [5], [3]]


def test_one_process_exchanges_nothing():
    layer = torch.nn.Linear(1, 1)
    ALONE.sum_gradients(list(layer.parameters()), torch.ones(()))
    assert layer.weight.grad is None
    assert ALONE.totals(1.5, 2) == [1.5, 2] and ALONE.from_first(lambda: 3) == 3
    with joined("cpu") as found:
        assert found is ALONE
    assert ALONE.share == Share() and Processes().first


@pytest.mark.parametrize(
    ("wanted", "rank", "cards", "found"),
    [
        ("auto", 1, 2, "cuda:1"),
        ("cuda", 0, 1, "cuda:0"),
        ("cpu", 3, 2, "cpu"),
        ("auto", 3, 0, "cpu"),
    ],
)
def test_each_process_takes_a_card_of_its_own(monkeypatch, wanted, rank, cards, found):
    monkeypatch.setattr(device.torch.cuda, "is_available", lambda: cards > 0)
    monkeypatch.setattr(device.torch.cuda, "device_count", lambda: cards)
    assert device_of_process(wanted, rank) == found


def test_too_few_cards_or_one_for_all_are_refused(monkeypatch):
    monkeypatch.setattr(device.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(device.torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match=r"CUDA cards \(2\): lower --nproc-per-node"):
        device_of_process("auto", 2)
    with pytest.raises(UserError, match="--device cuda:1: .*each process"):
        device_of_process("cuda:1", 0)


def test_windows_is_sent_to_compare_all(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setattr(processes.os, "name", "nt")
    with pytest.raises(UserError, match="compare_all.py --devices"), joined("auto"):
        pass
