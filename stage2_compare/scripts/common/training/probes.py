"""Measures the contribution of each modality, and of their interaction, to a trained model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from .. import seeding
from ..data.batches import EVALUATION_FACTOR
from ..data.dataset import Batch, FeatureDataset, PairDataset
from ..data.tokens import Tokens
from ..models.classifier import ImageTextClassifier
from .device import Precision
from .engine import logit_scores, to_device
from .features import encode

# Gives logits (B, C) for the texts of the samples (B,) with the images of the samples (B,).
Predict = Callable[[np.ndarray, np.ndarray], Tensor]
# Gives the part of a batch of so many samples that stands for a blanked modality.
Blank = Callable[[int], Batch]

# Number of permutations, and of samples whose texts meet all images. A pair costs the head alone
# where features can be stored, and the whole model where they cannot.
CHEAP, EXPENSIVE = (20, 500), (3, 64)


def probe(
    model: ImageTextClassifier,
    dataset: PairDataset,
    empty_text: Tokens,
    micro: int,
    precision: Precision,
    seed: int,
    features: FeatureDataset | None = None,
) -> dict[str, Any]:
    """Measure what is lost when images, or texts, are shuffled between the pairs or blanked, and
    without any interaction.

    The additive projection of this model, a model without interaction, is EMAP (Hessel and Lee
    2020, arXiv 2010.06572). As far as it does as well, no interaction of text and image was of use.
    A split too large for all its pairs is represented by ``emap_pairs`` samples; ``f1_macro``, also
    called ``f1_same_pairs``, and ``acc`` are the model's own on them, and they are what is blanked.
    ``empty_text`` is one text, without a word; ``features`` are those of the dataset, where a
    frozen encoder has read it already."""
    permutations, most = CHEAP if keeps_features(model) else EXPENSIVE
    random = np.random.Generator(np.random.Philox(seeding.derive(seed, "probe")))
    orders = [random.permutation(len(dataset)) for _ in range(permutations)]
    chosen = np.sort(random.permutation(len(dataset))[:most])  # (M,)
    with tqdm(desc="probing", unit=" pairs", disable=None, leave=False) as bar:
        predict = predictor(model, dataset, micro, precision, bar, features)
        drops = drops_when_shuffled(predict, dataset.labels, orders)
        table = all_pairs(predict, chosen)  # (M, M, C)
    labels = dataset.labels[chosen]
    own, additive = logit_scores(table.diagonal().T, labels), logit_scores(emap(table), labels)
    blanked = {}
    for name, blank in blanks(model, dataset.image_size, empty_text).items():
        logits = predict_blanked(model, dataset, chosen, blank, micro, precision)
        blanked[f"f1_{name}_blanked"] = logit_scores(logits, labels)["f1_macro"]
    return {
        **drops,
        "permutations": permutations,
        "f1_macro": own["f1_macro"],
        "acc": own["acc"],
        "f1_same_pairs": own["f1_macro"],
        **blanked,
        "emap_f1_macro": additive["f1_macro"],
        "emap_acc": additive["acc"],
        "emap_pairs": len(chosen),
    }


def drops_when_shuffled(
    predict: Predict, labels: np.ndarray, orders: list[np.ndarray]
) -> dict[str, float]:
    """Return what macro-F1 and accuracy lose when images, or texts, come from other pairs, as means
    over the orders (N,)."""
    everyone = np.arange(len(labels))

    def measure(texts: np.ndarray, images: np.ndarray) -> np.ndarray:
        scores = logit_scores(predict(texts, images), labels)
        return np.array([scores["f1_macro"], scores["acc"]])

    whole = measure(everyone, everyone)
    images = whole - np.mean([measure(everyone, order) for order in orders], axis=0)
    texts = whole - np.mean([measure(order, everyone) for order in orders], axis=0)
    return {
        "f1_drop_images_shuffled": float(images[0]),
        "acc_drop_images_shuffled": float(images[1]),
        "f1_drop_texts_shuffled": float(texts[0]),
        "acc_drop_texts_shuffled": float(texts[1]),
    }


def all_pairs(predict: Predict, samples: np.ndarray) -> Tensor:
    """Return the logits of every text with every image, (M, M, C): row i holds text i."""
    count = len(samples)
    texts, images = np.repeat(samples, count), np.tile(samples, count)
    return predict(texts, images).reshape(count, count, -1)


def emap(table: Tensor) -> Tensor:
    """Return the empirical multimodally-additive projection, (M, M, C) -> (M, C).

    It is the mean over the images that a text could have had, plus the mean over the texts that an
    image could have had, less the mean of all."""
    table = table.double()
    return table.mean(1) + table.mean(0) - table.mean((0, 1))


def blanks(model: ImageTextClassifier, image_size: int, empty_text: Tokens) -> dict[str, Blank]:
    """Return what stands for a text, and for an image, that says nothing: no word, and the colour
    that is the encoder's mean."""
    mean = torch.tensor(model.encoder.mean)
    colour = (255 * mean).round().to(torch.uint8).view(1, 3, 1, 1)

    def text(count: int) -> Batch:
        ids, mask = empty_text.pad(np.zeros(count, np.int64))
        return {"input_ids": ids, "attention_mask": mask}

    def image(count: int) -> Batch:
        return {"pixel_values": colour.expand(count, 3, image_size, image_size)}

    return {"text": text, "image": image}


