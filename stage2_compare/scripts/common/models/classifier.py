"""The classifier: an encoder, and a head of one projection per modality and a fusion."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .fusion import FUSIONS, WIDTH, Projection, SampleDropout


class Head(nn.Module):
    """``forward(text (B, text_dim) | None, image (B, image_dim) | None) -> logits (B, C)``."""

    def __init__(self, text_dim: int, image_dim: int, fusion: str, classes: int):
        super().__init__()
        self.text_projection = Projection(text_dim) if text_dim else None
        self.image_projection = Projection(image_dim) if image_dim else None
        self.fusion = FUSIONS[fusion](classes)

    @property
    def dropout_shape(self) -> tuple[int, int]:
        """Dropout layers and their width: the random numbers that a sample needs. At least four layers, so that a
        sample draws the same numbers in every fusion that has no more."""
        layers = sum(isinstance(module, SampleDropout) for module in self.modules())
        return max(4, layers), WIDTH

    def forward(
        self, text: Tensor | None = None, image: Tensor | None = None, draws: Tensor | None = None
    ) -> Tensor:
        """``draws`` (B, K, 256) are the random numbers of the samples, K at least the number of dropout layers."""
        for i, layer in enumerate(
            module for module in self.modules() if isinstance(module, SampleDropout)
        ):
            layer.draws = None if draws is None else draws[:, i]
        if self.text_projection is not None:
            text = self.text_projection(text)
        if self.image_projection is not None:
            image = self.image_projection(image)
        return self.fusion(text, image)


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
        self.head = Head(encoder.text_dim, encoder.image_dim, fusion, classes)
        mean, std = (
            torch.tensor(values).view(1, 3, 1, 1) for values in (encoder.mean, encoder.std)
        )
        self.register_buffer("pixel_scale", 1 / (255 * std), persistent=False)
        self.register_buffer("pixel_shift", -mean / std, persistent=False)

    def encode(self, input_ids: Tensor, attention_mask: Tensor, pixel_values: Tensor) -> tuple:
        """Features of the encoder, before the head: ``(text (B, text_dim) | None, image (B, image_dim) | None)``."""
        pixels = (
            pixel_values * self.pixel_scale + self.pixel_shift if self.encoder.image_dim else None
        )
        return self.encoder(input_ids, attention_mask, pixels)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        pixel_values: Tensor,
        draws: Tensor | None = None,
    ) -> Tensor:
        return self.head(*self.encode(input_ids, attention_mask, pixel_values), draws)

    def freeze_encoder(self) -> None:
        """Only the head trains: the encoder keeps its weights, its BatchNorm statistics, and drops nothing out."""
        self.encoder.requires_grad_(False)
        self.frozen = True

    def train(self, mode: bool = True) -> ImageTextClassifier:
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self
