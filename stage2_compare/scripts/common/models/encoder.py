"""The contract of every encoder: what the classifier, the data and the probes may ask of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError, reason_of
from ..files import quoted
from ..settings import ModelChoice
from .fusion import FUSIONS

_WIDEST = 2**16  # numbers of one feature: the head grows with it


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

    @torch.no_grad()
    def try_out(
        self, name: str, read: Callable[[Tensor, Tensor], tuple[Tensor | None, ...]], *sizes: int
    ) -> None:
        """Read one short text as in training, so that a checkpoint which cannot be trained is named
        before the data are read.

        Args:
            read: gives the features for ``input_ids`` and ``attention_mask``, (1, 2) int64.
            sizes: of the features, in their order; (1, size) each, or (1, tokens, size).
        Raises:
            UserError: it fails, or the features are of other shapes.
        """
        ids = torch.zeros(1, 2, dtype=torch.long)  # (B, L)
        self.train()
        try:
            features = zip(read(ids, torch.ones_like(ids)), sizes, strict=True)
            found = [(tuple(part.shape), size) for part, size in features if part is not None]
        except Exception as error:  # a foreign model can fail in any way
            if "memory" in str(error):
                raise
            raise UserError(
                f"{quoted(name)} cannot be used as a {type(self).__name__} encoder: it fails at a "
                f"short text: {type(error).__name__}: {reason_of(error)}"
            ) from error
        if not all(self._fits(shape, size) for shape, size in found):
            raise UserError(
                f"{quoted(name)} cannot be used as a {type(self).__name__} encoder: its features "
                f"are {[shape for shape, _ in found]}"
            )
        self.eval()

    def _fits(self, shape: tuple[int, ...], size: int) -> bool:
        wanted = (1, size) if self.pooled else (1, *shape[1:2], size)
        return shape == wanted and 0 < size <= _WIDEST
