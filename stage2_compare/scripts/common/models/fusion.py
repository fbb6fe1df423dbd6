"""The ways of joining a text and an image.

To add a fusion, write its class here, derived from ``Fusion``, and name it in FUSIONS."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH = 256
DROPOUT = 0.2
RANK = 4  # of LowRankFusion


class SampleDropout(nn.Module):
    """Dropout of (B, 256) whose mask depends on the sample alone, not on the micro-batch that it is
    in.

    The head sets ``draws`` (B, 256), numbers in [0, 1), for each batch. Without them torch draws
    its own."""

    draws: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.draws is None or not self.training:
            return F.dropout(x, DROPOUT, self.training)
        return x * (self.draws >= DROPOUT) / (1 - DROPOUT)  # (B, 256)


class Projection(nn.Sequential):
    """Brings a feature (B, in_dim) to (B, 256).

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
    """

    uses: tuple[str, ...] = ("text", "image")


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
    "text": TextOnly,
    "image": ImageOnly,
}
