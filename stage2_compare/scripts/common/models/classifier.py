"""The classifier: an encoder, one projection per modality it gives, and a fusion."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .fusion import FUSIONS, Projection


class ImageTextClassifier(nn.Module):
    """``forward(input_ids (B, L), attention_mask (B, L), pixel_values (B, 3, H, W) uint8) -> logits (B, C)``.

    ``encoder(input_ids, attention_mask, pixels)`` gives ``(text (B, text_dim) | None, image (B, image_dim) | None)``
    from pixels normalised with its own ``mean`` and ``std``. Pixels travel as bytes, a quarter of the traffic, and are
    normalised here, so a batch is the same for every model.
    """

    def __init__(self, encoder: nn.Module, fusion: str, classes: int):
        super().__init__()
        self.encoder = encoder
        self.frozen = False
        self.text_projection = Projection(encoder.text_dim) if encoder.text_dim else None
        self.image_projection = Projection(encoder.image_dim) if encoder.image_dim else None
        self.fusion = FUSIONS[fusion](classes)
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (encoder.mean, encoder.std))
        self.register_buffer("pixel_scale", 1 / (255 * std), persistent=False)
        self.register_buffer("pixel_shift", -mean / std, persistent=False)

    def encode(self, input_ids: Tensor, attention_mask: Tensor, pixel_values: Tensor) -> tuple:
        """Features of the encoder, before the head: ``(text (B, text_dim) | None, image (B, image_dim) | None)``."""
        pixels = pixel_values * self.pixel_scale + self.pixel_shift if self.encoder.image_dim else None
        return self.encoder(input_ids, attention_mask, pixels)

    def classify(self, text: Tensor | None, image: Tensor | None) -> Tensor:
        """The head: features -> logits (B, C)."""
        if self.text_projection is not None:
            text = self.text_projection(text)
        if self.image_projection is not None:
            image = self.image_projection(image)
        return self.fusion(text, image)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, pixel_values: Tensor) -> Tensor:
        return self.classify(*self.encode(input_ids, attention_mask, pixel_values))

    def freeze_encoder(self) -> None:
        """Only the head trains: the encoder keeps its weights, its BatchNorm statistics, and drops nothing out."""
        self.encoder.requires_grad_(False)
        self.frozen = True

    def train(self, mode: bool = True) -> ImageTextClassifier:
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self
