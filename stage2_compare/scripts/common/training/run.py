"""One training command: prepare, fit as often as it takes, write the run folder."""

from __future__ import annotations

import gc
import json
import platform
from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import seeding
from ..data.batches import BatchSchedule, Prefetcher, Share
from ..errors import UserError
from ..files import quoted
from ..models.classifier import ImageTextClassifier
from ..models.fusion import FUSIONS
from ..models.loading import check_transformers
from ..runs import layout
from ..runs.folder import RunFolder
from ..runs.layout import BEST, CHECKPOINT
from ..settings import TrainingRun
from . import identity
from .device import (
    allow_fast_float32,
    device_failures_named,
    device_name,
    is_out_of_memory,
    keep_freed_memory,
    one_thread,
)
from .engine import TrainingResult, fit
from .features import encode_splits
from .prepare import PreparedRun, prepare
from .processes import Processes, joined
from .record import MemoryFit, write_run

BEST_HEAD = "best_head"  # in a checkpoint: of a run whose head learns alone


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
    with joined(settings.machine.device) as processes, device_failures_named():
        try:
            _check(settings)
            _train(settings, processes)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(_what_is_kept(settings, processes)) from None


def _train(settings: TrainingRun, processes: Processes) -> None:
    """Train as one of the processes; the first has the run folder."""
    device = processes.device or settings.machine.device
    settings = replace(settings, machine=replace(settings.machine, device=device))
    own = RunFolder(settings.paths.runs, settings.name) if processes.first else nullcontext()
    with own as folder:
        prepared = processes.in_turn(partial(prepare, settings))
        _check_shares(prepared, processes)
        if processes.first:
            _announce(prepared, folder, processes)
        model, result, memory = fit_to_the_end(prepared, folder, processes)
        finish = partial(write_run, prepared, folder, model, result, memory, processes.count)
        processes.from_first(finish)
        if processes.first:
            best, epoch = result.best_row["val_f1_macro"], result.best_epoch
            print(f"best macro-F1 {best:.4f} at epoch {epoch}: {folder.final}", flush=True)


def _what_is_kept(settings: TrainingRun, processes: Processes) -> str:
    """Say after a signal what a next run can go on from."""
    kept = (layout.partial(settings.paths.runs, settings.name) / CHECKPOINT).exists()
    reason = "a signal, or another process that has ended; " if processes.count > 1 else ""
    return reason + (
        "the epochs that were finished are kept: run the same command again to go on"
        if kept
        else "no epoch was finished, so nothing is kept"
    )


def _check_shares(prepared: PreparedRun, processes: Processes) -> None:
    """Refuse processes that would have nothing to do, or that read something else."""
    step, datasets = prepared.settings.protocol.effective_batch_size, prepared.datasets
    pairs = min(len(datasets["train"]), len(datasets["val"]))
    if processes.count > min(step, pairs):
        raise UserError(
            f"{processes.count} processes are too many: a step has {step} samples "
            f"(--effective-batch-size), and the smaller split has {pairs} pairs. Start fewer"
        )
    found = {**identity.choices(prepared.settings), **prepared.contents}
    keys = identity.changed(processes.from_first(lambda: found), found)
    if keys:
        names = identity.named(keys)
        raise UserError(
            f"process {processes.rank} on {platform.node()} differs from the first one in {names}: "
            "give all machines the same files, packages and cards"
        )


def _check(settings: TrainingRun) -> None:
    check_transformers()
    fusion = settings.model.fusion
    if settings.probe and FUSIONS[fusion].uses != ("text", "image"):
        raise UserError(
            f"--probe asks what each modality adds, but --fusion {fusion} uses one only: "
            "leave it out"
        )


def _announce(prepared: PreparedRun, folder: RunFolder, processes: Processes) -> None:
    train_pairs, val_pairs = len(prepared.datasets["train"]), len(prepared.datasets["val"])
    precision = prepared.precision
    print(
        f"{prepared.settings.name}: {train_pairs} training and {val_pairs} validation pairs "
        f"on {device_name(precision.device)}, {precision.name}"
        + (f", {processes.count} processes" if processes.count > 1 else ""),
        flush=True,
    )
    settings = prepared.settings
    model = settings.model_record(settings.micro_batch, prepared.max_length)
    replaced = folder.replaced_run(asdict(settings.protocol), model)
    if replaced:
        print(replaced, flush=True)
    asked, step = settings.machine.batch_size, settings.protocol.effective_batch_size
    if asked > step:
        print(
            f"--batch-size {asked} is more than one optimizer step takes: batches of {step} are "
            "used (--effective-batch-size)",
            flush=True,
        )
    share = settings.micro_batch_of(processes.count)
    if share < settings.micro_batch:
        print(
            f"--batch-size {settings.micro_batch} is more than the share of one of "
            f"{processes.count} processes in a step of {step}: batches of {share} are used",
            flush=True,
        )


