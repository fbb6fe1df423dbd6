"""A question -> what finished runs say of its pairs: a file, or the probabilities of one on screen."""

from __future__ import annotations

import shutil
import uuid
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..data.batches import read_through
from ..data.dataset import PairDataset
from ..data.image_store import ImageStore, ImagesUnusable, load_images
from ..data.splits import Split, label_indices
from ..data.tokens import check_tokens, tokenise
from ..errors import UserError, reason_of
from ..files import (
    cannot_write,
    console_width,
    move,
    padded,
    printable,
    quoted,
    replacing,
    write_result,
)
from ..metrics import METRICS, run_scores
from ..models.build import build_classifier
from ..models.classifier import ImageTextClassifier
from ..models.loading import check_transformers, load_tokenizer
from ..progress import Progress
from ..runs.folder import spreadsheet_bytes, table_bytes
from ..runs.layout import BEST, ENCODER
from ..runs.weights import read_best
from ..settings import Paths, Protocol
from ..training.device import (
    allow_fast_float32,
    choose_precision,
    device_failures_named,
    find_device,
    is_out_of_memory,
)
from ..training.engine import evaluate, probabilities
from ..training.record import answers_table, submission_table
from .question import REMEDY, OpenedRun, Question


def predict(asked: Namespace, question: Question) -> None:
    """Predict pairs with finished runs; ``asked`` are the flags of predict.py. Raise UserError where
    weights or a photo cannot be read."""
    check_transformers()
    allow_fast_float32()
    device = find_device(asked.device)
    runs, split, unread = question.runs, question.split, question.unread
    classes = runs[0].classes
    # Windows removes no file that is mapped.
    with TemporaryDirectory(ignore_cleanup_errors=True) as made, device_failures_named():
        temporary = Path(made)
        cache = Paths(project_root=asked.project_root).cache if asked.csv else temporary
        shares, blank_photos = [], 0
        for run in runs:
            model, tokenizer = load_run(run)
            longest = min(run.max_length, model.encoder.positions, tokenizer.model_max_length)
            tokens = tokenise(split.texts, tokenizer, longest)
            check_tokens(tokens, model.encoder.vocabulary, run.choice.name)
            blank = temporary / "blank.png" if asked.blank_missing or unread == "image" else None
            if blank:  # of the colour that the encoder reads as zeros
                colour = tuple(round(255 * value) for value in model.encoder.mean)
                Image.new("RGB", (8, 8), colour).save(blank)
            images, blank_photos = _load_photos(split.image_paths, run.image_size, cache, blank)
            unknown = [-1] * len(split)
            dataset = PairDataset(tokens, images, unknown, run.image_size, augment=False)
            shares.append(_probabilities(model, dataset, asked, run, device))
            if wrong := np.flatnonzero(~np.isfinite(shares[-1]).all(1)).tolist():
                raise UserError(
                    f"{run.folder} answers {len(wrong):,} of {len(split):,} pairs with what is no "
                    f"number, guid {quoted(split.guids[wrong[0]])} first: its weights are damaged, "
                    "or too large for --amp fp16. Copy the folder again, or train the run again"
                )
        blank_texts, blank_photos = question.blank_texts, blank_photos * (unread != "image")
        if blank_texts or blank_photos:
            print(
                f"left blank, because they are missing or broken: {blank_texts:,} texts and "
                f"{blank_photos:,} photos",
                flush=True,
            )
        mean = np.mean(shares, axis=0)  # (N, C)
        if asked.csv is None:
            _show(mean[0], classes)
        else:
            _write(asked, split, mean, classes)


# The run


