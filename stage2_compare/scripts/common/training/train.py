"""A training command from top to bottom: prepare, resume, fit, record."""

from __future__ import annotations

import gc
import platform
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import seeding
from ..data.batches import BatchSchedule, Prefetcher
from ..errors import UserError
from ..models.classifier import ImageTextClassifier
from ..models.loading import check_transformers
from ..runs.folder import RunFolder
from ..runs.layout import BEST, CHECKPOINT
from ..settings import TrainingRun
from .device import (
    SAVE_MEMORY,
    allow_fast_float32,
    device_failures_named,
    device_name,
    is_out_of_memory,
    keep_freed_memory,
    one_thread,
)
from .engine import TrainingResult, fit
from .features import encode_splits
from .prepare import PreparedRun, prepare, print_lines
from .processes import Processes, joined
from .record import write_run
from .resume import changed, choices, named, unfinished


def train(settings: TrainingRun) -> None:
    """Train one model under the protocol and leave its run folder.

    Raises:
        UserError: before the first batch, wherever the input allows it to be known.
    """
    if settings.machine.deterministic:
        seeding.use_deterministic_algorithms()
    else:
        allow_fast_float32()
    keep_freed_memory()
    folder = RunFolder(settings.paths.runs, settings.name)
    with (
        joined(settings.machine.device) as processes,
        device_failures_named(),
        _stops_explained(folder, processes),
        folder if processes.first else nullcontext(),
    ):
        # 1. Prepare
        check_transformers()
        device = processes.device or settings.machine.device
        settings = replace(settings, machine=replace(settings.machine, device=device))
        run = processes.in_turn(partial(prepare, settings))
        run.micro = settings.micro_batch_of(processes.count)
        _check_shares(run, processes)
        if processes.first:
            _announce(run, folder, processes)

        # 2. Resume
        checkpoint = processes.from_first(lambda: unfinished(run, folder))
        if checkpoint is not None:
            if checkpoint["halvings"]:
                run.micro = min(run.micro, checkpoint["micro"])
                run.halvings = checkpoint["halvings"]
            done = f"epoch {_epochs_done(checkpoint)} of {settings.protocol.epochs}"
            print(f"going on after {done} (--restart would begin anew)", flush=True)

        # 3. Fit; where memory runs out, again from the last epoch with half the micro-batch
        result = None
        while result is None:
            model = run.build()
            if processes.first:
                folder.need_space(_megabytes(model))
            try:
                result = learn(run, folder, processes, model, checkpoint)
            except RuntimeError as error:
                if not is_out_of_memory(error) or processes.count > 1:
                    raise
            if result is None:  # behind the except clause, whose traceback keeps the tensors alive
                del model, checkpoint
                gc.collect()
                torch.cuda.empty_cache()
                checkpoint = folder.read_checkpoint()
                _halve(run, _epochs_done(checkpoint) + 1)

        # 4. Record
        if processes.first:
            write_run(run, folder, model, result, processes.count)
            best, epoch = result.best_row["val_f1_macro"], result.best_epoch
            print(f"best macro-F1 {best:.4f} at epoch {epoch}: {folder.final}", flush=True)


def learn(
    run: PreparedRun,
    folder: RunFolder,
    processes: Processes,
    model: ImageTextClassifier,
    checkpoint: dict[str, Any] | None,
) -> TrainingResult:
    """Train a model, or the head of a frozen one alone, on what its encoder made of the pairs.

    After every epoch comes the checkpoint, and then best.pt, if the epoch is the best so far: a
    stop between the two leaves no weights of an epoch that a card may end otherwise the next time.
    Of a frozen model best.pt comes at the end, since its encoder takes a thousand times as much as
    the heads."""
    protocol, machine = run.settings.protocol, run.settings.machine
    trained, datasets, workers = model, run.datasets, machine.num_workers
    if model.frozen:
        # In turn, so that the first leaves its features to the others. Unless memory has run out,
        # they do not depend on the number of processes.
        micro = run.micro if run.halvings else run.settings.micro_batch
        run.features = processes.in_turn(partial(encode_splits, run, model, micro))
        trained, datasets, workers = model.head, run.features, 0
    best_head = checkpoint["best_head"] if checkpoint else {}

    def save(content: dict[str, Any], improved: bool) -> None:
        if improved and model.frozen:
            best_head.update(deepcopy(model.head.state_dict()))
        found = {"micro": run.micro, "halvings": run.halvings, "best_head": best_head}
        agreed = {"choices": choices(run.settings), "contents": run.contents}
        folder.write_tensors(CHECKPOINT, {**content, **found, **agreed})
        if improved and not model.frozen:
            _write_best(run, folder, model.state_dict())

    last_was_best = checkpoint and checkpoint["fitted"]["best_epoch"] == _epochs_done(checkpoint)
    if last_was_best and processes.first and not model.frozen:  # it may have stopped before best.pt
        _write_best(run, folder, checkpoint["trainer"]["model"])
    schedule = BatchSchedule(
        train=datasets["train"],
        val=datasets["val"],
        seed=protocol.seed,
        epochs=range(_epochs_done(checkpoint) + 1, protocol.epochs + 1),
        micro=run.micro,
        effective=protocol.effective_batch_size,
        dropout_shape=model.head.dropout_shape,
        rank=processes.rank,
        processes=processes.count,
    )
    pin_memory = machine.pin_memory and run.precision.device.type == "cuda"
    batches = Prefetcher(schedule, workers, pin_memory)
    weights = class_weights(schedule.train.labels, len(run.classes), protocol.class_weights)
    # Tokens and patches are work for several threads, the head alone is not.
    with one_thread() if model.frozen and model.encoder.pooled else nullcontext():
        how = protocol, weights, run.precision
        result = fit(trained, batches, *how, save, checkpoint, processes)
    if model.frozen and processes.first:
        model.head.load_state_dict(best_head)
        _write_best(run, folder, model.state_dict())
    return result


