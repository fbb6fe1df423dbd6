"""The training loop, and a model over a whole split. Neither asks which model it holds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import entropy
from torch import Tensor, nn

from .. import seeding
from ..data.batches import Prefetcher
from ..data.dataset import Batch
from ..errors import UserError
from ..metrics import MAIN, run_scores
from ..progress import Progress
from ..settings import Protocol
from .device import Precision
from .processes import ALONE, Processes

_BARELY = 0.9  # of the loss of the best constant answer: a model above it has barely learned


@dataclass
class TrainingResult:
    """One row of history and the validation logits (N, C) per epoch."""

    history: list[dict[str, Any]] = field(default_factory=list)
    logits: list[Tensor] = field(default_factory=list)
    keeps_last: bool = False  # whatever its macro-F1 is

    @property
    def best_epoch(self) -> int:
        """The epoch that is kept: that with the highest macro-F1, of equal ones the earliest, or the
        last one; 0 before the first."""
        if self.keeps_last:
            return len(self.history)
        scores = [row[MAIN.column] for row in self.history]
        return scores.index(max(scores)) + 1 if scores else 0

    def stalled(self, patience: int) -> bool:
        """Return True where the last ``patience`` epochs brought no better macro-F1; 0: never."""
        return 0 < patience <= len(self.history) - self.best_epoch

    @property
    def best_row(self) -> dict[str, Any]:
        return self.history[self.best_epoch - 1]


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
    """Train for the epochs of the batches, or until macro-F1 has not risen for ``patience`` of
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
    result = TrainingResult(keeps_last=protocol.keep_epoch > 0)
    if checkpoint is not None:
        # Taken out of the checkpoint, or a second copy of it all stays in memory.
        trainer.load_state(checkpoint.pop("trainer"))
        result = TrainingResult(**checkpoint["fitted"])
    for epoch in schedule.epochs:
        if result.stalled(protocol.patience):
            print(
                f"stopped after epoch {epoch - 1} of {protocol.epochs}: macro-F1 was best at epoch "
                f"{result.best_epoch} (--patience {protocol.patience})",
                flush=True,
            )
            break
        seeding.start_epoch(protocol.seed, epoch, processes.rank)
        title, started = f"epoch {epoch}/{protocol.epochs}", time.perf_counter()
        try:
            groups = batches.train_groups(epoch)
            train_loss = trainer.train_one_epoch(groups, title, len(schedule.train))
            trained = time.perf_counter()
            processes.take_statistics_of_first(model)
            logits = evaluate(model, batches.val_batches(), precision, processes)  # (N, C)
            scores = validation_scores(logits, schedule.val.labels, class_weights)
        except FloatingPointError as error:
            kept = f"; the epochs up to {epoch - 1} are kept" if epoch > 1 else ""
            raise UserError(
                f"epoch {epoch}: {error}. Try a smaller --lr, or look for a broken checkpoint{kept}"
            ) from None
        times = {"train_sec": trained - started, "val_sec": time.perf_counter() - trained}
        rate = len(schedule.train) / times["train_sec"]
        row = {"epoch": epoch, "train_loss": train_loss, **scores, **times, "samples_per_sec": rate}
        result.history.append(row)
        result.logits.append(logits)
        if processes.first:
            content = {"trainer": trainer.state(), "fitted": vars(result)}
            save(content, result.best_epoch == epoch)
        print(
            f"{title}  train loss {train_loss:.4f}  val loss {row['val_loss']:.4f}  "
            f"acc {row['val_acc']:.4f}  macro-F1 {row['val_f1_macro']:.4f}  {rate:.1f} samples/s",
            flush=True,
        )
    shares = (
        np.bincount(schedule.train.labels, minlength=len(class_weights)) * class_weights.numpy()
    )
    constant = entropy(shares)  # the loss of the best answer that is always the same
    if result.history[-1]["train_loss"] > _BARELY * constant:
        print(
            f"the model has barely learned: training loss {result.history[-1]['train_loss']:.3f}, and "
            f"the best constant answer has {constant:.3f}. Try a higher --lr or more --epochs",
            flush=True,
        )
    return result


