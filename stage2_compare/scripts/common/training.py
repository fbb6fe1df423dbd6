"""What the three training commands do with their flags: read, build, fit, write. They differ in the encoder only."""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import platform
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from . import metrics
from . import seed as seeds
from .data import Feed, Part, Plan, Tokens, check_tokens, tokenise
from .engine import Fitted, Settings, fit
from .errors import UserError
from .images import ImageStore, load_images
from .models.classifier import ImageTextClassifier
from .models.loading import check_transformers, load_config, load_tokenizer
from .runfolder import RunFolder
from .splits import Split, class_names, label_indices, read_split

HISTORY = ["epoch", "train_loss", "val_acc", "val_f1_macro", "val_precision_macro", "val_recall_macro", "val_loss"]
TIMES = ["train_sec", "val_sec", "samples_per_sec"]


def train(args: argparse.Namespace, name: str, family: str, fusion: str, make_encoder: Callable) -> None:
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
    device = find_device(args.device)
    root = args.project_root
    splits = {part: read_split(root / getattr(args, f"{part}_csv"), root) for part in ("train", "val")}
    classes = class_names(splits["train"].labels)
    labels = {part: label_indices(split, classes) for part, split in splits.items()}
    folder = RunFolder(root / args.output_dir, name)

    tokenizer = load_tokenizer(args.model_name)
    with seeds.initialising(args.seed, "encoder"):
        encoder = make_encoder(load_config(args.model_name))
    with seeds.initialising(args.seed, "head"):
        model = ImageTextClassifier(encoder, fusion, len(classes))
    if args.freeze_encoders:
        model.freeze_encoder()

    max_length = min(args.max_length, encoder.positions, tokenizer.model_max_length)
    cache = root / "outputs" / "cache"
    parts = {}
    for part, split in splits.items():
        tokens = tokenise(split.texts, tokenizer, max_length)
        check_tokens(tokens, encoder.vocabulary, args.model_name)
        images = load_images(split.image_paths, args.image_size, cache)
        augment = part == "train" and not args.no_train_aug
        parts[part] = Part(tokens, images, labels[part], args.image_size, augment)

    weights = class_weights(parts["train"].labels, len(classes), args.class_weights)
    settings = Settings(args.epochs, args.lr, args.weight_decay, weights, args.seed, device)
    micro = min(args.batch_size, args.effective_batch_size)
    plan = Plan(parts["train"], parts["val"], args.seed, range(1, args.epochs + 1), micro, args.effective_batch_size)
    feed = Feed(plan, args.num_workers, args.pin_memory and device.type == "cuda")
    arguments = {key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()}

    def save_best(model: nn.Module) -> None:
        state = {key: value.cpu() for key, value in model.state_dict().items()}
        folder.write_tensors("best.pt", {"model_state": state, "args": arguments, "labels": classes})

    print(f"{name}: {len(plan.train)} training and {len(plan.val)} validation pairs on {device}", flush=True)
    fitted = fit(model, feed, settings, save_best)

    record = {
        **headline(fitted, model),
        **validation_record(fitted, parts["val"].labels, classes),
        "protocol": protocol(args, classes, splits, parts),
        "model": {
            "family": family,
            "name": args.model_name,
            "image_backbone": getattr(args, "image_backbone", None),
            "fusion": fusion,
            "batch_size": micro,
            "max_length": max_length,
        },
        "device": device_name(device),
        "peak_memory_mb": peak_memory_mb(device),
        "versions": versions(),
        **data_record(splits, parts),
    }
    folder.write_rows("history.csv", HISTORY + TIMES, [[row[key] for key in HISTORY + TIMES] for row in fitted.history])
    folder.write_rows("predictions.csv", *prediction_rows(splits["val"], fitted.best_logits, classes))
    folder.write_json("metrics.json", record)
    folder.finish()
    print(f"best macro-F1 {record['best_val_f1_macro']:.4f} at epoch {fitted.best_epoch}: {folder.final}", flush=True)


def class_weights(labels: np.ndarray, classes: int, mode: str) -> torch.Tensor:
    """Weight of each class in the loss, (C,): N / its count, or 1."""
    if mode == "none":
        return torch.ones(classes)
    return torch.from_numpy(len(labels) / np.bincount(labels, minlength=classes)).float()


