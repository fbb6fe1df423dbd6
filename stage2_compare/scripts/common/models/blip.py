"""BLIP from its captioning checkpoint: every weight that is used is a weight that was trained.

The checkpoint (Li et al. 2022, arXiv 2201.12086) holds a vision tower and a text decoder, no text
tower. Loading ``BlipModel`` from it leaves 138.6 of 224.7 million parameters random; reading the
text *through the decoder* does not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import UserError
from ..files import quoted
from ..settings import ModelChoice
from .encoder import Encoder, fit_positions
from .loading import CLIP_PIXELS, image_statistics, load_weights


class Blip(Encoder):
    """BLIP; the text feature, which depends on the image, is (B, hidden), the image feature (B,
    vision hidden); the patches begin with the class token.

    Where the fusion uses the text alone, the decoder sees no image at all: its cross-attention
    layers are left out, and it reads as a language model does. A blank picture in their place
    would be something to look at, and would cost a vision tower."""

    def __init__(self, choice: ModelChoice, config: Any, image_size: int, pretrained: bool):
        super().__init__(choice, config, image_size, pretrained)
        from transformers import BlipForConditionalGeneration

        if config.model_type != "blip":
            raise UserError(
                f"{quoted(choice.name)} is a {config.model_type} checkpoint: "
                "compare_blip.py takes BLIP captioning ones"
            )
        self.mean, self.std = image_statistics(choice.name, CLIP_PIXELS)
        # text_decoder.cls only predicts words and is dropped here, so a checkpoint may lack it.
        blip, _ = load_weights(
            BlipForConditionalGeneration,
            choice.name,
            config,
            pretrained,
            optional=("text_decoder.cls.",),
        )
        self.vision = blip.vision_model if "image" in self.uses else None
        self.decoder = blip.text_decoder.bert if "text" in self.uses else None
        if self.vision is None:
            for layer in self.decoder.encoder.layer:
                del layer.crossattention
        else:
            # 4.39.3 would slice the first rows of the 24 x 24 table at a lower resolution: a wrong
            # grid.
            embeddings, patch = self.vision.embeddings, config.vision_config.patch_size
            fit_positions(embeddings, "position_embedding", image_size, patch)
        self.text_dim = config.text_config.hidden_size if self.decoder is not None else 0
        self.image_dim = config.vision_config.hidden_size if self.vision is not None else 0
        self.bos_token_id = config.text_config.bos_token_id

    def forward(self, input_ids: Tensor, attention_mask: Tensor, pixels: Tensor | None) -> tuple:
        patches = image = text = None
        if self.vision is not None:
            vision = self.vision(pixel_values=pixels)
            patches = vision.last_hidden_state  # (B, 1 + g*g, vision hidden)
            image = vision.pooler_output if self.pooled else patches
        if self.decoder is not None:
            text = self._read(input_ids, attention_mask, patches)
        return text, image

    def _read(self, input_ids: Tensor, attention_mask: Tensor, patches: Tensor | None) -> Tensor:
        """Return the text's feature (B, hidden), or its tokens (B, L, hidden), in the light of the
        image."""
        looking = {}
        if patches is not None:
            everywhere = torch.ones(patches.shape[:2], dtype=torch.long, device=patches.device)
            looking = {"encoder_hidden_states": patches, "encoder_attention_mask": everywhere}
        input_ids = input_ids.clone()
        input_ids[:, 0] = self.bos_token_id  # the decoder was trained to start from it
        hidden = self.decoder(
            input_ids=input_ids,
            attention_mask=attention_mask,
            **looking,
            is_decoder=True,  # the default is False, and its self-attention was trained causal
            use_cache=False,
        ).last_hidden_state  # (B, L, hidden)
        if not self.pooled:
            return hidden
        # Under the causal mask only the last token has read the whole text; the first has seen none
        # of it.
        last = attention_mask.sum(1) - 1
        return hidden[torch.arange(len(hidden), device=hidden.device), last]
