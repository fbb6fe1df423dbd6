"""The ways of joining a text and an image.

To add a fusion, write its class here, derived from ``Fusion``, and name it in FUSIONS."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH = 256
DROPOUT = 0.2
RANK = 4  # of LowRankFusion
HEADS = 4  # of AttentionFusion


class SampleDropout(nn.Module):
    """Dropout of (B, 256) whose mask depends on the sample alone, not on the micro-batch that it is
    in. In (B, L, 256) all tokens of a sample have one mask, however far they are padded.

    The head sets ``draws`` (B, 256), numbers in [0, 1), for each batch. Without them torch draws
    its own."""

    draws: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.draws is None or not self.training:
            return F.dropout(x, DROPOUT, self.training)
        kept = self.draws >= DROPOUT  # (B, 256)
        return x * (kept if x.dim() == 2 else kept.unsqueeze(1)) / (1 - DROPOUT)


class Projection(nn.Sequential):
    """Brings a feature (B, in_dim) to (B, 256), or each of (B, L, in_dim) to 256 numbers.

    LayerNorm comes first, so that the scale of an encoder's output favours no model.
    """

    def __init__(self, in_dim: int):
        super().__init__(nn.LayerNorm(in_dim), nn.Linear(in_dim, WIDTH), nn.ReLU(), SampleDropout())


class Classifier(nn.Sequential):
    """Two-layer perceptron, (B, in_dim) -> (B, C)."""

    def __init__(self, in_dim: int, classes: int):
        super().__init__(
            nn.Linear(in_dim, WIDTH), nn.ReLU(), SampleDropout(), nn.Linear(WIDTH, classes)
        )


class Fusion(nn.Module):
    """Turns ``text`` (B, 256) and ``image`` (B, 256) into logits (B, C); made with the number of
    classes.

    Attributes:
        uses: the modalities that it needs; the other one is not encoded and is None.
        pooled: False takes the tokens of the text (B, L, 256), the patches of the image (B, P, 256)
            and the mask of the tokens (B, L) instead: 1, and 0 for padding.
    """

    uses: tuple[str, ...] = ("text", "image")
    pooled: bool = True


class ConcatFusion(Fusion):
    """Both features side by side."""

    def __init__(self, classes: int):
        super().__init__()
        self.classifier = Classifier(2 * WIDTH, classes)

    def forward(self, text: Tensor, image: Tensor) -> Tensor:
        joint = torch.cat([text, image], dim=-1)  # (B, 512)
        return self.classifier(joint)  # (B, C)


class GatedFusion(Fusion):
    """A gate per element decides how much of each modality passes (Arevalo et al. 2017, arXiv
    1702.01992)."""

    def __init__(self, classes: int):
        super().__init__()
        self.gate = nn.Linear(2 * WIDTH, WIDTH)
        self.classifier = Classifier(2 * WIDTH, classes)

    def forward(self, text: Tensor, image: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(torch.cat([text, image], dim=-1)))  # (B, 256)
        joint = torch.cat([gate * image, (1 - gate) * text], dim=-1)  # (B, 512)
        return self.classifier(joint)  # (B, C)


class LateFusion(Fusion):
    """Each modality is classified by itself, and the two logits are averaged."""

    def __init__(self, classes: int):
        super().__init__()
        self.text_classifier = Classifier(WIDTH, classes)
        self.image_classifier = Classifier(WIDTH, classes)

    def forward(self, text: Tensor, image: Tensor) -> Tensor:
        return (self.text_classifier(text) + self.image_classifier(image)) / 2


class LowRankFusion(Fusion):
    """Every product of a text and an image number, weighted by a tensor of rank 4 (Liu et al. 2018,
    arXiv 1806.00064).

    A class's logit is the sum of four products, each of a number that is linear in the text and one
    that is linear in the image. There is no further layer: so, over any texts and images, the
    logits of a class less its bias are a table of rank 4."""

    def __init__(self, classes: int):
        super().__init__()
        self.text_factors = nn.Linear(WIDTH, RANK * classes)  # its bias is the paper's appended 1
        self.image_factors = nn.Linear(WIDTH, RANK * classes)
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, text: Tensor, image: Tensor) -> Tensor:
        products = self.text_factors(text) * self.image_factors(image)  # (B, 4 * C)
        return products.unflatten(1, (RANK, -1)).sum(1) + self.bias  # (B, C)


class CrossAttention(nn.Module):
    """One layer in which each of (B, L, 256) looks at others, (B, S, 256): attention, residual,
    LayerNorm."""

    def __init__(self):
        super().__init__()
        # The zero to look at is all that there is beside a text without a token.
        options = {"batch_first": True, "add_zero_attn": True}
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, **options)
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor, others: Tensor, padding: Tensor | None = None) -> Tensor:
        """``padding`` (B, S) is True for others that are not looked at."""
        # Asked for its weights, as by default, torch multiplies step by step: the backward pass of
        # the fused kernel is not deterministic on CUDA.
        seen, _ = self.attention(x, others, others, key_padding_mask=padding)
        return self.norm(x + seen)  # (B, L, 256)


class AttentionFusion(Fusion):
    """Tokens look at patches and patches at tokens, one layer each way, as in the co-attention of
    ViLBERT (Lu et al. 2019, arXiv 1908.02265); then the means of both side by side."""

    pooled = False

    def __init__(self, classes: int):
        super().__init__()
        self.text_layer = CrossAttention()
        self.image_layer = CrossAttention()
        self.classifier = Classifier(2 * WIDTH, classes)

    def forward(self, text: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        tokens = self.text_layer(text, image)  # (B, L, 256)
        patches = self.image_layer(image, text, padding=mask == 0)  # (B, P, 256)
        joint = torch.cat([mean_of_tokens(tokens, mask), patches.mean(1)], dim=-1)  # (B, 512)
        return self.classifier(joint)  # (B, C)


def mean_of_tokens(tokens: Tensor, mask: Tensor) -> Tensor:
    """Return the mean without padding, (B, L, D) and (B, L) -> (B, D); 0 where there is no
    token."""
    mask = mask.unsqueeze(-1).to(tokens.dtype)  # (B, L, 1)
    return (tokens * mask).sum(1) / mask.sum(1).clamp(min=1)


class TextOnly(Fusion):
    """The text alone, as a baseline."""

    uses = ("text",)

    def __init__(self, classes: int):
        super().__init__()
        self.classifier = Classifier(WIDTH, classes)

    def forward(self, text: Tensor, image: None) -> Tensor:
        return self.classifier(text)


class ImageOnly(Fusion):
    """The image alone, as a baseline."""

    uses = ("image",)

    def __init__(self, classes: int):
        super().__init__()
        self.classifier = Classifier(WIDTH, classes)

    def forward(self, text: None, image: Tensor) -> Tensor:
        return self.classifier(image)


FUSIONS = {
    "concat": ConcatFusion,
    "gated": GatedFusion,
    "late": LateFusion,
    "lowrank": LowRankFusion,
    "attention": AttentionFusion,
    "text": TextOnly,
    "image": ImageOnly,
}