def predict_blanked(
    model: ImageTextClassifier,
    dataset: PairDataset,
    samples: np.ndarray,
    blank: Blank,
    micro: int,
    precision: Precision,
) -> Tensor:
    """Return the logits (M, C) of the samples (M,) with part of their input blanked."""
    model.to(precision.device).eval()
    size = EVALUATION_FACTOR * micro
    logits = []
    for places in np.split(samples, range(size, len(samples), size)):
        batch = {**dataset.batch(0, 0, places), **blank(len(places))}
        logits.append(_logits(model, batch, precision))  # (B, C)
    return torch.cat(logits)


def keeps_features(model: ImageTextClassifier) -> bool:
    """Tell if the encoder gives one feature per text and image, and each from its own modality
    alone: then stored features of different pairs can be combined."""
    return model.encoder.reads_apart and model.encoder.pooled


def predictor(
    model: ImageTextClassifier,
    dataset: PairDataset,
    micro: int,
    precision: Precision,
    bar: tqdm,
    features: FeatureDataset | None = None,
) -> Predict:
    """Return a function that predicts any pairs of texts and images, in batches that fit in
    memory."""
    if keeps_features(model):
        if features is None:  # compute them once, then run the head for each pair
            [features] = encode(model, [dataset], micro, precision)
        predict_batch = _from_features(model, features, precision)
        size = 16 * EVALUATION_FACTOR * micro
    else:
        predict_batch = _from_pairs(model, dataset, precision)
        size = EVALUATION_FACTOR * micro

    def predict(texts: np.ndarray, images: np.ndarray) -> Tensor:
        logits = []
        for start in range(0, len(texts), size):
            end = start + size
            logits.append(predict_batch(texts[start:end], images[start:end]))  # (B, C)
            bar.update(len(logits[-1]))
        return torch.cat(logits)

    return predict


def _from_features(
    model: ImageTextClassifier, features: FeatureDataset, precision: Precision
) -> Predict:
    """Where features can be stored: run the head for each pair."""
    model.to(precision.device).eval()
    text, image = features.features["text"], features.features["image"]

    @torch.inference_mode()
    def predict(texts: np.ndarray, images: np.ndarray) -> Tensor:
        device = precision.device
        with precision.autocast():
            return model.head(text[texts].to(device), image[images].to(device)).float().cpu()

    return predict


def _from_pairs(model: ImageTextClassifier, dataset: PairDataset, precision: Precision) -> Predict:
    """Where they cannot: run the whole model for each pair."""
    model.to(precision.device).eval()

    def predict(texts: np.ndarray, images: np.ndarray) -> Tensor:
        pixels = dataset.batch(0, 0, images)["pixel_values"]
        return _logits(model, {**dataset.batch(0, 0, texts), "pixel_values": pixels}, precision)

    return predict


@torch.inference_mode()
def _logits(model: ImageTextClassifier, batch: Batch, precision: Precision) -> Tensor:
    """Return the logits (B, C), float32 on the CPU."""
    inputs, _ = to_device(batch, precision.device)
    with precision.autocast():
        return model(**inputs).float().cpu()
