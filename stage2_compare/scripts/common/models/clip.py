"""CLIP and Chinese-CLIP: text and image features of the aligned space."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError
from .choice import ModelChoice
from .encoder import Encoder
from .loading import image_statistics, patches_per_side, resize_positions
from .weights import load_weights


class Clip(Encoder):
    """CLIP or Chinese-CLIP; both features are (B, projection size).

    They are not normalised to length 1, since the head begins with LayerNorm.
    """

    reads_apart = True

    def __init__(self, choice: ModelChoice, config: Any, image_size: int, pretrained: bool):
        super().__init__(choice, config, image_size, pretrained)
        from transformers import ChineseCLIPModel, CLIPModel

        kinds = {"clip": CLIPModel, "chinese_clip": ChineseCLIPModel}
        if config.model_type not in kinds:
            raise UserError(
                f"{choice.name!r} is a {config.model_type} checkpoint: "
                "compare_clip.py takes CLIP and Chinese-CLIP"
            )
        self.mean, self.std = image_statistics(choice.name)
        self.clip, _ = load_weights(kinds[config.model_type], choice.name, config, pretrained)
        del self.clip.logit_scale  # temperature of the contrastive loss: no logit of ours needs it
        self._set_resolution(image_size, config.vision_config.patch_size)
        self.text_dim = self.image_dim = config.projection_dim
        self.vocabulary = config.text_config.vocab_size
        self.positions = config.text_config.max_position_embeddings
        black = torch.zeros(1, 3, image_size, image_size)
        self.try_out(
            choice.name, lambda ids, mask: self(ids, mask, black), self.text_dim, self.image_dim
        )

    def _set_resolution(self, image_size: int, patch: int) -> None:
        embeddings = self.clip.vision_model.embeddings
        table = embeddings.position_embedding.weight.detach()  # (1 + g*g, D)
        table = resize_positions(table, patches_per_side(image_size, patch))
        embeddings.position_embedding = nn.Embedding.from_pretrained(table, freeze=False)
        position_ids = torch.arange(len(table)).unsqueeze(0)  # (1, 1 + g*g)
        embeddings.register_buffer("position_ids", position_ids, persistent=False)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, pixels: Tensor
    ) -> tuple[Tensor, Tensor]:
        text = self.clip.get_text_features(input_ids=input_ids, attention_mask=attention_mask)
        return text, self.clip.get_image_features(pixel_values=pixels)  # (B, D) each
