"""The plain loop: training as people write it, with a plain dataset and a plain model.

Every photo is decoded in every epoch, all texts are padded to the longest of the split, the model
computes in float32, and every step waits for its loss.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import transforms

from ..models.build import build_classifier
from ..models.classifier import ImageTextClassifier
from ..models.loading import load_tokenizer
from .timing import Stopwatch, pipeline_rate
from .workload import ShortSchedule, Workload


class PlainDataset(Dataset):
    """A split, each photo decoded whenever it is asked for; cropped and flipped in training."""

    def __init__(self, work: Workload, image_size: int, name: str = "train"):
        prepared = work.prepared
        split = prepared.splits[name]
        tokenizer = load_tokenizer(work.settings.model.name)
        tokens = tokenizer(
            split.texts, padding="longest", truncation=True, max_length=prepared.max_length,
            return_tensors="pt", return_token_type_ids=False,
        )  # fmt: skip
        self.tokens = dict(tokens)  # input_ids and attention_mask, (N, L) int64
        self.paths = split.image_paths
        self.labels = torch.from_numpy(prepared.datasets[name].labels)  # (N,)
        side = image_size * 8 // 7
        augmented = [transforms.RandomCrop(image_size), transforms.RandomHorizontalFlip()]
        self.transform = transforms.Compose(
            [
                transforms.Resize((side, side)),
                *(augmented if name == "train" else [transforms.CenterCrop(image_size)]),
                transforms.ToTensor(),
                transforms.Normalize(work.mean, work.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> dict[str, Tensor]:
        with Image.open(self.paths[place]) as image:
            pixels = self.transform(image.convert("RGB"))  # (3, H, W) float32
        tokens = {name: rows[place] for name, rows in self.tokens.items()}  # (L,) each
        return {**tokens, "pixel_values": pixels, "labels": self.labels[place]}


class PlainModel(nn.Module):
    """A classifier of normalised float pixels that returns its loss, as Trainer wants it."""

    def __init__(self, model: ImageTextClassifier, class_weights: Tensor):
        super().__init__()
        self.model = model
        self.loss = nn.CrossEntropyLoss(weight=class_weights)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, pixel_values: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        """Return ``loss`` () and ``logits`` (B, C) of a batch of ``PlainDataset``."""
        features = self.model.encoder(input_ids, attention_mask, pixel_values)
        logits = self.model.head(*features)  # (B, C)
        return {"loss": self.loss(logits, labels), "logits": logits}


def plain_model(work: Workload, image_size: int) -> PlainModel:
    """Build the command's model without anything that this project does to make it fast."""
    protocol = work.settings.protocol
    model = build_classifier(
        work.settings.model,
        len(work.prepared.classes),
        image_size,
        seed=protocol.seed,
        pretrained=protocol.pretrained,
    )
    return PlainModel(model, work.class_weights)


def plain_loader(work: Workload, schedule: ShortSchedule) -> DataLoader:
    """Load the first epoch of a schedule: the command's samples in its order and micro-batches."""
    return _loader(work, Subset(PlainDataset(work, work.plain_size), schedule.order()))


def _loader(work: Workload, data: Dataset, shuffle: bool = False) -> DataLoader:
    # The texts are tokens by then; this silences a warning when the workers fork.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    options = {"num_workers": work.workers, "pin_memory": work.pin_memory}
    return DataLoader(data, work.micro, shuffle, **options)


def plain_rate(work: Workload) -> float:
    """Return the samples per second of the plain loop, after a step to warm up."""
    protocol = work.settings.protocol
    model = plain_model(work, work.plain_size).to(work.device).train()
    optimizer = _optimizer(model, work)
    batches = iter(plain_loader(work, work.schedule))
    _train(model, optimizer, islice(batches, protocol.effective_batch_size // work.micro))
    clock = Stopwatch(work.device)
    with clock.block("steps"):
        _train(model, optimizer, batches)
    return work.samples / clock.seconds["steps"]


def train_plainly(work: Workload, best: Path) -> None:
    """Train for all epochs of the protocol; keep the weights of the best one in a file."""
    model = plain_model(work, work.plain_size).to(work.device)
    optimizer = _optimizer(model, work)
    train = _loader(work, PlainDataset(work, work.plain_size), shuffle=True)
    val = _loader(work, PlainDataset(work, work.plain_size, "val"))
    most = -1.0
    for _ in range(work.settings.protocol.epochs):
        _train(model.train(), optimizer, train)
        accuracy = _accuracy(model.eval(), val)
        if accuracy > most:
            most = accuracy
            torch.save(model.state_dict(), best)


def _optimizer(model: PlainModel, work: Workload) -> torch.optim.Optimizer:
    protocol = work.settings.protocol
    options = {"lr": protocol.lr, "weight_decay": protocol.weight_decay}
    return torch.optim.AdamW(model.parameters(), **options)


def _train(
    model: PlainModel, optimizer: torch.optim.Optimizer, batches: Iterable[dict[str, Tensor]]
) -> None:
    device = next(model.parameters()).device
    for batch in batches:
        inputs = {name: tensor.to(device) for name, tensor in batch.items()}
        loss = model(**inputs)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()


@torch.no_grad()
def _accuracy(model: PlainModel, batches: Iterable[dict[str, Tensor]]) -> float:
    device = next(model.parameters()).device
    right = []
    for batch in batches:
        inputs = {name: tensor.to(device) for name, tensor in batch.items()}
        right.append(model(**inputs)["logits"].argmax(1) == inputs["labels"])
    return torch.cat(right).float().mean().item()


def plain_pipeline_rate(work: Workload) -> float:
    """Return the samples per second of the plain loader alone."""
    return pipeline_rate(plain_loader(work, work.pipeline_schedule(epochs=1)))
