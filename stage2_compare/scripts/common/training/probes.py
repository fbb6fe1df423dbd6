"""Measures the contribution of each modality, and of their interaction, to a trained model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import seeding
from ..data.batches import EVALUATION_FACTOR
from ..data.dataset import Batch, FeatureDataset
from ..models.classifier import ImageTextClassifier
from ..progress import Progress
from .engine import evaluate, logit_scores
from .features import encode
from .prepare import PreparedRun

# Gives logits (B, C) for the texts of the samples (B,) with the images of the samples (B,).
Predict = Callable[[np.ndarray, np.ndarray], Tensor]

# Number of permutations, and of samples whose texts meet all images. A pair costs the head alone
# where features can be stored, and the whole model where they cannot.
CHEAP, EXPENSIVE = (20, 500), (3, 64)


def probe(
    run: PreparedRun, model: ImageTextClassifier
) -> tuple[dict[str, Any], np.ndarray, Tensor]:
    """Measure on the validation pairs what is lost when images, or texts, are shuffled between the
    pairs or blanked, and without any interaction.

    The additive projection of this model, a model without interaction, is EMAP (Hessel and Lee
    2020, arXiv 2010.06572). As far as it does as well, no interaction of text and image was of use.
    A split too large for all its pairs is represented by ``emap_pairs`` samples; ``f1_macro``, also
    called ``f1_same_pairs``, and ``acc`` are the model's own on them, and they are what is blanked.

    Returns:
        The record, the places (M,) of the samples of the projection, and the parts of their logits
        (4, M, C), see ``projection``.
    """
    dataset, features = run.datasets["val"], run.features.get("val")
    # Features of different pairs can be combined if each is one of its own modality alone.
    cheap = model.encoder.reads_apart and model.encoder.pooled
    if cheap and features is None:
        [features], _ = encode(model, [dataset], run.micro, run.precision)
    permutations, most = CHEAP if cheap else EXPENSIVE
    seed = seeding.derive(run.settings.protocol.seed, "probe")
    random = np.random.Generator(np.random.Philox(seed))
    orders = [random.permutation(len(dataset)) for _ in range(permutations)]
    chosen = np.sort(random.permutation(len(dataset))[:most])  # (M,)
    parts = blanks(run, model)
    total = (1 + 2 * permutations) * len(dataset) + (len(chosen) + len(parts)) * len(chosen)
    bar = Progress(desc="probing", total=total, unit=" pairs")
    predict = predictor(run, model, features if cheap else None, bar=bar)

    def measure(texts: np.ndarray, images: np.ndarray) -> np.ndarray:
        scores = logit_scores(predict(texts, images), dataset.labels)
        return np.array([scores["f1_macro"], scores["acc"]])

    everyone, record = np.arange(len(dataset)), {}
    whole = measure(everyone, everyone)
    images = [measure(everyone, order) for order in orders]
    texts = [measure(order, everyone) for order in orders]
    for name, shuffled in (("images", images), ("texts", texts)):
        f1, acc = (whole - np.mean(shuffled, axis=0)).tolist()
        record |= {f"f1_drop_{name}_shuffled": f1, f"acc_drop_{name}_shuffled": acc}

    # Every text with every image; row i holds text i.
    table = predict(np.repeat(chosen, len(chosen)), np.tile(chosen, len(chosen)))
    table = table.reshape(len(chosen), len(chosen), -1)  # (M, M, C)
    labels = dataset.labels[chosen]
    found = projection(table)
    own = logit_scores(table.diagonal().T, labels)
    additive = logit_scores(found[:3].sum(0), labels)
    record |= {
        "permutations": permutations,
        "f1_macro": own["f1_macro"],
        "acc": own["acc"],
        "f1_same_pairs": own["f1_macro"],
    }
    for name, blank in parts.items():
        logits = predictor(run, model, blank=blank, bar=bar)(chosen, chosen)
        record[f"f1_{name}_blanked"] = logit_scores(logits, labels)["f1_macro"]
    bar.close()
    record |= {"emap_f1_macro": additive["f1_macro"], "emap_acc": additive["acc"]}
    return {**record, "emap_pairs": len(chosen)}, chosen, found


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
    run: PreparedRun,
    model: ImageTextClassifier,
    features: FeatureDataset | None = None,
    blank: Batch | None = None,
    bar: Progress | None = None,
) -> Predict:
    """Return what predicts any texts with any images of the validation pairs: logits float32 on the
    CPU.

    Args:
        features: those of the pairs, for a head that runs alone.
        blank: what stands for a part of every pair, see ``blanks``.
        bar: counts the pairs that are done.
    """
    model.to(run.precision.device)
    asked, image = (features, "image") if features else (run.datasets["val"], "pixel_values")
    size = EVALUATION_FACTOR * run.micro * (16 if features else 1)

    def batch(texts: np.ndarray, images: np.ndarray) -> Batch:
        made = asked.batch(0, 0, texts) | {image: asked.batch(0, 0, images)[image]}
        for name, part in (blank or {}).items():
            made[name] = part.expand(len(texts), *part.shape[1:])
        return made

    def predict(texts: np.ndarray, images: np.ndarray) -> Tensor:
        starts = range(0, len(texts), size)
        cuts = (np.arange(start, min(start + size, len(texts))) for start in starts)
        batches = ((places, batch(texts[places], images[places])) for places in cuts)
        return evaluate(model.head if features else model, batches, run.precision, bar=bar)

    return predict


def blanks(run: PreparedRun, model: ImageTextClassifier) -> dict[str, Batch]:
    """Return what stands for a text, and for an image, that says nothing: no word, and the colour
    that is the encoder's mean; the part of a batch of one sample."""
    ids, mask = run.empty_text.pad(np.zeros(1, np.int64))
    colour = (255 * torch.tensor(model.encoder.mean)).round().to(torch.uint8).view(1, 3, 1, 1)
    size = run.settings.protocol.image_size
    pixels = colour.expand(1, 3, size, size)
    return {"text": {"input_ids": ids, "attention_mask": mask}, "image": {"pixel_values": pixels}}
