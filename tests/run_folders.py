"""Run folders for the tests of what reads them, without training."""

import csv
import json
import math
from pathlib import Path

HISTORY = ["epoch", "train_loss", "val_acc", "val_f1_macro", "val_precision_macro", "val_recall_macro", "val_loss"]


def make_run(
    parent: Path, name: str, f1: float = 0.5, acc: float = 0.6, epochs: int = 5, best: int = 3, **more
) -> Path:
    """A run folder as the training commands write it; ``more`` goes into metrics.json."""
    rows = []
    for epoch in range(1, epochs + 1):
        now = f1 - 0.02 * abs(epoch - best)
        losses = 1.1 * math.exp(-epoch / 4), 0.9 + 0.02 * (epoch - best) ** 2
        rows.append([epoch, losses[0], acc - 0.02 * abs(epoch - best), now, now + 0.01, now - 0.01, losses[1]])
    metrics = {
        "best_val_f1_macro": f1,
        "epochs": epochs,
        "train_time_sec": 180.0,
        "params_million": 114.1,
        "trainable_params_million": 114.1,
        "best_epoch": best,
        "protocol": {"seed": 42, "effective_batch_size": 16},
        "samples": {"train": 3600, "val": 400},
        "device": "cpu",
        "peak_memory_mb": None,
        "truncated_rate": 0.01,
        "unknown_rate": 0.02,
        "tokens_per_character": 0.9,
    }
    folder = parent / name
    folder.mkdir(parents=True)
    with open(folder / "history.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([HISTORY, *rows])
    (folder / "metrics.json").write_text(json.dumps({**metrics, **more}, ensure_ascii=False), encoding="utf-8")
    return folder


def bert(fusion: str, name: str = "bert-base-chinese") -> dict:
    return {"family": "bert_resnet", "name": name, "image_backbone": "resnet18", "fusion": fusion}


def clip(name: str = "openai/clip-vit-base-patch32") -> dict:
    return {"family": "clip", "name": name, "image_backbone": None, "fusion": "concat"}


def blip(name: str = "Salesforce/blip-image-captioning-base") -> dict:
    return {"family": "blip", "name": name, "image_backbone": None, "fusion": "concat"}


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
        ("blip_Salesforce_blip-image-captioning-base_seed43", blip(), 43, 0.5533, 0.6075, 30.2, 224.0),
        ("clip_openai_clip-vit-base-patch32_seed43", clip(), 43, 0.5708, 0.6400, 15.9, 151.6),
        ("天气很好_中文模型", None, 42, 0.5251, 0.5950, 4.4, 131.0),
    ]
    for place, (name, model, seed, f1, acc, minutes, params) in enumerate(cases[:count]):
        protocol = {"seed": seed, "effective_batch_size": 16}
        sizes = {"params_million": params, "trainable_params_million": params, "train_time_sec": 60 * minutes}
        block = {} if model is None else {"model": model}
        make_run(parent, name, f1, acc, best=1 + place % 5, protocol=protocol, **sizes, **block)


def edit(folder: Path, **changes) -> None:
    """Change keys of metrics.json; ``...`` as a value removes the key."""
    path = folder / "metrics.json"
    metrics = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    path.write_text(json.dumps({k: v for k, v in metrics.items() if v is not ...}), encoding="utf-8")
