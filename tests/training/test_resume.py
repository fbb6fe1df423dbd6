"""A run that was stopped, at any moment and however often, ends as if it had not been."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from common.errors import UserError
from common.runs.layout import CHECKPOINT, METRICS_JSON
from common.runs.reading import load_runs
from common.training import resume, train
from common.training.engine import Progress, Trainer
from helpers.hub import CLIP, STAGE2
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


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    return make_small_project(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def whole(project, hub) -> Path:
    """The run of CLIP without any stop."""
    return run_small(project, hub, "clip", "--output-dir", "outputs/whole")


@pytest.fixture(scope="module")
def checkpoint(hub, tmp_path_factory) -> Path:
    """A checkpoint folder of this file's own, which a test may change."""
    return Path(shutil.copytree(hub.folder(CLIP), tmp_path_factory.mktemp("own") / "checkpoint"))


@pytest.fixture(scope="module")
def stopped(project, hub, checkpoint) -> Path:
    """A run that was stopped in the second epoch: 14 pairs in groups of 4 are 4 steps of each."""
    more = ("--output-dir", "outputs/stopped", "--model-name", str(checkpoint))
    with pytest.MonkeyPatch.context() as patch:
        stop_at_step(6, project, hub, patch, *more)
    return compare_dir(project, *more)


@pytest.fixture
def go_on(project, hub, checkpoint, stopped, request):
    """Return a function that goes on with a copy of the stopped run."""
    more = ("--output-dir", f"outputs/{request.node.name}", "--model-name", str(checkpoint))
    shutil.copytree(stopped, compare_dir(project, *more))
    return lambda *flags: run_small(project, hub, "clip", *more, *flags)


def unfinished(stopped: Path) -> Path:
    (path,) = stopped.glob(f".*/{CHECKPOINT}")
    return path


# Stops


@pytest.mark.parametrize("kind", COMMANDS)
def test_stops_in_the_middle_of_epochs_change_nothing(
    project, hub, whole, monkeypatch, capsys, kind: str
):
    """Stopped in the second epoch, then in the third, with workers."""
    expected = whole
    if kind != "clip":
        expected = run_small(project, hub, kind, "--output-dir", "outputs/whole")
    more = ["--output-dir", f"outputs/cut_{kind}"]
    for step, workers in ((6, "0"), (5, "2")):
        with monkeypatch.context() as patch:
            cut_at(patch, Progress, "advance", step)
            with pytest.raises(PowerCut):
                run_small(project, hub, kind, *more, "--num-workers", workers)
        assert [path.name[-8:] for path in compare_dir(project, *more).iterdir()] == [".partial"]
    folder = run_small(project, hub, kind, *more)
    assert "going on after epoch 2 of 3" in capsys.readouterr().out
    assert_same_run(folder, expected)


@pytest.mark.parametrize("fusion", ["late", "attention"])
def test_a_frozen_encoder_is_not_written_before_the_end(project, hub, monkeypatch, fusion: str):
    """Its features are stored, its tokens too; a stop in an epoch and one at the end."""
    more = ["--fusion", fusion, "--freeze-encoders", "--output-dir"]
    expected = run_small(project, hub, "clip", *more, "outputs/whole")
    stop_at_step(6, project, hub, monkeypatch, *more, "outputs/frozen")
    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        cut_at(patch, train, "_write_best", 1)
        run_small(project, hub, "clip", *more, "outputs/frozen")
    (partial,) = compare_dir(project, *more, "outputs/frozen").glob(f"*{fusion}*.partial")
    assert not (partial / "best.pt").exists()
    saved = torch.load(partial / CHECKPOINT, weights_only=True)
    assert saved["best_head"].keys() == saved["trainer"]["model"].keys()
    assert_same_run(run_small(project, hub, "clip", *more, "outputs/frozen"), expected)


def test_a_stop_at_any_rename_changes_nothing(project, hub, whole, monkeypatch):
    """Every file that a run writes, and the two renames at its end: each in turn is the last thing that happens."""
    more = ["--output-dir", "outputs/renames"]
    place = compare_dir(project, *more)
    earlier = run_small(project, hub, "clip", *more)  # so that there is a run to be replaced
    cuts = 0
    for count in range(1, 40):
        with monkeypatch.context() as patch:
            cut_at(patch, os, "replace", count)
            try:
                run_small(project, hub, "clip", *more)
            except PowerCut:
                cuts += 1
                # the finished run can be read at every moment
                assert [run.name for run in load_runs(place)] == [earlier.name]
            else:
                break
        assert_same_run(run_small(project, hub, "clip", *more), whole)
        assert [path.name for path in place.iterdir()] == [earlier.name]
    assert cuts >= 10


def test_the_best_weights_are_of_an_epoch_that_the_checkpoint_holds(project, hub, monkeypatch):
    """Else a stop between the two leaves weights of an epoch that may not end so again."""
    held, real = [], train._write_best

    def watched(run, folder, state):
        fitted = folder.read_checkpoint()["fitted"]
        held.append(fitted["best_epoch"] == len(fitted["history"]))
        real(run, folder, state)

    monkeypatch.setattr(train, "_write_best", watched)
    run_small(project, hub, "clip", "--output-dir", "outputs/order")
    assert held and all(held)