class Trainer:
    """Model, optimizer, loss scaler and the number of the step: what one optimizer step needs, and
    what a checkpoint must hold."""

    _PARTS = ("model", "optimizer", "scaler")

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
        self.protocol, self.precision, self.processes = protocol, precision, processes
        self.device = precision.device
        self.model = model.to(self.device)
        self.joined_model = processes.joined_model(self.model, self.device)
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.trainable = [p for _, p in named]
        groups, self._times_lr = [{"params": self.trainable}], [1.0]
        if protocol.encoder_lr:
            of_encoder = [p for name, p in named if name.startswith("encoder.")]
            others = [p for name, p in named if not name.startswith("encoder.")]
            groups = [{"params": of_encoder}, {"params": others}]
            self._times_lr = [protocol.encoder_lr / protocol.lr, 1.0]
        options = {"lr": protocol.lr, "weight_decay": protocol.weight_decay}
        try:  # in its one-kernel form, where this torch has it for the device
            self.optimizer = torch.optim.AdamW(groups, fused=True, **options)
        except RuntimeError:  # on a processor before torch 2.4
            self.optimizer = torch.optim.AdamW(groups, **options)
        self.scaler = precision.scaler()
        self.class_weights_cpu = class_weights  # (C,) float32
        self.class_weights = class_weights.to(self.device)
        self.step, self.steps = 0, steps  # those that were taken, and all
        self._spare: Batch = {}  # the last batch with samples

    def state(self) -> dict[str, Any]:
        parts = {name: getattr(self, name).state_dict() for name in self._PARTS}
        return {**parts, "step": self.step}

    def load_state(self, state: dict[str, Any]) -> None:
        for name in self._PARTS:
            getattr(self, name).load_state_dict(state[name])
        self.step = state["step"]

    def train_one_epoch(
        self, groups: Iterable[list[Batch]], title: str = "", total: int | None = None
    ) -> float:
        """Take one optimizer step per group of micro-batches; return the mean loss over the samples
        of the epoch, ``total`` of them.

        The loss of a step is ``CrossEntropyLoss(weight=class_weights)`` over the whole group: each
        micro-batch adds its sum, divided by the group's total weight, so how the group was cut
        changes nothing: neither into micro-batches nor into shares of several processes, which go
        through their own micro-batches here. Raise FloatingPointError for a loss that is not
        finite."""
        self.model.train()
        losses, weights, shown = [], [], time.perf_counter()
        with Progress(desc=title, total=total, unit=" samples") as bar:
            for group in groups:
                # The labels are still on the CPU: asking the device would make the CPU wait for it.
                own = [self.class_weights_cpu[batch["labels"]].sum().item() for batch in group]
                own_samples = sum(len(batch["labels"]) for batch in group)
                weight, samples = self.processes.totals(sum(own), own_samples)
                loss = torch.zeros((), device=self.device)
                for batch in group[:-1]:
                    with self.joined_model.no_sync() if self.processes.count > 1 else nullcontext():
                        loss += self._backward(batch, weight)
                loss += self._backward(group[-1], weight)  # here the processes join their gradients
                self._take_step()
                losses.append(self.processes.sum(loss))
                weights.append(weight)

                if time.perf_counter() - shown > 1:  # not each time: it makes a GPU wait
                    shown = time.perf_counter()
                    bar.set_postfix_str(f"loss {_finite(losses)[-1]:.4f}")
                bar.update(int(samples))
        return float(np.average(_finite(losses), weights=weights))

    def _backward(self, batch: Batch, weight: float) -> Tensor:
        """Add a micro-batch's part to the gradients; return its part of the step's loss, a scalar
        on the device: that of the fusion, which compares with the validation loss."""
        if len(batch["labels"]):
            self._spare = batch
        else:  # the others wait for this process: it repeats samples, which must not count
            batch, weight = self._spare, math.inf
        inputs, labels = to_device(batch, self.device)
        with self.precision.autocast():
            made = self.joined_model(**inputs)
        logits, *of_branches = made if isinstance(made, tuple) else (made,)
        options = {"weight": self.class_weights, "reduction": "sum"}
        loss = F.cross_entropy(logits.float(), labels, **options) / weight
        whole = loss
        for each in of_branches:
            own = F.cross_entropy(each.float(), labels, **options) / weight
            whole = whole + self.protocol.branch_loss * own
        # Several processes take the mean of their gradients: it shall be their sum.
        self.scaler.scale(whole * self.processes.count).backward()
        return loss.detach()

    def _take_step(self) -> None:
        """Change the weights by the gradients of a whole step, and forget these."""
        for group, times in zip(self.optimizer.param_groups, self._times_lr, strict=True):
            group["lr"] = learning_rate(self.protocol, self.step, self.steps) * times
        if self.protocol.clip_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.trainable, self.protocol.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1


