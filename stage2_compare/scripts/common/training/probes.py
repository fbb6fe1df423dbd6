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
from ..data.dataset import PairDataset
from ..models.classifier import ImageTextClassifier
from .evaluation import encode, logit_scores, to_device
from .precision import Precision

# Gives logits (B, C) for the texts of the samples (B,) with the images of the samples (B,).
Predict = Callable[[np.ndarray, np.ndarray], Tensor]

# Number of permutations, and of samples whose texts meet all images. A pair costs the head alone
# where the encoder reads text and image apart, and the whole model where it reads the text in the
# light of the image.
CHEAP, EXPENSIVE = (20, 500), (3, 64)


def probe(
    model: ImageTextClassifier, dataset: PairDataset, micro: int, precision: Precision, seed: int
) -> dict[str, Any]:
    """Measure what is lost when images, or texts, are shuffled between the pairs, and without any
    interaction.

    The model without interaction is EMAP (Hessel and Lee 2020, arXiv 2010.06572). As far as it does
    as well, no interaction of text and image was of use. A split too large for all its pairs is
    represented by ``emap_pairs`` samples, and ``f1_macro`` and ``acc`` are the model's own on the
    same samples."""
    reads_apart = model.encoder.reads_apart
    permutations, most = CHEAP if reads_apart else EXPENSIVE
    random = np.random.Generator(np.random.Philox(seeding.derive(seed, "probe")))
    orders = [random.permutation(len(dataset)) for _ in range(permutations)]
    chosen = np.sort(random.permutation(len(dataset))[:most])  # (M,)
    everyone = np.arange(len(dataset))

    def measure(logits: Tensor, samples: np.ndarray = everyone) -> np.ndarray:
        scores = logit_scores(logits, dataset.labels[samples])
        return np.array([scores["f1_macro"], scores["acc"]])

    with tqdm(desc="probing", unit=" pairs", disable=None, leave=False) as bar:
        predict = predictor(model, dataset, micro, precision, bar)
        whole = measure(predict(everyone, everyone))
        images_shuffled = np.mean([measure(predict(everyone, order)) for order in orders], axis=0)
        texts_shuffled = np.mean([measure(predict(order, everyone)) for order in orders], axis=0)
        table = all_pairs(predict, chosen)  # (M, M, C)
    without_images = whole - images_shuffled
    without_texts = whole - texts_shuffled
    own = measure(table.diagonal().T, chosen)
    additive = measure(emap(table), chosen)
    return {
        "f1_drop_images_shuffled": float(without_images[0]),
        "acc_drop_images_shuffled": float(without_images[1]),
        "f1_drop_texts_shuffled": float(without_texts[0]),
        "acc_drop_texts_shuffled": float(without_texts[1]),
        "permutations": permutations,
        "f1_macro": float(own[0]),
        "acc": float(own[1]),
        "emap_f1_macro": float(additive[0]),
        "emap_acc": float(additive[1]),
        "emap_pairs": len(chosen),
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


def predictor(
    model: ImageTextClassifier, dataset: PairDataset, micro: int, precision: Precision, bar: tqdm
) -> Predict:
    """Return a function that predicts any pairs of texts and images, in batches that fit in
    memory."""
    if model.encoder.reads_apart:
        predict_batch = _from_features(model, dataset, micro, precision)
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
    model: ImageTextClassifier, dataset: PairDataset, micro: int, precision: Precision
) -> Predict:
    """For encoders that read text and image apart: compute features once, then run the head for
    each pair."""
    features = encode(model, dataset, micro, precision).features
    text, image = features["text"], features["image"]

    @torch.inference_mode()
    def predict(texts: np.ndarray, images: np.ndarray) -> Tensor:
        device = precision.device
        with precision.autocast():
            return model.head(text[texts].to(device), image[images].to(device)).float().cpu()

    return predict


def _from_pairs(model: ImageTextClassifier, dataset: PairDataset, precision: Precision) -> Predict:
    """For encoders that read the text in the light of the image: run the whole model for each
    pair."""
    model.to(precision.device).eval()

    @torch.inference_mode()
    def predict(texts: np.ndarray, images: np.ndarray) -> Tensor:
        pixels = dataset.batch(0, 0, images)["pixel_values"]
        batch = {**dataset.batch(0, 0, texts), "pixel_values": pixels}
        inputs, _ = to_device(batch, precision.device)
        with precision.autocast():
            return model(**inputs).float().cpu()

    return predict
