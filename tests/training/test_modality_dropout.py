"""Modality dropout and the losses of single modalities: what a training pair loses, and what stays."""

import numpy as np
import pytest
import torch
from common.data.dataset import Dataset
from common.models.loading import load_tokenizer
from common.training.engine import Trainer
from common.training.features import encode
from common.training.modality_dropout import ModalityDropout, with_modality_dropout
from helpers.hub import BERT, BLIP, CLIP
from helpers.small_project import (
    assert_answers,
    assert_same_run,
    make_small_project,
    record,
    run_small,
)
from helpers.stops import PowerCut, cut_at
from helpers.twelve_pairs import COUNT, FLOAT32, learn, make_model, make_part, make_prepared

SHARE = 0.5


class Ones(Dataset):
    """A text and an image of one number each, 1."""

    def batch(self, seed, epoch, indices):
        ones = torch.ones(len(indices), 1)
        return {"text": ones.clone(), "image": ones.clone()}


def lost(dataset: Dataset, epoch: int, indices: np.ndarray) -> np.ndarray:
    """(B, 2) bool: whose text, and whose image, is the blank."""
    made = dataset.batch(42, epoch, indices)
    return torch.cat([made["text"], made["image"]], 1).numpy() == 0


def test_a_share_loses_one_modality_half_each_whatever_the_batch():
    def zero(name: str, samples: np.ndarray) -> dict:
        return {name: torch.zeros(1, 1)}

    samples = np.arange(20_000)
    dataset = ModalityDropout(Ones(np.zeros(len(samples)), np.zeros(len(samples))), 0.3, zero, 0)
    first, second = (lost(dataset, epoch, samples) for epoch in (1, 2))
    assert not first.all(1).any()  # never both
    assert first.mean(0) == pytest.approx([0.15, 0.15], abs=0.01)
    assert (first & second).mean() == pytest.approx(0.15**2, abs=0.005)  # each epoch by itself
    order = np.random.default_rng(0).permutation(samples)
    parts = [lost(dataset, 1, part) for part in np.array_split(order, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), first[order])


def dropping(hub, model, name: str, part, train):
    """``train`` with modality dropout, as a run of this model makes it."""
    run = make_prepared(hub, name, part, modality_dropout=SHARE)
    return with_modality_dropout(run, model, train)


def test_what_is_lost_is_an_empty_text_or_the_mean_colour(hub, images):
    model, part = make_model(hub, BERT), make_part(hub, BERT, images)
    everyone = np.arange(COUNT)
    plain, made = part.batch(42, 1, everyone), dropping(hub, model, BERT, part, part)
    found = made.batch(42, 1, everyone)
    no_text, no_image = (
        (plain[name] != found[name]).flatten(1).any(1) for name in ("input_ids", "pixel_values")
    )
    assert no_text.any() and no_image.any() and not (no_text & no_image).any()
    tokenizer = load_tokenizer(hub.folder(BERT))
    blank = tokenizer([""], padding="max_length", max_length=plain["input_ids"].shape[1])
    for name in ("input_ids", "attention_mask"):
        assert (found[name][no_text] == torch.tensor(blank[name])).all()
        assert torch.equal(found[name][~no_text], plain[name][~no_text])
    normal = found["pixel_values"][no_image] * model.pixel_scale + model.pixel_shift
    assert normal.abs().max() < 0.02  # what bytes cannot hold
    assert torch.equal(found["pixel_values"][~no_image], plain["pixel_values"][~no_image])


@pytest.mark.parametrize(
    "name, fusion", [(BERT, "concat"), (CLIP, "bottleneck"), (BLIP, "concat"), (BLIP, "attention")]
)
def test_stored_features_lose_what_the_frozen_model_loses(hub, images, name: str, fusion: str):
    part, losses = make_part(hub, name, images), []
    for stored, micro in ((False, 4), (True, 4), (True, 3)):
        model = make_model(hub, name, fusion)
        model.freeze_encoder()
        side = encode(model, [part], 4, FLOAT32)[0][0] if stored else part
        if stored:
            train = dropping(hub, model, name, part, side)
        else:  # the encoder reads the pairs anew
            model.frozen = False
            train = dropping(hub, model, name, part, part)
            model.frozen = True
        trained = model.head if stored else model
        found = learn(trained, train, side, micro=micro).history
        losses.append([[row["train_loss"], row["val_loss"]] for row in found])
    np.testing.assert_allclose(losses[1:], [losses[0]] * 2, atol=1e-5)


def test_a_stop_changes_nothing_and_the_answers_are_those_of_the_fusion(hub, tmp_path, monkeypatch):
    project = make_small_project(tmp_path)
    more = ["--freeze-encoders", "--fusion", "joint"]
    more += ["--modality-dropout", "0.4", "--branch-loss", "0.5", "--output-dir"]
    whole = run_small(project, hub, "bert", *more, "whole")
    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        cut_at(patch, Trainer, "_take_step", 6)
        run_small(project, hub, "bert", *more, "cut")
    assert_same_run(run_small(project, hub, "bert", *more, "cut"), whole)
    protocol = record(whole)["protocol"]
    assert (protocol["modality_dropout"], protocol["branch_loss"]) == (0.4, 0.5)
    state = torch.load(whole / "best.pt", weights_only=True)["model_state"]
    assert any("_branch." in name for name in state)
    assert_answers(project, whole)
