"""What the three training commands do: prepare, fit as often as it takes, write. They differ in the encoder only."""

from __future__ import annotations

import argparse
import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import seeding as seeds
from ..data.batches import BatchSchedule, Prefetcher
from ..errors import UserError
from ..models.classifier import ImageTextClassifier
from ..models.fusion import FUSIONS
from ..models.loading import check_transformers
from ..runs.layout import CHECKPOINT
from ..runs.writer import RunFolder
from .device import SAVE_MEMORY, device_name, explained, is_out_of_memory, keep_freed_memory
from .engine import Settings, TrainingResult, fit
from .evaluation import encoded
from .precision import allow_fast_float32
from .prepare import Job, prepare
from .record import Finish, write_run


def train(
    args: argparse.Namespace, name: str, family: str, fusion: str, make_encoder: Callable
) -> None:
    """Train one model under the protocol and leave its run folder.

    Args:
        args: the flags of ``cli.training_parser``.
        name: of the run folder.
        family: what kind of model it is, for the record.
        fusion: a key of ``models.fusion.FUSIONS``.
        make_encoder: checkpoint configuration -> encoder module.
    Raises:
        UserError: before the first batch, wherever the input allows to know.
    """
    check_transformers()
    if args.probe and FUSIONS[fusion].uses != ("text", "image"):
        raise UserError(
            f"--probe asks what each modality adds, but --fusion {fusion} uses one only: leave it out"
        )
    if args.deterministic:
        seeds.use_deterministic_algorithms()
    else:
        allow_fast_float32()
    keep_freed_memory()
    with RunFolder(args.project_root / args.output_dir, name) as folder, explained():
        try:
            job = prepare(args, family, fusion, make_encoder)
            print(f"{name}: {len(job.parts['train'])} training and {len(job.parts['val'])} validation pairs on "
                  f"{device_name(job.precision.device)}, {job.precision.name}", flush=True)  # fmt: skip
            model, fitted, finish = fit_to_the_end(job, folder)
            write_run(job, folder, model, fitted, finish)
        except KeyboardInterrupt:
            kept = (folder.partial / CHECKPOINT).exists()
            raise KeyboardInterrupt(
                "the epochs that were finished are kept: run the same command again to go on"
                if kept
                else "no epoch was finished, so nothing is kept"
            ) from None
    best = fitted.history[fitted.best_epoch - 1]["val_f1_macro"]
    print(f"best macro-F1 {best:.4f} at epoch {fitted.best_epoch}: {folder.final}", flush=True)


def fit_to_the_end(
    job: Job, folder: RunFolder
) -> tuple[ImageTextClassifier, TrainingResult, Finish]:
    """Fit from the last checkpoint, if there is one; where memory runs out, again with half the micro-batch.

    The effective batch stays, and so does the result: exactly for CLIP and BLIP, up to BatchNorm and the text
    encoder's dropout, which see the micro-batch, for BERT + ResNet.
    """
    checkpoint = unfinished(job, folder)
    finish = Finish(job.micro, [])
    if checkpoint is not None:
        finish = Finish(**checkpoint["finish"])
        done = epochs_done(checkpoint)
        print(
            f"going on after epoch {done} of {job.args.epochs} (--restart would begin anew)",
            flush=True,
        )
    while True:
        model = job.build()
        folder.need_space(space(model))
        try:
            return model, attempt(job, folder, model, finish, checkpoint), finish
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        del (
            model,
            checkpoint,
        )  # outside the except clause, whose traceback would keep the tensors alive
        gc.collect()
        torch.cuda.empty_cache()
        checkpoint = folder.read_checkpoint()
        epoch = epochs_done(checkpoint) + 1
        if finish.micro == 1:
            raise UserError(
                f"out of memory in epoch {epoch}, even with one sample at once. {SAVE_MEMORY}"
            )
        finish.halvings.append({"epoch": epoch, "batch_size": finish.micro})
        finish.micro //= 2
        print(
            f"out of memory in epoch {epoch}: it starts again with {finish.micro} samples at once",
            flush=True,
        )


def unfinished(job: Job, folder: RunFolder) -> dict[str, Any] | None:
    """The checkpoint to go on from; one that does not fit is removed, with the reason."""
    checkpoint = folder.read_checkpoint()
    if checkpoint is None or job.args.restart:
        folder.clear()
        return None
    found, wanted = json.loads(checkpoint["identity"]), json.loads(json.dumps(job.identity))
    for key in wanted | found:
        if found.get(key) != wanted.get(key):
            print(
                f"beginning anew: the unfinished run had {key} {found.get(key)!r}, not {wanted.get(key)!r}",
                flush=True,
            )
            folder.clear()
            return None
    return checkpoint


def attempt(
    job: Job,
    folder: RunFolder,
    model: ImageTextClassifier,
    finish: Finish,
    checkpoint: dict[str, Any] | None,
) -> TrainingResult:
    """Fit with ``finish.micro`` samples at once, keeping a checkpoint after every epoch."""
    args, parts, device = job.args, job.parts, job.precision.device
    trained = model
    if args.freeze_encoders:
        parts = {
            name: encoded(model, parts[name], finish.micro, job.precision)
            for name in ("train", "val")
        }
        trained = model.head
    epochs = range(epochs_done(checkpoint) + 1, args.epochs + 1)
    plan = BatchSchedule(
        parts["train"],
        parts["val"],
        args.seed,
        epochs,
        finish.micro,
        args.effective_batch_size,
        model.head.dropout_shape,
    )
    workers = 0 if args.freeze_encoders else args.num_workers
    feed = Prefetcher(plan, workers, args.pin_memory and device.type == "cuda")
    weights = class_weights(parts["train"].labels, len(job.classes), args.class_weights)
    settings = Settings(args.epochs, args.lr, args.weight_decay, weights, args.seed, job.precision)
    arguments = {
        key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()
    }
    identity = json.dumps(job.identity)

    def save(content: dict[str, Any], improved: bool) -> None:
        if improved:
            best = {"model_state": model.state_dict(), "args": arguments, "labels": job.classes}
            folder.write_tensors("best.pt", best)
        folder.write_tensors(CHECKPOINT, {**content, "identity": identity, "finish": vars(finish)})

    return fit(trained, feed, settings, save, checkpoint)


def epochs_done(checkpoint: dict[str, Any] | None) -> int:
    return len(checkpoint["fitted"]["history"]) if checkpoint else 0


def space(model: ImageTextClassifier) -> float:
    """Megabytes for two checkpoints (one is there while the next is written) and the best weights."""
    everything = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    kept = trained if model.frozen else everything
    return 4e-6 * (2 * (kept + 2 * trained) + 2 * everything)


def class_weights(labels: np.ndarray, classes: int, mode: str) -> Tensor:
    """Weight of each class in the loss, (C,): N / its count, or 1."""
    if mode == "none":
        return torch.ones(classes)
    return torch.from_numpy(len(labels) / np.bincount(labels, minlength=classes)).float()
