"""Finished runs -> what they say of pairs: a file, or the probabilities of one pair on screen.

A run's folder is opened with the encoder's files in it, wherever it lies, or else with the checkpoint
that it was trained from."""

from __future__ import annotations

import math
import os
from argparse import Namespace
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from .data.batches import read_through
from .data.dataset import PairDataset
from .data.image_store import ImageStore, ImagesUnusable, load_images
from .data.pair_files import describe
from .data.splits import Split, label_indices, read_splits
from .data.tables import without_placeholders
from .data.tokens import check_tokens, tokenise
from .errors import UserError, reason_of
from .files import console_width, file_problem, padded, printable, quoted, write_result
from .metrics import METRICS, run_scores
from .models.build import build_classifier
from .models.checkpoint import CONFIG
from .models.classifier import ImageTextClassifier
from .models.loading import check_transformers, load_tokenizer
from .runs.folder import spreadsheet_bytes, table_bytes
from .runs.layout import BEST, ENCODER, METRICS_JSON
from .runs.reading import read_record
from .settings import LARGEST_IMAGE, ModelChoice, Paths
from .tensors import read_tensors
from .training.device import (
    allow_fast_float32,
    choose_precision,
    device_failures_named,
    find_device,
    is_out_of_memory,
)
from .training.engine import evaluate, probabilities
from .training.record import answers_table, submission_table

_REMEDY = "or give --blank-missing to let them pass"


@dataclass(frozen=True)
class OpenedRun:
    """A finished run, as its metrics.json describes it."""

    folder: Path
    choice: ModelChoice  # its name is a place where the encoder's files are found
    classes: list[str]
    image_size: int  # pixels
    max_length: int  # tokens
    batch_size: int  # of its training: what fitted in memory
    precision: str  # fp32, bf16 or fp16
    text_encoding: str  # that of its texts which were not UTF-8, "auto" where all were


def predict(asked: Namespace) -> None:
    """Predict pairs with finished runs; ``asked`` are the flags of predict.py. Raise UserError where
    a run cannot be opened, or a pair cannot be read."""
    check_transformers()
    allow_fast_float32()
    device = find_device(asked.device)
    runs = [open_run(asked.project_root / run, asked.model_name) for run in asked.run]
    classes = runs[0].classes
    for run in runs:
        if run.classes != classes:
            raise UserError(
                f"{run.folder} knows the classes {quoted(', '.join(run.classes))}, {runs[0].folder} "
                f"{quoted(', '.join(classes))}: give runs of the same classes"
            )
    # Windows removes no file that is mapped.
    with TemporaryDirectory(ignore_cleanup_errors=True) as made, device_failures_named():
        temporary = Path(made)
        if asked.csv is None:
            split, cache, blank_texts = _one_pair(asked), temporary, int(asked.text is None)
        else:
            cache = Paths(project_root=asked.project_root).cache
            split, blank_texts = _read_pairs(asked, runs[0])
        shares, blank_photos = [], 0
        for run in runs:
            model, tokenizer = load_run(run)
            longest = min(run.max_length, model.encoder.positions, tokenizer.model_max_length)
            tokens = tokenise(split.texts, tokenizer, longest)
            check_tokens(tokens, model.encoder.vocabulary, run.choice.name)
            blank = temporary / "blank.png" if asked.blank_missing else None
            if blank:  # of the colour that the encoder reads as zeros
                colour = tuple(round(255 * value) for value in model.encoder.mean)
                Image.new("RGB", (8, 8), colour).save(blank)
            images, blank_photos = _load_photos(split.image_paths, run.image_size, cache, blank)
            unknown = [-1] * len(split)
            dataset = PairDataset(tokens, images, unknown, run.image_size, augment=False)
            shares.append(_probabilities(model, dataset, asked, run, device))
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


def open_run(folder: Path, model_name: str | None) -> OpenedRun:
    """Read the record of a run; ``model_name`` is the checkpoint to use where the folder keeps no
    files of it. Raise UserError where it holds no run that can be opened."""
    path = folder / METRICS_JSON
    if not path.is_file():
        raise UserError(
            f"{folder}: no {METRICS_JSON} there, so it is no finished run: give a folder such as "
            "outputs/compare/<run> as --run"
        )
    try:
        record = read_record(path)
        block, protocol = record["model"], record["protocol"]
        if not 0 < protocol["image_size"] <= LARGEST_IMAGE:  # it must not fill the memory
            raise ValueError(f"photos of {protocol['image_size']} px")
        encodings = record.get("text_encodings", {})
        has_encoder = (folder / ENCODER / CONFIG).is_file()
        name = str(folder / ENCODER) if has_encoder else model_name or str(block.get("name"))
        return OpenedRun(
            folder,
            ModelChoice(block["family"], name, block["image_backbone"], block["fusion"]),
            classes=record["labels"],
            image_size=protocol["image_size"],
            max_length=int(block["max_length"]),
            batch_size=int(block["batch_size"]),
            precision=protocol["precision"],
            text_encoding=next((n for n in ("gb18030", "cp1252") if encodings.get(n)), "auto"),
        )
    except UserError:
        raise
    except Exception as error:  # a stranger's file can fail in any way
        raise UserError(
            f"{path} is not the record of a run ({type(error).__name__}: {reason_of(error)[:200]}): "
            "copy the folder again, or give another --run"
        ) from error


