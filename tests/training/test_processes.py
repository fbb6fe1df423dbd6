"""Several processes learn what one process learns, and end together."""

import re
import shutil
import sys
from itertools import chain, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from common.data.batches import BatchSchedule
from common.errors import UserError
from common.training import processes
from common.training.processes import ALONE, joined
from helpers.small_project import (
    COMMANDS,
    arguments,
    assert_near_run,
    compare_dir,
    make_small_project,
    record,
    run_small,
)
from helpers.torchrun import torchrun

# On purpose: the last of four steps has one sample, so that other processes have none.
TRAIN, VAL = 49, 17
STEP = ("--effective-batch-size", "16", "--batch-size", "16")

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


@needs_torchrun
def test_what_three_processes_began_two_go_on_with_and_one_ends_is_what_one_learns(project, hub):
    """Three processes, until one is killed: 6, 5 and 5 samples of a step, and 1, 0 and 0 of the
    last. Two, until memory runs out. BLIP is the model that asks most of a group of processes."""
    alone = run_small(project, hub, "blip", "--output-dir", "outputs/alone", *STEP)
    fault = ("killed", "1", "6")  # in the second epoch
    _, status, printed, (complaint,) = run_shared(project, hub, "blip", *STEP, count=3, fault=fault)
    assert status and printed.count("epoch 1/3") == 1 and "epoch 2/3" not in printed
    assert "batches of 6 are used" in printed
    assert re.search("another process .* ended", complaint)
    assert "run the same command again to go on" in complaint

    fault = ("memory", "1", "6")  # in the third
    _, status, printed, (complaint,) = run_shared(project, hub, "blip", *STEP, fault=fault)
    assert status and "going on after epoch 1 of 3" in printed
    assert printed.count("epoch 2/3") == 1 and "epoch 3/3" not in printed
    assert re.match("error: out of memory .*What helps: a smaller --batch-size", complaint)
    assert_near_run(alone, run_small(project, hub, "blip", *STEP), 1e-4)


@needs_torchrun
def test_a_head_learns_alone_also_where_a_process_has_no_sample(project, hub):
    frozen = (*STEP, "--freeze-encoders", "--fusion", "attention")
    alone = run_small(project, hub, "clip", "--output-dir", "outputs/alone", *frozen)
    shared, status, _, complaints = run_shared(project, hub, "clip", *frozen)
    assert (status, complaints) == (0, [])
    assert_near_run(alone, shared, 1e-4)
    assert [record(folder)["processes"] for folder in (alone, shared)] == [1, 2]
    assert [record(folder)["model"]["batch_size"] for folder in (alone, shared)] == [16, 8]


@needs_torchrun
def test_processes_add_a_test_list_to_a_finished_run_without_training(tmp_path, hub):
    project = make_small_project(tmp_path)
    splits = project / "outputs" / "splits"
    folder = run_small(project, hub, "clip", "--epochs", "1")
    shutil.copy(splits / "val.csv", splits / "test.csv")
    again, status, printed, complaints = run_shared(project, hub, "clip", "--epochs", "1")
    assert (again, status, complaints) == (folder, 0, [])
    assert "nothing is trained" in printed and "epoch 1/1" not in printed
    assert (folder / "test_predictions.csv").is_file()


@needs_torchrun
def test_the_saved_batchnorm_statistics_are_those_that_were_measured(tmp_path, hub):
    """The same pairs as a test list, which the first process alone reads in the end."""
    project = make_small_project(tmp_path)
    splits = project / "outputs" / "splits"
    shutil.copy(splits / "val.csv", splits / "test.csv")
    flags = ("--epochs", "1", "--image-size", "64")
    folder, status, printed, _ = run_shared(project, hub, "bert", *flags)
    assert status == 0 and printed.count("BatchNorm") == 1
    names = ("predictions.csv", "test_predictions.csv")
    stored, found = (pd.read_csv(folder / name) for name in names)
    columns = [name for name in stored if name.startswith("p_")]
    np.testing.assert_allclose(found[columns], stored[columns], atol=1e-5)


class Numbered:
    """A dataset of which only the size and the order by length matter here."""

    def __init__(self, count: int):
        self.by_length = np.random.default_rng(count).permutation(count)

    def __len__(self) -> int:
        return len(self.by_length)


def test_every_pair_belongs_to_one_process_in_an_order_of_the_epoch():
    def plan(size: int, effective: int, *share: int) -> BatchSchedule:
        data = Numbered(TRAIN), Numbered(VAL)
        return BatchSchedule(*data, 42, range(1, 2), size, effective, (4, 256), *share)

    sizes = [(1, 7), (2, 8), (3, 8), (5, 16), (16, 16)]
    for count, (micro, effective) in product((1, 2, 3, 4, 7), sizes):
        plans = [plan(micro, effective, rank, count) for rank in range(count)]
        whole = plan(effective, effective).groups(1)
        for (samples,), *parts in zip(whole, *(each.groups(1) for each in plans), strict=True):
            shares = [np.concatenate(part) for part in parts]
            assert sorted(np.concatenate(shares)) == sorted(samples)
            lengths = [len(share) for share in shares]
            assert max(lengths) - min(lengths) <= 1
            assert len({len(part) for part in parts}) == 1  # as many micro-batches in each
            assert max(len(batch) for part in parts for batch in part) <= micro
        measured = np.concatenate([np.concatenate(each.val_batches()) for each in plans])
        assert sorted(measured) == list(range(VAL))
    orders = [np.concatenate([*chain(*plan(5, 16).groups(epoch))]) for epoch in (1, 2)]
    assert sorted(orders[0]) == list(range(TRAIN)) and not np.array_equal(*orders)


def test_without_torchrun_one_process_is_alone():
    with joined("cpu") as found:
        assert found is ALONE and found.first
    assert found.totals(1.5, 2) == [1.5, 2] and found.from_first(lambda: 3) == 3


def test_windows_is_sent_to_compare_all(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setattr(processes.os, "name", "nt")
    with pytest.raises(UserError, match="compare_all.py --devices"), joined("auto"):
        pass
