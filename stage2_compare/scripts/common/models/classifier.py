"""The classifier: an encoder, and a head of one projection per modality and a fusion."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..settings import Protocol
from .encoder import Encoder
from .fusion import FUSIONS, WIDTH, Classifier, Projection, SampleDropout, mean_of_tokens


class Head(nn.Module):
    """One projection per modality and a fusion: the same design for every encoder.

    With ``branches`` there is in training a classifier of each modality's projected feature too; of
    tokens and patches, of their mean. ``dropout`` is the share of its features that are dropped in
    training."""

    def __init__(
        self,
        encoder: Encoder,
        fusion: str,
        classes: int,
        branches: bool = False,
        dropout: float = Protocol.dropout,
    ):
        super().__init__()
        self.text_projection = Projection(encoder.text_dim) if encoder.text_dim else None
        self.image_projection = Projection(encoder.image_dim) if encoder.image_dim else None
        self.fusion = FUSIONS[fusion](classes)
        # Behind the fusion, whose first weights and dropout are the same without them.
        self.text_branch = Classifier(WIDTH, classes) if branches else None
        self.image_branch = Classifier(WIDTH, classes) if branches else None
        for layer in self._dropouts():
            layer.share = dropout

    def _dropouts(self) -> list[SampleDropout]:
        return [module for module in self.modules() if isinstance(module, SampleDropout)]

    @property
    def dropout_shape(self) -> tuple[int, int]:
        """Shape (K, 256) of the random numbers that each sample needs, K at least the number of
        dropout layers."""
        # Fusions with up to four layers all take four, so that a sample's numbers are the same in
        # each of them.
        least = 4 if self.text_branch is None else 4 + 2
        return max(least, len(self._dropouts())), WIDTH

    def forward(
        self,
        text: Tensor | None = None,
        image: Tensor | None = None,
        draws: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """Classify features.

        Args:
            text, image: (B, text_dim) and (B, image_dim); None for a modality that the fusion does
                not use; (B, L, text_dim) and (B, P, image_dim) where it is not ``pooled``.
            draws: (B, K, 256) random numbers of the samples for dropout; None takes torch's own.
            mask: (B, L) of the tokens, for a fusion that is not ``pooled``.
        Returns:
            logits (B, C); in training with branches those of the fusion, the text and the image.
        """
        for place, layer in enumerate(self._dropouts()):
            layer.draws = None if draws is None else draws[:, place]  # (B, 256)
        if self.text_projection is not None:
            text = self.text_projection(text)  # (B, 256)
        if self.image_projection is not None:
            image = self.image_projection(image)  # (B, 256)
        features = (text, image) if self.fusion.pooled else (text, image, mask)
        logits = self.fusion(*features)  # (B, C)
        if self.text_branch is None or not self.training:
            return logits
        if not self.fusion.pooled:
            text, image = mean_of_tokens(text, mask), image.mean(1)  # (B, 256) each
        return logits, self.text_branch(text), self.image_branch(image)


class ImageTextClassifier(nn.Module):
    """An encoder and a head.

    Pixels arrive as bytes, a quarter of the traffic, and are normalised here with the encoder's
    mean and standard deviation. So a batch is the same for every model."""

    def __init__(self, encoder: Encoder, head: Head):
        super().__init__()
        self.encoder, self.head = encoder, head
        self.frozen = False
        mean = torch.tensor(encoder.mean).view(1, 3, 1, 1)
        std = torch.tensor(encoder.std).view(1, 3, 1, 1)
        self.register_buffer("pixel_scale", 1 / (255 * std), persistent=False)
        self.register_buffer("pixel_shift", -mean / std, persistent=False)

    def encode(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
    ) -> tuple:
        """Return text and image features, see ``Encoder.forward``; one modality alone where its
        weights are named in ``weights_of``."""
        pixels = None
        if self.encoder.image_dim and pixel_values is not None:
            pixels = pixel_values * self.pixel_scale + self.pixel_shift  # (B, 3, H, W) float32
        return self.encoder(input_ids, attention_mask, pixels)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        pixel_values: Tensor,
        draws: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """Classify a batch.

        Args:
            input_ids, attention_mask: (B, L) int64.
            pixel_values: (B, 3, H, W) uint8.
            draws: (B, K, 256), see ``Head.forward``.
        Returns:
            what ``Head.forward`` returns.
        """
        text, image = self.encode(input_ids, attention_mask, pixel_values)
        return self.head(text, image, draws, attention_mask)

    def freeze_encoder(self) -> None:
        """Train the head only: the encoder keeps its weights and BatchNorm statistics, and drops
        nothing out."""
        self.encoder.requires_grad_(False)
        self.frozen = True

    def train(self, mode: bool = True) -> ImageTextClassifier:
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self
