"""A text encoder of the BERT family beside a ResNet."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.hub import download_url_to_file

from ..errors import UserError, reason_of
from ..files import quoted
from ..settings import FAMILIES, ModelChoice
from ..tensors import read_tensors
from .encoder import Encoder
from .fusion import mean_of_tokens
from .loading import UNLIMITED
from .weights import load_weights

_ONE_PIXEL = 32  # height and width up to which a ResNet's last feature map is a single pixel
_SILENCE = 30.0  # seconds without a byte after which a download has failed


class BertResNet(Encoder):
    """A text encoder and a ResNet side by side.

    The text feature is (B, hidden size), the image feature (B, 512) or (B, 2048); the patches are
    the last feature map, 7 x 7 at 224 px. A modality that the fusion does not use is not built."""

    reads_apart = True
    weights_of = {"text": "text.", "image": "image."}
    mean = (0.485, 0.456, 0.406)  # ImageNet's, as in the training of the ResNets
    std = (0.229, 0.224, 0.225)

    def __init__(self, choice: ModelChoice, config: Any, image_size: int, pretrained: bool):
        super().__init__(choice, config, image_size, pretrained)
        uses = self.uses
        self.text = load_text_encoder(choice.name, config, pretrained) if "text" in uses else None
        self.image = load_resnet(choice.image_backbone, pretrained) if "image" in uses else None
        if not self.pooled:
            self.text.pooler, self.image.avgpool = None, nn.Identity()
        self.text_dim = config.hidden_size if self.text is not None else 0
        self.image_dim = self.image.features if self.image is not None else 0
        reader = getattr(config, "text_config", config)  # for "image" any checkpoint will do
        self.vocabulary = getattr(reader, "vocab_size", UNLIMITED)
        self.positions = _text_positions(self.text, reader)

    def forward(
        self, input_ids: Tensor | None, attention_mask: Tensor | None, pixels: Tensor | None
    ) -> tuple:
        text = None
        if self.text is not None and input_ids is not None:
            text = self._encode_text(input_ids, attention_mask)
        if self.image is None or pixels is None:
            return text, None  # (B, hidden)
        # Channels last: a third faster in training on a processor, and what CUDA's tensor cores
        # want.
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        # One value per channel has no variance: BatchNorm then takes its running statistics.
        varies = len(pixels) > 1 or max(pixels.shape[2:]) > _ONE_PIXEL
        self.image.train(self.training and varies)
        image = self.image(pixels)  # (B, features), or (B, features * h * w)
        if not self.pooled:
            image = image.unflatten(1, (self.image_dim, -1)).transpose(1, 2)  # (B, h * w, features)
        return text, image

    def _encode_text(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        output = self.text(input_ids=input_ids, attention_mask=attention_mask)
        if not self.pooled:
            # Fails where an encoder shortens its texts: its tokens would not fit their mask.
            return output.last_hidden_state.reshape(*input_ids.shape, self.text_dim)
        if getattr(self.text, "pooler", None) is not None:
            return output.pooler_output  # (B, hidden)
        return mean_of_tokens(output.last_hidden_state, attention_mask)  # (B, hidden)

    def drop_missing(self, names: set[str]) -> None:
        if self.text is not None and not any(name.startswith("text.pooler.") for name in names):
            self.text.pooler = None


def _text_positions(text: nn.Module | None, config) -> int:
    """Return the longest text in tokens. RoBERTa's table begins with rows that no token uses, and
    models with relative positions give no length, or -1."""
    table = getattr(getattr(text, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    unused = padding + 1 if padding is not None else 0
    rows = getattr(config, "max_position_embeddings", None)
    return rows - unused if isinstance(rows, int) and rows > 0 else UNLIMITED


def load_text_encoder(name: str, config, pretrained: bool) -> nn.Module:
    """Load the encoder with ``AutoModel``; drop the pooler where the checkpoint lacks its
    weights."""
    from transformers import AutoModel

    for family in FAMILIES.values():
        if config.model_type in family.model_types:
            raise UserError(
                f"{quoted(name)} is a {config.model_type} checkpoint: train it with "
                f"{family.command}.py"
            )
    is_encoder = hasattr(config, "vocab_size") and hasattr(config, "hidden_size")
    if config.is_encoder_decoder or not is_encoder:
        raise UserError(
            f"{quoted(name)} is a {config.model_type} checkpoint, not a text encoder such as "
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
        _load_published(model, torchvision.models.get_model_weights(backbone).DEFAULT.url)
    model.features = model.fc.in_features
    model.fc = nn.Identity()
    return model.to(memory_format=torch.channels_last)


def _load_published(model: nn.Module, url: str) -> None:
    """Load the weights of a torchvision model, downloaded once and then kept."""
    file = url.rsplit("/", 1)[-1]
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SILENCE)  # torch's own download would wait for ever
    try:
        if not (folder / file).exists():
            folder.mkdir(parents=True, exist_ok=True)
            download_url_to_file(url, str(folder / file), hash_prefix=file[-12:-4])
        model.load_state_dict(read_tensors(folder / file))
    except Exception as error:  # the network, the disk and the file can fail in any way
        raise UserError(
            f"cannot get the ResNet weights {file}: {reason_of(error)}. Download {url} by other means "
            f"and put it in {folder} (TORCH_HOME moves that folder), where there must be room; delete "
            "the file there if it is broken"
        ) from error
    finally:
        socket.setdefaulttimeout(patience)
