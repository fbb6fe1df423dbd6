"""What each modality, and their interaction, contribute to a trained model's macro-F1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from .. import seeding as seeds
from ..data.batches import EVALUATION_FACTOR
from ..data.dataset import PairDataset
from ..models.classifier import ImageTextClassifier
from .evaluation import encode, scores_of, to_device
from .precision import Precision

Score = Callable[
    [np.ndarray, np.ndarray], Tensor
]  # samples of the texts (B,), of the images (B,) -> logits (B, C)

# (permutations, samples whose texts meet all images): each pair costs the head alone where the encoder reads text and
# image apart, and the whole model where the text is read in the light of the image.
CHEAP, DEAR = (20, 500), (3, 64)


def probe(
    model: ImageTextClassifier, part: PairDataset, micro: int, precision: Precision, seed: int
) -> dict[str, Any]:
    """Macro-F1 and accuracy lost when images, or texts, are shuffled between the pairs, and those of the best additive
    model.

    That model is EMAP (Hessel and Lee 2020, arXiv 2010.06572): as far as it does as well, no interaction of text and
    image was of use. A split too large for all its pairs is represented by ``emap_pairs`` samples, and ``f1_macro``
    and ``acc`` are the model's own on the same.
    """
    apart = model.encoder.reads_apart
    score = (
        head_score(model, part, micro, precision) if apart else model_score(model, part, precision)
    )
    permutations, most = CHEAP if apart else DEAR
    batch = EVALUATION_FACTOR * micro * (16 if apart else 1)
    random = np.random.Generator(np.random.Philox(seeds.derive(seed, "probe")))
    everyone = np.arange(len(part))

    def measure(logits: Tensor, samples: np.ndarray = everyone) -> np.ndarray:
        found = scores_of(logits, part.labels[samples])
        return np.array([found["f1_macro"], found["acc"]])

    with tqdm(desc="probing", unit=" pairs", disable=None, leave=False) as bar:

        def run(texts: np.ndarray, images: np.ndarray) -> Tensor:
            logits = []
            for start in range(0, len(texts), batch):
                logits.append(score(texts[start : start + batch], images[start : start + batch]))
                bar.update(len(logits[-1]))
            return torch.cat(logits)

        shuffles = [random.permutation(len(part)) for _ in range(permutations)]
        whole = measure(run(everyone, everyone))
        without_images = whole - np.mean(
            [measure(run(everyone, order)) for order in shuffles], axis=0
        )
        without_texts = whole - np.mean(
            [measure(run(order, everyone)) for order in shuffles], axis=0
        )
        chosen = np.sort(random.permutation(len(part))[:most])
        table = all_pairs(run, chosen)
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


def all_pairs(run: Score, samples: np.ndarray) -> Tensor:
    """Logits of every text with every image, (M, M, C): row i holds text i."""
    texts, images = np.repeat(samples, len(samples)), np.tile(samples, len(samples))
    return run(texts, images).reshape(len(samples), len(samples), -1)


def emap(table: Tensor) -> Tensor:
    """Empirical multimodally-additive projection, (M, M, C) -> (M, C): mean over the images a text could have had,
    plus mean over the texts an image could have had, less the mean of all."""
    table = table.double()
    return table.mean(1) + table.mean(0) - table.mean((0, 1))


def head_score(
    model: ImageTextClassifier, part: PairDataset, micro: int, precision: Precision
) -> Score:
    """For encoders that read text and image apart: features once, then the head for each pair."""
    text, image = encode(model, part, micro, precision)

    @torch.inference_mode()
    def score(texts: np.ndarray, images: np.ndarray) -> Tensor:
        with precision.autocast():
            return (
                model.head(text[texts].to(precision.device), image[images].to(precision.device))
                .float()
                .cpu()
            )

    return score


def model_score(model: ImageTextClassifier, part: PairDataset, precision: Precision) -> Score:
    """For encoders that read the text in the light of the image: the whole model for each pair."""
    model.to(precision.device).eval()

    @torch.inference_mode()
    def score(texts: np.ndarray, images: np.ndarray) -> Tensor:
        batch = {
            **part.batch(0, 0, texts),
            "pixel_values": part.batch(0, 0, images)["pixel_values"],
        }
        inputs, _ = to_device(batch, precision.device)
        with precision.autocast():
            return model(**inputs).float().cpu()

    return score
