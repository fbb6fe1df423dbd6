"""A run that was stopped, at any moment and however often, ends as if it had not been."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
import torch
from common.errors import UserError
from common.runs.layout import BEST, CHECKPOINT, METRICS_JSON
from common.runs.reading import load_runs
from common.runs.weights import read_best
from common.training import engine, resume, train
from common.training.engine import Trainer
from helpers.hub import CLIP
from helpers.small_project import (
    COMMANDS,
    assert_same_run,
    change_weights,
    compare_dir,
    history,
    record,
    run_small,
)
from helpers.stops import PowerCut, cut_at, stop_at_step

# What depends on the number of the step or epoch, too.
COSINE = ["--schedule", "cosine", "--warmup-ratio", "0.3", "--clip-norm", "0.5"]
TUNED = [*COSINE, "--modality-dropout", "0.3", "--output-dir"]


@pytest.fixture(scope="module")
def checkpoint(hub, tmp_path_factory) -> Path:
    """A checkpoint folder of this file's own, which a test may change."""
    return Path(shutil.copytree(hub.folder(CLIP), tmp_path_factory.mktemp("own") / "checkpoint"))


@pytest.fixture(scope="module")
def whole(project, hub) -> Path:
    """The run of CLIP without any stop."""
    return run_small(project, hub, "clip", *TUNED, "outputs/whole")


@pytest.fixture(scope="module")
def stopped(project, hub, checkpoint) -> Path:
    """A run that was stopped in the second epoch: 14 pairs in groups of 4 are 4 steps of each."""
    more = [*TUNED, "outputs/stopped", "--model-name", str(checkpoint)]
    with pytest.MonkeyPatch.context() as patch:
        stop_at_step(6, project, hub, patch, *more)
    return compare_dir(project, *more)


@pytest.fixture
def go_on(project, hub, checkpoint, stopped, tmp_path):
    """Return a function that goes on with a copy of the stopped run; the copy is ``go_on.folder``."""
    place = tmp_path / "copy"
    shutil.copytree(stopped, place)

    def run(*flags: str) -> Path:
        more = [*TUNED, str(place), "--model-name", str(checkpoint)]
        return run_small(project, hub, "clip", *more, *flags)

    run.folder = place
    return run


def unfinished(place: Path) -> Path:
    (path,) = place.glob(f".*/{CHECKPOINT}")
    return path


# Stops


@pytest.mark.parametrize("kind", COMMANDS)
def test_stops_in_the_middle_of_epochs_change_nothing(
    project, hub, whole, monkeypatch, capsys, kind: str
):
    """Stopped in the second epoch, then in the third, with workers."""
    more, expected = [*TUNED, f"outputs/cut_{kind}"], whole
    if kind != "clip":
        expected = run_small(project, hub, kind, *TUNED, "outputs/whole")
    for step, workers in ((6, "0"), (5, "2")):
        with monkeypatch.context() as patch, pytest.raises(PowerCut):
            cut_at(patch, Trainer, "_take_step", step)
            run_small(project, hub, kind, *more, "--num-workers", workers)
        assert [path.name[-8:] for path in compare_dir(project, *more).iterdir()] == [".partial"]
    folder = run_small(project, hub, kind, *more)
    assert "going on after epoch 2 of 3" in capsys.readouterr().out
    assert_same_run(folder, expected)
    names = ("schedule", "warmup_ratio", "clip_norm", "epochs", "patience")
    protocol = record(folder)["protocol"]
    assert [protocol[name] for name in names] == ["cosine", 0.3, 0.5, 3, 0]


def test_a_stop_at_any_rename_changes_nothing(project, hub, monkeypatch):
    """Every file that a run writes, and the two renames at its end: each in turn is the last thing
    that happens."""
    more = ["--freeze-encoders", "--epochs", "2", "--output-dir"]
    whole = run_small(project, hub, "clip", *more, "outputs/once")
    earlier = run_small(project, hub, "clip", *more, "outputs/renames")  # is to be replaced
    cuts = 0
    for count in range(1, 40):
        with monkeypatch.context() as patch:
            cut_at(patch, os, "replace", count)
            try:
                run_small(project, hub, "clip", *more, "outputs/renames")
            except PowerCut:
                cuts += 1
                # the finished run can be read at every moment
                assert [run.name for run in load_runs(earlier.parent)] == [earlier.name]
            else:
                break
        assert_same_run(run_small(project, hub, "clip", *more, "outputs/renames"), whole)
        assert {path.name for path in earlier.parent.iterdir()} == {earlier.name, "encoders"}
    assert cuts >= 10


