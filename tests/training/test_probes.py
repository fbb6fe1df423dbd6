"""Probes tell what each modality and their interaction contribute."""

import numpy as np
import pytest
import torch
from common.data.batches import read_through
from common.data.dataset import PairDataset
from common.data.image_store import load_images
from common.models.classifier import ImageTextClassifier
from common.training import probes
from common.training.engine import evaluate, logit_scores
from common.training.probes import probe, projection
from helpers.hub import BERT, BLIP, CLIP
from helpers.twelve_pairs import COUNT, FLOAT32, SIZE, make_model, make_part, make_prepared
from PIL import Image


def probed(hub, model: ImageTextClassifier, name: str, part: PairDataset) -> dict:
    return probe(make_prepared(hub, name, part), model)[0]


def test_the_projection_by_hand_and_of_an_additive_function():
    """Logits f(t, v) and -f(t, v), of f(t, v) = t + v + t v for t in (0, 2) and v in (0, 4)."""
    f = torch.tensor([[0.0, 4.0], [2.0, 14.0]])
    parts = projection(torch.stack([f, -f], -1) + 7)  # what all classes have is taken off
    # row means 2, 8; column means 1, 9; mean 5; rest: 0 - (5 - 3 - 4), 14 - (5 + 3 + 4)
    assert parts[..., 0].tolist() == [[5, 5], [-3, 3], [-4, 4], [2, 2]]
    assert (parts[..., 1] == -parts[..., 0]).all()
    random = torch.Generator().manual_seed(0)
    text, image = torch.randn(9, 3, generator=random), torch.randn(9, 3, generator=random)
    *additive, rest = projection(text[:, None] + image[None, :])
    centred = text + image - (text + image).mean(1, keepdim=True)
    torch.testing.assert_close(sum(additive).float(), centred)
    assert rest.abs().max() < 1e-5


@pytest.mark.parametrize("name, fusion", [(BERT, "concat"), (CLIP, "attention"), (BLIP, "concat")])
def test_all_pairs_are_those_of_the_plain_model(hub, images, name: str, fusion, monkeypatch):
    """Through stored features or through the whole model: row i, column j is text i with image j."""
    model, part = make_model(hub, name, fusion).eval(), make_part(hub, name, images)
    tables = []
    real = probes.projection
    monkeypatch.setattr(probes, "projection", lambda table: tables.append(table) or real(table))
    probed(hub, model, name, part)
    (table,) = tables
    assert table.shape == (COUNT, COUNT, 3)
    for i, j in ((0, 0), (1, 4), (7, 2)):
        text, image = part.batch(0, 0, np.array([i])), part.batch(0, 0, np.array([j]))
        with torch.no_grad():
            logits = model(text["input_ids"], text["attention_mask"], image["pixel_values"])[0]
        torch.testing.assert_close(table[i, j], logits, atol=1e-5, rtol=1e-5)


def test_shuffling_hurts_the_modality_that_is_used(hub, images, monkeypatch):
    """A model that reads the class off the text alone loses everything without it and nothing without the image."""
    part = make_part(hub, CLIP, images)
    model = make_model(hub, CLIP)
    right = torch.eye(3)[torch.from_numpy(part.labels)]
    monkeypatch.setattr(probes, "predictor", lambda *_, **__: lambda texts, images: right[texts])
    found = probed(hub, model, CLIP, part)
    assert found["f1_drop_images_shuffled"] == 0 and found["f1_drop_texts_shuffled"] > 0.4
    assert found["emap_f1_macro"] == found["f1_macro"] == 1


@pytest.mark.parametrize("name, fusion", [(BERT, "late"), (CLIP, "attention"), (BLIP, "concat")])
def test_blanked_is_what_empty_texts_and_plain_pictures_give(
    hub, images, tmp_path, name: str, fusion: str
):
    """The split with its texts, or its photos, exchanged for ones that say nothing."""
    model, part = make_model(hub, name, fusion).eval(), make_part(hub, name, images)
    colour = tuple(round(255 * value) for value in model.encoder.mean)
    Image.new("RGB", (40, 40), colour).save(tmp_path / "plain.png")
    plain = load_images([str(tmp_path / "plain.png")] * COUNT, SIZE, tmp_path)
    exchanged = {
        "text": make_part(hub, name, images, [""] * COUNT),
        "image": make_part(hub, name, plain),
    }
    run = make_prepared(hub, name, part)
    found, _, _ = probe(run, model)
    for which, blank in probes.blanks(run, model).items():
        predict = probes.predictor(run, model, blank=blank)
        logits = predict(np.arange(COUNT), np.arange(COUNT))
        expected = evaluate(model, read_through(exchanged[which], 4), FLOAT32)
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
        f1 = logit_scores(expected, part.labels)["f1_macro"]
        assert found[f"f1_{which}_blanked"] == f1
    assert found["f1_same_pairs"] == found["f1_macro"]


def test_the_parts_of_late_fusion_are_its_branches(hub, images):
    """Each branch adds its half of the logits, so nothing is left as an interaction."""
    model, part = make_model(hub, BERT, "late").eval(), make_part(hub, BERT, images)
    _, places, (mean, *branches, rest) = probe(make_prepared(hub, BERT, part), model)
    assert rest.abs().max() < 1e-5 and places.tolist() == list(range(COUNT))
    torch.testing.assert_close(mean, mean[:1].expand_as(mean))
    batch = part.batch(0, 0, places)
    with torch.no_grad():
        logits = [
            model(batch["input_ids"], batch["attention_mask"], batch["pixel_values"][[0] * COUNT]),
            model(
                *(batch[key][[0] * COUNT] for key in ("input_ids", "attention_mask")),
                batch["pixel_values"],
            ),
        ]  # only the text differs, only the image
    for found, own in zip(branches, logits, strict=True):
        own = own.double() - own.double().mean(1, keepdim=True)
        torch.testing.assert_close(found, own - own.mean(0), atol=1e-5, rtol=1e-5)
        assert found.abs().max() > 1e-3


def test_blanking_what_is_not_used_changes_nothing(hub, images):
    """A branch of the image that always says the same."""
    model, part = make_model(hub, BERT, "late").eval(), make_part(hub, BERT, images)
    for parameter in model.head.fusion.image_classifier.parameters():
        torch.nn.init.zeros_(parameter)
    found = probed(hub, model, BERT, part)
    assert found["f1_image_blanked"] == found["f1_same_pairs"] == found["emap_f1_macro"]
    always_one_class = 2 * 4 / (4 + COUNT) / 3  # F1 of a class that is always said, over 3
    assert found["f1_text_blanked"] == pytest.approx(always_one_class)


def test_a_large_split_is_represented_by_a_stated_number_of_pairs(hub, images, monkeypatch):
    monkeypatch.setattr(probes, "EXPENSIVE", (1, 5))
    found = probed(hub, make_model(hub, BLIP), BLIP, make_part(hub, BLIP, images))
    assert found["emap_pairs"] == 5 and found["permutations"] == 1