def fit_to_the_end(
    prepared: PreparedRun, folder: RunFolder | None, processes: Processes
) -> tuple[ImageTextClassifier, TrainingResult, MemoryFit]:
    """Fit from the last checkpoint, if there is one; where memory runs out, again with half the
    micro-batch.

    The effective batch stays, and so does the result: exactly for CLIP and BLIP; for BERT + ResNet
    up to BatchNorm and the text encoder's dropout, which see the micro-batch."""
    checkpoint = processes.from_first(lambda: unfinished(prepared, folder))
    memory = MemoryFit(prepared.settings.micro_batch_of(processes.count), [])
    if checkpoint is not None:
        memory.resume(checkpoint["finish"])
        done, epochs = _epochs_done(checkpoint), prepared.settings.protocol.epochs
        print(f"going on after epoch {done} of {epochs} (--restart would begin anew)", flush=True)
    while True:
        model = prepared.build()
        needed = disk_space(model)
        processes.from_first(lambda: folder.need_space(needed))  # noqa: B023 - called at once
        try:
            result = _fit(prepared, folder, processes, model, memory, checkpoint)
            return model, result, memory
        except RuntimeError as error:
            if not is_out_of_memory(error) or processes.count > 1:
                raise
        # Outside the except clause, whose traceback would keep the tensors alive.
        del model, checkpoint
        gc.collect()
        torch.cuda.empty_cache()
        checkpoint = processes.from_first(lambda: folder.read_checkpoint())
        memory.halve(_epochs_done(checkpoint) + 1)


def unfinished(prepared: PreparedRun, folder: RunFolder) -> dict[str, Any] | None:
    """Return the checkpoint to continue; remove one of other choices, and say which.

    Raises:
        UserError: the choices are the same, but what they name has changed.
    """
    checkpoint = folder.read_checkpoint()
    if checkpoint is None or prepared.settings.restart:
        folder.clear()
        return None
    if "logits" not in checkpoint["fitted"]:
        print("beginning anew: an earlier version kept no predictions of each epoch", flush=True)
        folder.clear()
        return None
    found = json.loads(checkpoint["identity"])
    wanted = identity.choices(prepared.settings)
    earlier = found.get("choices", {})
    # What an earlier version did not record is no other choice.
    for key in [key for key in identity.changed(earlier, wanted) if key in earlier]:
        was, now = (_shown(values.get(key)) for values in (earlier, wanted))
        print(f"beginning anew: the unfinished run had {key} {was}, not {now}", flush=True)
        folder.clear()
        return None
    keys = identity.changed(found.get("contents", {}), prepared.contents)
    if keys:
        names = identity.named(keys)
        raise UserError(
            f"the unfinished run in {folder.partial} cannot go on as if nothing had happened: "
            f"changed since it stopped: {names}. It is kept: undo the change to go on, or give "
            "--restart to begin anew"
        )
    return checkpoint


def _shown(value: object) -> str:
    """Return a choice for a message, a path of Windows as it is written there."""
    return quoted(value) if isinstance(value, str) else repr(value)


def _fit(
    prepared: PreparedRun,
    folder: RunFolder | None,
    processes: Processes,
    model: ImageTextClassifier,
    memory: MemoryFit,
    checkpoint: dict[str, Any] | None,
) -> TrainingResult:
    """Fit with ``memory.micro`` samples at once, keeping a checkpoint after every epoch."""
    if model.frozen:
        return _fit_head(prepared, folder, processes, model, memory, checkpoint)
    workers = prepared.settings.machine.num_workers
    pairs, share = prepared.datasets, processes.share
    schedule = _schedule(prepared, pairs, model, memory.micro, checkpoint, share)

    def save(content: dict[str, Any], improved: bool) -> None:
        folder.write_tensors(CHECKPOINT, {**content, **_agreement(prepared, memory)})
        if improved:  # last: an epoch that a card repeats may end otherwise
            _write_best(prepared, folder, model.state_dict())

    if checkpoint and checkpoint["fitted"]["best_epoch"] == _epochs_done(checkpoint):
        # It may have stopped between the two.
        best = checkpoint["trainer"]["model"]
        processes.from_first(lambda: _write_best(prepared, folder, best))
    return _fit_on(prepared, processes, model, schedule, workers, save, checkpoint)