def export(folder: Path, target: Path) -> None:
    """Write a finished run with all its weights into a new folder, whole or not at all. Raise
    UserError where its weights cannot be read, or the folder cannot be written."""
    content = read_best(folder)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Links stay links: those of a stranger's run may lead to any file.
        shutil.copytree(folder, temporary, symlinks=True, ignore=shutil.ignore_patterns(BEST))
        with replacing(temporary / BEST) as file:
            torch.save(content, file)
        move(temporary, target)
    except (OSError, RuntimeError) as error:  # torch.save reports a full disk as the latter
        raise cannot_write(target, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    print(f"{target}: the whole run, which predict.py reads anywhere", flush=True)


def load_run(run: OpenedRun) -> tuple[ImageTextClassifier, Any]:
    """Build the classifier with the weights of best.pt, on the CPU, and load its tokenizer. Raise
    UserError where they cannot be read, or do not fit, or the encoder's files are not found."""
    state = read_best(run.folder)["model_state"]
    try:
        tokenizer = load_tokenizer(run.choice.name)
        shape = len(run.classes), Protocol(image_size=run.image_size)
        model = build_classifier(run.choice, *shape, state)
    except UserError as error:
        if run.choice.name == str(run.folder / ENCODER):
            raise
        raise UserError(
            f"{run.folder} keeps no {ENCODER}/ of its own: give its checkpoint as --model-name "
            f"({error})"
        ) from error
    except Exception as error:  # a stranger's configuration can fail in any way
        raise UserError(
            f"the weights of {run.folder} do not fit the model of {quoted(run.choice.name)}: "
            f"{reason_of(error)}"
        ) from error
    return model, tokenizer


def _load_photos(
    paths: list[str], image_size: int, cache: Path, blank: Path | None
) -> tuple[ImageStore, int]:
    """Decode the photos into ``cache``, and count those that cannot be used: ``blank`` stands in
    their place."""
    try:
        return load_images(paths, image_size, cache), 0
    except ImagesUnusable as error:
        if blank is None:
            raise UserError(f"{error.told}; repair or replace what is named, {REMEDY}") from None
        faults = error.faults
    used = [str(blank) if path in faults else path for path in paths]
    return load_images(used, image_size, cache), sum(path in faults for path in paths)


# The answers


def _probabilities(
    model: ImageTextClassifier,
    dataset: PairDataset,
    asked: Namespace,
    run: OpenedRun,
    device: torch.device,
) -> np.ndarray:
    """Return what one run says of the pairs, (N, C)."""
    size = asked.batch_size or run.batch_size
    # By default a run that was trained in float32 predicts in it.
    amp = "off" if (asked.amp, run.precision) == ("auto", "fp32") else asked.amp
    try:
        model.to(device)
        title, total = printable(run.folder.name), len(dataset)
        with Progress(desc=title, total=total, unit=" pairs") as bar:
            how = choose_precision(amp, device)
            return probabilities(evaluate(model, read_through(dataset, size), how, bar=bar))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            f"out of memory: give a smaller --batch-size than {size}, or --device cpu"
        ) from error


def _show(shares: np.ndarray, classes: list[str]) -> None:
    """Print the probabilities (C,) of a pair, the highest first."""
    width = max(map(console_width, classes))
    for place in np.argsort(-shares, kind="stable"):
        print(f"{padded(printable(classes[place]), width)}  {shares[place]:.4f}", flush=True)


def _write(asked: Namespace, split: Split, shares: np.ndarray, classes: list[str]) -> None:
    """Write the answers (N, C), and print the metrics where all pairs are labelled."""
    table, target = answers_table(split, shares, classes), asked.project_root / asked.output
    beside = target if asked.probs is True else asked.probs and asked.project_root / asked.probs
    if beside != target:
        write_result(target, table_bytes(submission_table(table), split.line_end))
    if beside:
        told = table if asked.probs is True else table.drop(columns="label", errors="ignore")
        write_result(beside, spreadsheet_bytes(told))
    if "" not in split.labels:
        found = run_scores(np.array(label_indices(split, classes)), shares.argmax(1))
        print(", ".join(f"{metric.title} {found[metric.key]:.4f}" for metric in METRICS))
    elif any(split.labels):
        missing = split.labels.count("")
        print(f"{missing:,} of the pairs have no label, so they are not measured")
    print(f"{len(split):,} pairs: {target}", flush=True)
    if beside:
        alone = ", which is not the file to hand in: --probs FILE writes both"
        print(f"probabilities: {beside}{alone if beside == target else ''}", flush=True)
