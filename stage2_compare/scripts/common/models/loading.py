"""Loads a checkpoint: its configuration, tokenizer, statistics of the pixels, and weights. A weight
in use never stays random without an error."""

from __future__ import annotations

import importlib.metadata
import json
import math
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import UserError
from ..files import open_file, quoted
from ..tensors import read_tensors
from .checkpoint import (
    CONFIG,
    IMAGE_ENCODER,
    PIXEL_STATISTICS,
    faults_named,
    find_folder,
    find_weights,
    has_tokenizer,
    of_other_kind,
)

TRANSFORMERS = "4.39.3"
UNLIMITED = 2**31  # stands for the length or vocabulary of what has no limit
# Mean and standard deviation of the pixels of an image encoder's training, on a scale of 0 to 1
Statistics = tuple[Sequence[float], Sequence[float]]
IMAGENET: Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP_PIXELS: Statistics = (
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
)
HALF: Statistics = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# What only concerns the form of a model's answers, its former classes, or foreign code. Some of it
# is made for other programs and would break this one.
_UNUSED_SETTINGS = {
    "auto_map",
    "id2label",
    "label2id",
    "num_labels",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
    "torchscript",
}

# What DataParallel and torch.compile put before each name.
_WRAPPERS = re.compile(r"^((module|_orig_mod)\.)+")


def check_transformers() -> None:
    """Refuse another release of transformers: the encoders rely on details of this one."""
    found = importlib.metadata.version("transformers")
    if found != TRANSFORMERS:
        raise UserError(
            f"transformers {found} is installed, this project is made for {TRANSFORMERS}: "
            f"run python -m pip install transformers=={TRANSFORMERS}"
        )


def load_config(name: str) -> Any:
    """Read the configuration, of transformers, without running code of the checkpoint. Raise
    UserError where there is none, or transformers does not know this kind of model."""
    from transformers import CONFIG_MAPPING
    from transformers.utils import logging

    logging.set_verbosity_error()  # what is wrong is said here
    path = find_folder(name) / CONFIG
    with faults_named(name, CONFIG), open_file(path) as file:
        content = json.loads(
            file.read().decode("utf-8-sig"),
            object_hook=lambda part: {k: v for k, v in part.items() if k not in _UNUSED_SETTINGS},
        )
        kind = content.get("model_type")
        if kind not in CONFIG_MAPPING:
            raise of_other_kind(name) or UserError(
                f'cannot load {quoted(name)}: {CONFIG} says "model_type": {json.dumps(kind)}; such '
                f"a model is unknown to transformers {TRANSFORMERS}, and code of a checkpoint is not "
                "run. Mend that line where it is wrong or missing, or use another checkpoint"
            )
        return CONFIG_MAPPING[kind].from_dict(content)


def load_tokenizer(name: str) -> Any:
    """Load the tokenizer, a fast one where there is one; its ``model_max_length`` is an int. Raise
    UserError where it is absent or broken, needs a package that is not installed, or cannot pad."""
    config, folder = load_config(name), find_folder(name, tokenizer=True)
    if not has_tokenizer(folder):
        raise UserError(
            f"{quoted(name)} has no tokenizer: copy its files, such as tokenizer.json or vocab.txt, "
            "from the checkpoint that it was trained from"
        )
    part = "its tokenizer"
    if any(folder.glob("*.model")) and not (folder / "tokenizer.json").is_file():
        part += (
            ", which needs two packages (python -m pip install sentencepiece protobuf if they are "
            "not installed),"
        )
    with faults_named(name, part):
        try:
            tokenizer = _read_tokenizer(folder, config)
        except ImportError as error:  # SigLIP's, whatever the folder holds
            raise UserError(
                f"the tokenizer of {quoted(name)} cannot be read: {str(error).strip().split('. ')[0]}. "
                "For SentencePiece: python -m pip install sentencepiece protobuf"
            ) from error
        tokenizer.model_max_length = int(min(tokenizer.model_max_length, UNLIMITED))
        if tokenizer.model_max_length < 1:
            raise ValueError(f"its model_max_length is {tokenizer.model_max_length}")
    if tokenizer.pad_token_id is None:
        raise UserError(
            f"the tokenizer of {quoted(name)} has no padding token, so batches cannot be made: use "
            "an encoder"
        )
    return tokenizer


def _read_tokenizer(folder: Path, config: Any) -> Any:
    from transformers import AutoTokenizer

    options = {"config": config, "trust_remote_code": False, "local_files_only": True}
    read = partial(AutoTokenizer.from_pretrained, str(folder), **options)
    try:
        return read()
    except Exception as error:
        try:
            newer = _read_newer(folder / "tokenizer.json")
        except Exception:  # what the file's own reader said counts
            raise error from None
        return read(tokenizer_object=newer)


def _read_newer(path: Path) -> Any:
    """Read a tokenizer.json that a newer release of the tokenizers package has written.

    transformers 4.39.3 brings tokenizers 0.15. Releases from 0.19 on leave a field of Metaspace
    out, and those from 0.20 on write the merges of byte pairs as lists; what they mean is the same.
    Raise any Exception for what is broken, or means something that release 0.15 cannot do.
    """
    from tokenizers import Tokenizer

    content = json.loads(path.read_text(encoding="utf-8"), object_hook=_as_before)
    return Tokenizer.from_str(json.dumps(content))


def _as_before(part: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON object of the file as release 0.15 writes it."""
    if part.get("type") == "Metaspace" and part.get("split", True):
        return {"add_prefix_space": part.get("prepend_scheme") != "never", **part}
    if part.get("type") == "BPE" and not part.get("ignore_merges"):
        return {**part, "merges": [_joined(merge) for merge in part["merges"]]}
    return part


def _joined(merge: Any) -> Any:
    """Return a merge as one text, unless a blank in it would be read as the seam."""
    return merge if isinstance(merge, str) or " " in "".join(merge) else " ".join(merge)


def image_statistics(name: str, default: Statistics) -> Statistics:
    """Return mean and standard deviation of the checkpoint's preprocessing, the default where it has
    none."""
    path = find_folder(name, also=PIXEL_STATISTICS) / PIXEL_STATISTICS
    with faults_named(name, PIXEL_STATISTICS):
        settings = json.loads(path.read_text(encoding="utf-8-sig")) if path.is_file() else {}
        mean = [float(value) for value in settings.get("image_mean", default[0])]
        std = [float(value) for value in settings.get("image_std", default[1])]
        if not (len(mean) == len(std) == 3 and all(map(math.isfinite, mean + std)) and all(std)):
            raise ValueError(f"image_mean {mean} and image_std {std} are not three numbers each")
    return mean, std


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


def save_encoder(
    folder: Path,
    configs: dict[str, Any],
    tokenizer: Any,
    mean: Sequence[float],
    std: Sequence[float],
) -> None:
    """Write what the functions above give, so that a run is opened without its checkpoints.

    ``configs`` are those of ``encoder.Encoder``: an image encoder with a checkpoint of its own gets a
    folder in the folder."""
    text, image = configs["text"], configs["image"]
    places = {folder: text}
    if image is not text and not isinstance(image, str):
        places[folder / IMAGE_ENCODER] = image
    statistics = json.dumps({"image_mean": list(mean), "image_std": list(std)}) + "\n"
    for place, config in places.items():
        config.save_pretrained(place)
        (place / PIXEL_STATISTICS).write_text(statistics, encoding="utf-8")
    tokenizer.init_kwargs.pop("auto_map", None)  # names code
    tokenizer.save_pretrained(folder)