def start(project: Path, hub, *more: str) -> subprocess.Popen:
    script = STAGE2 / "scripts" / "compare_clip.py"
    command = [sys.executable, str(script), "--project-root", str(project)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
    environment = {**os.environ, **hub.variables, "PYTHONUTF8": "1"}
    return subprocess.Popen(
        [*command, *arguments(hub, "clip", *more)], env=environment, preexec_fn=heed_ctrl_c, **pipes
    )


def wait_for(process: subprocess.Popen, text: str) -> None:
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"{text!r} was not printed: {process.stderr.read()}")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send to one process")
def test_ctrl_c_keeps_the_finished_epochs_and_says_how_to_go_on(project, hub):
    more = ["--output-dir", "outputs/ctrl_c", "--epochs", "500", "--num-workers", "1"]
    process = start(project, hub, *more)
    wait_for(process, "epoch 2/500")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130 and "Traceback" not in errors
    says = "stopped: the epochs that were finished are kept: run the same command"
    assert errors.splitlines()[-1].startswith(says)


def test_a_killed_run_goes_on_where_it_was(project, hub, whole):
    """A kill that nothing can catch, at two moments; tests/soak.py does it more often."""
    more = ["--output-dir", "outputs/killed"]
    for text in ("training and", "epoch 2/3"):
        process = start(project, hub, *more)
        wait_for(process, text)
        process.kill()
        process.communicate()
    assert_same_run(run_small(project, hub, "clip", *more), whole)


# Other choices, other contents


@pytest.mark.parametrize(
    ("flag", "value", "says"),
    [
        ("--weight-decay", "0.5", "weight_decay 0.0001, not 0.5"),
        ("--text-encoding", "gb18030", "text_encoding 'auto', not 'gb18030'"),
    ],
)
def test_another_choice_begins_anew_and_says_why(go_on, capsys, flag: str, value: str, says: str):
    assert len(history(go_on(flag, value))) == 4
    said = capsys.readouterr().out
    assert f"beginning anew: the unfinished run had {says}" in said and "going on" not in said


def test_restart_forgets_the_unfinished_run(go_on, capsys):
    assert len(history(go_on("--restart"))) == 4
    assert "going on" not in capsys.readouterr().out


@pytest.mark.parametrize("fault", ["cut off", "of an earlier version"])
def test_a_checkpoint_that_cannot_be_used_is_named_and_the_run_begins_anew(
    go_on, stopped, project, request, capsys, fault: str
):
    path = unfinished(compare_dir(project, "--output-dir", f"outputs/{request.node.name}"))
    if fault == "cut off":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        content = torch.load(path, weights_only=True)
        agreed = {"choices": content.pop("choices"), "contents": content.pop("contents")}
        torch.save({**content, "identity": json.dumps(agreed)}, path)
    assert len(history(go_on())) == 4
    said = capsys.readouterr().out
    assert "going on" not in said
    assert ("checkpoint.pt cannot be read" if fault == "cut off" else fault) in said


def test_a_checkpoint_holds_plain_types_only(stopped):
    content = torch.load(unfinished(stopped), weights_only=True)
    assert content["trainer"].keys() == {"model", "optimizer", "scaler", "step"}
    assert content["fitted"]["history"][0]["epoch"] == 1 and content["choices"]["seed"] == 42


def edited(path: Path, change) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def other_weights(checkpoint: Path) -> None:
    (path,) = checkpoint.glob("*.bin")
    state = torch.load(path, weights_only=True)
    state["text_projection.weight"] += 1
    torch.save(state, path)


def other_tokens(checkpoint: Path) -> None:
    def exchange(tokenizer: dict) -> None:
        words = tokenizer["model"]["vocab"]
        words["a</w>"], words["b</w>"] = words["b</w>"], words["a</w>"]

    edited(checkpoint / "tokenizer.json", exchange)


def other_pixels(checkpoint: Path) -> None:
    mean = {"image_mean": [0.1, 0.2, 0.3]}
    edited(checkpoint / "preprocessor_config.json", lambda settings: settings.update(mean))


def other_configuration(checkpoint: Path) -> None:
    epsilon = {"layer_norm_eps": 0.1}
    edited(checkpoint / "config.json", lambda config: config["text_config"].update(epsilon))


CHANGES = {
    other_weights: "the weights of the checkpoint",
    other_tokens: "tokenizer",
    other_pixels: "mean and standard deviation of the pixels",
    other_configuration: "the configuration of the checkpoint",
}


