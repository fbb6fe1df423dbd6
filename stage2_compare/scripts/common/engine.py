"""The training loop. It never asks which model it holds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import seed as seeds
from .data import Batch, Feed
from .errors import UserError
from .metrics import confusion_matrix, scores
from .progress import Progress

INPUTS = ("input_ids", "attention_mask", "pixel_values")


class NotFinite(ArithmeticError):
    """The loss is infinite or not a number."""


@dataclass
class Settings:
    """What the optimizer and the loss are told."""

    epochs: int
    lr: float
    weight_decay: float
    class_weights: Tensor  # (C,) float32
    seed: int
    device: torch.device


@dataclass
class Fitted:
    """What a run leaves: one row per epoch, and the validation logits (N, C) of the best and of the last epoch."""

    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    best_logits: np.ndarray | None = None
    last_logits: np.ndarray | None = None


def to_device(batch: Batch, device: torch.device) -> Batch:
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


def train_one_epoch(
    model: nn.Module,
    groups: Iterable[list[Batch]],
    optimizer: torch.optim.Optimizer,
    class_weights: Tensor,
    device: torch.device,
    progress: Progress,
) -> float:
    """One optimizer step per group of micro-batches; returns the mean loss over the samples of the epoch.

    The loss of a step is ``CrossEntropyLoss(weight=class_weights)`` over the whole group: each micro-batch adds its
    sum, divided by the group's total weight, so how the group was cut changes nothing.
    """
    model.train()
    weights_there = class_weights.to(device)
    losses, weights = [], []
    for group in groups:
        weight = sum(class_weights[batch["labels"]].sum().item() for batch in group)  # labels are still on the CPU
        loss = torch.zeros((), device=device)
        for batch in group:
            loss += _backward(model, to_device(batch, device), weights_there, weight)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss)
        weights.append(weight)
        if progress.advance(sum(len(batch["labels"]) for batch in group)):
            progress.show(_finite(losses)[-1])
    return float(np.average(_finite(losses), weights=weights))


def _backward(model: nn.Module, batch: Batch, class_weights: Tensor, weight: float) -> Tensor:
    """Adds a micro-batch's part to the gradients; returns its part of the step's loss, a scalar on the device."""
    logits = model(**{name: batch[name] for name in INPUTS})
    loss = F.cross_entropy(logits.float(), batch["labels"], weight=class_weights, reduction="sum") / weight
    loss.backward()
    return loss.detach()


def _finite(losses: list[Tensor]) -> np.ndarray:
    """The losses of the steps so far, (steps,). Not called at every step: it makes a GPU wait for the CPU."""
    values = torch.stack(losses).cpu().numpy()
    if not np.isfinite(values).all():
        step = int(np.flatnonzero(~np.isfinite(values))[0])
        raise NotFinite(f"the loss is {values[step]} at step {step + 1}")
    return values


@torch.inference_mode()
def evaluate(model: nn.Module, batches: Iterable[tuple[np.ndarray, Batch]], device: torch.device) -> Tensor:
    """Logits of every sample in the order of the split, (N, C) float32 on the CPU."""
    model.eval()
    places, logits = [], []
    for where, batch in batches:
        batch = to_device(batch, device)
        logits.append(model(**{name: batch[name] for name in INPUTS}).float())
        places.append(torch.from_numpy(where))
    logits = torch.cat(logits).cpu()
    ordered = torch.empty_like(logits)
    ordered[torch.cat(places)] = logits
    return ordered


def validation_scores(logits: Tensor, labels: np.ndarray, class_weights: Tensor) -> dict[str, float]:
    """The validation columns of history.csv; the loss is weighted as in training, so that the curves compare."""
    confusion = confusion_matrix(labels, logits.argmax(1).numpy(), logits.shape[1])
    loss = F.cross_entropy(logits, torch.from_numpy(labels), weight=class_weights)
    return {**{f"val_{k}": float(v) for k, v in scores(confusion).items()}, "val_loss": loss.item()}


def fit(model: nn.Module, feed: Feed, settings: Settings, save_best: Callable[[nn.Module], None]) -> Fitted:
    """Train for all epochs; ``save_best`` is called whenever validation macro-F1 is higher than ever before."""
    model.to(settings.device)
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=settings.lr, weight_decay=settings.weight_decay)
    labels, samples = feed.plan.val.labels, len(feed.plan.train)
    fitted = Fitted()
    for epoch in feed.plan.epochs:
        seeds.start_epoch(settings.seed, epoch)
        started = time.perf_counter()
        try:
            with Progress(f"epoch {epoch}/{settings.epochs}", samples) as progress:
                groups = feed.train_groups(epoch)
                train_loss = train_one_epoch(
                    model, groups, optimizer, settings.class_weights, settings.device, progress
                )
        except NotFinite as error:
            raise UserError(f"epoch {epoch}: {error}. Try a smaller --lr, or look for a broken checkpoint") from None
        trained = time.perf_counter()
        logits = evaluate(model, feed.val_batches(), settings.device)
        row = {
            "epoch": epoch,
            "train_loss": train_loss,
            **validation_scores(logits, labels, settings.class_weights),
            "train_sec": trained - started,
            "val_sec": time.perf_counter() - trained,
            "samples_per_sec": samples / (trained - started),
        }
        best_so_far = max((r["val_f1_macro"] for r in fitted.history), default=-math.inf)
        fitted.history.append(row)
        fitted.last_logits = logits.numpy()
        if row["val_f1_macro"] > best_so_far:
            fitted.best_epoch, fitted.best_logits = epoch, fitted.last_logits
            save_best(model)
        report(row, settings.epochs)
    return fitted


def report(row: dict[str, Any], epochs: int) -> None:
    """One line per epoch."""
    print(
        f"epoch {row['epoch']}/{epochs}  train loss {row['train_loss']:.4f}  val loss {row['val_loss']:.4f}  "
        f"acc {row['val_acc']:.4f}  macro-F1 {row['val_f1_macro']:.4f}  {row['samples_per_sec']:.1f} samples/s",
        flush=True,
    )