def class_weights(labels: np.ndarray, classes: int, mode: str) -> Tensor:
    """Return the weight of each class in the loss, (C,): N / its count, or 1."""
    if mode == "none":
        return torch.ones(classes)
    return torch.from_numpy(len(labels) / np.bincount(labels, minlength=classes)).float()


def _write_best(run: PreparedRun, folder: RunFolder, state: dict[str, Tensor]) -> None:
    best = {"model_state": state, "args": run.settings.arguments, "labels": run.classes}
    folder.write_tensors(BEST, best)


def _epochs_done(checkpoint: dict[str, Any] | None) -> int:
    return len(checkpoint["fitted"]["history"]) if checkpoint else 0


def _halve(run: PreparedRun, epoch: int) -> None:
    """Go on with half the micro-batch. The effective batch stays, and so does the result: exactly
    for CLIP and BLIP; for BERT + ResNet up to BatchNorm and the text encoder's dropout, which see
    the micro-batch."""
    if run.micro == 1:
        raise UserError(
            f"out of memory in epoch {epoch}, even with one sample at once. {SAVE_MEMORY}"
        )
    run.halvings.append({"epoch": epoch, "batch_size": run.micro})
    run.micro //= 2
    print(
        f"out of memory in epoch {epoch}: it starts again with {run.micro} samples at once",
        flush=True,
    )


def _megabytes(model: ImageTextClassifier) -> float:
    """Return the size of two checkpoints, with two numbers of AdamW for each weight, and of the
    best weights: old and new lie side by side while a file is written."""
    everything = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return 4e-6 * (everything + 7 * trained)


@contextmanager
def _stops_explained(folder: RunFolder, processes: Processes) -> Iterator[None]:
    """Say after a signal what the next run can go on from."""
    try:
        yield
    except KeyboardInterrupt:
        kept = (folder.partial / CHECKPOINT).exists()
        reason = "a signal, or another process that has ended; " if processes.count > 1 else ""
        raise KeyboardInterrupt(
            f"{reason}the epochs that were finished are kept: run the same command again to go on"
            if kept
            else f"{reason}no epoch was finished, so nothing is kept"
        ) from None


def _check_shares(run: PreparedRun, processes: Processes) -> None:
    """Refuse processes that would have nothing to do, or that read something else."""
    step = run.settings.protocol.effective_batch_size
    pairs = min(len(run.datasets["train"]), len(run.datasets["val"]))
    if processes.count > min(step, pairs):
        raise UserError(
            f"{processes.count} processes are too many: a step has {step} samples "
            f"(--effective-batch-size), and the smaller split has {pairs} pairs. Start fewer"
        )
    found = {**choices(run.settings), **run.contents}
    keys = changed(processes.from_first(lambda: found), found)
    if keys:
        raise UserError(
            f"process {processes.rank} on {platform.node()} differs from the first one in "
            f"{named(keys)}: give all machines the same files, packages and cards"
        )


def _announce(run: PreparedRun, folder: RunFolder, processes: Processes) -> None:
    """Say what is about to be trained, and what of the flags cannot be as asked for."""
    settings, count = run.settings, processes.count
    train_pairs, val_pairs = len(run.datasets["train"]), len(run.datasets["val"])
    device = f"{device_name(run.precision.device)}, {run.precision.name}"
    shared = f", {count} processes" if count > 1 else ""
    pairs = f"{train_pairs} training and {val_pairs} validation pairs"
    model = settings.model_record(settings.micro_batch, run.max_length)
    lines = [
        f"{settings.name}: {pairs} on {device}{shared}",
        folder.replaced_run(asdict(settings.protocol), model),
    ]
    asked, step = settings.machine.batch_size, settings.protocol.effective_batch_size
    if asked > step:
        lines.append(
            f"--batch-size {asked} is more than one optimizer step takes: batches of {step} are "
            "used (--effective-batch-size)"
        )
    if run.micro < settings.micro_batch:
        lines.append(
            f"--batch-size {settings.micro_batch} is more than the share of one of {count} "
            f"processes in a step of {step}: batches of {run.micro} are used"
        )
    print_lines(lines)
