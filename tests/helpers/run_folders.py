"""Run folders for the tests of what reads them, without training."""

import json
import math
import zlib
from functools import cache
from pathlib import Path

import numpy as np
from common.metrics import METRICS, confusion_matrix, scores
from common.runs import layout

from helpers.tables import write_rows

HISTORY = [column for column in layout.HISTORY_COLUMNS if column not in layout.TIMES]
CLASSES = ["negative", "neutral", "positive"]
COUNTS = [120, 40, 240]  # of the 400 validation pairs of a made run
LABELS = np.random.default_rng(0).permutation(np.repeat(range(3), COUNTS))


@cache
def predicted(f1: float, acc: float, name: str) -> np.ndarray:
    """Predicted classes (400,) for LABELS: exactly this accuracy, the nearest macro-F1 that it allows.

    All runs find the same pairs hard, more or less, as real ones do.
    """
    grid = np.meshgrid(*(np.arange(0, n + 1, 2) for n in COUNTS[:2]))
    right = np.stack(grid, -1).reshape(-1, 2)  # (candidates, 2)
    right = np.c_[right, round(400 * acc) - right.sum(1)]
    right = right[(right[:, 2] >= 0) & (right[:, 2] <= COUNTS[2])]
    wrong = COUNTS - right
    taken_for = np.array([2, 2, 0])  # what an error of each class becomes
    eye = np.eye(3, dtype=int)
    confusions = right[:, :, None] * eye + wrong[:, :, None] * eye[taken_for]
    closest = np.abs(scores(confusions)["f1_macro"] - f1).argmin()
    noise = np.random.default_rng(zlib.crc32(name.encode())).normal(size=400)
    hard = np.random.default_rng(1).normal(size=400) + 0.5 * noise
    result = LABELS.copy()
    for label in range(3):
        of_class = np.flatnonzero(label == LABELS)
        result[of_class[hard[of_class].argsort()[right[closest, label] :]]] = taken_for[label]
    return result


def make_run(
    parent: Path,
    name: str,
    f1: float = 0.5,
    acc: float = 0.6,
    epochs: int | np.ndarray = 5,
    best: int = 3,
    labels: np.ndarray = LABELS,
    predictions: np.ndarray | None = None,
    groups: list[int] | None = None,
    cut: list[int] | None = None,
    test: tuple[np.ndarray, np.ndarray] | None = None,
    **more,
) -> Path:
    """A run folder as the training commands write it; ``more`` goes into metrics.json.

    Its figures are those of ``predictions`` (N,); without them, of some that come near ``f1`` and have ``acc``.

    Args:
        epochs: their number, or the predicted classes (E, N) of every epoch. Then the figures are
            those of each epoch, the best one is found, and the files of the epochs are written.
        groups: (N,) place of the first copy of each pair.
        cut: (N,) 1 where the text was cut; recorded beside groups.
        test: (M,) true and (M,) predicted classes of the test pairs.
    """
    if np.ndim(epochs):
        figures = [figures_of_predictions(labels, said) for said in epochs]
        best = 1 + int(np.argmax([found["val_f1_macro"] for found in figures]))
        chosen = epochs[best - 1]
    else:  # the figures are worse the further they are from the best epoch
        chosen = predicted(f1, acc, name) if predictions is None else predictions
        at_best, less = (
            figures_of_predictions(labels, chosen),
            0.02 * abs(np.arange(epochs) + 1 - best),
        )
        figures = [{column: max(min(0.0, x), x - y) for column, x in at_best.items()} for y in less]
    rows = [
        {
            "epoch": epoch,
            "train_loss": 1.1 * math.exp(-epoch / 4),
            "val_loss": 0.9 + 0.02 * (epoch - best) ** 2,
            **found,
        }
        for epoch, found in enumerate(figures, 1)
    ]
    classes = CLASSES if labels.max() < 3 else [f"c{i}" for i in range(labels.max() + 1)]
    metrics = {
        "best_val_f1_macro": rows[best - 1]["val_f1_macro"],
        "epochs": len(rows),
        "train_time_sec": 180.0,
        "params_million": 114.1,
        "trainable_params_million": 114.1,
        "best_epoch": best,
        "protocol": {"seed": 42, "effective_batch_size": 16},
        "samples": {"train": 3600, "val": len(labels)},
        "class_counts": {"val": {c: int((labels == i).sum()) for i, c in enumerate(classes)}},
        "device": "cpu",
        "peak_memory_mb": None,
        "inference_ms": 15.25,
        "inference_batch_ms": 9.5,
        "inference_memory_mb": None,  # not measured on a processor
        "truncated_rate": 0.01,
        "unknown_rate": 0.02,
        "tokens_per_character": 0.9,
    }
    metrics["class_counts"]["train"] = {c: 9 * n for c, n in metrics["class_counts"]["val"].items()}
    folder = parent / name
    folder.mkdir(parents=True)
    write_rows(folder / "history.csv", [HISTORY, *([row[c] for c in HISTORY] for row in rows)])
    write_rows(folder / "predictions.csv", prediction_rows(labels, chosen, classes, groups, cut))
    if np.ndim(epochs):
        write_rows(folder / "epoch_predictions.csv", epoch_rows(labels, epochs, classes))
        shares = np.stack([some_probabilities(row, len(classes)) for row in epochs])
        np.savez_compressed(
            folder / "epoch_probabilities.npz", probabilities=shares.astype(np.float16)
        )
    if test:
        write_rows(folder / "test_predictions.csv", prediction_rows(*test, classes))
        metrics |= {
            f"test_{key[4:]}": value for key, value in figures_of_predictions(*test).items()
        }
    (folder / "metrics.json").write_text(
        json.dumps({**metrics, **more}, ensure_ascii=False), encoding="utf-8"
    )
    return folder


