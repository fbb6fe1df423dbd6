"""Makes a model with the weights of a checkpoint. A weight in use never stays random without an
error."""

from __future__ import annotations

import re
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import UserError
from ..files import quoted
from ..tensors import read_tensors
from .checkpoint import CONFIG, faults_named, find_weights

# What DataParallel and torch.compile put before each name.
_WRAPPERS = re.compile(r"^((module|_orig_mod)\.)+")


def load_weights(
    load: Any, name: str, config: Any, pretrained: bool, optional: tuple[str, ...] = ()
) -> tuple[nn.Module, set[str]]:
    """Make a model with all the weights of a checkpoint, in float32.

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
        with faults_named(name, CONFIG):
            make = getattr(load, "from_config", None) or load._from_config
            return make(config).float(), set()
    tensors = _read_weights(name)
    with faults_named(name, f"{CONFIG} or its weights"):
        # Without a name transformers looks for no file, neither in a folder nor on the network.
        model, found = load.from_pretrained(
            None,
            config=config,
            state_dict=tensors,
            torch_dtype=torch.float32,
            output_loading_info=True,
        )
    # They are named as in the file, where the encoder of a model with a head has a name before it.
    missing = {key.removeprefix(f"{model.base_model_prefix}.") for key in found["missing_keys"]}
    missing = {key for key in missing if not key.endswith("position_ids")}
    needed = sorted(key for key in missing if not key.startswith(optional))
    if needed:
        raise UserError(
            f"{quoted(name)} does not hold {len(needed)} of the weights that "
            f"{type(model).__name__} needs (first: {needed[0]}), they would stay random: it is a "
            "checkpoint of another kind"
        )
    return model, missing


def _read_weights(name: str) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint from all its files, without running code in them."""
    tensors: dict[str, Tensor] = {}
    for path in find_weights(name):
        with faults_named(name, path.name):
            is_safe = path.suffix == ".safetensors"
            part = load_file(path) if is_safe else read_tensors(path, mapped=True)
            for key, value in part.items():
                if key.endswith(("weight", "bias")) and not value.is_floating_point():
                    raise ValueError(f"its weight {key} is {value.dtype}, so it is quantised")
                tensors[_WRAPPERS.sub("", key)] = value
    return tensors