def _fit_head(
    prepared: PreparedRun,
    folder: RunFolder | None,
    processes: Processes,
    model: ImageTextClassifier,
    memory: MemoryFit,
    checkpoint: dict[str, Any] | None,
) -> TrainingResult:
    """Fit the head alone, on what the frozen encoder made of the pairs.

    Until the end only heads are written, the last and the best; the encoder takes a thousand times
    as much."""
    # In turn, so that the first leaves its features to the others. Unless memory has run out, they
    # do not depend on the number of processes.
    micro = memory.micro if memory.halvings else prepared.settings.micro_batch
    encoding = partial(encode_splits, prepared, model, micro)
    prepared.features = processes.in_turn(encoding)
    features, share = prepared.features, processes.share
    schedule = _schedule(prepared, features, model, memory.micro, checkpoint, share)
    best_head = checkpoint[BEST_HEAD] if checkpoint else {}
    if processes.first:  # of a process that was killed at its end
        (folder.partial / BEST).unlink(missing_ok=True)

    def save(content: dict[str, Any], improved: bool) -> None:
        if improved:
            best_head.update(deepcopy(model.head.state_dict()))
        kept = {BEST_HEAD: best_head, **_agreement(prepared, memory)}
        folder.write_tensors(CHECKPOINT, {**content, **kept})

    # Tokens and patches are work for several threads.
    with one_thread() if model.encoder.pooled else nullcontext():
        result = _fit_on(prepared, processes, model.head, schedule, 0, save, checkpoint)
    if processes.first:
        model.head.load_state_dict(best_head)
        _write_best(prepared, folder, model.state_dict())
    return result


def _schedule(
    prepared: PreparedRun,
    datasets: dict[str, Any],
    model: ImageTextClassifier,
    micro: int,
    checkpoint: dict[str, Any] | None,
    share: Share,
) -> BatchSchedule:
    """Plan the epochs that are left, on ``datasets`` of pairs or of their features."""
    protocol = prepared.settings.protocol
    return BatchSchedule(
        train=datasets["train"],
        val=datasets["val"],
        seed=protocol.seed,
        epochs=range(_epochs_done(checkpoint) + 1, protocol.epochs + 1),
        micro=micro,
        effective=protocol.effective_batch_size,
        dropout_shape=model.head.dropout_shape,
        share=share,
    )


def _fit_on(
    prepared: PreparedRun,
    processes: Processes,
    trained: nn.Module,
    schedule: BatchSchedule,
    workers: int,
    save: Callable[[dict[str, Any], bool], None],
    checkpoint: dict[str, Any] | None,
) -> TrainingResult:
    protocol, precision = prepared.settings.protocol, prepared.precision
    pin_memory = prepared.settings.machine.pin_memory and precision.device.type == "cuda"
    batches = Prefetcher(schedule, workers, pin_memory)
    weights = class_weights(schedule.train.labels, len(prepared.classes), protocol.class_weights)
    return fit(trained, batches, protocol, weights, precision, save, checkpoint, processes)


def _agreement(prepared: PreparedRun, memory: MemoryFit) -> dict[str, Any]:
    """Return what a checkpoint holds beside the training: what must agree to go on from it."""
    agreed = {"choices": identity.choices(prepared.settings), "contents": prepared.contents}
    return {"identity": json.dumps(agreed), "finish": vars(memory)}


def _write_best(prepared: PreparedRun, folder: RunFolder, state: dict[str, Tensor]) -> None:
    arguments, labels = prepared.settings.arguments, prepared.classes
    best = {"model_state": state, "args": arguments, "labels": labels}
    folder.write_tensors(BEST, best)


def _epochs_done(checkpoint: dict[str, Any] | None) -> int:
    return len(checkpoint["fitted"]["history"]) if checkpoint else 0


def disk_space(model: ImageTextClassifier) -> float:
    """Return the megabytes of the best weights and two checkpoints: one lies there while the next
    is written, as with best weights that change."""
    everything = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if model.frozen:  # a checkpoint has its last and its best head
        in_checkpoint, in_best = 2 * trained, everything
    else:
        in_checkpoint, in_best = everything, 2 * everything
    numbers = 2 * (in_checkpoint + 2 * trained) + in_best  # AdamW keeps two for each weight
    return 4e-6 * numbers


def class_weights(labels: np.ndarray, classes: int, mode: str) -> Tensor:
    """Return the weight of each class in the loss, (C,): N / its count, or 1."""
    if mode == "none":
        return torch.ones(classes)
    return torch.from_numpy(len(labels) / np.bincount(labels, minlength=classes)).float()
