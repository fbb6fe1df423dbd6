"""A text encoder of one checkpoint beside an image encoder of another.

Any text encoder of transformers gives ``pooler_output`` where its checkpoint really holds the
pooler's weights, else the mean of its tokens; CLIP and its kin give what ``two_towers`` says. What
reads images is in ``image_towers``."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn

from ..errors import UserError
from ..files import quoted
from ..settings import FAMILIES, ModelChoice
from . import two_towers
from .encoder import TextTower, TowerEncoder, longest_text
from .fusion import mean_of_tokens
from .image_towers import load_image_tower
from .loading import IMAGENET, load_weights


class TwoEncoders(TowerEncoder):
    """A text tower and an image tower; a modality that the fusion does not use is not built."""

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


def load_text_tower(name: str, config: Any, pretrained: bool, pooled: bool) -> TextTower:
    """Load the text tower of a checkpoint; ``pooled`` as in ``fusion.Fusion``. Raise UserError where
    it has none, is broken, or lacks a weight in use."""
    from transformers import AutoModel

    if config.model_type in two_towers.KINDS:
        # Nothing is resized: the vision tower is not there.
        return two_towers.load(name, config, 0, pretrained, ("text",), pooled)[1]
    for family in FAMILIES.values():
        if config.model_type in family.model_types:
            raise UserError(
                f"{quoted(name)} is a {config.model_type} checkpoint: train it with "
                f"{family.command}.py"
            )
    is_encoder = hasattr(config, "vocab_size") and hasattr(config, "hidden_size")
    if config.is_encoder_decoder or not is_encoder:
        raise UserError(
            f"{quoted(name)} is a {config.model_type} checkpoint, not a text encoder such as "
            "bert-base-chinese"
        )
    model, missing = load_weights(AutoModel, name, config, pretrained, optional=("pooler.",))
    if missing or (not pooled and hasattr(model, "pooler")):
        model.pooler = None
    sizes = config.hidden_size, longest_text(model, config), config.vocab_size
    return TextTower(model, *sizes, partial(_encode, model, pooled))


def _encode(model: nn.Module, pooled: bool, ids: Tensor, mask: Tensor) -> Tensor:
    output = model(input_ids=ids, attention_mask=mask)
    tokens = output.last_hidden_state
    if not pooled:
        # Fails where an encoder shortens its texts: its tokens would not fit their mask.
        return tokens.reshape(*ids.shape, tokens.shape[-1])  # (B, L, hidden)
    if getattr(model, "pooler", None) is not None:
        return output.pooler_output  # (B, hidden)
    return mean_of_tokens(tokens, mask)  # (B, hidden)
