"""Twelve pairs of a text and a small picture, and small models that read them."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from common.data.batches import BatchSchedule, Prefetcher
from common.data.dataset import Dataset, PairDataset
from common.data.image_store import ImageStore, load_images
from common.data.tokens import tokenise
from common.models.classifier import ImageTextClassifier
from common.models.loading import load_tokenizer
from common.settings import Protocol
from common.training.device import Precision
from common.training.engine import TrainingResult, fit
from PIL import Image

from .hub import BERT, BLIP, CLIP
from .models import build

SIZE, COUNT = 32, 12
FLOAT32 = Precision("fp32", torch.device("cpu"))
TEXTS = ["今天天气很好", "不开心", "很高兴", "难过 a b c", "今日天气不好很难过", "好"] * 2


def make_photos(folder: Path) -> ImageStore:
    random = np.random.default_rng(0)
    paths = [str(folder / f"{i}.png") for i in range(COUNT)]
    for path in paths:
        Image.fromarray(random.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(path)
    return load_images(paths, SIZE, folder / "cache")


def make_part(hub, name: str, images: ImageStore, texts: list[str] = TEXTS) -> PairDataset:
    """The pairs as the checkpoint ``name`` reads them."""
    tokens = tokenise(texts, load_tokenizer(hub.folder(name)), 16)
    return PairDataset(tokens, images, [i % 3 for i in range(len(texts))], SIZE, False)


def make_model(hub, name: str, fusion: str = "concat") -> ImageTextClassifier:
    kind = {BERT: fusion, CLIP: f"clip {fusion}", BLIP: f"blip {fusion}"}[name]
    return build(hub, kind, SIZE).train()


def make_prepared(hub, name: str, part: PairDataset, **protocol) -> SimpleNamespace:
    """A run of these pairs, prepared as far as probes and modality dropout look at it."""
    return SimpleNamespace(
        settings=SimpleNamespace(protocol=Protocol(image_size=SIZE, **protocol)),
        precision=FLOAT32,
        datasets={"train": part, "val": part},
        features={},
        empty_text=tokenise([""], load_tokenizer(hub.folder(name)), 16),
        micro=4,
    )


def learn(
    model: torch.nn.Module, train: Dataset, val: Dataset, epochs: int = 3, micro: int = 4, **options
) -> TrainingResult:
    """Train a model, or a head, in steps of eight samples."""
    plan = BatchSchedule(train, val, 42, range(1, epochs + 1), micro, 8, (4, 256))
    protocol = Protocol(epochs=epochs, lr=options.get("lr", 1e-3))
    weights = torch.tensor(options.get("weights", (1.0, 1.0, 1.0)))
    return fit(model, Prefetcher(plan, 0, False), protocol, weights, FLOAT32, lambda *_: None)
