"""What a run leaves in its folder beside its weights: metrics.json, history.csv and the predictions."""

from __future__ import annotations

import importlib.metadata
import platform
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import metrics
from ..data.batches import read_through
from ..data.splits import Split
from ..data.tokens import Tokens
from ..metrics import reliability
from ..models.classifier import ImageTextClassifier
from ..runs.writer import RunFolder
from .device import device_name, peak_memory_mb
from .engine import TrainingResult
from .evaluation import evaluate, scores_of
from .prepare import Job
from .probes import probe

HISTORY = [
    "epoch",
    "train_loss",
    "val_acc",
    "val_f1_macro",
    "val_precision_macro",
    "val_recall_macro",
    "val_loss",
]
TIMES = ["train_sec", "val_sec", "samples_per_sec"]


@dataclass
class Finish:
    """How the fitting went, beside what ``TrainingResult`` holds."""

    micro: int  # samples that went through the model at once
    halvings: list[dict[str, int]]  # where memory ran out: epoch and micro-batch


def write_run(
    job: Job, folder: RunFolder, model: ImageTextClassifier, fitted: TrainingResult, finish: Finish
) -> None:
    record = {
        **headline(fitted, model),
        **validation_record(fitted, job.parts["val"].labels, job.classes),
        "protocol": job.protocol,
        "model": {**job.model_record(), "batch_size": finish.micro},
        "out_of_memory": finish.halvings,
        "device": device_name(job.precision.device),
        "peak_memory_mb": peak_memory_mb(job.precision.device),
        "versions": versions(),
        **data_record(job),
    }
    if job.args.probe or "test" in job.parts:
        best = torch.load(folder.partial / "best.pt", map_location="cpu", weights_only=True)
        model.load_state_dict(best["model_state"])
        model.to(job.precision.device)
    if job.args.probe:
        record["probe"] = probe(model, job.parts["val"], finish.micro, job.precision, job.args.seed)
    if "test" in job.parts:
        logits = evaluate(model, read_through(job.parts["test"], finish.micro), job.precision)
        record |= {
            f"test_{key}": value
            for key, value in scores_of(logits, job.parts["test"].labels).items()
        }
        folder.write_rows(
            "test_predictions.csv", *prediction_rows(job.splits["test"], logits, job.classes)
        )
    columns = HISTORY + TIMES
    folder.write_rows(
        "history.csv", columns, [[row[key] for key in columns] for row in fitted.history]
    )
    folder.write_rows(
        "predictions.csv", *prediction_rows(job.splits["val"], fitted.best_logits, job.classes)
    )
    folder.write_json("metrics.json", record)
    folder.finish()


def headline(fitted: TrainingResult, model: ImageTextClassifier) -> dict[str, Any]:
    """The five figures that other programs read, and the best epoch."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return {
        "best_val_f1_macro": fitted.history[fitted.best_epoch - 1]["val_f1_macro"],
        "epochs": len(fitted.history),
        "train_time_sec": sum(row["train_sec"] + row["val_sec"] for row in fitted.history),
        "params_million": sum(size for size, _ in sizes) / 1e6,
        "trainable_params_million": sum(size for size, trains in sizes if trains) / 1e6,
        "best_epoch": fitted.best_epoch,
    }


def validation_record(
    fitted: TrainingResult, labels: np.ndarray, classes: list[str]
) -> dict[str, Any]:
    """All metrics of the best and the last epoch, and the best one's per class."""

    def at(epoch: int) -> dict[str, float]:
        return {key: fitted.history[epoch - 1][key] for key in HISTORY if key.startswith("val_")}

    probabilities = fitted.best_logits.double().softmax(1).numpy()
    predicted = probabilities.argmax(1)
    confusion = metrics.confusion_matrix(labels, predicted, len(classes))
    table = metrics.per_class(labels, predicted, len(classes))
    bins, ece = reliability(probabilities.max(1), predicted == labels)
    return {
        "best": at(fitted.best_epoch),
        "last": at(len(fitted.history)),
        "labels": classes,
        "confusion": confusion.tolist(),
        "per_class": {
            name: {key: values[i].item() for key, values in table.items()}
            for i, name in enumerate(classes)
        },
        "calibration": {"ece": ece, "bins": bins},
    }


def data_record(job: Job) -> dict[str, Any]:
    """What was read, and what the tokenizer made of it (train and validation together)."""
    parts = {name: job.parts[name] for name in ("train", "val")}

    def mean(values: Callable[[Tokens], float]) -> float:
        return sum(values(part.tokens) * len(part) for part in parts.values()) / sum(
            map(len, parts.values())
        )

    def total(counts: Callable[[str], dict[str, int]]) -> dict[str, int]:
        return dict(sum((Counter(counts(name)) for name in parts), Counter()))

    return {
        "samples": {name: len(part) for name, part in job.parts.items()},
        "class_counts": {name: dict(Counter(split.labels)) for name, split in job.splits.items()},
        "text_encodings": total(lambda name: job.splits[name].encodings),
        "text_notes": total(lambda name: job.splits[name].notes),
        "image_notes": total(lambda name: parts[name].images.notes),
        "truncated_rate": mean(lambda tokens: tokens.truncated_rate),
        "unknown_rate": mean(lambda tokens: tokens.unknown_rate),
        "tokens_per_character": mean(lambda tokens: tokens.per_character),
        "duplicates": job.duplicates.record(),
    }


def prediction_rows(
    split: Split, logits: Tensor, classes: list[str]
) -> tuple[list[str], list[list]]:
    """Header and rows of predictions.csv: guid, label, predicted class, probability of each class."""
    probabilities = logits.double().softmax(1).numpy()
    rows = [
        [guid, label, classes[p.argmax()], *(f"{x:.6g}" for x in p)]
        for guid, label, p in zip(split.guids, split.labels, probabilities, strict=True)
    ]
    return ["guid", "label", "pred", *(f"p_{name}" for name in classes)], rows


def versions() -> dict[str, str]:
    names = ("torch", "torchvision", "transformers", "numpy", "Pillow", "tokenizers")
    return {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in names},
    }
