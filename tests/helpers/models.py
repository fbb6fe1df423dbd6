"""Small models and what they are given."""

import torch
from common.models.bert_resnet import BertResNet
from common.models.blip import Blip
from common.models.classifier import ImageTextClassifier
from common.models.clip import Clip
from common.models.fusion import FUSIONS
from common.models.loading import load_config, load_tokenizer

from .hub import BERT, BLIP, CHINESE_CLIP, CLIP

SIZE = 64
KINDS = ["concat", "gated", "late", "text", "image", "clip", "chinese_clip", "blip"]
CHECKPOINT = {"clip": CLIP, "chinese_clip": CHINESE_CLIP, "blip": BLIP}


def build(hub, kind: str) -> ImageTextClassifier:
    name = hub.folder(CHECKPOINT.get(kind, BERT))
    config = load_config(name)
    torch.manual_seed(0)
    if kind in FUSIONS:
        encoder = BertResNet(name, config, "resnet18", True, FUSIONS[kind].uses)
        return ImageTextClassifier(encoder, kind, 3).eval()
    encoder = (Blip if kind == "blip" else Clip)(name, config, SIZE, True)
    return ImageTextClassifier(encoder, "concat", 3).eval()


def inputs(hub, kind: str, texts: list[str]) -> dict[str, torch.Tensor]:
    tokenizer = load_tokenizer(hub.folder(CHECKPOINT.get(kind, BERT)))
    encoded = tokenizer(texts, padding=True, return_tensors="pt")
    pixels = torch.randint(
        0, 256, (len(texts), 3, SIZE, SIZE), generator=torch.Generator().manual_seed(1)
    )
    return {
        "input_ids": encoded["input_ids"],
        "attention_mask": encoded["attention_mask"],
        "pixel_values": pixels.to(torch.uint8),
    }