def load_run(run: OpenedRun) -> tuple[ImageTextClassifier, Any]:
    """Build the classifier with the weights of best.pt, on the CPU, and load its tokenizer. Raise
    UserError where they cannot be read, or do not fit, or the encoder's files are not found."""
    path = run.folder / BEST
    try:
        state = read_tensors(path)["model_state"]
        if not all(isinstance(value, Tensor) for value in state.values()):
            raise TypeError("it holds no table of weights")
    except Exception as error:  # a broken or foreign file can fail in any way
        raise UserError(
            f"{path} cannot be read: {reason_of(error)}. It may be cut off, or of an older "
            "program: copy it again, or train the run again"
        ) from error
    try:
        tokenizer = load_tokenizer(run.choice.name)
        model = build_classifier(run.choice, len(run.classes), run.image_size, state=state)
    except UserError as error:
        if run.choice.name == str(run.folder / ENCODER):
            raise
        raise UserError(f"{run.folder} keeps no {ENCODER}/ of its own, and {error}") from error
    except (RuntimeError, KeyError) as error:
        raise UserError(
            f"the weights in {path} do not fit the model of {quoted(run.choice.name)}: "
            f"{reason_of(error)}"
        ) from error
    return model, tokenizer


# The pairs


def _read_pairs(asked: Namespace, run: OpenedRun) -> tuple[Split, int]:
    """Read the pairs of a csv, whose labels count if all have one, and count the missing texts."""
    source, target = asked.project_root / asked.csv, asked.project_root / asked.output
    if os.path.exists(source) and os.path.exists(target) and os.path.samefile(source, target):
        raise UserError(
            f"{target} is the list of pairs and would be overwritten; give another --output"
        )
    told = asked.text_encoding
    splits, faults = read_splits(
        {"pairs": asked.csv},
        asked.project_root,
        unlabelled=("pairs",),
        text_encoding=run.text_encoding if told == "auto" else told,
    )
    if faults and not asked.blank_missing:
        raise UserError(f"{describe(faults, asked.project_root)}, {_REMEDY}")
    split = splits["pairs"]
    split = replace(split, labels=without_placeholders(split.labels, run.classes))
    if "" not in split.labels:
        label_indices(split, run.classes)  # refuses labels that are no class
    photos = sum(bool(file_problem(path)) for path in split.image_paths)
    return split, len(faults) - photos


def _one_pair(asked: Namespace) -> Split:
    """Take the pair of ``--text`` and ``--image``."""
    if not asked.blank_missing and (asked.text is None or asked.image is None):
        raise UserError(f"a pair needs --text and --image: give both, {_REMEDY}")
    return Split(
        path=Path("--text"),
        guids=["pair"],
        texts=[(asked.text or "").replace("\0", "").strip()],
        image_paths=[str(asked.project_root / asked.image) if asked.image else ""],
        labels=[""],
        rows=[1],
    )


def _load_photos(
    paths: list[str], image_size: int, cache: Path, blank: Path | None
) -> tuple[ImageStore, int]:
    """Decode the photos into ``cache``, and count those that cannot be used: ``blank`` stands in
    their place."""
    try:
        return load_images(paths, image_size, cache), 0
    except ImagesUnusable as error:
        if blank is None:
            raise UserError(f"{error}, {_REMEDY}") from None
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
    options = {"desc": printable(run.folder.name), "disable": None, "leave": False}
    try:
        model.to(device)
        batches = tqdm(read_through(dataset, size), total=math.ceil(len(dataset) / size), **options)
        return probabilities(evaluate(model, batches, choose_precision(amp, device)))
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
    if asked.probs:
        content = spreadsheet_bytes(table)
    else:
        content = table_bytes(submission_table(table), split.line_end)
    write_result(target, content)
    if "" not in split.labels:
        found = run_scores(np.array(label_indices(split, classes)), shares.argmax(1))
        print(", ".join(f"{metric.title} {found[metric.key]:.4f}" for metric in METRICS))
    elif any(split.labels):
        missing = split.labels.count("")
        print(f"{missing:,} of the pairs have no label, so they are not measured")
    print(f"{len(split):,} pairs: {target}", flush=True)