@pytest.mark.parametrize("fusion", ["concat", "attention"])
def test_a_head_without_its_features_and_a_stop_before_the_best_weights(
    project, hub, monkeypatch, fusion
):
    """What the frozen encoder made of the pairs is lost in the first stop."""
    more = ["--fusion", fusion, "--freeze-encoders", "--output-dir"]
    expected = run_small(project, hub, "clip", *more, "outputs/whole")
    stop_at_step(6, project, hub, monkeypatch, *more, "outputs/frozen")
    features = list((project / "outputs" / "cache").glob("features_*.npy"))
    assert features
    for path in features:
        path.unlink()
    place = compare_dir(project, *more, "outputs/frozen")
    encoder = torch.load(unfinished(place), weights_only=True)["trainer"]["model"].keys()
    assert not any(name.startswith("encoder.") for name in encoder)  # only its head is written
    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        cut_at(patch, train, "write_run", 1)
        run_small(project, hub, "clip", *more, "outputs/frozen")
    assert {*features} & {*(project / "outputs" / "cache").iterdir()}  # made again
    unfinished(place).with_name(BEST).unlink()
    assert_same_run(run_small(project, hub, "clip", *more, "outputs/frozen"), expected)


def test_a_run_ends_where_patience_does_also_after_a_stop(project, hub, monkeypatch, capsys):
    still = ["--epochs", "9", "--patience", "2", "--lr", "1e-9", "--output-dir"]  # F1 never changes
    whole = run_small(project, hub, "clip", *still, "outputs/still")
    said = "stopped after epoch 3 of 9: macro-F1 was best at epoch 1 (--patience 2)"
    assert said in capsys.readouterr().out
    found = record(whole)
    assert (len(history(whole)), found["epochs_run"], found["protocol"]["epochs"]) == (4, 3, 9)
    stop_at_step(5, project, hub, monkeypatch, *still, "outputs/stood")
    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        cut_at(patch, train, "write_run", 1)
        run_small(project, hub, "clip", *still, "outputs/stood")
    folder = run_small(project, hub, "clip", *still, "outputs/stood")
    printed = capsys.readouterr().out
    assert "epoch 4/9" not in printed and printed.count(said) == 2
    assert_same_run(folder, whole)


def test_the_epoch_that_is_asked_for_is_kept_and_nothing_is_chosen(project, hub, monkeypatch):
    """After a stop; it is worse than the one before, and the schedule is that of all epochs."""
    frozen = ["--freeze-encoders", "--epochs", "4", *COSINE, "--output-dir"]
    whole = run_small(project, hub, "clip", *frozen, "outputs/all")
    kept = [*frozen, "outputs/kept", "--keep-epoch", "3"]
    stop_at_step(6, project, hub, monkeypatch, *kept)
    folder = run_small(project, hub, "clip", *kept)
    assert history(folder) == history(whole)[:4]
    assert [record(each)["best_epoch"] for each in (whole, folder)] == [2, 3]
    best = [read_best(each)["model_state"] for each in (folder, whole)]
    assert any(not torch.equal(value, best[1][key]) for key, value in best[0].items())
    (run,) = load_runs(folder.parent)
    assert run.best["epoch"] == 3 and run.epochs is None and len(run.shares) == 1
    for more in (["--keep-epoch", "5"], ["--patience", "2"]):
        with pytest.raises(UserError, match="--keep-epoch"):
            run_small(project, hub, "clip", *kept, *more)


def test_answers_that_are_not_finite_end_the_run_and_keep_the_last_finite_epoch(
    project, hub, whole, monkeypatch
):
    more, real, calls = [*TUNED, "outputs/nan"], engine.evaluate, []

    def evaluate(*args):
        calls.append(1)
        return real(*args) * (float("nan") if len(calls) == 2 else 1)

    with monkeypatch.context() as patch:
        patch.setattr(engine, "evaluate", evaluate)
        with pytest.raises(UserError, match="epoch 2: .*not finite.*--lr.*up to 1 are kept"):
            run_small(project, hub, "clip", *more)
    assert [path.suffix for path in compare_dir(project, *more).iterdir()] == [".partial"]
    assert_same_run(run_small(project, hub, "clip", *more), whole)


# Other choices, other contents


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def test_what_cannot_go_on_begins_anew_and_says_why(go_on, stopped, capsys):
    had = "beginning anew: the unfinished run had weight_decay 0.0001, not 0.5"
    for flags, says in (
        (["--weight-decay", "0.5"], had),
        (["--restart"], ""),
        ([], "checkpoint.pt cannot be read"),
    ):
        shutil.rmtree(go_on.folder)
        shutil.copytree(stopped, go_on.folder)
        if not flags:
            cut_off(unfinished(go_on.folder))
        assert len(history(go_on(*flags))) == 4
        said = capsys.readouterr().out
        assert says in said and "going on" not in said


def exchange_tokens(tokenizer: dict) -> None:
    words = tokenizer["model"]["vocab"]
    words["a</w>"], words["b</w>"] = words["b</w>"], words["a</w>"]


CHANGES = {
    "tokenizer": ("tokenizer.json", exchange_tokens),
    "mean and standard deviation of the pixels": (
        "preprocessor_config.json",
        lambda settings: settings.update(image_mean=[0.1, 0.2, 0.3]),
    ),
    "the configuration of the checkpoint": (
        "config.json",
        lambda config: config["text_config"].update(layer_norm_eps=0.1),
    ),
}


