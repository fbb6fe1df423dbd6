"""CLIP and Chinese-CLIP: text and image features of the aligned space."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import UserError
from .loading import image_statistics, load_weights, resize_positions


class Clip(nn.Module):
    """``(text (B, D), image (B, D))``: the projected features, not normalised (the head's LayerNorm does it)."""

    reads_apart = True

    def __init__(self, name: str, config, image_size: int, pretrained: bool):
        super().__init__()
        from transformers import ChineseCLIPModel, CLIPModel

        kinds = {"clip": CLIPModel, "chinese_clip": ChineseCLIPModel}
        if config.model_type not in kinds:
            raise UserError(
                f"{name!r} is a {config.model_type} checkpoint: compare_clip.py takes CLIP and Chinese-CLIP"
            )
        self.mean, self.std = image_statistics(name)
        self.clip, _ = load_weights(kinds[config.model_type], name, config, pretrained)
        del (
            self.clip.logit_scale
        )  # the contrastive loss's temperature: no logit of ours depends on it
        self._set_resolution(image_size, config.vision_config.patch_size)
        self.text_dim = self.image_dim = config.projection_dim
        self.vocabulary = config.text_config.vocab_size
        self.positions = config.text_config.max_position_embeddings

    def _set_resolution(self, image_size: int, patch: int) -> None:
        embeddings = self.clip.vision_model.embeddings
        table = resize_positions(
            embeddings.position_embedding.weight.detach(), grid_of(image_size, patch)
        )
        embeddings.position_embedding = nn.Embedding.from_pretrained(table, freeze=False)
        embeddings.register_buffer(
            "position_ids", torch.arange(len(table)).unsqueeze(0), persistent=False
        )

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, pixels: Tensor
    ) -> tuple[Tensor, Tensor]:
        text = self.clip.get_text_features(input_ids=input_ids, attention_mask=attention_mask)
        return text, self.clip.get_image_features(pixel_values=pixels)


def grid_of(image_size: int, patch: int) -> int:
    """Patches per side of an image."""
    if image_size < patch:
        raise UserError(
            f"--image-size {image_size} is less than one {patch} px patch of this model"
        )
    return image_size // patch
