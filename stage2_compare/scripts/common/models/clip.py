"""CLIP and its kin, text and image features of the aligned space: two towers of one checkpoint."""

from __future__ import annotations

from typing import Any

from ..errors import UserError
from ..files import quoted
from ..settings import ModelChoice
from . import two_towers
from .encoder import TowerEncoder


class Clip(TowerEncoder):
    """CLIP, Chinese-CLIP, SigLIP or AltCLIP, by the type in the checkpoint's configuration; both
    features are those of the aligned space, see ``two_towers``.

    They are not normalised to length 1, since the head begins with LayerNorm. A tower that the
    fusion does not use is dropped."""

    weights_of = {"text": "clip.text_", "image": "clip.vis"}  # towers and projections

    def __init__(self, choice: ModelChoice, config: Any, image_size: int, pretrained: bool):
        super().__init__(choice, config, image_size, pretrained)
        if config.model_type not in two_towers.KINDS:
            raise UserError(
                f"{quoted(choice.name)} is a {config.model_type} checkpoint: compare_clip.py takes "
                f"those of {', '.join(two_towers.KINDS)}"
            )
        how = image_size, pretrained, self.uses, self.pooled
        self.clip, *towers = two_towers.load(choice.name, config, *how)
        self.mean, self.std = two_towers.pixel_statistics(choice.name, config)
        self.take(*towers)