def test_what_changed_beneath_an_unfinished_run_is_named_and_the_run_kept(
    go_on, whole, project, checkpoint, monkeypatch
):
    for says, (name, change) in CHANGES.items():
        before = (checkpoint / name).read_bytes()
        content = json.loads(before)
        change(content)
        (checkpoint / name).write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(UserError, match=f"{says}.*--restart"):
            go_on()
        (checkpoint / name).write_bytes(before)
    (path,) = checkpoint.glob("*.bin")
    before = path.read_bytes()
    change_weights(checkpoint)
    with pytest.raises(UserError, match="the weights of the checkpoint.*--restart"):
        go_on()
    path.write_bytes(before)
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
    path, before = unfinished(go_on.folder), unfinished(go_on.folder).read_bytes()
    content = torch.load(path, weights_only=True)
    torch.save({key: content[key] for key in ("trainer", "fitted", "best", "halvings")}, path)
    with pytest.raises(UserError, match="the code of this program.*--restart"):
        go_on()  # as the first version left it
    path.write_bytes(before)
    assert history(go_on()) == history(whole)  # with all as it was


def test_the_hash_of_the_code_heeds_what_decides_results_and_no_words(tmp_path):
    common = Path(shutil.copytree(resume.COMMON, tmp_path / "common"))
    before = resume.code_sha256(common)

    def changed(name: str, old: str, new: str) -> bool:
        path = common / name
        code = path.read_bytes()
        assert old.encode() in code
        path.write_bytes(code.replace(old.encode(), new.encode()))
        resume.code_sha256.cache_clear()
        found = resume.code_sha256(common)
        path.write_bytes(code)
        return found != before

    assert not changed("models/fusion.py", "\n", "\r\n")
    assert not changed("seeding.py", '"""Return a 63-bit seed', '"""Give a 63-bit seed')
    assert not changed("seeding.py", "\n\n\n", "\n\n# a comment\n")
    assert not changed(
        "models/fusion.py",
        "image: Tensor) -> Tensor:\n",
        'image: Tensor) -> Tensor:\n        """New."""\n',
    )
    assert not changed("runs/layout.py", '"best.pt"', '"other.pt"')
    assert changed("models/fusion.py", "RANK = 4", "RANK = 5")
    assert changed("training/engine.py", "AdamW", "Adam")


# Out of memory and other faults


@pytest.mark.parametrize(("after", "epoch"), [(2, 1), (6, 2)])
def test_out_of_memory_halves_the_micro_batch_and_keeps_the_result(
    project, hub, whole, monkeypatch, capsys, after: int, epoch: int
):
    """From some micro-batch on, more than two samples do not fit."""
    real, calls = Trainer._backward, []

    def backward(self, batch, weight):
        calls.append(1)
        if len(calls) > after and len(batch["labels"]) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(self, batch, weight)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_backward", backward)
        folder = run_small(project, hub, "clip", *TUNED, f"outputs/oom{after}")
    says = f"out of memory in epoch {epoch}: it starts again with 2 samples at once"
    assert says in capsys.readouterr().out
    assert record(folder)["out_of_memory"] == [{"epoch": epoch, "batch_size": 4}]
    assert record(folder)["model"]["batch_size"] == 2
    for one, other in zip(history(folder)[1:], history(whole)[1:], strict=True):
        assert [float(x) for x in one] == pytest.approx([float(x) for x in other], abs=1e-5)


def test_faults_of_the_device_say_what_helps(project, hub, monkeypatch):
    for message, kind, says in (
        ("out of memory", UserError, "epoch 1, even with one sample.*--max-length"),
        ("CUBLAS_STATUS_EXECUTION_FAILED", UserError, "CUDA_LAUNCH_BLOCKING=1.*--device cpu"),
        ("shapes do not match", RuntimeError, "shapes do not match"),  # not dressed up
    ):

        def fail(*args, message=message):
            raise RuntimeError(message)

        monkeypatch.setattr(Trainer, "_backward", fail)
        with pytest.raises(kind, match=says):
            run_small(project, hub, "clip", "--output-dir", "outputs/fault")
        assert not compare_dir(project, "--output-dir", "outputs/fault").exists()


# The disk


def test_a_folder_without_room_or_leave_to_write_is_named_before_the_first_step(
    project, hub, monkeypatch
):
    (project / "outputs" / "a_file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="cannot write in .*a_file.*--output-dir"):
        run_small(project, hub, "clip", "--output-dir", "outputs/a_file/x")
    usage = shutil.disk_usage(project)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100_000))
        patch.setattr(train, "fit", lambda *args: pytest.fail("it began"))
        with pytest.raises(UserError, match="MB free on this disk"):
            run_small(project, hub, "clip", "--output-dir", "outputs/room")


def test_a_full_disk_is_said_and_the_run_goes_on_when_there_is_room(
    project, hub, whole, monkeypatch
):
    more, real = [*TUNED, "outputs/full"], os.replace
    for name in (CHECKPOINT, BEST, METRICS_JSON):

        def full(source, target, name=name):
            if Path(target).name == name:
                raise OSError(28, "No space left on device")
            real(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", full)
            says = f"{re.escape(name)}: .*No space left on device. Make room"
            with pytest.raises(UserError, match=says):
                run_small(project, hub, "clip", *more)
    assert_same_run(run_small(project, hub, "clip", *more), whole)
