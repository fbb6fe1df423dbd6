"""CLIP and its kin: checkpoints of a text and an image tower whose features share one space, by
themselves and beside encoders of other checkpoints.

Each tower gives the feature of that space; its tokens, or its patches (the class token first, if
there is one), are taken there in the way of the one that is pooled. SigLIP pools its patches by
attention, so as patches they are what this attention sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch.nn.functional as F
import transformers
from torch import Tensor, nn

from ..errors import UserError
from ..files import quoted
from ..settings import ModelChoice
from .encoder import ImageTower, TextTower, TowerEncoder, fit_positions, longest_text
from .loading import CLIP_PIXELS, HALF, image_statistics, load_weights

# model_type in config.json -> class of transformers. A kind whose parts have the same names needs
# no more than its line here. The whole class is loaded, for a part of it too: transformers' classes
# of single towers look for other names in the same file, and would leave every weight random.
KINDS = {
    "clip": "CLIPModel",
    "chinese_clip": "ChineseCLIPModel",
    "altclip": "AltCLIPModel",
    "siglip": "SiglipModel",
}


class Clip(TowerEncoder):
    """CLIP, Chinese-CLIP, SigLIP or AltCLIP, by the type in the checkpoint's configuration. The
    features are not normalised to length 1, since the head begins with LayerNorm."""

    weights_of = {"text": "clip.text_", "image": "clip.vis"}  # towers and projections

    def __init__(self, choice: ModelChoice, config: Any, image_size: int, pretrained: bool):
        super().__init__(choice, config, image_size, pretrained)
        if config.model_type not in KINDS:
            raise UserError(
                f"{quoted(choice.name)} is a {config.model_type} checkpoint: compare_clip.py takes "
                f"those of {', '.join(KINDS)}"
            )
        how = image_size, pretrained, self.uses, self.pooled
        self.clip, *towers = load(choice.name, config, *how)
        self.mean, self.std = _pixel_statistics(choice.name, config)
        self.take(*towers)


def load(
    name: str, config: Any, image_size: int, pretrained: bool, uses: Sequence[str], pooled: bool
) -> tuple[nn.Module, TextTower | None, ImageTower | None]:
    """Load what is used of a checkpoint of KINDS: a module of transformers without its other parts,
    and the towers in it. ``uses`` and ``pooled`` are those of ``fusion.Fusion``."""
    kind = getattr(transformers, KINDS[config.model_type])
    model, _ = load_weights(kind, name, config, pretrained)
    # Temperature and bias of the contrastive loss: no logit of ours needs them.
    unused = ["logit_scale", "logit_bias"]
    if "text" not in uses:
        unused += ["text_model", "text_projection"]
    if "image" not in uses:
        unused += ["vision_model", "visual_projection"]
    for part in unused:
        if hasattr(model, part):
            delattr(model, part)
    text = image = None
    if "text" in uses:
        own, reader = config.text_config, model.text_model
        to_space = getattr(model, "text_projection", None) or reader.head  # SigLIP's
        encode = partial(_encode_text, model, to_space, pooled)
        sizes = to_space.out_features, longest_text(reader, own), own.vocab_size
        text = TextTower(model, *sizes, encode)
    if "image" in uses:
        vision, patch = model.vision_model, config.vision_config.patch_size
        fit_positions(vision.embeddings, "position_embedding", image_size, patch)
        if not pooled and hasattr(vision, "head"):
            vision.head = nn.Identity()
        to_space = getattr(model, "visual_projection", None)
        dim = to_space.out_features if to_space else config.vision_config.hidden_size
        encode = partial(_encode_image, model, to_space, pooled)
        image = ImageTower(model, model.config, dim, *_pixel_statistics(name, config), encode)
    return model, text, image


def _pixel_statistics(name: str, config: Any) -> tuple[list[float], list[float]]:
    return image_statistics(name, HALF if config.model_type == "siglip" else CLIP_PIXELS)


def _encode_text(
    model: nn.Module, to_space: nn.Module, pooled: bool, ids: Tensor, mask: Tensor
) -> Tensor:
    length, words = ids.shape[1], {"input_ids": ids, "attention_mask": mask}
    if model.config.model_type == "siglip":
        # It was trained on texts padded to full length, without a mask, and pools the last place.
        config = model.config.text_config
        ids = ids.masked_fill(mask == 0, config.pad_token_id)
        spare = config.max_position_embeddings - length
        words = {"input_ids": F.pad(ids, (0, spare), value=config.pad_token_id)}
    if pooled:
        return model.get_text_features(**words)  # (B, D)
    tokens = model.text_model(**words).last_hidden_state  # (B, L, text hidden)
    return to_space(tokens[:, :length])  # (B, L, D)


def _encode_image(
    model: nn.Module, to_space: nn.Module | None, pooled: bool, pixels: Tensor
) -> Tensor:
    if pooled:
        return model.get_image_features(pixel_values=pixels)  # (B, D)
    vision = model.vision_model
    patches = vision(pixel_values=pixels).last_hidden_state  # (B, P, vision hidden)
    if to_space is None:
        return patches
    return to_space(vision.post_layernorm(patches))  # (B, 1 + g*g, D)