def learning_rate(protocol: Protocol, step: int, steps: int) -> float:
    """Return the learning rate of a step, counted from 0, of a run that plans ``steps`` of them.

    It rises from 0 in a straight line over the share ``warmup_ratio`` of the steps, rounded up, and
    then follows the schedule, as transformers' schedules with warmup do. The cosine is half of one,
    as in Loshchilov and Hutter 2017 (SGDR), without restarts. torch's LambdaLR would have a state
    of its own to keep.
    """
    warmup = math.ceil(protocol.warmup_ratio * steps)
    if step < warmup:
        return protocol.lr * step / warmup
    done = (step - warmup) / max(1, steps - warmup)  # share of the steps after the warmup, 0 to 1
    if protocol.schedule == "linear":
        return protocol.lr * (1 - done)
    if protocol.schedule == "cosine":
        return protocol.lr * 0.5 * (1 + math.cos(math.pi * done))
    return protocol.lr


def _finite(losses: list[Tensor]) -> np.ndarray:
    """Return the losses (steps,) on the CPU, or raise FloatingPointError."""
    values = torch.stack(losses).cpu().numpy()
    if not np.isfinite(values).all():
        step = int(np.flatnonzero(~np.isfinite(values))[0])
        raise FloatingPointError(f"the loss is {values[step]} at step {step + 1}")
    return values


def to_device(batch: Batch, device: torch.device) -> tuple[Batch, Tensor]:
    """Copy a batch; return the model's inputs by name, and the labels (B,)."""
    inputs = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
    return inputs, inputs.pop("labels")


def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[np.ndarray, Batch]],
    precision: Precision,
    processes: Processes = ALONE,
    bar: Progress | None = None,
) -> Tensor:
    """Return the logits (N, C) of every sample in the order of the split, float32 on the CPU.

    Args:
        batches: the places (B,) of the samples in the split, and the batch. Of several processes
            each has its own, at least one, and all get the logits of the whole split.
        bar: counts the samples that are done.
    """
    model.eval()
    places, parts = [], []
    # Batches are fetched outside inference mode: a tensor made in it can never be trained on.
    for batch_places, batch in batches:
        with torch.inference_mode(), precision.autocast():
            inputs, _ = to_device(batch, precision.device)
            parts.append(model(**inputs).float())  # (B, C)
        places.append(batch_places)
        if bar is not None:
            bar.update(len(batch_places))
    found, logits = np.concatenate(places), torch.cat(parts).cpu()
    (count,) = processes.totals(len(found))
    ordered = torch.zeros(int(count), logits.shape[1])
    ordered[found] = logits
    return processes.sum(ordered)  # all but one add a zero


def validation_scores(
    logits: Tensor, labels: np.ndarray, class_weights: Tensor
) -> dict[str, float]:
    """Return the validation columns of history.csv; the loss is weighted as in training, so the
    curves compare. Raise FloatingPointError where a logit or the loss is not finite."""
    loss = F.cross_entropy(logits, torch.from_numpy(labels), weight=class_weights).item()
    if not (torch.isfinite(logits).all() and math.isfinite(loss)):
        raise FloatingPointError("the model's answers on the validation pairs are not finite")
    scores = {f"val_{key}": value for key, value in logit_scores(logits, labels).items()}
    return {**scores, "val_loss": loss}


def logit_scores(logits: Tensor, labels: np.ndarray) -> dict[str, float]:
    """Return the metrics by key, from logits (N, C) on the CPU and labels (N,)."""
    return run_scores(labels, logits.argmax(1).numpy())


def probabilities(logits: Tensor) -> np.ndarray:
    """Return the probability of each class (N, C) float64, from logits (N, C) on the CPU."""
    return logits.double().softmax(1).numpy()