def figures_of_predictions(labels: np.ndarray, chosen: np.ndarray) -> dict[str, float]:
    """The metrics of predictions, by column of history.csv."""
    found = scores(confusion_matrix(labels, chosen, max(labels.max(), chosen.max(), 2) + 1))
    return {metric.column: float(found[metric.key]) for metric in METRICS}


def some_probabilities(chosen: np.ndarray, classes: int) -> np.ndarray:
    """Some probabilities (N, C) that are highest for the chosen classes (N,)."""
    sure = np.random.default_rng(2).uniform(0.55, 0.95, len(chosen))
    shares = np.full((len(chosen), classes), ((1 - sure) / (classes - 1))[:, None])
    shares[np.arange(len(chosen)), chosen] = sure
    return shares


def prediction_rows(
    labels: np.ndarray,
    chosen: np.ndarray,
    classes: list[str],
    groups: list[int] | None = None,
    cut: list[int] | None = None,
) -> list[list]:
    """Header and rows of predictions.csv; ``groups`` (N,) are places of first copies."""
    shares = some_probabilities(chosen, len(classes))
    header = ["guid", "label", "pred", *(f"p_{name}" for name in classes)]
    rows = [
        [f"pair{i}", classes[label], classes[choice], *(f"{x:.6g}" for x in values)]
        for i, (label, choice, values) in enumerate(zip(labels, chosen, shares, strict=True))
    ]
    firsts = None if groups is None else [f"pair{first}" for first in groups]
    for name, cells in (("group", firsts), ("cut", cut)):
        if cells is not None:
            header.append(name)
            rows = [[*row, cell] for row, cell in zip(rows, cells, strict=True)]
    return [header, *rows]


def write_parts(folder: Path, parts: np.ndarray, rows: np.ndarray) -> None:
    """Write additive_projection.csv for some pairs, from the parts (4, N, 3) of all."""
    values = parts[:, rows].swapaxes(0, 1).reshape(len(rows), -1).tolist()
    table = [[f"pair{row}", *own] for row, own in zip(rows, values, strict=True)]
    write_rows(folder / layout.PROJECTION, [["guid", *layout.part_columns(CLASSES)], *table])


def epoch_rows(labels: np.ndarray, epochs: np.ndarray, classes: list[str]) -> list[list]:
    """Header and rows of epoch_predictions.csv, from the predicted classes (E, N)."""
    names = np.array(classes, dtype=object)
    header = ["guid", "label", *(f"epoch_{epoch}" for epoch in range(1, len(epochs) + 1))]
    columns = zip(names[labels], names[epochs].T, strict=True)
    return [header, *([f"pair{i}", label, *row] for i, (label, row) in enumerate(columns))]


def bert(fusion: str, name: str = "bert-base-chinese") -> dict:
    return {"family": "bert_resnet", "name": name, "image_backbone": "resnet18", "fusion": fusion}


def clip(name: str = "openai/clip-vit-base-patch32", family: str = "clip") -> dict:
    return {"family": family, "name": name, "image_backbone": None, "fusion": "concat"}


def blip() -> dict:
    return clip("Salesforce/blip-image-captioning-base", "blip")


def make_runs(parent: Path, count: int) -> None:
    """The five of the main job with the figures of a published comparison, then baselines and second seeds."""
    cases = [
        ("bert-base-chinese_resnet18_late", bert("late"), 42, 0.5600, 0.6150, 3.0, 113.9),
        ("bert-base-chinese_resnet18_concat", bert("concat"), 42, 0.5425, 0.6000, 3.1, 114.1),
        ("bert-base-chinese_resnet18_gated", bert("gated"), 42, 0.5354, 0.5825, 3.0, 114.3),
        ("clip_openai_clip-vit-base-patch32", clip(), 42, 0.5785, 0.6525, 15.5, 151.6),
        ("blip_Salesforce_blip-image-captioning-base", blip(), 42, 0.3303, 0.5400, 30.8, 224.0),
        ("bert-base-chinese_resnet18_text", bert("text"), 42, 0.5010, 0.5700, 2.1, 102.5),
        ("bert-base-chinese_resnet18_image", bert("image"), 42, 0.4120, 0.5200, 1.6, 11.3),
        ("blip_Salesforce_blip-image-captioning-base", blip(), 43, 0.5533, 0.6075, 30.2, 224.0),
        ("clip_openai_clip-vit-base-patch32", clip(), 43, 0.5708, 0.6400, 15.9, 151.6),
        ("天气很好_中文模型", None, 42, 0.5251, 0.5950, 4.4, 131.0),
    ]
    for place, (name, model, seed, f1, acc, minutes, params) in enumerate(cases[:count]):
        name += "" if seed == 42 else f"_seed{seed}"
        more = {"protocol": {"seed": seed, "effective_batch_size": 16}}
        more |= {"params_million": params, "trainable_params_million": params}
        more |= {"train_time_sec": 60 * minutes} | ({} if model is None else {"model": model})
        make_run(parent, name, f1, acc, best=1 + place % 5, **more)


def edit(folder: Path, **changes) -> None:
    """Change keys of metrics.json; ``...`` as a value removes the key."""
    path = folder / "metrics.json"
    metrics = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    path.write_text(
        json.dumps({k: v for k, v in metrics.items() if v is not ...}), encoding="utf-8"
    )
