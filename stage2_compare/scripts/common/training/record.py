"""Writes the results of a run: metrics.json, history.csv and the predictions."""

from __future__ import annotations

import importlib.metadata
import platform
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from .. import metrics
from ..data.batches import read_through
from ..data.copies import copy_groups
from ..data.dataset import PairDataset
from ..data.splits import UNLABELLED, Split
from ..data.tokens import Tokens
from ..errors import UserError
from ..models.classifier import ImageTextClassifier
from ..runs import layout
from ..runs.folder import RunFolder
from ..tensors import read_tensors
from .answers import answers_table, submission_table
from .card import model_card
from .device import SAVE_MEMORY, device_name, peak_memory_mb
from .engine import TrainingResult, evaluate, logit_scores, predicted_classes, probabilities
from .prepare import PreparedRun
from .probes import probe
from .travel import origin, write_encoder


@dataclass
class MemoryFit:
    """The number of samples that fit in memory at once, as training found it out."""

    micro: int  # samples that go through the model at once
    halvings: list[dict[str, int]]  # where memory ran out: epoch and micro-batch

    def resume(self, earlier: dict[str, Any]) -> None:
        """Take over what an interrupted run found out about memory, and keep what fits."""
        if earlier["halvings"]:
            self.micro = min(self.micro, earlier["micro"])
            self.halvings.extend(earlier["halvings"])

    def halve(self, epoch: int) -> None:
        """Go on with half the micro-batch.

        Raises:
            UserError: it is one sample already.
        """
        if self.micro == 1:
            raise UserError(
                f"out of memory in epoch {epoch}, even with one sample at once. {SAVE_MEMORY}"
            )
        self.halvings.append({"epoch": epoch, "batch_size": self.micro})
        self.micro //= 2
        print(
            f"out of memory in epoch {epoch}: it starts again with {self.micro} samples at once",
            flush=True,
        )


def write_run(
    prepared: PreparedRun,
    folder: RunFolder,
    model: ImageTextClassifier,
    result: TrainingResult,
    memory: MemoryFit,
    processes: int,
) -> None:
    """Write all results of a run, of so many processes, into its folder, and finish the folder."""
    settings, precision, classes = prepared.settings, prepared.precision, prepared.classes
    val = prepared.datasets["val"]
    record = {
        **_headline(result, model),
        **_validation_record(result, val.labels, classes),
        "protocol": asdict(settings.protocol),
        "model": settings.model_record(memory.micro, prepared.max_length),
        "content": prepared.contents,
        "out_of_memory": memory.halvings,
        "processes": processes,
        "device": device_name(precision.device),
        "threads": torch.get_num_threads(),
        "peak_memory_mb": peak_memory_mb(precision.device),
        "versions": _versions(),
        **origin(prepared.contents["code_sha256"]),
        **data_record(prepared),
    }
    # A head that learns alone is at its best already.
    if not prepared.features and (settings.probe or len(prepared.splits) > 2):
        best = read_tensors(folder.partial / layout.BEST)
        model.load_state_dict(best["model_state"])
        model.to(precision.device)
    if settings.probe:
        seed, empty = settings.protocol.seed, prepared.empty_text
        features = prepared.features.get("val")
        record["probe"] = probe(model, val, empty, memory.micro, precision, seed, features)
    record |= _write_test(prepared, folder, model, memory.micro)
    _write_validation(prepared, folder, result)
    write_encoder(prepared, folder, model)
    folder.write_json(layout.METRICS_JSON, record)
    folder.write_text(layout.CARD, model_card(settings.name, record))
    folder.finish()
    if UNLABELLED in prepared.splits:
        count = len(prepared.splits[UNLABELLED])
        print(f"{count:,} pairs without labels: {folder.final / layout.SUBMISSION}", flush=True)


def _write_test(
    prepared: PreparedRun, folder: RunFolder, model: ImageTextClassifier, micro: int
) -> dict[str, float]:
    """Write what the model says of the test pairs, and return its metrics where they have labels."""
    name = next((name for name in ("test", UNLABELLED) if name in prepared.splits), None)
    if name is None:
        return {}
    split, dataset, classes = prepared.splits[name], prepared.datasets[name], prepared.classes
    features = prepared.features.get(name)
    if features is not None:
        logits = evaluate(model.head, read_through(features, micro), prepared.precision)
    else:
        logits = evaluate(model, read_through(dataset, micro), prepared.precision)
    if name == "test":
        table = predictions_table(split, dataset, logits, classes)
        folder.write_spreadsheet(layout.TEST_PREDICTIONS, table)
        scores = logit_scores(logits, dataset.labels)
        return {f"test_{key}": value for key, value in scores.items()}
    predicted = predicted_classes(logits)
    table = answers_table(split, predicted, probabilities(logits), classes)
    folder.write_spreadsheet(layout.TEST_PREDICTIONS, table)
    submission = submission_table(split, predicted, classes)
    folder.write_table(layout.SUBMISSION, submission, split.line_end)
    return {}


