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

from .. import seeding as seeds
from ..data.batches import Prefetcher
from ..data.dataset import Batch
from ..errors import UserError
from .evaluation import evaluate, to_device, validation_scores
from .precision import Precision
from .progress import Progress


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
    precision: Precision

    @property
    def device(self) -> torch.device:
        return self.precision.device


@dataclass
class TrainingResult:
    """What a run leaves: one row per epoch, and the validation logits (N, C) of the best and of the last epoch."""

    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    best_logits: Tensor | None = None
    last_logits: Tensor | None = None

    def add(self, row: dict[str, Any], logits: Tensor) -> bool:
        """Take in an epoch; True when its macro-F1 is higher than ever before, so ties go to the earlier epoch."""
        best_so_far = max((r["val_f1_macro"] for r in self.history), default=-math.inf)
        self.history.append(row)
        self.last_logits = logits
        if row["val_f1_macro"] <= best_so_far:
            return False
        self.best_epoch, self.best_logits = row["epoch"], logits
        return True


class Trainer:
    """Model, optimizer and loss scaler: what one optimizer step needs, and what a checkpoint must hold."""

    def __init__(self, model: nn.Module, settings: Settings):
        self.model, self.settings, self.device = (
            model.to(settings.device),
            settings,
            settings.device,
        )
        trainable = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = adamw(trainable, settings)
        self.scaler = settings.precision.scaler()
        self.class_weights = settings.class_weights.to(self.device)

    def state(self) -> dict[str, Any]:
        parts = {"model": self.model, "optimizer": self.optimizer, "scaler": self.scaler}
        return {name: part.state_dict() for name, part in parts.items()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])

    def train_one_epoch(self, groups: Iterable[list[Batch]], progress: Progress) -> float:
        """One optimizer step per group of micro-batches; returns the mean loss over the samples of the epoch.

        The loss of a step is ``CrossEntropyLoss(weight=class_weights)`` over the whole group: each micro-batch adds
        its sum, divided by the group's total weight, so how the group was cut changes nothing.
        """
        self.model.train()
        losses, weights = [], []
        for group in groups:
            # labels are still on the CPU: asking the device would make the CPU wait for it
            weight = sum(
                self.settings.class_weights[batch["labels"]].sum().item() for batch in group
            )
            loss = torch.zeros((), device=self.device)
            for batch in group:
                loss += self._backward(batch, weight)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.optimizer.zero_grad(set_to_none=True)
            losses.append(loss)
            weights.append(weight)
            if progress.advance(sum(len(batch["labels"]) for batch in group)):
                progress.show(_finite(losses)[-1])
        return float(np.average(_finite(losses), weights=weights))

    def _backward(self, batch: Batch, weight: float) -> Tensor:
        """Adds a micro-batch's part to the gradients; returns its part of the step's loss, a scalar on the device."""
        inputs, labels = to_device(batch, self.device)
        with self.settings.precision.autocast():
            logits = self.model(**inputs)
        loss = (
            F.cross_entropy(logits.float(), labels, weight=self.class_weights, reduction="sum")
            / weight
        )
        self.scaler.scale(loss).backward()
        return loss.detach()


def adamw(parameters: list[nn.Parameter], settings: Settings) -> torch.optim.AdamW:
    """AdamW in its one-kernel form where this torch has it for the device."""
    options = {"lr": settings.lr, "weight_decay": settings.weight_decay}
    try:
        return torch.optim.AdamW(parameters, fused=True, **options)
    except RuntimeError:  # on a processor before torch 2.4
        return torch.optim.AdamW(parameters, **options)


def _finite(losses: list[Tensor]) -> np.ndarray:
    """The losses of the steps so far, (steps,). Not called at every step: it makes a GPU wait for the CPU."""
    values = torch.stack(losses).cpu().numpy()
    if not np.isfinite(values).all():
        step = int(np.flatnonzero(~np.isfinite(values))[0])
        raise NotFinite(f"the loss is {values[step]} at step {step + 1}")
    return values


def fit(
    model: nn.Module,
    feed: Prefetcher,
    settings: Settings,
    save: Callable[[dict[str, Any], bool], None],
    checkpoint: dict[str, Any] | None = None,
) -> TrainingResult:
    """Train for the epochs of the feed's plan.

    Args:
        save: called after every epoch with the checkpoint, a dict of tensors and plain types, and whether the model
            is the best so far.
        checkpoint: what ``save`` was given after the epoch before the plan's first; its tensors are taken out of it.
    """
    trainer, fitted = Trainer(model, settings), TrainingResult()
    if checkpoint is not None:
        trainer.load_state(
            checkpoint.pop("trainer")
        )  # else a second copy of it all stays in memory
        fitted = TrainingResult(**checkpoint["fitted"])
    labels, samples = feed.plan.val.labels, len(feed.plan.train)
    for epoch in feed.plan.epochs:
        seeds.start_epoch(settings.seed, epoch)
        started = time.perf_counter()
        try:
            with Progress(f"epoch {epoch}/{settings.epochs}", samples) as progress:
                train_loss = trainer.train_one_epoch(feed.train_groups(epoch), progress)
        except NotFinite as error:
            raise UserError(
                f"epoch {epoch}: {error}. Try a smaller --lr, or look for a broken checkpoint"
            ) from None
        trained = time.perf_counter()
        logits = evaluate(model, feed.val_batches(), settings.precision)
        row = {
            "epoch": epoch,
            "train_loss": train_loss,
            **validation_scores(logits, labels, settings.class_weights),
            "train_sec": trained - started,
            "val_sec": time.perf_counter() - trained,
            "samples_per_sec": samples / (trained - started),
        }
        improved = fitted.add(row, logits)
        save({"trainer": trainer.state(), "fitted": vars(fitted)}, improved)
        report(row, settings.epochs)
    return fitted


def report(row: dict[str, Any], epochs: int) -> None:
    """One line per epoch."""
    print(
        f"epoch {row['epoch']}/{epochs}  train loss {row['train_loss']:.4f}  val loss {row['val_loss']:.4f}  "
        f"acc {row['val_acc']:.4f}  macro-F1 {row['val_f1_macro']:.4f}  {row['samples_per_sec']:.1f} samples/s",
        flush=True,
    )
