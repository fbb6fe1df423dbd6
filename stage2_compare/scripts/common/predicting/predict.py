"""Finished runs -> what they say of pairs: a file, or the probabilities of one pair on screen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from tqdm import tqdm

from ..data.batches import read_through
from ..data.dataset import Batch, PairDataset
from ..data.splits import Split, label_indices
from ..data.tokens import check_tokens, tokenise
from ..errors import UserError
from ..files import console_width, padded, printable, quoted, write_result
from ..metrics import METRICS, run_scores
from ..models.loading import check_transformers
from ..runs.folder import spreadsheet_bytes, table_bytes
from ..settings import Paths
from ..training.answers import answers_table, submission_table
from ..training.device import (
    Precision,
    allow_fast_float32,
    choose_precision,
    device_failures_named,
    find_device,
    is_out_of_memory,
)
from ..training.engine import evaluate, probabilities
from .opening import OpenedRun, load_run, open_run
from .pairs import Pairs, load_photos, one_pair, read_pairs, temporary_folder
from .settings import Prediction


def predict(settings: Prediction) -> None:
    """Predict pairs with finished runs.

    Raises:
        UserError: a run cannot be opened, or a pair cannot be read.
    """
    check_transformers()
    allow_fast_float32()
    device = find_device(settings.device)
    runs = [open_run(settings.project_root / run, settings.model_name) for run in settings.runs]
    classes = _common_classes(runs)
    with _pairs(settings, runs[0]) as pairs, device_failures_named():
        shares = [_probabilities(run, pairs, settings, device) for run in runs]
        mean = np.mean(shares, axis=0)  # (N, C)
        _report_blanks(pairs)
        if settings.csv is None:
            _show(mean[0], classes)
        else:
            _write(settings, pairs.split, mean, classes)


def _common_classes(runs: list[OpenedRun]) -> list[str]:
    first = runs[0]
    for run in runs:
        if run.classes != first.classes:
            raise UserError(
                f"{run.folder} knows the classes {quoted(', '.join(run.classes))}, {first.folder} "
                f"{quoted(', '.join(first.classes))}: give runs of the same classes"
            )
    return first.classes


@contextmanager
def _pairs(settings: Prediction, run: OpenedRun) -> Iterator[Pairs]:
    """Read the pairs. The photo of a single one is decoded into a folder that is removed."""
    if settings.csv is None:
        with temporary_folder() as folder:
            yield one_pair(settings, folder)
        return
    _check_target(settings)
    told = settings.text_encoding
    encoding = run.text_encoding if told == "auto" else told
    cache = Paths(project_root=settings.project_root).cache
    pairs = read_pairs(settings, run.classes, encoding, cache)
    if "" not in pairs.split.labels:
        label_indices(pairs.split, run.classes)  # refuses labels that are no class
    yield pairs


def _check_target(settings: Prediction) -> None:
    source, target = settings.project_root / settings.csv, settings.target
    if os.path.exists(source) and os.path.exists(target) and os.path.samefile(source, target):
        raise UserError(
            f"{target} is the list of pairs and would be overwritten; give another --output"
        )


def _probabilities(
    run: OpenedRun, pairs: Pairs, settings: Prediction, device: torch.device
) -> np.ndarray:
    """Return what one run says of the pairs, (N, C)."""
    model, tokenizer = load_run(run)
    encoder, texts = model.encoder, pairs.split.texts
    longest = min(run.max_length, encoder.positions, tokenizer.model_max_length)
    tokens = tokenise(texts, tokenizer, longest)
    check_tokens(tokens, encoder.vocabulary, run.choice.name)
    images = load_photos(pairs, run.image_size, encoder.mean, settings.blank_missing)
    unknown = [-1] * len(texts)
    dataset = PairDataset(tokens, images, unknown, run.image_size, augment=False)
    size = settings.batch_size or run.batch_size
    try:
        model.to(device)
        batches = _with_bar(dataset, size, printable(run.folder.name))
        return probabilities(evaluate(model, batches, _precision(run, settings.amp, device)))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            f"out of memory: give a smaller --batch-size than {size}, or --device cpu"
        ) from error


def _precision(run: OpenedRun, amp: str, device: torch.device) -> Precision:
    """Choose the number format; by default float32 for a run that was trained in it."""
    return choose_precision("off" if (amp, run.precision) == ("auto", "fp32") else amp, device)


def _with_bar(
    dataset: PairDataset, batch_size: int, title: str
) -> Iterator[tuple[np.ndarray, Batch]]:
    with tqdm(total=len(dataset), desc=title, unit=" pairs", disable=None, leave=False) as bar:
        for places, batch in read_through(dataset, batch_size):
            yield places, batch
            bar.update(len(places))


def _report_blanks(pairs: Pairs) -> None:
    if pairs.blank_texts or pairs.blank_photos:
        print(
            f"left blank, because they are missing or broken: {pairs.blank_texts:,} texts and "
            f"{pairs.blank_photos:,} photos",
            flush=True,
        )


def _show(shares: np.ndarray, classes: list[str]) -> None:
    """Print the probabilities (C,) of a pair, the highest first."""
    width = max(map(console_width, classes))
    for place in np.argsort(-shares, kind="stable"):
        print(f"{padded(printable(classes[place]), width)}  {shares[place]:.4f}", flush=True)


def _write(settings: Prediction, split: Split, shares: np.ndarray, classes: list[str]) -> None:
    predicted = shares.argmax(1)
    if settings.probs:
        content = spreadsheet_bytes(answers_table(split, predicted, shares, classes))
    else:
        content = table_bytes(submission_table(split, predicted, classes), split.line_end)
    write_result(settings.target, content)
    if "" not in split.labels:
        found = run_scores(np.array(label_indices(split, classes)), predicted)
        print(", ".join(f"{metric.title} {found[metric.key]:.4f}" for metric in METRICS))
    elif any(split.labels):
        missing = split.labels.count("")
        print(f"{missing:,} of the pairs have no label, so they are not measured")
    print(f"{len(split):,} pairs: {settings.target}", flush=True)
