"""Frozen encoders run once, and what they made is kept."""

import errno
import shutil

import numpy as np
import pytest
import torch
from common.data.batches import BatchSchedule, Prefetcher
from common.data.feature_cache import FeatureCache
from common.models.blip import Blip
from common.models.clip import Clip
from common.settings import Protocol
from common.training.engine import fit
from common.training.features import encode, encode_tokens
from helpers.hub import BERT, BLIP, CLIP
from helpers.models import build
from helpers.small_project import assert_near_run, assert_same_run, make_small_project, run_small
from helpers.small_project import record as read_record
from helpers.twelve_pairs import COUNT, FLOAT32, make_model, make_part, make_photos
from PIL import Image


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return make_photos(tmp_path_factory.mktemp("images"))


@pytest.mark.parametrize("fusion", ["concat", "attention"])
@pytest.mark.parametrize("name", [BERT, CLIP, BLIP])
def test_training_on_stored_features_is_training_the_frozen_model(hub, images, name: str, fusion):
    part = make_part(hub, name, images)
    protocol = Protocol(epochs=3, lr=1e-3)
    read = encode if fusion == "concat" else encode_tokens
    histories = []
    for stored in (False, True):
        model = make_model(hub, name, fusion)
        model.freeze_encoder()
        side = read(model, [part], 4, FLOAT32)[0] if stored else part
        plan = BatchSchedule(side, side, 42, range(1, 4), 4, 8, (4, 256))
        fitted = fit(
            model.head if stored else model,
            Prefetcher(plan, 0, False),
            protocol,
            torch.ones(3),
            FLOAT32,
            lambda *_: None,
        )
        histories.append(
            [[row["train_loss"], row["val_loss"], row["val_f1_macro"]] for row in fitted.history]
        )
    np.testing.assert_allclose(histories[0], histories[1], atol=1e-5)
    assert histories[0][0] != histories[0][2]


def read_rows(monkeypatch, kind=Clip) -> list[tuple[int, int]]:
    """The texts and photos of each call of an encoder from now on, without its trial."""
    seen, real = [], kind.forward

    def forward(self, ids, mask, pixels):
        counts = tuple(0 if part is None else len(part) for part in (ids, pixels))
        if counts != (1, 1):
            seen.append(counts)
        return real(self, ids, mask, pixels)

    monkeypatch.setattr(kind, "forward", forward)
    return seen


def test_a_frozen_run_reads_each_text_and_photo_once(hub, tmp_path, monkeypatch):
    project = make_small_project(tmp_path)
    seen = read_rows(monkeypatch)
    folder = run_small(project, hub, "clip", "--freeze-encoders")
    # 14 different texts, 6 of them in validation too, and 20 photos, in batches of 16
    assert seen == [(16, 0), (0, 16), (0, 16)]
    assert read_record(folder)["protocol"]["augmentation"] == "none"
    state = torch.load(folder / "best.pt", weights_only=True)["model_state"]
    assert any(
        key.startswith("encoder.") for key in state
    )  # the whole model, so that it can be used by itself


@pytest.mark.parametrize("fusion", ["concat", "attention"])
@pytest.mark.parametrize("kind", ["bert", "clip", "blip"])
def test_runs_with_and_without_kept_features_are_nearly_equal(
    hub, tmp_path, kind: str, fusion: str
):
    project = make_small_project(tmp_path)
    frozen = ("--freeze-encoders", "--fusion", fusion, "--probe")
    without = run_small(project, hub, kind, *frozen, "--no-feature-cache", "--output-dir", "a")
    assert not list((project / "outputs" / "cache").glob("features_*"))
    made = run_small(project, hub, kind, *frozen, "--output-dir", "b")
    assert list((project / "outputs" / "cache").glob("features_*.f32"))
    found = run_small(project, hub, kind, *frozen, "--output-dir", "c")
    assert_same_run(made, found)
    assert_near_run(without, made)
    probes = [read_record(folder)["probe"] for folder in (without, made)]
    assert probes[0] == pytest.approx(probes[1])


@pytest.mark.parametrize(
    "more", [("--seed", "7"), ("--fusion", "late"), ("--lr", "1e-2"), ("--fusion", "text")]
)
def test_seeds_fusions_and_rates_share_features(hub, tmp_path, monkeypatch, more):
    project = make_small_project(tmp_path)
    run_small(project, hub, "clip", "--freeze-encoders")
    seen = read_rows(monkeypatch)
    run_small(project, hub, "clip", "--freeze-encoders", *more)
    assert seen == []


def test_other_splits_of_the_same_pairs_share_features(hub, tmp_path, monkeypatch):
    project = make_small_project(tmp_path)
    run_small(project, hub, "blip", "--freeze-encoders")
    splits = project / "outputs" / "splits"
    (splits / "train.csv").rename(splits / "other.csv")
    (splits / "val.csv").rename(splits / "train.csv")
    (splits / "other.csv").rename(splits / "val.csv")
    seen = read_rows(monkeypatch, Blip)
    run_small(project, hub, "blip", "--freeze-encoders")
    assert seen == []


