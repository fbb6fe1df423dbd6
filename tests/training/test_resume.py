"""A run that was stopped, at any moment and however often, ends as if it had not been."""

import csv
import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest
import torch
from common.errors import UserError
from common.models.fusion import FUSIONS
from common.runs import folder as runfolder
from common.runs.folder import RunFolder
from common.runs.layout import CHECKPOINT, METRICS_JSON
from common.training import run as training
from common.training.engine import Progress, Trainer
from helpers.hub import STAGE2
from helpers.signals import heed_ctrl_c
from helpers.small_project import (
    COMMANDS,
    arguments,
    assert_same_run,
    compare_dir,
    history,
    make_small_project,
    record,
    run_small,
)
from helpers.stops import PowerCut, cut_at, stop_at_step

KINDS = list(COMMANDS)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    return make_small_project(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def uninterrupted(project, hub) -> dict[str, Path]:
    return {
        kind: run_small(project, hub, kind, "--output-dir", f"outputs/whole_{kind}")
        for kind in KINDS
    }


def stop_in_the_second_epoch(project, hub, monkeypatch, *more: str) -> None:
    stop_at_step(6, project, hub, monkeypatch, *more)


@pytest.mark.parametrize("kind", KINDS)
def test_stops_in_the_middle_of_epochs_change_nothing(
    project, hub, uninterrupted, monkeypatch, capsys, kind: str
):
    """14 pairs in groups of 4 are 4 steps an epoch: stopped in the second epoch, then in the third, with workers."""
    more = ["--output-dir", f"outputs/cut_{kind}"]
    for step, workers in ((6, "0"), (5, "2")):
        with monkeypatch.context() as patch:
            cut_at(patch, Progress, "advance", step)
            with pytest.raises(PowerCut):
                run_small(project, hub, kind, *more, "--num-workers", workers)
        assert [path.name[-8:] for path in compare_dir(project, *more).iterdir()] == [".partial"]
    folder = run_small(project, hub, kind, *more)
    assert "going on after epoch 2 of 3" in capsys.readouterr().out
    assert_same_run(folder, uninterrupted[kind])


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_stop_changes_nothing_whatever_the_fusion(project, hub, monkeypatch, fusion: str):
    """With a frozen encoder, whose features are stored or, as tokens, read anew."""
    more = ["--fusion", fusion, "--freeze-encoders"]
    whole = run_small(project, hub, "clip", *more, "--output-dir", "outputs/whole_fusions")
    more += ["--output-dir", "outputs/cut_fusions"]
    stop_in_the_second_epoch(project, hub, monkeypatch, *more)
    assert_same_run(run_small(project, hub, "clip", *more), whole)


def test_a_stop_at_any_rename_changes_nothing(project, hub, uninterrupted, monkeypatch):
    """Every file that a run writes, and the two renames at its end: each in turn is the last thing that happens."""
    more = ["--output-dir", "outputs/renames"]
    place = compare_dir(project, *more)
    earlier = run_small(
        project, hub, "clip", *more
    )  # so that there is a finished run to be replaced
    cuts = 0
    for count in range(1, 40):
        with monkeypatch.context() as patch:
            cut_at(patch, runfolder.os, "replace", count)
            try:
                run_small(project, hub, "clip", *more)
            except PowerCut:
                cuts += 1
                from common.runs.reading import read_runs

                runs, _ = read_runs(place)
                assert [run.name for run in runs] == [
                    earlier.name
                ]  # the finished run can be read at every moment
            else:
                break
        assert_same_run(run_small(project, hub, "clip", *more), uninterrupted["clip"])
        assert [path.name for path in place.iterdir()] == [earlier.name]
    assert cuts >= 10


def test_a_finished_run_is_trained_anew_and_replaced_only_at_the_end(project, hub, monkeypatch):
    more = ["--output-dir", "outputs/again"]
    folder = run_small(project, hub, "clip", *more)
    before = record(folder)
    stop_in_the_second_epoch(project, hub, monkeypatch, *more, "--weight-decay", "0.5")
    assert record(folder) == before
    newer = run_small(project, hub, "clip", *more, "--weight-decay", "0.5")
    assert newer == folder and record(newer)["protocol"]["weight_decay"] == 0.5
    (earlier,) = (compare_dir(project, *more) / "earlier").iterdir()
    assert record(earlier) == before and earlier.name.endswith("_weight_decay-0.0001")


@pytest.mark.parametrize(
    "flag, value, says",
    [
        ("--weight-decay", "0.5", "weight_decay 0.0001, not 0.5"),
        ("--max-length", "10", "max_length 64, not 10"),
        ("--text-encoding", "gb18030", "text_encoding 'auto', not 'gb18030'"),
    ],
)
def test_another_choice_begins_anew_and_says_why(
    project, hub, monkeypatch, capsys, flag: str, value: str, says: str
):
    more = ["--output-dir", f"outputs/choice{flag}"]
    stop_in_the_second_epoch(project, hub, monkeypatch, *more)
    folder = run_small(project, hub, "clip", *more, flag, value)
    assert f"beginning anew: the unfinished run had {says}" in capsys.readouterr().out
    assert len(history(folder)) == 4


def test_restart_forgets_the_unfinished_run(project, hub, uninterrupted, monkeypatch, capsys):
    more = ["--output-dir", "outputs/restart"]
    stop_in_the_second_epoch(project, hub, monkeypatch, *more)
    folder = run_small(project, hub, "clip", *more, "--restart")
    assert "going on" not in capsys.readouterr().out
    assert_same_run(folder, uninterrupted["clip"])


def test_a_broken_checkpoint_is_named_and_the_run_begins_anew(
    project, hub, uninterrupted, monkeypatch, capsys
):
    more = ["--output-dir", "outputs/broken"]
    stop_in_the_second_epoch(project, hub, monkeypatch, *more)
    (checkpoint,) = compare_dir(project, *more).glob(f".*/{CHECKPOINT}")
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    assert_same_run(run_small(project, hub, "clip", *more), uninterrupted["clip"])
    assert "checkpoint.pt cannot be read" in capsys.readouterr().out


def test_a_checkpoint_holds_plain_types_only(project, hub, monkeypatch):
    more = ["--output-dir", "outputs/plain"]
    stop_in_the_second_epoch(project, hub, monkeypatch, *more)
    (path,) = compare_dir(project, *more).glob(f".*/{CHECKPOINT}")
    checkpoint = torch.load(path, weights_only=True)
    assert checkpoint["trainer"].keys() == {"model", "optimizer", "scaler", "step"}
    assert (
        checkpoint["fitted"]["history"][0]["epoch"] == 1
        and json.loads(checkpoint["identity"])["choices"]["seed"] == 42
    )


# Two processes


HOLD = """
import sys, time, torch
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from common.runs.folder import RunFolder
with RunFolder(Path(sys.argv[2]), "run") as folder:
    print("locked", flush=True)
    time.sleep(60)
"""


def holder(parent: Path) -> subprocess.Popen:
    command = [sys.executable, "-c", HOLD, str(STAGE2 / "scripts"), str(parent)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "locked\n"
    return process


def test_a_second_process_is_told_who_was_first(tmp_path):
    process = holder(tmp_path)
    try:
        says = f"being trained by process {process.pid} on .*, started {time.strftime('%Y-')}"
        with pytest.raises(UserError, match=says), RunFolder(tmp_path, "run"):
            pass
    finally:
        process.kill()
        process.wait()


def test_the_lock_of_a_killed_process_does_not_block(tmp_path):
    process = holder(tmp_path)
    process.kill()
    process.wait()
    with RunFolder(tmp_path, "run") as folder:
        assert (
            json.loads((folder.partial / "owner.json").read_text(encoding="utf-8"))["pid"]
            == os.getpid()
        )
    assert list(tmp_path.iterdir()) == []


# Files that are open elsewhere


def grown(parent: Path, seed: int) -> RunFolder:
    """A run folder that only waits for its name."""
    folder = RunFolder(parent, "run")
    with folder:
        folder.write_json(METRICS_JSON, {"protocol": {"seed": seed}, "model": {}})
        folder.write_tensors(CHECKPOINT, {})
    return folder


def seeds(parent: Path) -> dict[str, int]:
    """Return the seed of the run in each folder below ``parent``."""
    return {
        path.parent.relative_to(parent).as_posix(): record(path.parent)["protocol"]["seed"]
        for path in parent.rglob(METRICS_JSON)
    }


@contextmanager
def open_elsewhere(monkeypatch, folder: Path) -> Iterator[None]:
    """Windows moves no folder in which a file is open; other systems do."""
    real = os.replace

    def refuse(source, target):
        if Path(source) == folder:
            raise PermissionError(errno.EACCES, "Access is denied", str(source))
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(runfolder.os, "replace", refuse)
        yield


@pytest.mark.parametrize("held", ["run", ".run.partial"])
def test_a_run_whose_files_are_open_elsewhere_gets_its_name_when_they_are_closed(
    tmp_path, monkeypatch, held: str
):
    grown(tmp_path, 1).finish()
    newer = grown(tmp_path, 2)
    says = "Close the programs .* nothing is trained anew"
    with open_elsewhere(monkeypatch, tmp_path / held), pytest.raises(UserError, match=says):
        newer.finish()
    assert seeds(tmp_path) == {"run": 1, ".run.partial": 2}
    newer.finish()
    (earlier,) = (tmp_path / "earlier").iterdir()
    assert seeds(tmp_path) == {"run": 2, f"earlier/{earlier.name}": 1}


def test_a_checkpoint_that_is_open_elsewhere_at_the_end_goes_later(tmp_path, monkeypatch):
    finished = grown(tmp_path, 1)
    real = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.name == CHECKPOINT:
            raise PermissionError(errno.EACCES, "Access is denied", str(path))
        real(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        finished.finish()
    assert seeds(tmp_path) == {"run": 1} and (tmp_path / "run" / CHECKPOINT).exists()
    with RunFolder(tmp_path, "run"):
        assert not (tmp_path / "run" / CHECKPOINT).exists()


def test_an_earlier_run_whose_files_are_open_elsewhere_is_kept_and_moves_later(
    tmp_path, monkeypatch, capsys
):
    grown(tmp_path, 1).finish()
    with open_elsewhere(monkeypatch, tmp_path / ".run.old"):
        grown(tmp_path, 2).finish()
    assert "cannot move to" in capsys.readouterr().out
    assert seeds(tmp_path) == {"run": 2, ".run.old": 1}
    with RunFolder(tmp_path, "run"):
        (earlier,) = (tmp_path / "earlier").iterdir()
    assert seeds(tmp_path) == {"run": 2, f"earlier/{earlier.name}": 1}


# Out of memory and other faults


def out_of_memory_above(monkeypatch, most: int, after: int = 0) -> None:
    """From the ``after``-th micro-batch on, more than ``most`` samples do not fit."""
    real, calls = Trainer._backward, []

    def instead(self, batch, weight):
        calls.append(1)
        if len(calls) > after and len(batch["labels"]) > most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(self, batch, weight)

    monkeypatch.setattr(Trainer, "_backward", instead)


@pytest.mark.parametrize("after, epoch", [(2, 1), (6, 2)])
def test_out_of_memory_halves_the_micro_batch_and_keeps_the_result(
    project, hub, monkeypatch, capsys, after: int, epoch: int
):
    """For CLIP the result is that of a run with the smaller micro-batch, whichever step ran out."""
    smaller = run_small(
        project, hub, "clip", "--batch-size", "2", "--output-dir", f"outputs/smaller{after}"
    )
    with monkeypatch.context() as patch:
        out_of_memory_above(patch, 2, after)
        folder = run_small(project, hub, "clip", "--output-dir", f"outputs/oom{after}")
    assert (
        f"out of memory in epoch {epoch}: it starts again with 2 samples at once"
        in capsys.readouterr().out
    )
    assert record(folder)["out_of_memory"] == [{"epoch": epoch, "batch_size": 4}]
    assert record(folder)["model"]["batch_size"] == 2
    for one, other in zip(history(folder)[1:], history(smaller)[1:], strict=True):
        assert [float(x) for x in one] == pytest.approx([float(x) for x in other], abs=1e-5)


def test_out_of_memory_with_one_sample_says_what_helps(project, hub, monkeypatch):
    with monkeypatch.context() as patch:
        out_of_memory_above(patch, 0)
        with pytest.raises(UserError, match="epoch 1, even with one sample.*--max-length"):
            run_small(project, hub, "clip", "--output-dir", "outputs/never")
    assert not compare_dir(project, "--output-dir", "outputs/never").exists()


@pytest.mark.parametrize(
    "message, kind, says",
    [
        (
            "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling cublasSgemm",
            UserError,
            "CUDA_LAUNCH_BLOCKING=1.*--device cpu.*README",
        ),
        ("shapes do not match", RuntimeError, "shapes do not match"),
    ],
    ids=["a CUDA fault names three remedies", "an error in the code itself is not dressed up"],
)
def test_faults(project, hub, monkeypatch, message: str, kind: type, says: str):
    def fail(self, batch, weight):
        raise RuntimeError(message)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_backward", fail)
        with pytest.raises(kind, match=says):
            run_small(project, hub, "clip", "--output-dir", "outputs/fault")


# The disk


def test_too_little_room_is_said_before_the_first_step(project, hub, monkeypatch):
    usage = runfolder.shutil.disk_usage(project)
    with monkeypatch.context() as patch:
        patch.setattr(runfolder.shutil, "disk_usage", lambda path: usage._replace(free=100_000))
        patch.setattr(training, "fit", lambda *args: pytest.fail("it began"))
        with pytest.raises(UserError, match="MB free on this disk"):
            run_small(project, hub, "clip", "--output-dir", "outputs/room")


@pytest.mark.parametrize("name", ["checkpoint.pt", "best.pt", "history.csv", "metrics.json"])
def test_a_full_disk_is_said_and_the_run_goes_on_when_there_is_room(
    project, hub, uninterrupted, monkeypatch, name: str
):
    more = ["--output-dir", f"outputs/full_{name}"]
    real = runfolder.replacing

    @contextmanager
    def full(path: Path) -> Iterator[BinaryIO]:
        with real(path) as file:
            yield file
            if path.name == name:
                raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(runfolder, "replacing", full)
        with pytest.raises(
            UserError, match=f"{re.escape(name)}: .*No space left on device. Make room"
        ):
            run_small(project, hub, "clip", *more)
    assert_same_run(run_small(project, hub, "clip", *more), uninterrupted["clip"])


def test_the_best_weights_are_of_an_epoch_that_the_checkpoint_holds(project, hub, monkeypatch):
    """Else a stop between the two leaves weights of an epoch that may not end so again."""
    held, real = [], training._write_best

    def watched(prepared, folder, state):
        fitted = folder.read_checkpoint()["fitted"]
        held.append(fitted["best_epoch"] == len(fitted["history"]))
        real(prepared, folder, state)

    monkeypatch.setattr(training, "_write_best", watched)
    run_small(project, hub, "clip", "--output-dir", "outputs/order")
    assert held and all(held)


@pytest.mark.skipif(os.name == "nt", reason="there any failure means that another holds it")
def test_a_disk_without_locks_is_named_and_no_other_process(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with (
        pytest.raises(UserError, match="No locks available.*--output-dir"),
        RunFolder(tmp_path, "a"),
    ):
        pass


def test_a_folder_that_cannot_be_written_is_named(project, hub):
    (project / "outputs" / "a_file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="cannot write in .*a_file.*--output-dir"):
        run_small(project, hub, "clip", "--output-dir", "outputs/a_file/x")


# As the user meets it


def test_a_project_root_may_be_relative(project, hub, monkeypatch):
    monkeypatch.chdir(project.parent)
    run_small(Path(project.name), hub, "clip", "--epochs", "1", "--output-dir", "outputs/relative")


def start(project: Path, hub, kind: str, *more: str) -> subprocess.Popen:
    command = [
        sys.executable,
        str(STAGE2 / "scripts" / f"{COMMANDS[kind][0]}.py"),
        "--project-root",
        str(project),
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
    environment = {**os.environ, **hub.variables, "PYTHONUTF8": "1"}
    return subprocess.Popen(
        [*command, *arguments(hub, kind, *more)], env=environment, preexec_fn=heed_ctrl_c, **pipes
    )


def wait_for(process: subprocess.Popen, text: str) -> None:
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"{text!r} was not printed: {process.stderr.read()}")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send to one process")
def test_ctrl_c_keeps_the_finished_epochs_and_says_how_to_go_on(project, hub):
    more = ["--output-dir", "outputs/ctrl_c", "--epochs", "500", "--num-workers", "1"]
    process = start(project, hub, "clip", *more)
    wait_for(process, "epoch 2/500")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert errors.splitlines()[-1].startswith(
        "stopped: the epochs that were finished are kept: run the same command"
    )
    assert "Traceback" not in errors


def test_a_killed_run_goes_on_where_it_was(project, hub, uninterrupted):
    """A kill that nothing can catch, at three moments; tests/soak.py does it more often."""
    more = ["--output-dir", "outputs/killed"]
    for text in ("training and", "epoch 1/3", "epoch 2/3"):
        process = start(project, hub, "clip", *more)
        wait_for(process, text)
        process.kill()
        process.communicate()
    assert_same_run(run_small(project, hub, "clip", *more), uninterrupted["clip"])
    with open(
        compare_dir(project, *more) / uninterrupted["clip"].name / "history.csv", encoding="utf-8"
    ) as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3"]
