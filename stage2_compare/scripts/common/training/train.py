"""A training command from top to bottom: prepare, resume, fit, record."""

from __future__ import annotations

import gc
import platform
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch

from .. import seeding
from ..data.batches import BatchSchedule, Prefetcher
from ..errors import UserError
from ..models.classifier import ImageTextClassifier
from ..models.loading import check_transformers
from ..runs.folder import RunFolder
from ..runs.layout import BEST, CHECKPOINT, encoder
from ..runs.weights import ENCODER_SHA256
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
from .modality_dropout import with_modality_dropout
from .prepare import PreparedRun, prepare, print_lines
from .processes import Processes, joined
from .record import complete, is_incomplete, write_run
from .resume import changed, choices, named, unfinished, weights_sha256


def train(settings: TrainingRun, pairs: tuple | None = None) -> None:
    """Train one model under the protocol and leave its run folder; ``pairs`` is what
    ``read_pairs`` returns, where it was read before.

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
        run = prepare(settings, processes, pairs)
        _check_shares(run)
        if not settings.restart and processes.from_first(
            lambda: is_incomplete(run, settings, folder)
        ):
            if processes.first:
                complete(run, folder)
            return
        if processes.first:
            _announce(run, folder)

        # 2. Resume
        checkpoint = processes.from_first(lambda: unfinished(run, folder))
        if checkpoint is not None:
            run.halvings = checkpoint["halvings"]
            if run.halvings:
                run.micro = min(run.micro, run.halvings[-1]["batch_size"] // 2)
            done = f"epoch {_epochs_done(checkpoint)} of {settings.protocol.epochs}"
            print(f"going on after {done} (--restart would begin anew)", flush=True)

        # 3. Fit
        model, result = fit_in_memory(run, folder, checkpoint)

        # 4. Record
        if processes.first:
            write_run(run, folder, model, result)
            kept, epoch = result.best_row["val_f1_macro"], result.best_epoch
            told = "macro-F1" if settings.protocol.keep_epoch else "best macro-F1"
            print(f"{told} {kept:.4f} at epoch {epoch}: {folder.final}", flush=True)


def fit_in_memory(
    run: PreparedRun, folder: RunFolder, checkpoint: dict[str, Any] | None
) -> tuple[ImageTextClassifier, TrainingResult]:
    """Build a model and let it ``learn``; where memory runs out, again from the last epoch with half
    the micro-batch."""
    result = None
    while result is None:
        model = run.build()
        try:
            result = learn(run, folder, model, checkpoint)
        except RuntimeError as error:
            if not is_out_of_memory(error) or run.processes.count > 1:
                raise
        if result is None:  # behind the except clause, whose traceback keeps the tensors alive
            del model, checkpoint
            gc.collect()
            torch.cuda.empty_cache()
            checkpoint = folder.read_checkpoint()
            _halve(run, _epochs_done(checkpoint) + 1)
    return model, result


def learn(
    run: PreparedRun,
    folder: RunFolder,
    model: ImageTextClassifier,
    checkpoint: dict[str, Any] | None,
) -> TrainingResult:
    """Train a model, or the head of a frozen one alone, on what its encoder made of the pairs.

    The checkpoint of an epoch holds the best weights so far, so that whenever the run stops, they
    are of an epoch that is kept. At the end the model has them, and best.pt is written."""
    protocol, machine, processes = run.settings.protocol, run.settings.machine, run.processes
    trained, datasets, workers = model, run.datasets, machine.num_workers
    if model.frozen:
        # Unless memory has run out, features do not depend on the number of processes.
        micro = run.micro if run.halvings else run.settings.micro_batch
        run.features, run.encode_sec = encode_splits(run, model, micro)
        trained, datasets, workers = model.head, run.features, 0
    train = datasets["train"]
    if protocol.modality_dropout:
        train = with_modality_dropout(run, model, train)
    best = checkpoint["best"] if checkpoint else {}
    kept = {"best": best, "halvings": run.halvings, "choices": choices(run.settings)}
    kept["contents"] = run.contents

    def save(content: dict[str, Any], improved: bool) -> None:
        if improved:
            weights = trained.state_dict().items()
            best.update({name: weight.to("cpu", copy=True) for name, weight in weights})
        folder.write_tensors(CHECKPOINT, {**content, **kept})

    if processes.first:
        # Two checkpoints, since the old and the new one lie side by side for a moment; each holds
        # four numbers for a weight: its value, two of AdamW, and the best one so far.
        written = learned = sum(p.numel() for p in trained.parameters())
        if model.frozen and not encoder(folder.parent, weights_sha256(model.encoder)).is_file():
            written = sum(p.numel() for p in model.parameters())
        folder.need_space(4e-6 * (written + 7 * learned))
    schedule = BatchSchedule(
        train=train,
        val=datasets["val"],
        seed=protocol.seed,
        epochs=range(_epochs_done(checkpoint) + 1, protocol.last_epoch + 1),
        micro=run.micro,
        effective=protocol.effective_batch_size,
        dropout_shape=model.head.dropout_shape,
        rank=processes.rank,
        processes=processes.count,
    )
    pin_memory = machine.pin_memory and run.precision.device.type == "cuda"
    batches = Prefetcher(schedule, workers, pin_memory)
    labels, weights = schedule.train.labels, np.ones(len(run.classes))  # (N,), (C,)
    if protocol.class_weights == "balanced":
        weights = len(labels) / np.bincount(labels, minlength=len(weights))
    # Tokens and patches are work for several threads, the head alone is not.
    with one_thread() if model.frozen and model.encoder.pooled else nullcontext():
        how = protocol, torch.from_numpy(weights).float(), run.precision
        result = fit(trained, batches, *how, save, checkpoint, processes)
    if processes.first:
        trained.load_state_dict(best)
        content = {"args": run.settings.arguments, "labels": run.classes}
        if model.frozen:
            digest = weights_sha256(model.encoder)
            folder.write_encoder(digest, model.encoder.state_dict())
            content |= {"model_state": trained.state_dict(prefix="head."), ENCODER_SHA256: digest}
        else:
            content["model_state"] = model.state_dict()
        folder.write_tensors(BEST, content)
    return result


def _epochs_done(checkpoint: dict[str, Any] | None) -> int:
    return len(checkpoint["fitted"]["history"]) if checkpoint else 0


def _halve(run: PreparedRun, epoch: int) -> None:
    """Go on with half the micro-batch. The effective batch stays, and so does the result, up to what
    sees the micro-batch: BatchNorm, and the dropout that some text encoders have."""
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


@contextmanager
def _stops_explained(folder: RunFolder, processes: Processes) -> Iterator[None]:
    """Say after a signal what the next run can go on from."""
    try:
        yield
    except KeyboardInterrupt:
        reason = "a signal, or another process that has ended; " if processes.count > 1 else ""
        kept = "no epoch was finished, so nothing is kept"
        if (folder.partial / CHECKPOINT).exists():
            kept = "the epochs that were finished are kept: run the same command again to go on"
        raise KeyboardInterrupt(reason + kept) from None


def _check_shares(run: PreparedRun) -> None:
    """Refuse processes that would have nothing to do, or that read something else."""
    processes, step = run.processes, run.settings.protocol.effective_batch_size
    pairs = min(len(run.datasets["train"]), len(run.datasets["val"]))
    if processes.count > min(step, pairs):
        raise UserError(
            f"{processes.count} processes are too many: a step has {step} samples "
            f"(--effective-batch-size), and the smaller split has {pairs} pairs. Start fewer"
        )
    found = choices(run.settings) | run.contents
    keys = changed(processes.from_first(lambda: found), found)
    if keys:
        raise UserError(
            f"process {processes.rank} on {platform.node()} differs from the first one in "
            f"{named(keys)}: give all machines the same files, packages and cards"
        )


def _announce(run: PreparedRun, folder: RunFolder) -> None:
    """Say what is about to be trained, and what of the flags cannot be as asked for."""
    settings, count = run.settings, run.processes.count
    train_pairs, val_pairs = len(run.datasets["train"]), len(run.datasets["val"])
    device = f"{device_name(run.precision.device)}, {run.precision.name}"
    shared = f", {count} processes" if count > 1 else ""
    pairs = f"{train_pairs} training and {val_pairs} validation pairs"
    lines = [f"{settings.name}: {pairs} on {device}{shared}", folder.replaced_run(run.identity)]
    asked, from_each = settings.machine.batch_size, " from each process" if count > 1 else ""
    if run.micro < asked:
        lines.append(
            f"--batch-size {asked} is more than one optimizer step takes{from_each}: batches of "
            f"{run.micro} are used (--effective-batch-size)"
        )
    print_lines(lines)
