"""The training loop. It never asks which model it holds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import seeding
from ..data.batches import Prefetcher
from ..data.dataset import Batch
from ..errors import UserError
from ..metrics import MAIN
from ..settings import Protocol
from .evaluation import evaluate, to_device, validation_scores
from .precision import Precision
from .processes import ALONE, Processes, synchronised
from .progress import Progress
from .rates import learning_rate


class NotFinite(ArithmeticError):
    """The loss is infinite or not a number."""


@dataclass
class TrainingResult:
    """One row of history and the validation logits (N, C) per epoch."""

    history: list[dict[str, Any]] = field(default_factory=list)
    logits: list[Tensor] = field(default_factory=list)
    best_epoch: int = 0

    def add(self, row: dict[str, Any], logits: Tensor) -> bool:
        """Add an epoch; return True where its macro-F1 is higher than ever before, so ties go to
        the earlier one."""
        best_so_far = max((earlier[MAIN.column] for earlier in self.history), default=-math.inf)
        self.history.append(row)
        self.logits.append(logits)
        if row[MAIN.column] <= best_so_far:
            return False
        self.best_epoch = row["epoch"]
        return True

    def stalled(self, patience: int) -> bool:
        """Return True where the last ``patience`` epochs brought no better macro-F1; 0: never."""
        return 0 < patience <= len(self.history) - self.best_epoch

    @property
    def best_row(self) -> dict[str, Any]:
        return self.history[self.best_epoch - 1]

    @property
    def best_logits(self) -> Tensor:
        return self.logits[self.best_epoch - 1]

    @property
    def last_logits(self) -> Tensor:
        return self.logits[-1]


class Trainer:
    """Model, optimizer, loss scaler and the number of the step: what one optimizer step needs, and
    what a checkpoint must hold."""

    def __init__(
        self,
        model: nn.Module,
        protocol: Protocol,
        class_weights: Tensor,
        precision: Precision,
        steps: int,
        processes: Processes = ALONE,
    ):
        """``steps``: optimizer steps that the whole run plans, on which the learning rate
        depends."""
        self.protocol = protocol
        self.device = precision.device
        self.model = model.to(self.device)
        self.precision = precision
        self.processes = processes
        self.synchronised = synchronised(model)
        self.trainable = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = OPTIMIZERS[protocol.optimizer](self.trainable, protocol)
        self.scaler = precision.scaler()
        self.class_weights_cpu = class_weights  # (C,) float32
        self.class_weights = class_weights.to(self.device)
        self.step, self.steps = 0, steps  # those that were taken, and all

    def state(self) -> dict[str, Any]:
        parts = {"model": self.model, "optimizer": self.optimizer, "scaler": self.scaler}
        return {name: part.state_dict() for name, part in parts.items()} | {"step": self.step}

    def load_state(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.step = state["step"]

    def train_one_epoch(self, groups: Iterable[list[Batch]], progress: Progress) -> float:
        """Take one optimizer step per group of micro-batches; return the mean loss over the samples
        of the epoch.

        The loss of a step is ``CrossEntropyLoss(weight=class_weights)`` over the whole group: each
        micro-batch adds its sum, divided by the group's total weight, so how the group was cut
        changes nothing: neither into micro-batches nor into shares of several processes, which go
        through their own micro-batches here."""
        self.model.train()
        losses, weights = [], []
        for group in groups:
            # The labels are still on the CPU: asking the device would make the CPU wait for it.
            weights_of_group = [
                self.class_weights_cpu[batch["labels"]].sum().item() for batch in group
            ]
            samples_of_group = sum(len(batch["labels"]) for batch in group)
            weight, samples = self.processes.totals(sum(weights_of_group), samples_of_group)
            loss = self.processes.together(partial(self._gradients, group, weight))
            self.processes.sum_gradients(self.trainable, loss)
            self.processes.together(self._take_step)
            losses.append(loss)
            weights.append(weight)
            if progress.advance(int(samples)):
                progress.show(_finite(losses)[-1])
        return float(np.average(_finite(losses), weights=weights))

    def _gradients(self, group: list[Batch], weight: float) -> Tensor:
        """Add the gradients of the micro-batches of this process; return their part of the step's
        loss, a scalar on the device."""
        loss = torch.zeros((), device=self.device)
        for batch in group:
            if len(batch["labels"]) or self.synchronised:  # BatchNorm awaits every process
                loss += self._backward(batch, weight)
        return loss

    def _take_step(self) -> None:
        """Change the weights by the gradients of a whole step, and forget these."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.protocol, self.step, self.steps)
        if self.protocol.clip_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.trainable, self.protocol.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1

    def _backward(self, batch: Batch, weight: float) -> Tensor:
        """Add a micro-batch's part to the gradients; return its part of the step's loss, a scalar
        on the device."""
        inputs, labels = to_device(batch, self.device)
        with self.precision.autocast():
            logits = self.model(**inputs)
        options = {"weight": self.class_weights, "reduction": "sum"}
        loss = F.cross_entropy(logits.float(), labels, **options) / weight
        self.scaler.scale(loss).backward()
        return loss.detach()