def _write_validation(prepared: PreparedRun, folder: RunFolder, result: TrainingResult) -> None:
    """Write the figures and predictions of every epoch, and the predictions of the best one."""
    history = pd.DataFrame(result.history, columns=list(layout.HISTORY_COLUMNS))
    folder.write_table(layout.HISTORY, history)
    split, dataset = prepared.splits["val"], prepared.datasets["val"]
    table = predictions_table(split, dataset, result.best_logits, prepared.classes)
    folder.write_spreadsheet(layout.PREDICTIONS, table)
    table = epoch_predictions_table(split, result.logits, prepared.classes)
    folder.write_spreadsheet(layout.EPOCH_PREDICTIONS, table)
    shares = np.stack([probabilities(logits).astype(np.float16) for logits in result.logits])
    folder.write_arrays(layout.EPOCH_PROBABILITIES, **{layout.PROBABILITIES: shares})  # (E, N, C)


def _headline(result: TrainingResult, model: ImageTextClassifier) -> dict[str, Any]:
    """Return the five figures that other programs read, and the best epoch."""
    parameters = list(model.parameters())
    return {
        "best_val_f1_macro": result.best_row["val_f1_macro"],
        "epochs": len(result.history),
        "epochs_run": len(result.history),  # the protocol has the planned number
        "train_time_sec": sum(row["train_sec"] + row["val_sec"] for row in result.history),
        "params_million": sum(p.numel() for p in parameters) / 1e6,
        "trainable_params_million": sum(p.numel() for p in parameters if p.requires_grad) / 1e6,
        "best_epoch": result.best_epoch,
    }


def _validation_record(
    result: TrainingResult, labels: np.ndarray, classes: list[str]
) -> dict[str, Any]:
    """Return all metrics of the best and of the last epoch, and those of each class at the best
    one."""
    columns = [*metrics.COLUMNS, "val_loss"]
    best, last = result.best_row, result.history[-1]
    predicted = predicted_classes(result.best_logits)  # (N,)
    table = pd.DataFrame(metrics.per_class(labels, predicted, len(classes)), index=classes)
    bins, error = metrics.reliability(probabilities(result.best_logits).max(1), predicted == labels)
    return {
        "best": {key: best[key] for key in columns},
        "last": {key: last[key] for key in columns},
        "labels": classes,
        "confusion": metrics.confusion_matrix(labels, predicted, len(classes)).tolist(),
        "per_class": table.to_dict("index"),
        "calibration": {"ece": error, "bins": bins},
    }


def data_record(prepared: PreparedRun) -> dict[str, Any]:
    """Return what was read and what the tokenizer made of it, for training and validation
    together."""
    datasets = {name: prepared.datasets[name] for name in ("train", "val")}
    splits = [prepared.splits[name] for name in datasets]
    sizes = [len(dataset) for dataset in datasets.values()]

    def mean(value: Callable[[Tokens], float]) -> float:
        values = [value(dataset.tokens) for dataset in datasets.values()]
        return float(np.average(values, weights=sizes))

    return {
        "data": _sources(prepared),
        "samples": {name: len(dataset) for name, dataset in prepared.datasets.items()},
        "class_counts": {
            name: dict(Counter(split.labels))
            for name, split in prepared.splits.items()
            if name != UNLABELLED
        },
        "text_encodings": _sum_of_counts(split.encodings for split in splits),
        "text_notes": _sum_of_counts(split.notes for split in splits),
        "image_notes": _sum_of_counts(dataset.images.notes for dataset in datasets.values()),
        "truncated_rate": mean(lambda tokens: tokens.truncated_rate),
        "unknown_rate": mean(lambda tokens: tokens.unknown_rate),
        "tokens_per_character": mean(lambda tokens: tokens.per_character),
        "duplicates": prepared.duplicates.record(),
    }


def _sources(prepared: PreparedRun) -> dict[str, str]:
    """Return where the pairs were read, relative to the project root, and in which encoding."""
    root, found = prepared.settings.paths.project_root, {}
    for name, split in prepared.splits.items():
        inside = split.path.is_relative_to(root)
        path = split.path.relative_to(root) if inside else split.path
        found[f"{name}_csv"] = path.as_posix()
    return {**found, "text_encoding": prepared.settings.paths.text_encoding}


def _sum_of_counts(counts: Any) -> dict[str, int]:
    return dict(sum(map(Counter, counts), Counter()))


def predictions_table(
    split: Split, dataset: PairDataset, logits: Tensor, classes: list[str]
) -> pd.DataFrame:
    """Return predictions.csv: guid, label, predicted class, probability of each class, the guid of
    the first copy, and 1 where the text was cut, from logits (N, C)."""
    table = answers_table(split, predicted_classes(logits), probabilities(logits), classes)
    groups = [split.guids[first] for first in copy_groups(split, dataset.images)]
    cut = dataset.tokens.cut.astype(int)
    return table.assign(**{layout.GROUP: groups, layout.CUT: cut})


def epoch_predictions_table(split: Split, logits: list[Tensor], classes: list[str]) -> pd.DataFrame:
    """Return epoch_predictions.csv: guid, label, predicted class of each epoch, from logits (N, C)
    of each."""
    names = np.array(classes, dtype=object)
    columns = layout.epoch_columns(len(logits))
    predicted = [names[predicted_classes(of_epoch)] for of_epoch in logits]
    epochs = dict(zip(columns, predicted, strict=True))
    return pd.DataFrame({"guid": split.guids, "label": split.labels, **epochs})


def _versions() -> dict[str, str]:
    packages = ("torch", "torchvision", "transformers", "numpy", "Pillow", "tokenizers")
    found = {name: importlib.metadata.version(name) for name in packages}
    return {"python": platform.python_version(), **found}
