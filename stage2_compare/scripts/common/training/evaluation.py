"""A model over a whole split, without training: logits, metrics."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.dataset import Batch
from ..metrics import run_scores
from .precision import Precision
from .processes import ALONE, Processes


def to_device(batch: Batch, device: torch.device) -> tuple[Batch, Tensor]:
    """Copy a batch; return the model's inputs by name, and the labels (B,)."""
    inputs = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
    labels = inputs.pop("labels")
    return inputs, labels


def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[np.ndarray, Batch]],
    precision: Precision,
    processes: Processes = ALONE,
) -> Tensor:
    """Return the logits (N, C) of every sample in the order of the split, float32 on the CPU.

    Args:
        batches: the places (B,) of the samples in the split, and the batch. Of several processes
            each has its own, at least one, and all get the logits of the whole split.
    """
    model.eval()
    places, logits = processes.together(partial(_measure, model, batches, precision))
    (count,) = processes.totals(len(places))
    ordered = torch.zeros(int(count), logits.shape[1])
    ordered[places] = logits
    return processes.sum(ordered)  # all but one add a zero


def _measure(
    model: nn.Module, batches: Iterable[tuple[np.ndarray, Batch]], precision: Precision
) -> tuple[Tensor, Tensor]:
    """Return the places (n,) and logits (n, C) of the samples of all batches, on the CPU."""
    places, parts = [], []
    # Batches are fetched outside inference mode: a tensor made in it can never be trained on.
    for batch_places, batch in batches:
        with torch.inference_mode(), precision.autocast():
            inputs, _ = to_device(batch, precision.device)
            parts.append(model(**inputs).float())  # (B, C)
        places.append(torch.from_numpy(batch_places))
    return torch.cat(places), torch.cat(parts).cpu()


def predicted_classes(logits: Tensor) -> np.ndarray:
    """Return the class with the highest logit of each pair (N,), from logits (N, C) on the CPU."""
    return logits.argmax(1).numpy()


def probabilities(logits: Tensor) -> np.ndarray:
    """Return the probability of each class (N, C) float64, from logits (N, C) on the CPU."""
    return logits.double().softmax(1).numpy()


def logit_scores(logits: Tensor, labels: np.ndarray) -> dict[str, float]:
    """Return the metrics by key, from logits (N, C) on the CPU and labels (N,)."""
    return run_scores(labels, predicted_classes(logits))


def validation_scores(
    logits: Tensor, labels: np.ndarray, class_weights: Tensor
) -> dict[str, float]:
    """Return the validation columns of history.csv; the loss is weighted as in training, so the
    curves compare."""
    loss = F.cross_entropy(logits, torch.from_numpy(labels), weight=class_weights)
    scores = {f"val_{key}": value for key, value in logit_scores(logits, labels).items()}
    return {**scores, "val_loss": loss.item()}
