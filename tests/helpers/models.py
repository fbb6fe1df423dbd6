"""Small models and what they are given."""

import torch
from common.models.build import build_classifier, encoder_class
from common.models.classifier import ImageTextClassifier
from common.models.encoder import Encoder, TowerEncoder
from common.models.loading import load_config, load_tokenizer
from common.settings import ModelChoice, Protocol
from common.training import record as recording

from .hub import BERT, BLIP, CLIP

SIZE = 64
# A kind is a fusion of BERT and ResNet18, or another encoder, and a fusion where it is not concat.
OTHER_ENCODERS = {"clip": CLIP, "blip": BLIP}


def choice(kind: str, name: str) -> ModelChoice:
    """The model of a kind with the checkpoint ``name``."""
    encoder, _, fusion = kind.partition(" ")
    if encoder in OTHER_ENCODERS:
        return ModelChoice(encoder, name, None, fusion or "concat")
    return ModelChoice("bert_resnet", name, "resnet18", kind)


def folder(hub, kind: str) -> str:
    return hub.folder(OTHER_ENCODERS.get(kind.split()[0], BERT))


def encoder(kind: str, name: str, image_size: int = SIZE, pretrained: bool = True) -> Encoder:
    chosen = choice(kind, name)
    return encoder_class(chosen.family)(chosen, load_config(name), image_size, pretrained)


def build(hub, kind: str, image_size: int = SIZE) -> ImageTextClassifier:
    protocol = Protocol(image_size=image_size)
    return build_classifier(choice(kind, folder(hub, kind)), 3, protocol).eval()


def inputs(hub, kind: str, texts: list[str]) -> dict[str, torch.Tensor]:
    tokenizer = load_tokenizer(folder(hub, kind))
    encoded = tokenizer(texts, padding=True, return_tensors="pt")
    random = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (len(texts), 3, SIZE, SIZE), generator=random)
    return {
        "input_ids": encoded["input_ids"],
        "attention_mask": encoded["attention_mask"],
        "pixel_values": pixels.to(torch.uint8),
    }


def rows_read(monkeypatch) -> list[tuple[int, int]]:
    """The texts and photos of each call of a tower from now on, without the trial, and without what
    measuring the cost of an answer takes."""
    seen, real = [], TowerEncoder.forward

    def forward(self, ids, mask, pixels):
        counts = tuple(0 if part is None else len(part) for part in (ids, pixels))
        if counts != (1, 1):
            seen.append(counts)
        return real(self, ids, mask, pixels)

    monkeypatch.setattr(TowerEncoder, "forward", forward)
    monkeypatch.setattr(recording, "inference_record", lambda *_: {})
    return seen
