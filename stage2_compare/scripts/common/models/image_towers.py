"""Image towers: what reads images beside a text encoder of another checkpoint.

A word that torchvision knows is a network of torchvision, whose feature is what its last layer
classified; anything else is a checkpoint for transformers, whose feature is the one that it pools,
or its class token. As patches a convolutional network, Swin too, gives its last feature map row by
row (7 x 7 at 224 px), and a vision transformer all its tokens, the class token first."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.hub import download_url_to_file
from transformers import AutoModel, BlipForConditionalGeneration

from ..errors import UserError, reason_of
from ..files import quoted
from ..tensors import read_tensors
from . import two_towers
from .checkpoint import refuse_downloads
from .encoder import ImageTower, fit_positions
from .loading import CLIP_PIXELS, HALF, IMAGENET, image_statistics, load_config, load_weights

# How the names of those networks of torchvision begin whose last layer alone classifies.
NETWORKS = ("resnet", "resnext", "wide_resnet", "regnet", "convnext", "efficientnet", "mobilenet")
NETWORKS += ("swin", "vit")
# model_type in config.json -> mean and standard deviation of the pixels where no file says them.
# A kind that AutoModel loads, and whose parts have the same names, needs no more than its line here.
KINDS = {
    "vit": HALF,
    "dinov2": IMAGENET,
    "swin": IMAGENET,
    "convnext": IMAGENET,
    "convnextv2": IMAGENET,
    "blip": CLIP_PIXELS,
}
_ONE_PIXEL = 32  # height and width up to which a network's last feature map is a single pixel
_SILENCE = 30.0  # seconds without a byte after which a download has failed


def load_image_tower(name: str, image_size: int, pretrained: bool, pooled: bool) -> ImageTower:
    """Load an image encoder.

    Args:
        name: of a network of torchvision, or of a checkpoint on the hub, or a local folder.
        image_size: height and width of the images in pixels.
        pooled: as in ``fusion.Fusion``.
    Raises:
        UserError: it is of another kind, absent, broken, or lacks a weight in use.
    """
    networks = torchvision.models.list_models(module=torchvision.models)
    if name in networks:
        return _network(name, image_size, pretrained, pooled)
    if not os.path.isdir(name) and "/" not in name:  # no hub name of today
        near = get_close_matches(name, networks, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UserError(
            f"--image-backbone {quoted(name)} is neither a network of torchvision, nor a folder that "
            f"exists, nor a name on the hub such as facebook/dinov2-small{hint}"
        )
    config = load_config(name)
    if config.model_type in two_towers.KINDS:
        return two_towers.load(name, config, image_size, pretrained, ("image",), pooled)[2]
    if config.model_type not in KINDS:
        raise UserError(
            f"{quoted(name)} is a {config.model_type} checkpoint: --image-backbone takes those of "
            f"{', '.join((*KINDS, *two_towers.KINDS))}, and networks of torchvision"
        )
    return _transformer(name, config, image_size, pretrained, pooled)


# Networks of torchvision


def _network(name: str, image_size: int, pretrained: bool, pooled: bool) -> ImageTower:
    if not name.startswith(NETWORKS):
        raise UserError(
            f"--image-backbone {name}: no layer of it can be taken off for its features; give a "
            f"network of torchvision whose name begins with {', '.join(NETWORKS)}, or a checkpoint "
            "for transformers"
        )
    published = torchvision.models.get_model_weights(name).DEFAULT
    is_transformer = name.startswith("vit")
    options = {"image_size": published.meta["min_size"][0]} if is_transformer else {}
    model = torchvision.models.get_model(name, **options)
    if pretrained:
        _load_published(model, published.url)
    # The last linear layer classified. In MobileNet V3 it is not the only one behind the pooling.
    linear = [path for path, part in model.named_modules() if isinstance(part, nn.Linear)][-1]
    top, dim = linear.split(".")[0], model.get_submodule(linear).in_features
    if is_transformer:
        fit_positions(model.encoder, "pos_embedding", image_size, model.patch_size)
        model.image_size, model.heads = image_size, nn.Identity()
        read = model if pooled else partial(_tokens, model)
    elif pooled:
        *path, last = linear.split(".")
        parent = model.get_submodule(".".join(path))
        for child, part in parent.named_children():
            if child == last or isinstance(part, nn.Dropout):  # the head has its own dropout
                setattr(parent, child, nn.Identity())
        read = model
    else:
        parts = getattr(model, top).modules()
        dim = next(part for part in parts if isinstance(part, nn.Linear)).in_features
        delattr(model, top)
        read = partial(_last_map, model)
    model.to(memory_format=torch.channels_last)
    pixels = published.transforms()
    encode = partial(_encode_by_network, model, read)
    return ImageTower(model, name, dim, tuple(pixels.mean), tuple(pixels.std), encode)


def _encode_by_network(model: nn.Module, read: Callable, pixels: Tensor) -> Tensor:
    # Channels last: a third faster in training on a processor, and what CUDA's tensor cores want.
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    # One value per channel has no variance: BatchNorm then takes its running statistics.
    varies, training = len(pixels) > 1 or max(pixels.shape[2:]) > _ONE_PIXEL, model.training
    model.train(training and varies)
    feature = read(pixels)  # (B, D), (B, D, h, w), or (B, 1 + g*g, D)
    model.train(training)
    return feature.flatten(2).transpose(1, 2) if feature.dim() == 4 else feature


def _last_map(model: nn.Module, pixels: Tensor) -> Tensor:
    """Return the last feature map, (B, 3, H, W) -> (B, D, h, w), by the layers before the pooling:
    those that ``model`` has now, since SyncBatchNorm takes the place of some."""
    feature = pixels
    for _, layer in takewhile(lambda child: child[0] != "avgpool", model.named_children()):
        feature = layer(feature)
    return feature


def _tokens(model: nn.Module, pixels: Tensor) -> Tensor:
    """Return all tokens of torchvision's ViT, (B, 3, H, W) -> (B, 1 + g*g, D): its own ``forward``
    gives the class token alone."""
    patches = model._process_input(pixels)  # (B, g*g, D)
    first = model.class_token.expand(len(patches), -1, -1)
    return model.encoder(torch.cat([first, patches], dim=1))


def _load_published(model: nn.Module, url: str) -> None:
    """Load the weights of a torchvision model, downloaded once and then kept."""
    file = url.rsplit("/", 1)[-1]
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SILENCE)  # torch's own download would wait for ever
    try:
        if not (folder / file).exists():
            refuse_downloads()
            folder.mkdir(parents=True, exist_ok=True)
            download_url_to_file(url, str(folder / file), hash_prefix=file[-12:-4])
        model.load_state_dict(read_tensors(folder / file))
    except Exception as error:  # the network, the disk and the file can fail in any way
        raise UserError(
            f"cannot get the weights {file}: {reason_of(error)}. Download {url} by other means "
            f"and put it in {folder} (TORCH_HOME moves that folder), where there must be room; delete "
            "the file there if it is broken"
        ) from error
    finally:
        socket.setdefaulttimeout(patience)


# Checkpoints for transformers


def _transformer(
    name: str, config: Any, image_size: int, pretrained: bool, pooled: bool
) -> ImageTower:
    if config.model_type == "blip":
        # Its class of the vision tower alone would find no weight in the file.
        how = {"optional": ("text_decoder.",)}
        blip, _ = load_weights(BlipForConditionalGeneration, name, config, pretrained, **how)
        model = blip.vision_model
    else:
        model, _ = load_weights(AutoModel, name, config, pretrained, optional=("pooler.",))
    own, embeddings = model.config, model.embeddings
    if own.model_type == "vit":
        model.pooler = None  # in checkpoints of classifiers it is random
        embeddings.patch_embeddings.image_size = (image_size, image_size)
    if own.model_type == "swin":
        # transformers fails where a window is larger than the last feature map.
        pixel = own.patch_size * 2 ** (len(own.depths) - 1)
        least, window = (own.window_size - 1) * pixel + 1, own.window_size
        if image_size < least:
            raise UserError(
                f"--image-size {image_size} is too small for {quoted(name)}: its windows of "
                f"{window} x {window} patches need {least} px or more"
            )
    for table in ("position_embedding", "position_embeddings"):
        if getattr(embeddings, table, None) is not None:
            fit_positions(embeddings, table, image_size, own.patch_size)
    if hasattr(embeddings, "mask_token"):
        embeddings.mask_token = None  # of the training without labels: nothing is masked here
    return ImageTower(
        model,
        config,
        getattr(own, "hidden_size", None) or own.hidden_sizes[-1],
        *image_statistics(name, KINDS[config.model_type]),
        partial(_encode_by_transformer, model, pooled),
    )


def _encode_by_transformer(model: nn.Module, pooled: bool, pixels: Tensor) -> Tensor:
    output = model(pixel_values=pixels)
    last = output.last_hidden_state  # (B, P, D), the class token first; ConvNeXt: (B, D, h, w)
    if pooled:
        return last[:, 0] if output.pooler_output is None else output.pooler_output  # (B, D)
    if last.dim() == 3:
        return last
    return model.layernorm(last.flatten(2).transpose(1, 2))  # (B, h*w, D)
