"""A frozen encoder reads each text and photo once, and what it makes of them is kept."""

import errno
import shutil

import numpy as np
import pytest
import torch
from common.models import build as building
from common.models.two_towers import Clip
from common.runs.reading import read_runs
from common.runs.weights import read_best
from common.training import features
from common.training.features import encode
from helpers.hub import BERT, BLIP, CLIP
from helpers.models import build, rows_read
from helpers.small_project import assert_near_run, assert_same_run, make_small_project, run_small
from helpers.small_project import record as read_record
from helpers.twelve_pairs import FLOAT32, learn, make_model, make_part
from PIL import Image
from scipy.special import softmax

FROZEN = ("--freeze-encoders",)
TEXTS = [(14, 0)]  # of the small project, different ones
PHOTOS = [(0, 16), (0, 4)]  # in batches of 16


@pytest.mark.parametrize("name, fusion", [(BERT, "concat"), (CLIP, "attention"), (BLIP, "concat")])
def test_training_on_stored_features_is_training_the_frozen_model(hub, images, name: str, fusion):
    part = make_part(hub, name, images)
    histories = []
    for stored in (False, True):
        model = make_model(hub, name, fusion)
        model.freeze_encoder()
        side = encode(model, [part], 4, FLOAT32)[0][0] if stored else part
        found = learn(model.head if stored else model, side, side).history
        histories.append([[row["train_loss"], row["val_loss"], row["val_acc"]] for row in found])
    np.testing.assert_allclose(histories[0], histories[1], atol=1e-5)
    assert histories[0][0] != histories[0][2]


# Whole runs


@pytest.mark.parametrize("fusion", ["concat", "attention"])
def test_each_text_and_photo_is_read_once_by_all_runs(hub, tmp_path, monkeypatch, fusion):
    project = make_small_project(tmp_path)
    name = shutil.copytree(hub.folder(CLIP), tmp_path / "checkpoint")
    frozen = (*FROZEN, "--model-name", str(name), "--epochs", "1", "--fusion", fusion)
    splits = project / "outputs" / "splits"
    seen = rows_read(monkeypatch)
    folder = run_small(project, hub, "clip", *frozen)
    assert seen == TEXTS + PHOTOS
    assert read_record(folder)["protocol"]["augmentation"] == "none"
    saved = read_best(folder)["model_state"]
    before = build(hub, f"clip {fusion}", 32).state_dict()
    encoder = [key for key in saved if key.startswith("encoder.")]
    assert encoder and all(torch.equal(saved[key], before[key]) for key in encoder)
    seen.clear()
    others = [("--fusion", "late"), ("--fusion", "text")] if fusion == "concat" else []
    for more in (("--seed", "7"), ("--lr", "1e-2"), *others):
        run_small(project, hub, "clip", *frozen, *more)
    # Other pairs for validation, as folds have them
    for source, target in (("train", "other"), ("val", "train"), ("other", "val")):
        (splits / f"{source}.csv").rename(splits / f"{target}.csv")
    run_small(project, hub, "clip", *frozen)
    assert seen == []
    # What is only measured has arrays of its own.
    shutil.copy(splits / "train.csv", splits / "test.csv")
    run_small(project, hub, "clip", *frozen)
    assert seen == [(6, 0), (0, 6)]
    (splits / "test.csv").unlink()

    # What has changed is read again.
    seen.clear()
    val = splits / "val.csv"
    val.write_text(val.read_text("utf-8").replace("今日天气7", "天气今日7"), "utf-8")
    run_small(project, hub, "clip", *frozen)
    assert seen == TEXTS
    Image.new("RGB", (40, 40), "red").save(project / "data" / "val0.png")
    run_small(project, hub, "clip", *frozen)
    assert seen == TEXTS + PHOTOS
    weights = torch.load(name / "pytorch_model.bin", weights_only=True)
    weights["visual_projection.weight"] += 1
    torch.save(weights, name / "pytorch_model.bin")
    building._kept.clear()  # as in another process
    run_small(project, hub, "clip", *frozen)
    assert seen == TEXTS + PHOTOS + PHOTOS


@pytest.mark.parametrize(
    "kind, fusion", [("bert", "attention"), ("clip", "concat"), ("blip", "concat")]
)
def test_with_and_without_kept_features_runs_are_nearly_equal(
    hub, tmp_path, capsys, monkeypatch, kind: str, fusion: str
):
    project = make_small_project(tmp_path)
    frozen = (*FROZEN, "--fusion", fusion, "--probe", "--epochs", "2")
    without = run_small(project, hub, kind, *frozen, "--no-feature-cache", "--output-dir", "a")
    assert not list((project / "outputs" / "cache").glob("features_*"))
    made = run_small(project, hub, kind, *frozen, "--output-dir", "b")
    assert list((project / "outputs" / "cache").glob("features_*.npy"))
    assert_near_run(without, made)
    probes = [read_record(folder)["probe"] for folder in (without, made)]
    assert probes[0] == pytest.approx(probes[1]) and probes[0]["emap_pairs"] == 6
    # The parts of the logits add up to what the run says of each pair.
    (found,) = (run for run in read_runs(made.parent)[0] if run.path == made)
    shares = softmax(found.parts.sum(0), 1)
    np.testing.assert_allclose(shares, found.predictions.probabilities, atol=1e-4)
    again = run_small(project, hub, kind, *frozen, "--output-dir", "c")
    assert_same_run(made, again)
    times = [read_record(folder)["encode_time_sec"] for folder in (without, made, again)]
    # Of tokens that are not kept, the reading is a part of the training.
    assert (times[0] > 0) == (fusion != "attention") and times[2] == times[1] > 0

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(features, "keep", full)
    capsys.readouterr()
    assert_same_run(without, run_small(project, hub, kind, *frozen, "--output-dir", "d"))
    said = capsys.readouterr().out
    assert "warning: features cannot be kept in" in said and "No space left" in said
    assert ("reads all pairs in every epoch" in said) == (fusion == "attention")


def test_a_process_keeps_its_frozen_encoder_and_no_other(hub, tmp_path, monkeypatch):
    project = make_small_project(tmp_path)
    made, real = [], Clip.__init__
    monkeypatch.setattr(Clip, "__init__", lambda self, *args: made.append(1) or real(self, *args))
    for fusion in ("concat", "gated"):
        run_small(project, hub, "clip", *FROZEN, "--fusion", fusion)
    assert len(made) == 1
    for _ in range(2):
        run_small(project, hub, "clip", "--epochs", "1")
    assert len(made) == 3
    run_small(project, hub, "clip", *FROZEN, "--image-size", "64")
    assert len(made) == 4
