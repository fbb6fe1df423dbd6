"""What an encoder makes of a whole split, once."""

from __future__ import annotations

import torch
from torch import Tensor
from tqdm import tqdm

from .data import FeaturePart, Part, read_through
from .engine import to_device
from .models.classifier import ImageTextClassifier
from .precision import Precision


@torch.no_grad()  # not inference_mode: the head trains on these
def encode(
    model: ImageTextClassifier, part: Part, micro: int, precision: Precision
) -> tuple[Tensor | None, Tensor | None]:
    """Text (N, text_dim) and image (N, image_dim) features in the order of the split, float32 on the CPU."""
    model.to(precision.device).eval()
    stored: list[Tensor | None] = [None, None]
    with tqdm(total=len(part), desc="encoding", unit=" samples", disable=None, leave=False) as bar:
        for places, batch in read_through(part, micro):
            inputs, _ = to_device(batch, precision.device)
            with precision.autocast():
                features = model.encode(**inputs)
            for which, feature in enumerate(features):
                if feature is not None:
                    if stored[which] is None:
                        stored[which] = torch.empty(len(part), feature.shape[1])
                    stored[which][torch.from_numpy(places)] = feature.float().cpu()
            bar.update(len(places))
    return stored[0], stored[1]


def encoded(model: ImageTextClassifier, part: Part, micro: int, precision: Precision) -> FeaturePart:
    return FeaturePart(part.labels, *encode(model, part, micro, precision))
