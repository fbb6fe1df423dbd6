"""BLIP from its captioning checkpoint: every weight that is used is a weight that was trained.

The checkpoint (Li et al. 2022, arXiv 2201.12086) holds a vision tower and a text decoder, no text tower. Loading
``BlipModel`` from it leaves 138.6 of 224.7 million parameters random; reading the text *through the decoder* does not.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import UserError
from .clip import grid_of
from .loading import image_statistics, load_weights, resize_positions


class Blip(nn.Module):
    """``(text given image (B, hidden), image (B, vision hidden))``."""

    reads_apart = False  # the text feature depends on the image

    def __init__(self, name: str, config, image_size: int, pretrained: bool):
        super().__init__()
        from transformers import BlipForConditionalGeneration

        if config.model_type != "blip":
            raise UserError(
                f"{name!r} is a {config.model_type} checkpoint: compare_blip.py takes BLIP captioning ones"
            )
        self.mean, self.std = image_statistics(name)
        # text_decoder.cls only predicts words; with tied weights a checkpoint may leave it out, and it is dropped here.
        blip, _ = load_weights(
            BlipForConditionalGeneration, name, config, pretrained, optional=("text_decoder.cls.",)
        )
        self.vision = blip.vision_model
        self.decoder = blip.text_decoder.bert
        self.bos_token_id = config.text_config.bos_token_id
        embeddings = self.vision.embeddings
        # 4.39.3 would slice the first rows of the 24 x 24 table at a lower resolution: a wrong grid.
        grid = grid_of(image_size, config.vision_config.patch_size)
        table = resize_positions(embeddings.position_embedding.detach()[0], grid)
        embeddings.position_embedding = nn.Parameter(table.unsqueeze(0))
        self.text_dim, self.image_dim = (
            config.text_config.hidden_size,
            config.vision_config.hidden_size,
        )
        self.vocabulary = config.text_config.vocab_size
        self.positions = config.text_config.max_position_embeddings

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, pixels: Tensor
    ) -> tuple[Tensor, Tensor]:
        vision = self.vision(pixel_values=pixels)
        patches = vision.last_hidden_state  # (B, 1 + g*g, vision hidden)
        input_ids = input_ids.clone()
        input_ids[:, 0] = self.bos_token_id  # what the decoder was trained to start from
        hidden = self.decoder(
            input_ids=input_ids,
            attention_mask=attention_mask,
            encoder_hidden_states=patches,
            encoder_attention_mask=torch.ones(
                patches.shape[:2], dtype=torch.long, device=patches.device
            ),
            is_decoder=True,  # the default is False, and its self-attention was trained causal
            use_cache=False,
        ).last_hidden_state  # (B, L, hidden)
        # Under the causal mask only the last token has read the whole text; the first has seen none of it.
        last = attention_mask.sum(1) - 1
        return hidden[torch.arange(len(hidden), device=hidden.device), last], vision.pooler_output
