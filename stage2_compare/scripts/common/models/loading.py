"""Loads configurations, tokenizers and weights. A weight in use never stays random without an
error."""

from __future__ import annotations

import importlib.metadata
import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UserError

TRANSFORMERS = "4.39.3"
REMEDY = (
    "Check the name; set HF_ENDPOINT to a mirror if the hub is out of reach; or download the "
    "checkpoint and give its folder as --model-name (HF_HOME says where downloads are kept)"
)


def check_transformers() -> None:
    """Refuse another release of transformers: the encoders rely on details of this one."""
    found = importlib.metadata.version("transformers")
    if found != TRANSFORMERS:
        raise UserError(
            f"transformers {found} is installed, this project is made for {TRANSFORMERS}: "
            f"run python -m pip install transformers=={TRANSFORMERS}"
        )


def from_hub(load: Any, name: str, **options: Any) -> Any:
    """Call ``load.from_pretrained(name)`` and turn its errors into ones that say what to do."""
    # What libraries say of each other is not the user's concern: transformers calls its hub client
    # in a way that a newer client deprecates, and torch 2.1 reads .bin files in a way that it
    # deprecates itself.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"huggingface_hub\.")
    warnings.filterwarnings("ignore", message="TypedStorage is deprecated")
    try:
        return load.from_pretrained(name, **options)
    except Exception as error:  # a foreign file can fail in any way
        reason = " ".join(str(error).split())
        raise UserError(
            f"cannot load {name!r} as {load.__name__}: {reason[:300]}. {REMEDY}"
        ) from error


def load_config(name: str) -> Any:
    from transformers import AutoConfig

    return from_hub(AutoConfig, name, trust_remote_code=False)


def load_tokenizer(name: str) -> Any:
    from transformers import AutoTokenizer

    tokenizer = from_hub(AutoTokenizer, name, trust_remote_code=False)
    if not tokenizer.is_fast:
        raise UserError(
            f"{name!r} has no fast tokenizer (tokenizer.json or vocab files): use another "
            "checkpoint"
        )
    if tokenizer.pad_token_id is None:
        raise UserError(
            f"the tokenizer of {name!r} has no padding token, so batches cannot be made: use an "
            "encoder"
        )
    return tokenizer


def load_weights(
    load: Any, name: str, config: Any, pretrained: bool, optional: tuple[str, ...] = ()
) -> Any:
    """Load a model with all its weights, in float32.

    Args:
        load: a transformers class (or AutoModel).
        pretrained: False makes random weights from the configuration.
        optional: starts of the parameter names that may be missing; the caller must then drop them.
    Returns:
        the model and the set of missing parameter names.
    Raises:
        UserError: the checkpoint is absent, broken, or leaves a needed parameter random.
    """
    if not pretrained:
        make = getattr(load, "from_config", None) or load._from_config
        return make(config).float(), set()
    model, info = from_hub(
        load, name, config=config, output_loading_info=True, torch_dtype=torch.float32
    )
    missing = {key for key in info["missing_keys"] if not key.endswith("position_ids")}
    needed = sorted(key for key in missing if not key.startswith(optional or ("\0",)))
    if needed or info["mismatched_keys"]:
        what = needed or [key for key, *_ in info["mismatched_keys"]]
        raise UserError(
            f"{name!r} does not hold {len(what)} of the weights that {type(model).__name__} needs "
            f"(first: {what[0]}), they would stay random: it is a checkpoint of another kind"
        )
    return model, missing


def resize_positions(table: Tensor, grid: int) -> Tensor:
    """Resize the position embeddings of a vision transformer to another resolution.

    Args:
        table: (1 + g*g, D), the class token first, then the g x g patches row by row.
        grid: patches per side wanted.
    Returns:
        (1 + grid*grid, D), bicubic on the grid, class token as it was; the table itself where the
        size is the same.
    """
    side = round((table.shape[0] - 1) ** 0.5)
    if side == grid:
        return table
    patches = table[1:].T.reshape(1, -1, side, side)  # (1, D, g, g)
    patches = F.interpolate(patches, size=(grid, grid), mode="bicubic", align_corners=False)
    return torch.cat([table[:1], patches.flatten(2)[0].T])


def patches_per_side(image_size: int, patch: int) -> int:
    """Return how many patches of a vision transformer fit one side of an image."""
    if image_size < patch:
        raise UserError(
            f"--image-size {image_size} is less than one {patch} px patch of this model"
        )
    return image_size // patch


def image_statistics(name: str) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of the checkpoint's preprocessing, CLIP's where it has
    none."""
    from transformers import CLIPImageProcessor
    from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

    try:
        settings, _ = CLIPImageProcessor.get_image_processor_dict(name)
    except OSError:
        settings = {}
    return list(settings.get("image_mean", OPENAI_CLIP_MEAN)), list(
        settings.get("image_std", OPENAI_CLIP_STD)
    )
