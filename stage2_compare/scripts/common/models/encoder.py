"""The contract of every encoder: what the classifier, the data and the probes may ask of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UserError
from ..settings import FAMILIES, ModelChoice
from .fusion import FUSIONS
from .loading import UNLIMITED


class Encoder(nn.Module):
    """Turns texts and images into one feature each, or one for each token and patch.

    To add a kind of encoder, derive from this class, set the attributes that are not set here in
    ``__init__`` (which takes these four arguments), and add its line to ``settings.FAMILIES``.

    Attributes:
        uses, pooled: what the fusion takes, see ``fusion.Fusion``.
        text_dim, image_dim: sizes of the features; 0 for a modality that the fusion does not use.
        mean, std: of the pixels of the encoder's training, three numbers each, on a scale of 0 to 1.
        positions: the longest text in tokens.
        vocabulary: the number of token ids.
        reads_apart: True where each feature depends on its own modality alone, and ``forward`` reads
            one alone where the other is None; False where the text is read in the light of the image.
        weights_of: how the names of the weights of each modality begin, where they are read apart.
        configs: of each modality the configuration, of transformers, of the checkpoint that reads it,
            or the name of a network of torchvision.
    """

    text_dim: int
    image_dim: int
    mean: Sequence[float]
    std: Sequence[float]
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
        self.reads_apart = FAMILIES[choice.family].reads_apart or len(self.uses) == 1
        self.configs: dict[str, Any] = {"text": config, "image": config}
        reader = getattr(config, "text_config", config)
        self.vocabulary: int = getattr(reader, "vocab_size", UNLIMITED)
        self.positions = longest_text(None, reader)

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


@dataclass(frozen=True)
class TextTower:
    """What reads texts alone."""

    model: nn.Module  # all its weights, under the names that transformers gives them
    dim: int
    positions: int  # the longest text in tokens
    vocabulary: int  # the number of token ids
    # input_ids and attention_mask, (B, L) int64 each -> (B, dim), or tokens (B, L, dim)
    encode: Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class ImageTower:
    """What reads images alone."""

    model: nn.Module  # all its weights, under the names that its library gives them
    config: Any  # of the checkpoint, of transformers; or the name of a network of torchvision
    dim: int
    mean: Sequence[float]  # of the pixels of its training, on a scale of 0 to 1
    std: Sequence[float]
    encode: Callable[[Tensor], Tensor]  # (B, 3, H, W) float32 -> (B, dim), or patches (B, P, dim)


class TowerEncoder(Encoder):
    """An encoder of two towers, one for each modality that the fusion uses.

    To make one, call ``take`` in ``__init__``, and register the modules of the towers."""

    def take(self, text: TextTower | None, image: ImageTower | None) -> None:
        """Read texts and images with these towers."""
        self._text, self._image = text, image
        self.text_dim = text.dim if text else 0
        self.image_dim = image.dim if image else 0
        if text:
            self.positions, self.vocabulary = text.positions, text.vocabulary
        if image:
            self.mean, self.std = image.mean, image.std

    def forward(
        self, input_ids: Tensor | None, attention_mask: Tensor | None, pixels: Tensor | None
    ) -> tuple:
        text = image = None
        if self._text and input_ids is not None:
            text = self._text.encode(input_ids, attention_mask)
        if self._image and pixels is not None:
            image = self._image.encode(pixels)
        return text, image


def longest_text(text: nn.Module | None, config: Any) -> int:
    """Return the longest text in tokens of a text tower. RoBERTa's table begins with rows that no
    token uses, and models with relative positions give no length, or -1."""
    parts = {} if text is None else dict(text.named_modules())
    tables = [part for name, part in parts.items() if name.endswith("position_embeddings")]
    padding = getattr(tables[0], "padding_idx", None) if tables else None
    unused = padding + 1 if padding is not None else 0
    rows = getattr(config, "max_position_embeddings", None)
    return rows - unused if isinstance(rows, int) and rows > 0 else UNLIMITED


def fit_positions(embeddings: nn.Module, name: str, image_size: int, patch: int) -> None:
    """Resize the position embeddings of a vision transformer, once and in place: transformers
    interpolates some of them at every step, cuts others wrongly, and fails with the rest.

    Args:
        embeddings: the module of which they are the attribute ``name``, a parameter (1, P, D) or an
            nn.Embedding (P, D).
        image_size, patch: side of an image and of a patch in pixels.
    """
    if image_size < patch:
        raise UserError(
            f"--image-size {image_size} is less than one {patch} px patch of this model"
        )
    old, grid = getattr(embeddings, name), image_size // patch
    if (seen := grid * patch) < image_size:
        print(
            f"patches of {patch} px: of {image_size} x {image_size} px the model sees the upper "
            f"left {seen} x {seen}",
            flush=True,
        )
    if isinstance(old, nn.Embedding):
        table = resize_positions(old.weight.detach(), grid)
        setattr(embeddings, name, nn.Embedding.from_pretrained(table, freeze=False))
        position_ids = torch.arange(len(table)).unsqueeze(0)  # (1, P)
        embeddings.register_buffer("position_ids", position_ids, persistent=False)
    else:
        table = resize_positions(old.detach()[0], grid)
        setattr(embeddings, name, nn.Parameter(table.unsqueeze(0)))


def resize_positions(table: Tensor, grid: int) -> Tensor:
    """Resize the position embeddings of a vision transformer to another resolution.

    Args:
        table: (1 + g*g, D), the class token first, or (g*g, D) without one; then the g x g patches
            row by row.
        grid: patches per side wanted.
    Returns:
        (1 + grid*grid, D) or (grid*grid, D), bicubic on the grid, class token as it was; the table
        itself where the size is the same.
    """
    rows = len(table)
    before = int(math.isqrt(rows) ** 2 != rows)  # 1: a class token
    side = math.isqrt(rows - before)
    if side * side + before != rows:
        raise UserError(f"the checkpoint's {rows} positions of an image make no square")
    if side == grid:
        return table
    patches = table[before:].T.reshape(1, -1, side, side)  # (1, D, g, g)
    patches = F.interpolate(patches, size=(grid, grid), mode="bicubic", align_corners=False)
    return torch.cat([table[:before], patches.flatten(2)[0].T])