def adamw(parameters: list[nn.Parameter], protocol: Protocol) -> torch.optim.AdamW:
    """Make AdamW, in its one-kernel form where this torch has it for the device."""
    options = {"lr": protocol.lr, "weight_decay": protocol.weight_decay}
    try:
        return torch.optim.AdamW(parameters, fused=True, **options)
    except RuntimeError:  # on a processor before torch 2.4
        return torch.optim.AdamW(parameters, **options)


OPTIMIZERS = {"AdamW": adamw}


def _finite(losses: list[Tensor]) -> np.ndarray:
    """Return the losses (steps,) on the CPU. Not called at every step, since it makes a GPU wait
    for the CPU."""
    values = torch.stack(losses).cpu().numpy()
    if not np.isfinite(values).all():
        step = int(np.flatnonzero(~np.isfinite(values))[0])
        raise NotFinite(f"the loss is {values[step]} at step {step + 1}")
    return values


def fit(
    model: nn.Module,
    batches: Prefetcher,
    protocol: Protocol,
    class_weights: Tensor,
    precision: Precision,
    save: Callable[[dict[str, Any], bool], None],
    checkpoint: dict[str, Any] | None = None,
    processes: Processes = ALONE,
) -> TrainingResult:
    """Train for the epochs of the schedule, or until macro-F1 has not risen for ``patience`` of
    them.

    Args:
        class_weights: (C,) float32.
        save: called after every epoch, by the first process, with the checkpoint, a dict of tensors
            and plain types, and True where the model is the best so far.
        checkpoint: what ``save`` was given after the epoch before the first.
    Raises:
        UserError: a loss is not finite.
    """
    schedule = batches.schedule
    steps = protocol.epochs * math.ceil(len(schedule.train) / schedule.effective)
    trainer = Trainer(model, protocol, class_weights, precision, steps, processes)
    result = TrainingResult()
    if checkpoint is not None:
        # Taken out of the checkpoint, or a second copy of it all stays in memory.
        trainer.load_state(checkpoint.pop("trainer"))
        result = TrainingResult(**checkpoint["fitted"])
    for epoch in schedule.epochs:
        if result.stalled(protocol.patience):
            _report_stop(result, protocol)
            break
        seeding.start_epoch(protocol.seed, epoch, processes.rank)
        row, logits = _run_epoch(trainer, batches, epoch)
        improved = result.add(row, logits)
        content = {"trainer": trainer.state(), "fitted": vars(result)}
        processes.from_first(partial(save, content, improved))
        _report(row, protocol.epochs)
    return result


def _run_epoch(trainer: Trainer, batches: Prefetcher, epoch: int) -> tuple[dict[str, Any], Tensor]:
    """Train one epoch; return its row of history and the validation logits (N, C)."""
    schedule = batches.schedule
    started = time.perf_counter()
    train_loss = _train_epoch(trainer, batches, epoch)
    trained = time.perf_counter()
    trainer.processes.take_statistics_of_first(trainer.model)
    val_batches, processes = batches.val_batches(), trainer.processes
    logits = evaluate(trainer.model, val_batches, trainer.precision, processes)  # (N, C)
    scores = validation_scores(logits, schedule.val.labels, trainer.class_weights_cpu)
    if not (torch.isfinite(logits).all() and math.isfinite(scores["val_loss"])):
        raise _not_finite(epoch, "the model's answers on the validation pairs are not finite")
    train_sec, val_sec = trained - started, time.perf_counter() - trained
    row = {"epoch": epoch, "train_loss": train_loss, **scores}
    row |= {"train_sec": train_sec, "val_sec": val_sec}
    row["samples_per_sec"] = len(schedule.train) / train_sec
    return row, logits


def _train_epoch(trainer: Trainer, batches: Prefetcher, epoch: int) -> float:
    """Train one epoch under a progress bar; return its mean loss."""
    try:
        with Progress(
            f"epoch {epoch}/{trainer.protocol.epochs}", len(batches.schedule.train)
        ) as progress:
            return trainer.train_one_epoch(batches.train_groups(epoch), progress)
    except NotFinite as error:
        raise _not_finite(epoch, str(error)) from None


def _not_finite(epoch: int, fault: str) -> UserError:
    kept = f"; the epochs up to {epoch - 1} are kept" if epoch > 1 else ""
    return UserError(
        f"epoch {epoch}: {fault}. Try a smaller --lr, or look for a broken checkpoint{kept}"
    )


def _report_stop(result: TrainingResult, protocol: Protocol) -> None:
    last, best = len(result.history), result.best_epoch
    print(
        f"stopped after epoch {last} of {protocol.epochs}: macro-F1 was best at epoch {best} "
        f"(--patience {protocol.patience})",
        flush=True,
    )


def _report(row: dict[str, Any], epochs: int) -> None:
    print(
        f"epoch {row['epoch']}/{epochs}  train loss {row['train_loss']:.4f}  "
        f"val loss {row['val_loss']:.4f}  acc {row['val_acc']:.4f}  "
        f"macro-F1 {row['val_f1_macro']:.4f}  {row['samples_per_sec']:.1f} samples/s",
        flush=True,
    )