def test_a_changed_text_photo_or_encoder_is_read_again(hub, tmp_path, monkeypatch):
    project = make_small_project(tmp_path)
    name = shutil.copytree(hub.folder(CLIP), tmp_path / "checkpoint")
    frozen = ("--freeze-encoders", "--model-name", str(name))
    run_small(project, hub, "clip", *frozen)
    seen = read_rows(monkeypatch)

    train = project / "outputs" / "splits" / "train.csv"
    train.write_text(train.read_text("utf-8").replace("今日天气", "天气今日"), "utf-8")
    run_small(project, hub, "clip", *frozen)
    assert seen == [(16, 0)]

    Image.new("RGB", (40, 40), "red").save(project / "data" / "val0.png")
    run_small(project, hub, "clip", *frozen)
    assert seen == [(16, 0), (0, 16)]

    weights = torch.load(name / "pytorch_model.bin", weights_only=True)
    weights["visual_projection.weight"] += 1
    torch.save(weights, name / "pytorch_model.bin")
    run_small(project, hub, "clip", *frozen)
    assert seen == [(16, 0), (0, 16), (0, 16), (0, 16)]


def test_a_process_keeps_its_frozen_encoder_and_no_other(hub, tmp_path, monkeypatch):
    project = make_small_project(tmp_path)
    made, real = [], Clip.__init__
    monkeypatch.setattr(Clip, "__init__", lambda self, *args: made.append(1) or real(self, *args))
    for fusion in ("concat", "gated"):
        run_small(project, hub, "clip", "--freeze-encoders", "--fusion", fusion)
    assert len(made) == 1
    for _ in range(2):
        run_small(project, hub, "clip")
    assert len(made) == 3
    run_small(project, hub, "clip", "--freeze-encoders", "--image-size", "64")
    assert len(made) == 4


ATTENTION = ("--freeze-encoders", "--fusion", "attention")


def test_tokens_and_patches_are_read_once_and_the_encoder_stays(hub, tmp_path, monkeypatch):
    project = make_small_project(tmp_path)
    seen = read_rows(monkeypatch)
    folder = run_small(project, hub, "clip", *ATTENTION)
    # 14 different texts and 20 photos, in batches of 8
    assert seen == [(8, 0)] * 2 + [(0, 8)] * 3
    assert folder.name.endswith("_attention_frozen_lr0.001")
    saved = torch.load(folder / "best.pt", weights_only=True)["model_state"]
    before = build(hub, "clip attention", 32).state_dict()
    encoder = [key for key in saved if key.startswith("encoder.")]
    assert encoder and all(torch.equal(saved[key], before[key]) for key in encoder)
    seen.clear()
    run_small(project, hub, "clip", *ATTENTION, "--seed", "7")
    assert seen == []


def test_tokens_that_no_disk_takes_are_read_in_every_epoch(hub, tmp_path, monkeypatch, capsys):
    project = make_small_project(tmp_path)
    kept = run_small(project, hub, "blip", *ATTENTION, "--output-dir", "a")

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(FeatureCache, "table", full)
    assert_near_run(kept, run_small(project, hub, "blip", *ATTENTION, "--output-dir", "b"))
    said = capsys.readouterr().out
    assert "warning: tokens and patches cannot be kept in" in said and "No space left" in said


def test_tokens_end_with_their_text_and_come_in_the_order_of_the_split(hub, images):
    model, part = make_model(hub, CLIP, "attention"), make_part(hub, CLIP, images)
    [dataset] = encode_tokens(model, [part], 2, FLOAT32)
    places = np.array([4, 1, 9])
    batch, pairs = dataset.batch(0, 0, places), part.batch(0, 0, places)
    with torch.no_grad():
        text, image = model.eval().encode(
            pairs["input_ids"], pairs["attention_mask"], pairs["pixel_values"]
        )
    assert torch.equal(batch["mask"], pairs["attention_mask"])
    expected = text * pairs["attention_mask"].unsqueeze(2)
    torch.testing.assert_close(batch["text"], expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(batch["image"], image, atol=1e-5, rtol=1e-5)
    assert dataset.batch(0, 0, places[:0])["text"].shape == (0, 1, text.shape[2])


def test_features_come_back_in_the_order_of_the_split(hub, images):
    model, part = make_model(hub, CLIP), make_part(hub, CLIP, images)
    features = encode(model, [part], 2, FLOAT32)[0].features
    text, image = features["text"], features["image"]
    for i in range(COUNT):
        batch = part.batch(0, 0, np.array([i]))
        with torch.no_grad():
            expected = model.encode(
                batch["input_ids"], batch["attention_mask"], batch["pixel_values"]
            )
        torch.testing.assert_close(text[i : i + 1], expected[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(image[i : i + 1], expected[1], atol=1e-5, rtol=1e-5)
