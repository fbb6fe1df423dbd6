"""Makes a model with the weights of a checkpoint. A weight in use never stays random without an
error."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from ..errors import UserError, reason_of
from ..files import quoted
from ..machine import memory
from ..tensors import read_tensors
from .checkpoint import CONFIG, find_weights

_MOST_RANDOM = 3 * 10**9  # bytes; the largest encoders in common use have 2.2 GB
_MOST_TENSORS = 20_000  # of one model; the largest published encoders have some 2,000


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
    make = getattr(load, "from_config", None) or load._from_config
    plan = _plan(make, name, config, memory() // 2 if pretrained else _most_random())
    if not pretrained:
        return _make(make, name, config, start_random=True), set()
    tensors = _read_weights(name)
    if plan is not None:
        _match(name, tensors, plan, optional)  # before any memory is taken for the model
    model = _make(make, name, config, start_random=False)
    found, missing = _match(name, tensors, model, optional)
    model.load_state_dict(found, strict=False)
    return model.eval(), missing


def _match(
    name: str, tensors: dict[str, Tensor], model: nn.Module, optional: tuple[str, ...]
) -> tuple[dict[str, Tensor], set[str]]:
    """Find the weights of a model among the tensors of its checkpoint.

    Returns:
        the weights by the names of the model, and the names of those that are missing.
    Raises:
        UserError: a needed weight is missing, or one has another shape.
    """
    model.tie_weights()
    wanted = model.state_dict()
    found = _by_model_name(tensors, wanted.keys(), model.base_model_prefix)
    missing = {key for key in wanted.keys() - found.keys() if not key.endswith("position_ids")}
    needed = sorted(key for key in missing if not key.startswith(optional or ("\0",)))
    if needed:
        raise UserError(
            f"{quoted(name)} does not hold {len(needed)} of the weights that "
            f"{type(model).__name__} needs (first: {needed[0]}), they would stay random: it is a "
            "checkpoint of another kind"
        )
    for key, value in found.items():
        if _form(value) != _form(wanted[key]):
            raise UserError(
                f"cannot load {quoted(name)}: its weight {key} is {_form(value)}, where {CONFIG} "
                f"asks for {_form(wanted[key])}"
            )
    return found, missing


def _make(make: Any, name: str, config: Any, start_random: bool) -> nn.Module:
    """Make the model of a configuration; without ``start_random`` its weights are left undefined,
    which saves time."""
    from transformers.modeling_utils import no_init_weights

    try:
        with no_init_weights(_enable=not start_random):
            return make(config).float()
    except Exception as error:  # a foreign configuration can fail in any way
        raise UserError(
            f"cannot load {quoted(name)}: no model can be made of {CONFIG}: {reason_of(error)}"
        ) from error


def _most_random() -> int:
    """Return the most bytes of a model that starts random: it is trained whole, which takes four
    times as much, and drawing more would take minutes."""
    return min(memory() // 4, _MOST_RANDOM)


def _plan(make: Any, name: str, config: Any, most: int) -> nn.Module | None:
    """Make the model of a configuration without memory for its weights, which keep their shapes.

    Returns:
        the model, or None where it cannot be made without real values.
    Raises:
        UserError: it has more than ``most`` bytes, or too many tensors.
    """
    from transformers.modeling_utils import no_init_weights

    size = tensors = 0

    def count(module: nn.Module, key: str, parameter: nn.Parameter | None) -> None:
        nonlocal size, tensors
        tensors += 1
        size += 4 * parameter.numel() if parameter is not None else 0  # bytes of float32
        if size > most or tensors > _MOST_TENSORS:
            raise UserError(
                f"cannot load {quoted(name)}: {CONFIG} asks for a model of {tensors:,} tensors and "
                f"{size / 1e9:,.1f} GB or more, while {_MOST_TENSORS:,} tensors and "
                f"{most / 1e9:,.1f} GB are the limits here. Use a smaller model"
            )

    hook = register_module_parameter_registration_hook(count)
    try:
        with torch.device("meta"), no_init_weights():
            return make(config)
    except UserError:
        raise
    except Exception:  # the real model comes next: it either fails too, or needs real values
        return None
    finally:
        hook.remove()


def _read_weights(name: str) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint from all its files, without running code of them."""
    tensors: dict[str, Tensor] = {}
    for path in find_weights(name):
        try:
            is_safe = path.suffix == ".safetensors"
            part = load_file(path) if is_safe else read_tensors(path, mapped=True)
        except Exception as error:  # a foreign file can fail in any way
            raise UserError(
                f"cannot load {quoted(name)}: {path.name} cannot be read: {reason_of(error)}. It "
                "may be broken or cut off: download it again"
            ) from error
        if not isinstance(part, dict) or not all(isinstance(v, Tensor) for v in part.values()):
            raise UserError(
                f"cannot load {quoted(name)}: {path.name} is no table of weights by name"
            )
        tensors |= part
    return tensors


def _by_model_name(
    tensors: dict[str, Tensor], wanted: Collection[str], base: str
) -> dict[str, Tensor]:
    """Name the weights of a file as the model does, and leave out those that it has no use for.

    A model with a head saves its encoder under the name ``base``, torch's DataParallel saves all
    under "module", and old checkpoints call the weights of a LayerNorm gamma and beta."""
    best: dict[str, Tensor] = {}
    for prefix in ("", f"{base}.", "module.", f"module.{base}."):
        named = {}
        for key, value in tensors.items():
            if not key.startswith(prefix):
                continue
            own = key[len(prefix) :]
            if own not in wanted:
                own = own.replace(".gamma", ".weight").replace(".beta", ".bias")
            if own in wanted:
                named[own] = value
        if len(named) > len(best):
            best = named
    return best


def _form(tensor: Tensor) -> str:
    return f"{'float' if tensor.is_floating_point() else tensor.dtype} {tuple(tensor.shape)}"
