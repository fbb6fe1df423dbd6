"""Measures the contribution of each modality, and of their interaction, to a trained model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import seeding
from ..data.batches import EVALUATION_FACTOR
from ..data.dataset import Batch, FeatureDataset, PairDataset
from ..data.tokens import Tokens
from ..models.classifier import ImageTextClassifier
from ..progress import Progress
from .device import Precision
from .engine import evaluate, logit_scores
from .features import encode

# Gives logits (B, C) for the texts of the samples (B,) with the images of the samples (B,).
Predict = Callable[[np.ndarray, np.ndarray], Tensor]

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
) -> tuple[dict[str, Any], np.ndarray, Tensor]:
    """Measure what is lost when images, or texts, are shuffled between the pairs or blanked, and
    without any interaction.

    The additive projection of this model, a model without interaction, is EMAP (Hessel and Lee
    2020, arXiv 2010.06572). As far as it does as well, no interaction of text and image was of use.
    A split too large for all its pairs is represented by ``emap_pairs`` samples; ``f1_macro``, also
    called ``f1_same_pairs``, and ``acc`` are the model's own on them, and they are what is blanked.
    ``empty_text`` is one text, without a word; ``features`` are those of the dataset, where a
    frozen encoder has read it already.

    Returns:
        The record, the places (M,) of the samples of the projection, and the parts of their logits
        (4, M, C), see ``projection``.
    """
    # Features of different pairs can be combined if each is one of its own modality alone.
    cheap = model.encoder.reads_apart and model.encoder.pooled
    if cheap and features is None:
        [features], _ = encode(model, [dataset], micro, precision)
    permutations, most = CHEAP if cheap else EXPENSIVE
    random = np.random.Generator(np.random.Philox(seeding.derive(seed, "probe")))
    orders = [random.permutation(len(dataset)) for _ in range(permutations)]
    chosen = np.sort(random.permutation(len(dataset))[:most])  # (M,)
    parts = blanks(model, dataset.image_size, empty_text)
    total = (1 + 2 * permutations) * len(dataset) + (len(chosen) + len(parts)) * len(chosen)
    bar = Progress(desc="probing", total=total, unit=" pairs")
    predict = predictor(model, dataset, micro, precision, features if cheap else None, bar=bar)

    def measure(texts: np.ndarray, images: np.ndarray) -> np.ndarray:
        scores = logit_scores(predict(texts, images), dataset.labels)
        return np.array([scores["f1_macro"], scores["acc"]])

    everyone = np.arange(len(dataset))
    whole = measure(everyone, everyone)
    images = whole - np.mean([measure(everyone, order) for order in orders], axis=0)
    texts = whole - np.mean([measure(order, everyone) for order in orders], axis=0)

    # Every text with every image; row i holds text i.
    table = predict(np.repeat(chosen, len(chosen)), np.tile(chosen, len(chosen)))
    table = table.reshape(len(chosen), len(chosen), -1)  # (M, M, C)
    labels = dataset.labels[chosen]
    found = projection(table)
    own = logit_scores(table.diagonal().T, labels)
    additive = logit_scores(found[:3].sum(0), labels)
    blanked = {}
    for name, blank in parts.items():
        logits = predictor(model, dataset, micro, precision, blank=blank, bar=bar)(chosen, chosen)
        blanked[f"f1_{name}_blanked"] = logit_scores(logits, labels)["f1_macro"]
    bar.close()
    record = {
        "f1_drop_images_shuffled": float(images[0]),
        "acc_drop_images_shuffled": float(images[1]),
        "f1_drop_texts_shuffled": float(texts[0]),
        "acc_drop_texts_shuffled": float(texts[1]),
        "permutations": permutations,
        "f1_macro": own["f1_macro"],
        "acc": own["acc"],
        "f1_same_pairs": own["f1_macro"],
        **blanked,
        "emap_f1_macro": additive["f1_macro"],
        "emap_acc": additive["acc"],
        "emap_pairs": len(chosen),
    }
    return record, chosen, found


def projection(table: Tensor) -> Tensor:
    """Return the four parts of the logits of each pair, (M, M, C) -> (4, M, C).

    In the order of ``layout.PARTS``: the mean of all M x M logits; the part of the text, its mean
    over all images less that mean; the part of the image, likewise; and the rest, which is their
    interaction. They add up to the logits of the pair, centred over the classes; the first three
    are the additive projection. They are parts of what the model answers, not of its layers: so a
    model that reads the text in the light of the image has them too.
    """
    table = table.double()
    table = table - table.mean(-1, keepdim=True)
    mean = table.mean((0, 1)).expand(len(table), -1)  # (M, C)
    text, image = table.mean(1) - mean, table.mean(0) - mean
    return torch.stack([mean, text, image, table.diagonal().T - mean - text - image])


def predictor(
    model: ImageTextClassifier,
    dataset: PairDataset,
    micro: int,
    precision: Precision,
    features: FeatureDataset | None = None,
    blank: Batch | None = None,
    bar: Progress | None = None,
) -> Predict:
    """Return what predicts any texts with any images: logits float32 on the CPU.

    Args:
        features: those of the dataset, for a head that runs alone.
        blank: what stands for a part of every pair, see ``blanks``.
        bar: counts the pairs that are done.
    """
    model.to(precision.device)
    size = EVALUATION_FACTOR * micro * (16 if features else 1)

    def batch(texts: np.ndarray, images: np.ndarray) -> Batch:
        made = dataset.batch(0, 0, texts)
        made["pixel_values"] = dataset.batch(0, 0, images)["pixel_values"]
        for name, part in (blank or {}).items():
            made[name] = part.expand(len(texts), *part.shape[1:])
        return made

    def head_batch(texts: np.ndarray, images: np.ndarray) -> Batch:
        made = features.batch(0, 0, texts)
        return {**made, "image": features.features["image"][images]}

    def predict(texts: np.ndarray, images: np.ndarray) -> Tensor:
        make, starts = head_batch if features else batch, range(0, len(texts), size)
        cuts = (np.arange(start, min(start + size, len(texts))) for start in starts)
        batches = ((places, make(texts[places], images[places])) for places in cuts)
        return evaluate(model.head if features else model, batches, precision, bar=bar)

    return predict


def blanks(model: ImageTextClassifier, image_size: int, empty_text: Tokens) -> dict[str, Batch]:
    """Return what stands for a text, and for an image, that says nothing: no word, and the colour
    that is the encoder's mean; the part of a batch of one sample."""
    ids, mask = empty_text.pad(np.zeros(1, np.int64))
    colour = (255 * torch.tensor(model.encoder.mean)).round().to(torch.uint8).view(1, 3, 1, 1)
    pixels = colour.expand(1, 3, image_size, image_size)
    return {"text": {"input_ids": ids, "attention_mask": mask}, "image": {"pixel_values": pixels}}
