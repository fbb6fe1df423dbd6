"""What an encoder makes of a whole split, once."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from ..data.batches import read_through
from ..data.dataset import Batch, FeatureDataset, PairDataset
from ..metrics import run_scores
from ..models.classifier import ImageTextClassifier
from .precision import Precision


@torch.no_grad()  # not inference_mode: the head trains on these
def encode(
    model: ImageTextClassifier, part: PairDataset, micro: int, precision: Precision
) -> tuple[Tensor | None, Tensor | None]:
    """Text (N, text_dim) and image (N, image_dim) features in the order of the split, float32 on the CPU."""
    model.to(precision.device).eval()
    stored: list[Tensor | None] = [None, None]
    with tqdm(total=len(part), desc="encoding", unit=" samples", disable=None, leave=False) as bar:
        for places, batch in read_through(part, micro):
            inputs, _ = to_device(batch, precision.device)
            with precision.autocast():
                features = model.encode(**inputs)
            for which, feature in enumerate(features):
                if feature is not None:
                    if stored[which] is None:
                        stored[which] = torch.empty(len(part), feature.shape[1])
                    stored[which][torch.from_numpy(places)] = feature.float().cpu()
            bar.update(len(places))
    return stored[0], stored[1]


def encoded(
    model: ImageTextClassifier, part: PairDataset, micro: int, precision: Precision
) -> FeatureDataset:
    return FeatureDataset(part.labels, *encode(model, part, micro, precision))


def to_device(batch: Batch, device: torch.device) -> tuple[Batch, Tensor]:
    """The model's inputs by name, and the labels (B,)."""
    there = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
    return there, there.pop("labels")


def evaluate(
    model: nn.Module, batches: Iterable[tuple[np.ndarray, Batch]], precision: Precision
) -> Tensor:
    """Logits of every sample in the order of the split, (N, C) float32 on the CPU."""
    model.eval()
    places, logits = [], []
    # Inference mode is left for every fetch: what is made in it can never be trained on.
    for where, batch in batches:
        with torch.inference_mode(), precision.autocast():
            inputs, _ = to_device(batch, precision.device)
            logits.append(model(**inputs).float())
        places.append(torch.from_numpy(where))
    logits = torch.cat(logits).cpu()
    ordered = torch.empty_like(logits)
    ordered[torch.cat(places)] = logits
    return ordered


def scores_of(logits: Tensor, labels: np.ndarray) -> dict[str, float]:
    """The metrics of ``metrics.scores`` from logits (N, C) on the CPU and labels (N,)."""
    return run_scores(labels, logits.argmax(1).numpy())


def validation_scores(
    logits: Tensor, labels: np.ndarray, class_weights: Tensor
) -> dict[str, float]:
    """The validation columns of history.csv; the loss is weighted as in training, so that the curves compare."""
    loss = F.cross_entropy(logits, torch.from_numpy(labels), weight=class_weights)
    return {
        **{f"val_{name}": value for name, value in scores_of(logits, labels).items()},
        "val_loss": loss.item(),
    }
