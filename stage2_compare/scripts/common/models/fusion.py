"""The ways of joining a text and an image.

To add a fusion, write its class here, derived from ``Fusion``, and name it in FUSIONS."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..settings import Protocol

WIDTH = 256
RANK = 4  # of LowRankFusion
HEADS = 4  # of CrossAttention
BOTTLENECKS = 4  # of BottleneckFusion


class SampleDropout(nn.Module):
    """Dropout of (B, 256) whose mask depends on the sample alone, not on the micro-batch that it is
    in. In (B, L, 256) all tokens of a sample have one mask, however far they are padded.

    The head sets the ``share`` that is dropped, and for each batch ``draws`` (B, 256), numbers in
    [0, 1). Without them torch draws its own."""

    share = Protocol.dropout
    draws: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.draws is None or not self.training:
            return F.dropout(x, self.share, self.training)
        kept = self.draws >= self.share  # (B, 256)
        return x * (kept if x.dim() == 2 else kept.unsqueeze(1)) / (1 - self.share)


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


class ProductFusion(Fusion):
    """Both features, their product and their distance, number by number (Conneau et al. 2017, arXiv
    1705.02364, there of two sentences)."""

    def __init__(self, classes: int):
        super().__init__()
        self.classifier = Classifier(4 * WIDTH, classes)

    def forward(self, text: Tensor, image: Tensor) -> Tensor:
        joint = torch.cat([text, image, text * image, (text - image).abs()], dim=-1)  # (B, 1024)
        return self.classifier(joint)  # (B, C)


class FilmFusion(Fusion):
    """The text scales and shifts each number of the image (Perez et al. 2018, arXiv 1709.07871;
    there in the layers of an image encoder, here on its pooled feature).

    Scale 1 + gamma and shift beta are linear in the text, and begin as 1 and 0: at first the image
    alone is classified."""

    def __init__(self, classes: int):
        super().__init__()
        self.gamma_beta = nn.Linear(WIDTH, 2 * WIDTH)
        nn.init.zeros_(self.gamma_beta.weight)
        nn.init.zeros_(self.gamma_beta.bias)
        self.classifier = Classifier(WIDTH, classes)

    def forward(self, text: Tensor, image: Tensor) -> Tensor:
        gamma, beta = self.gamma_beta(text).chunk(2, dim=-1)  # (B, 256) each
        return self.classifier((1 + gamma) * image + beta)  # (B, C)


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


class TransformerLayer(nn.Module):
    """One layer in which each of (B, L, 256) looks at all of them, and then goes through a two-layer
    perceptron: both behind a LayerNorm and beside a residual (Xiong et al. 2020, arXiv 2002.04745;
    with LayerNorm behind the residual instead, joint fusion lost what it had learned at 1e-3).

    Without dropout of its own, whose numbers would depend on the padding."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        # With a zero to look at, as in CrossAttention: torch then takes no other path in evaluation.
        options = {"batch_first": True, "add_zero_attn": True}
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, **options)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 4 * WIDTH), nn.ReLU(), nn.Linear(4 * WIDTH, WIDTH)
        )

    def forward(self, x: Tensor, padding: Tensor | None = None) -> Tensor:
        """``padding`` (B, L) is True for what is not looked at."""
        normed = self.norm(x)
        # Asked for its weights, by default: see CrossAttention.
        seen, _ = self.attention(normed, normed, normed, key_padding_mask=padding)
        x = x + seen
        return x + self.perceptron(x)  # (B, L, 256)


def learned_tokens(count: int) -> nn.Parameter:
    """Return tokens (count, 256) that are no part of any text or image, small at first as in
    BERT."""
    return nn.Parameter(0.02 * torch.randn(count, WIDTH))


class JointFusion(Fusion):
    """Tokens and patches go through one Transformer layer together, with a class token that is then
    classified: the merged attention of METER (Dou et al. 2022, arXiv 2111.02387)."""

    pooled = False

    def __init__(self, classes: int):
        super().__init__()
        self.class_token = learned_tokens(1)
        self.layer = TransformerLayer()
        self.classifier = nn.Sequential(nn.LayerNorm(WIDTH), Classifier(WIDTH, classes))

    def forward(self, text: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        class_token = self.class_token.expand(len(text), -1, -1)  # (B, 1, 256)
        joint = torch.cat([class_token, image, text], dim=1)  # (B, 1 + P + L, 256)
        padding = F.pad(mask == 0, (1 + image.shape[1], 0))  # (B, 1 + P + L)
        return self.classifier(self.layer(joint, padding)[:, 0])  # (B, C)


class BottleneckFusion(Fusion):
    """Tokens and patches meet in four bottleneck tokens only (Nagrani et al. 2021, arXiv
    2107.00135).

    Each modality has a class token and two Transformer layers of its own. Both modalities look at
    the bottlenecks, and what they make of these is averaged after each layer: so the second layer
    can look at what the other modality said. Both class tokens are classified, and the two logits
    are averaged."""

    pooled = False

    def __init__(self, classes: int):
        super().__init__()
        self.bottlenecks = learned_tokens(BOTTLENECKS)
        self.text_class, self.image_class = learned_tokens(1), learned_tokens(1)
        self.text_layers = nn.ModuleList([TransformerLayer(), TransformerLayer()])
        self.image_layers = nn.ModuleList([TransformerLayer(), TransformerLayer()])
        self.text_classifier = nn.Sequential(nn.LayerNorm(WIDTH), Classifier(WIDTH, classes))
        self.image_classifier = nn.Sequential(nn.LayerNorm(WIDTH), Classifier(WIDTH, classes))

    def forward(self, text: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        bottlenecks, text_class, image_class = (
            tokens.expand(len(text), -1, -1)
            for tokens in (self.bottlenecks, self.text_class, self.image_class)
        )  # (B, 4, 256), (B, 1, 256), (B, 1, 256)
        text = torch.cat([text_class, text], dim=1)  # (B, 1 + L, 256)
        image = torch.cat([image_class, image], dim=1)  # (B, 1 + P, 256)
        padding = F.pad(mask == 0, (BOTTLENECKS + 1, 0))  # (B, 4 + 1 + L)
        for text_layer, image_layer in zip(self.text_layers, self.image_layers, strict=True):
            text = text_layer(torch.cat([bottlenecks, text], dim=1), padding)
            image = image_layer(torch.cat([bottlenecks, image], dim=1))
            bottlenecks = (text[:, :BOTTLENECKS] + image[:, :BOTTLENECKS]) / 2
            text, image = text[:, BOTTLENECKS:], image[:, BOTTLENECKS:]
        logits = self.text_classifier(text[:, 0]) + self.image_classifier(image[:, 0])
        return logits / 2  # (B, C)


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
    "product": ProductFusion,
    "film": FilmFusion,
    "joint": JointFusion,
    "bottleneck": BottleneckFusion,
    "text": TextOnly,
    "image": ImageOnly,
}