def find_device(wanted: str) -> torch.device:
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:150]
        raise UserError(
            f"--device {wanted} cannot be used: {reason}. Use auto or cpu, or see README on CUDA"
        ) from error
    return device


def headline(fitted: Fitted, model: nn.Module) -> dict[str, Any]:
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


def validation_record(fitted: Fitted, labels: np.ndarray, classes: list[str]) -> dict[str, Any]:
    """All metrics of the best and the last epoch, and the best one's per class."""

    def at(epoch: int) -> dict[str, float]:
        return {key: fitted.history[epoch - 1][key] for key in HISTORY if key.startswith("val_")}

    confusion = metrics.confusion_matrix(labels, fitted.best_logits.argmax(1), len(classes))
    table = metrics.per_class(confusion)
    return {
        "best": at(fitted.best_epoch),
        "last": at(len(fitted.history)),
        "labels": classes,
        "confusion": confusion.tolist(),
        "per_class": {name: {key: values[i].item() for key, values in table.items()} for i, name in enumerate(classes)},
    }


def protocol(args: argparse.Namespace, classes: list[str], splits: dict[str, Split], parts: dict[str, Part]) -> dict:
    """All that must agree between runs for their comparison to be fair."""
    return {
        "seed": args.seed,
        "epochs": args.epochs,
        "effective_batch_size": args.effective_batch_size,
        "optimizer": "AdamW",
        "lr": args.lr,
        "weight_decay": args.weight_decay,
        "schedule": "constant",
        "loss": "cross-entropy",
        "class_weights": args.class_weights,
        "max_length": args.max_length,
        "image_size": args.image_size,
        "augmentation": "none" if args.no_train_aug else "crop, flip",
        "pretrained": not args.no_pretrained,
        "frozen_encoders": args.freeze_encoders,
        "classes": classes,
        **{f"{part}_sha256": fingerprint(splits[part], parts[part].images) for part in splits},
    }


def fingerprint(split: Split, images: ImageStore) -> str:
    """Changes with any guid, label, text or image of a split."""
    digest = hashlib.sha256()
    for row in zip(split.guids, split.labels, split.texts, images.digests):
        digest.update(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def data_record(splits: dict[str, Split], parts: dict[str, Part]) -> dict[str, Any]:
    """What was read, and what the tokenizer made of it (train and validation together)."""

    def mean(values: Callable[[Tokens], float]) -> float:
        return sum(values(part.tokens) * len(part) for part in parts.values()) / sum(map(len, parts.values()))

    return {
        "samples": {name: len(part) for name, part in parts.items()},
        "class_counts": {name: dict(Counter(split.labels)) for name, split in splits.items()},
        "text_encodings": dict(sum((Counter(split.encodings) for split in splits.values()), Counter())),
        "image_notes": dict(sum((Counter(part.images.notes) for part in parts.values()), Counter())),
        "truncated_rate": mean(lambda tokens: tokens.truncated_rate),
        "unknown_rate": mean(lambda tokens: tokens.unknown_rate),
        "tokens_per_character": mean(lambda tokens: tokens.per_character),
    }


def prediction_rows(split: Split, logits: np.ndarray, classes: list[str]) -> tuple[list[str], list[list]]:
    """Header and rows of predictions.csv: guid, label, predicted class, probability of each class."""
    probabilities = torch.from_numpy(logits).double().softmax(1).numpy()
    rows = [
        [guid, label, classes[p.argmax()], *(f"{x:.6g}" for x in p)]
        for guid, label, p in zip(split.guids, split.labels, probabilities)
    ]
    return ["guid", "label", "pred", *(f"p_{name}" for name in classes)], rows


def versions() -> dict[str, str]:
    names = ("torch", "torchvision", "transformers", "numpy", "Pillow", "tokenizers")
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in names}}


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def peak_memory_mb(device: torch.device) -> float | None:
    """Most memory used so far: allocated on a CUDA device, else resident in this process; None where unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes, on macOS bytes
    return peak / (2**20 if platform.system() == "Darwin" else 2**10)
