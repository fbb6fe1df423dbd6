"""The contract of every encoder: what the classifier, the data and the probes may ask of it."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UserError
from ..settings import ModelChoice
from .fusion import FUSIONS


class Encoder(nn.Module):
    """Turns texts and images into one feature each, or one for each token and patch.

    To add a kind of encoder, derive from this class, set every attribute in ``__init__`` (which
    takes the four arguments shown here), and add its line to ``settings.FAMILIES``.

    Attributes:
        uses, pooled: what the fusion takes, see ``fusion.Fusion``; set here.
        text_dim, image_dim: sizes of the features; 0 for a modality that the fusion does not use.
        mean, std: of the pixels of the encoder's training, three numbers each, on a scale of 0 to 1.
        positions: the longest text in tokens.
        vocabulary: the number of token ids.
        reads_apart: True where each feature depends on its own modality alone, so that features of
            different pairs can be combined; False where the text is read in the light of the image.
        weights_of: for encoders whose ``forward`` reads one modality alone where the other one is
            None: how the names of the weights of each begin. Empty: pairs are read whole.
    """

    uses: tuple[str, ...]
    pooled: bool
    text_dim: int
    image_dim: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    positions: int
    vocabulary: int
    reads_apart: bool
    weights_of: dict[str, str] = {}

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
        fusion = FUSIONS[choice.fusion]
        self.uses, self.pooled = fusion.uses, fusion.pooled

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, pixels: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Encode a batch.

        Args:
            input_ids, attention_mask: (B, L) int64.
            pixels: (B, 3, H, W) float32, normalised with ``mean`` and ``std``; None where
                ``image_dim`` is 0.
        Returns:
            text (B, text_dim) and image (B, image_dim), None for a modality of size 0. Where not
            ``pooled``, the tokens (B, L, text_dim) and the patches (B, P, image_dim).
        """
        raise NotImplementedError

    def drop_missing(self, names: set[str]) -> None:
        """Remove an optional part of which a saved model, with parameters called ``names``, has no
        weights."""


def resize_positions(table: Tensor, grid: int) -> Tensor:
    """Resize the position embeddings of a vision transformer to another resolution.

    Args:
        table: (1 + g*g, D), the class token first, then the g x g patches row by row.
        grid: patches per side wanted.
    Returns:
        (1 + grid*grid, D), bicubic on the grid, class token as it was; the table itself where the
        size is the same.
    """
    side = round((table.shape[0] - 1) ** 0.5)
    if not side or side * side + 1 != table.shape[0]:
        raise UserError(f"the checkpoint's {table.shape[0]} positions of an image make no square")
    if side == grid:
        return table
    patches = table[1:].T.reshape(1, -1, side, side)  # (1, D, g, g)
    patches = F.interpolate(patches, size=(grid, grid), mode="bicubic", align_corners=False)
    return torch.cat([table[:1], patches.flatten(2)[0].T])


def patches_per_side(image_size: int, patch: int) -> int:
    """Return how many patches of a vision transformer fit one side of an image."""
    if image_size < patch:
        raise UserError(
            f"--image-size {image_size} is less than one {patch} px patch of this model"
        )
    return image_size // patch
