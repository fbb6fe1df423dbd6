"""A text encoder of one checkpoint beside an image encoder of another."""

from __future__ import annotations

from typing import Any

from ..settings import ModelChoice
from .encoder import TowerEncoder
from .image_towers import load_image_tower
from .loading import IMAGENET
from .text_towers import load_text_tower


class TwoEncoders(TowerEncoder):
    """A text tower and an image tower, see ``text_towers`` and ``image_towers`` for what they give.
    A modality that the fusion does not use is not built."""

    weights_of = {"text": "text.", "image": "image."}
    mean, std = IMAGENET  # without an image tower

    def __init__(self, choice: ModelChoice, config: Any, image_size: int, pretrained: bool):
        super().__init__(choice, config, image_size, pretrained)
        text = image = None
        if "text" in self.uses:  # else any checkpoint will do for its tokenizer
            text = load_text_tower(choice.name, config, pretrained, self.pooled)
        if "image" in self.uses:
            backbone = choice.image_backbone
            image = load_image_tower(backbone, image_size, pretrained, self.pooled)
            self.configs["image"] = image.config
        self.take(text, image)
        self.text, self.image = text and text.model, image and image.model

    def drop_missing(self, names: set[str]) -> None:
        has_pooler = any(name.startswith("text.pooler.") for name in names)
        if not has_pooler and hasattr(self.text, "pooler"):
            self.text.pooler = None
