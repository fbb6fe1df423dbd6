"""A text encoder of the BERT family beside a ResNet."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.hub import load_state_dict_from_url

from ..errors import UserError
from .choice import ModelChoice
from .encoder import Encoder
from .fusion import FUSIONS
from .loading import load_weights


class BertResNet(Encoder):
    """A text encoder and a ResNet side by side.

    The text feature is (B, hidden size), the image feature (B, 512) or (B, 2048). A modality that
    the fusion does not use is not built."""

    reads_apart = True
    mean = (0.485, 0.456, 0.406)  # ImageNet's, as in the training of the ResNets
    std = (0.229, 0.224, 0.225)

    def __init__(self, choice: ModelChoice, config: Any, image_size: int, pretrained: bool):
        super().__init__(choice, config, image_size, pretrained)
        uses = FUSIONS[choice.fusion].uses
        self.text = load_text_encoder(choice.name, config, pretrained) if "text" in uses else None
        self.image = load_resnet(choice.image_backbone, pretrained) if "image" in uses else None
        self.text_dim = config.hidden_size if self.text is not None else 0
        self.image_dim = self.image.features if self.image is not None else 0
        self.vocabulary = config.vocab_size
        self.positions = _text_positions(self.text, config)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, pixels: Tensor | None) -> tuple:
        text = self._encode_text(input_ids, attention_mask) if self.text is not None else None
        if self.image is None:
            return text, None
        # Channels last: a third faster in training on a processor, and what CUDA's tensor cores
        # want.
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        return text, self.image(pixels)  # (B, hidden), (B, features)

    def _encode_text(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        output = self.text(input_ids=input_ids, attention_mask=attention_mask)
        if getattr(self.text, "pooler", None) is not None:
            return output.pooler_output  # (B, hidden)
        hidden = output.last_hidden_state  # (B, L, hidden)
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)  # (B, L, 1)
        return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)  # (B, hidden)

    def drop_missing(self, names: set[str]) -> None:
        if self.text is not None and not any(name.startswith("text.pooler.") for name in names):
            self.text.pooler = None


def _text_positions(text: nn.Module | None, config) -> int:
    """Return the longest text in tokens. RoBERTa's table begins with rows that no token uses."""
    table = getattr(getattr(text, "embeddings", None), "position_embeddings", None)
    unused = table.padding_idx + 1 if table is not None and table.padding_idx is not None else 0
    return getattr(config, "max_position_embeddings", 512) - unused


def load_text_encoder(name: str, config, pretrained: bool) -> nn.Module:
    """Load the encoder with ``AutoModel``; drop the pooler where the checkpoint lacks its
    weights."""
    from transformers import AutoModel

    elsewhere = {
        "clip": "compare_clip.py",
        "chinese_clip": "compare_clip.py",
        "blip": "compare_blip.py",
    }
    if config.model_type in elsewhere:
        raise UserError(
            f"{name!r} is a {config.model_type} checkpoint: train it with "
            f"{elsewhere[config.model_type]}"
        )
    if (
        config.is_encoder_decoder
        or not hasattr(config, "vocab_size")
        or not hasattr(config, "hidden_size")
    ):
        raise UserError(
            f"{name!r} is a {config.model_type} checkpoint, not a text encoder such as "
            "bert-base-chinese"
        )
    model, missing = load_weights(AutoModel, name, config, pretrained, optional=("pooler.",))
    if missing:
        model.pooler = None
    return model


def load_resnet(backbone: str, pretrained: bool) -> nn.Module:
    """Load a torchvision ResNet up to its pooled features, (B, 3, H, W) -> (B, features)."""
    model = torchvision.models.get_model(backbone)
    if pretrained:
        url = torchvision.models.get_model_weights(backbone).DEFAULT.url
        model.load_state_dict(_download(url))
    model.features = model.fc.in_features
    model.fc = nn.Identity()
    return model.to(memory_format=torch.channels_last)


def _download(url: str) -> dict[str, Tensor]:
    options = {"map_location": "cpu", "check_hash": True}
    if "weights_only" in inspect.signature(load_state_dict_from_url).parameters:  # since torch 2.3
        options["weights_only"] = True
    file = url.rsplit("/", 1)[-1]
    folder = f"{torch.hub.get_dir()}/checkpoints"
    try:
        return load_state_dict_from_url(url, **options)
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise UserError(
            f"cannot get the ResNet weights {file}: {' '.join(str(error).split())[:200]}. "
            f"Download {url} by other means and put it in {folder} (TORCH_HOME moves that "
            "folder); delete the file there if it is broken"
        ) from error
