"""CLIP and Chinese-CLIP: text and image features of the aligned space."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..files import quoted
from ..settings import ModelChoice
from .encoder import Encoder, patches_per_side, resize_positions
from .loading import image_statistics
from .weights import load_weights


class Clip(Encoder):
    """CLIP or Chinese-CLIP; both features are (B, projection size).

    They are not normalised to length 1, since the head begins with LayerNorm. Tokens and patches,
    the class token first, are taken to the aligned space in the way of the one that is pooled. A
    tower that the fusion does not use is dropped.
    """

    reads_apart = True
    weights_of = {"text": "clip.text_", "image": "clip.vis"}  # towers and projections

    def __init__(self, choice: ModelChoice, config: Any, image_size: int, pretrained: bool):
        super().__init__(choice, config, image_size, pretrained)
        from transformers import ChineseCLIPModel, CLIPModel

        kinds = {"clip": CLIPModel, "chinese_clip": ChineseCLIPModel}
        if config.model_type not in kinds:
            raise UserError(
                f"{quoted(choice.name)} is a {config.model_type} checkpoint: "
                "compare_clip.py takes CLIP and Chinese-CLIP"
            )
        self.mean, self.std = image_statistics(choice.name)
        self.clip, _ = load_weights(kinds[config.model_type], choice.name, config, pretrained)
        del self.clip.logit_scale  # temperature of the contrastive loss: no logit of ours needs it
        self.text_dim = config.projection_dim if "text" in self.uses else 0
        self.image_dim = config.projection_dim if "image" in self.uses else 0
        if not self.text_dim:
            del self.clip.text_model, self.clip.text_projection
        if not self.image_dim:
            del self.clip.vision_model, self.clip.visual_projection
        else:
            self._set_resolution(image_size, config.vision_config.patch_size)
        self.vocabulary = config.text_config.vocab_size
        self.positions = config.text_config.max_position_embeddings

    def _set_resolution(self, image_size: int, patch: int) -> None:
        embeddings = self.clip.vision_model.embeddings
        table = embeddings.position_embedding.weight.detach()  # (1 + g*g, D)
        table = resize_positions(table, patches_per_side(image_size, patch))
        embeddings.position_embedding = nn.Embedding.from_pretrained(table, freeze=False)
        position_ids = torch.arange(len(table)).unsqueeze(0)  # (1, 1 + g*g)
        embeddings.register_buffer("position_ids", position_ids, persistent=False)

    def forward(
        self, input_ids: Tensor | None, attention_mask: Tensor | None, pixels: Tensor | None
    ) -> tuple:
        text = image = None
        if self.text_dim and input_ids is not None:
            words = {"input_ids": input_ids, "attention_mask": attention_mask}
            if self.pooled:
                text = self.clip.get_text_features(**words)  # (B, D)
            else:
                tokens = self.clip.text_model(**words).last_hidden_state  # (B, L, text hidden)
                text = self.clip.text_projection(tokens)  # (B, L, D)
        if self.image_dim and pixels is not None and self.pooled:
            image = self.clip.get_image_features(pixel_values=pixels)  # (B, D)
        elif self.image_dim and pixels is not None:
            vision = self.clip.vision_model
            patches = vision(pixel_values=pixels).last_hidden_state  # (B, 1 + g*g, vision hidden)
            image = self.clip.visual_projection(vision.post_layernorm(patches))  # (B, 1 + g*g, D)
        return text, image
