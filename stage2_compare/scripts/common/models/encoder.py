"""The contract of every encoder: what the classifier, the data and the probes may ask of it."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from .choice import ModelChoice


class Encoder(nn.Module):
    """Turns texts and images into one feature each.

    To add a kind of encoder, derive from this class, set every attribute in ``__init__`` (which
    takes the four arguments shown here), and name the class in ``models.build.ENCODERS``.

    Attributes:
        text_dim, image_dim: sizes of the features; 0 for a modality that the fusion does not use.
        mean, std: of the pixels of the encoder's training, three numbers each, on a scale of 0 to 1.
        positions: the longest text in tokens.
        vocabulary: the number of token ids.
        reads_apart: True where each feature depends on its own modality alone, so that features of
            different pairs can be combined; False where the text is read in the light of the image.
    """

    text_dim: int
    image_dim: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    positions: int
    vocabulary: int
    reads_apart: bool

    def __init__(self, choice: ModelChoice, config: Any, image_size: int, pretrained: bool):
        """Load the encoder.

        Args:
            config: the checkpoint's configuration, of transformers.
            image_size: height and width of the images in pixels.
            pretrained: False starts from random weights.
        Raises:
            UserError: the checkpoint is of another kind, broken, or lacks a weight in use.
        """
        super().__init__()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, pixels: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Encode a batch.

        Args:
            input_ids, attention_mask: (B, L) int64.
            pixels: (B, 3, H, W) float32, normalised with ``mean`` and ``std``; None where
                ``image_dim`` is 0.
        Returns:
            text (B, text_dim) and image (B, image_dim), None for a modality of size 0.
        """
        raise NotImplementedError

    def drop_missing(self, names: set[str]) -> None:
        """Remove an optional part of which a saved model, with parameters called ``names``, has no
        weights."""