def test_what_changed_beneath_an_unfinished_run_is_named_and_the_run_kept(
    go_on, whole, project, checkpoint, monkeypatch
):
    before = {path: path.read_bytes() for path in checkpoint.iterdir()}
    for change, says in CHANGES.items():
        change(checkpoint)
        with pytest.raises(UserError, match=f"{says}.*--restart"):
            go_on()
        for path, content in before.items():
            path.write_bytes(content)
    pairs = project / "outputs" / "splits" / "train.csv"
    text = pairs.read_text(encoding="utf-8")
    pairs.write_text(text.replace("很高兴", "高兴"), encoding="utf-8")
    with pytest.raises(UserError, match="the training pairs.*--restart"):
        go_on()
    pairs.write_text(text, encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(resume, "code_sha256", lambda: "another")
        with pytest.raises(UserError, match="the code of this program.*--restart"):
            go_on()
    went_on = go_on()  # with all as it was
    assert history(went_on) == history(whole)
    saved = [torch.load(folder / "best.pt", weights_only=True) for folder in (went_on, whole)]
    for name, value in saved[0]["model_state"].items():
        assert torch.equal(value, saved[1]["model_state"][name])


def test_the_hash_of_the_code_heeds_what_decides_results_and_no_words(tmp_path):
    common = Path(shutil.copytree(resume.COMMON, tmp_path / "common"))

    def changed(name: str, old: str, new: str) -> bool:
        path = common / name
        code = path.read_bytes()
        assert old.encode() in code
        path.write_bytes(code.replace(old.encode(), new.encode()))
        resume.code_sha256.cache_clear()
        found = resume.code_sha256(common)
        path.write_bytes(code)
        return found != resume.code_sha256()

    assert not changed("models/fusion.py", "\n", "\r\n")
    assert not changed("seeding.py", '"""Return a 63-bit seed', '"""Give a 63-bit seed')
    assert not changed("seeding.py", "\n\n\n", "\n\n# a comment\n")
    assert not changed("runs/layout.py", '"best.pt"', '"other.pt"')
    assert changed("models/fusion.py", "DROPOUT = 0.", "DROPOUT = 1.")
    assert changed("training/engine.py", "adamw", "adamx")


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


@pytest.mark.parametrize(("after", "epoch"), [(2, 1), (6, 2)])
def test_out_of_memory_halves_the_micro_batch_and_keeps_the_result(
    project, hub, whole, monkeypatch, capsys, after: int, epoch: int
):
    with monkeypatch.context() as patch:
        out_of_memory_above(patch, 2, after)
        folder = run_small(project, hub, "clip", "--output-dir", f"outputs/oom{after}")
    says = f"out of memory in epoch {epoch}: it starts again with 2 samples at once"
    assert says in capsys.readouterr().out
    assert record(folder)["out_of_memory"] == [{"epoch": epoch, "batch_size": 4}]
    assert record(folder)["model"]["batch_size"] == 2
    for one, other in zip(history(folder)[1:], history(whole)[1:], strict=True):
        assert [float(x) for x in one] == pytest.approx([float(x) for x in other], abs=1e-5)


@pytest.mark.parametrize(
    ("message", "kind", "says"),
    [
        ("out of memory", UserError, "epoch 1, even with one sample.*--max-length"),
        ("CUBLAS_STATUS_EXECUTION_FAILED", UserError, "CUDA_LAUNCH_BLOCKING=1.*--device cpu"),
        ("shapes do not match", RuntimeError, "shapes do not match"),  # not dressed up
    ],
)
def test_faults_of_the_device_say_what_helps(
    project, hub, monkeypatch, message: str, kind: type, says: str
):
    def fail(self, batch, weight):
        raise RuntimeError(message)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_backward", fail)
        with pytest.raises(kind, match=says):
            run_small(project, hub, "clip", "--output-dir", "outputs/fault")
    assert not compare_dir(project, "--output-dir", "outputs/fault").exists()


# The disk


def test_too_little_room_is_said_before_the_first_step(project, hub, monkeypatch):
    usage = shutil.disk_usage(project)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100_000))
        patch.setattr(train, "fit", lambda *args: pytest.fail("it began"))
        with pytest.raises(UserError, match="MB free on this disk"):
            run_small(project, hub, "clip", "--output-dir", "outputs/room")


@pytest.mark.parametrize("name", [CHECKPOINT, "best.pt", METRICS_JSON])
def test_a_full_disk_is_said_and_the_run_goes_on_when_there_is_room(
    project, hub, whole, monkeypatch, name: str
):
    more, real = ["--output-dir", f"outputs/full_{name}"], os.replace

    def full(source, target):
        if Path(target).name == name:
            raise OSError(28, "No space left on device")
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        says = f"{re.escape(name)}: .*No space left on device. Make room"
        with pytest.raises(UserError, match=says):
            run_small(project, hub, "clip", *more)
    assert_same_run(run_small(project, hub, "clip", *more), whole)


def test_a_folder_that_cannot_be_written_is_named(project, hub):
    (project / "outputs" / "a_file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="cannot write in .*a_file.*--output-dir"):
        run_small(project, hub, "clip", "--output-dir", "outputs/a_file/x")


def test_a_project_root_may_be_relative(project, hub, monkeypatch):
    monkeypatch.chdir(project.parent)
    run_small(Path(project.name), hub, "clip", "--epochs", "1", "--output-dir", "outputs/relative")
