"""Loads what stands beside the weights: configurations, tokenizers, statistics of the pixels."""

from __future__ import annotations

import importlib.metadata
import json
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError, reason_of
from ..files import quoted
from .checkpoint import CONFIG, PIXEL_STATISTICS, find_folder, read_json
from .newer_tokenizers import read_newer

TRANSFORMERS = "4.39.3"
UNLIMITED = 2**31  # stands for the length or vocabulary of what has no limit
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


def check_transformers() -> None:
    """Refuse another release of transformers: the encoders rely on details of this one."""
    found = importlib.metadata.version("transformers")
    if found != TRANSFORMERS:
        raise UserError(
            f"transformers {found} is installed, this project is made for {TRANSFORMERS}: "
            f"run python -m pip install transformers=={TRANSFORMERS}"
        )


def load_config(name: str) -> Any:
    """Read the configuration, of transformers, without running code of the checkpoint.

    Raises:
        UserError: there is none, or transformers does not know this kind of model.
    """
    from transformers import CONFIG_MAPPING
    from transformers.utils import logging

    logging.set_verbosity_error()  # what is wrong is said here
    content = _used_settings(read_json(name, find_folder(name) / CONFIG))
    kind = content.get("model_type")
    if not kind or not isinstance(kind, str):
        raise UserError(
            f"cannot load {quoted(name)}: {CONFIG} does not say what kind of model it is. Give it "
            'a line such as "model_type": "bert"'
        )
    if kind not in CONFIG_MAPPING:
        raise UserError(
            f"cannot load {quoted(name)}: transformers {TRANSFORMERS} has no model of kind "
            f"{kind!r}, and code of a checkpoint is not run. Use another checkpoint"
        )
    if content.get("quantization_config"):
        raise UserError(
            f"cannot load {quoted(name)}: its weights are quantised. Use the original ones"
        )
    try:
        with warnings.catch_warnings():  # of settings with a newer name
            warnings.simplefilter("ignore")
            return CONFIG_MAPPING[kind].from_dict(content)
    except Exception as error:  # a foreign file can fail in any way
        raise UserError(f"cannot load {quoted(name)}: {CONFIG}: {reason_of(error)}") from error


def _used_settings(content: dict[str, Any]) -> dict[str, Any]:
    """Leave out the settings that have no use here, also in the parts for text and image."""
    used = {key: value for key, value in content.items() if key not in _UNUSED_SETTINGS}
    for part in ("text_config", "vision_config"):
        if isinstance(used.get(part), dict):
            used[part] = _used_settings(used[part])
    return used


def load_tokenizer(name: str) -> Any:
    """Load the tokenizer, a fast one where there is one; its ``model_max_length`` is an int.

    Raises:
        UserError: it is absent or broken, needs a package that is not installed, or cannot pad.
    """
    config, folder = load_config(name), find_folder(name)
    try:
        tokenizer = _read_tokenizer(folder, config)
        limit = tokenizer.model_max_length
        known = isinstance(limit, int | float) and 1 <= limit < UNLIMITED
        tokenizer.model_max_length = int(limit) if known else UNLIMITED
        tokenizer("a \ue000")  # the second word is in no vocabulary
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # tokenizers' own panics are no Exceptions
        raise UserError(_why_no_tokenizer(name, folder, error)) from error
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
            newer = read_newer(folder / "tokenizer.json")
        except Exception:  # what the file's own reader said counts
            raise error from None
        return read(tokenizer_object=newer)


def _why_no_tokenizer(name: str, folder: Path, error: BaseException) -> str:
    from transformers.utils import is_protobuf_available, is_sentencepiece_available

    reason = reason_of(error)
    if any(folder.glob("*.model")) and not (folder / "tokenizer.json").is_file():
        reason = f"sentencepiece: {reason}"  # which not every message says
    installed = {"sentencepiece": is_sentencepiece_available(), "protobuf": is_protobuf_available()}
    for package, is_there in installed.items():
        if not is_there and package in reason.lower():
            return (
                f"cannot load {quoted(name)}: its tokenizer needs the package {package}, which is "
                f"not installed: run python -m pip install {package}"
            )
    return (
        f"cannot load {quoted(name)}: its tokenizer cannot be used: {reason}. Its files may be "
        "missing or broken: download them again, or use another checkpoint"
    )


def image_statistics(name: str) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of the checkpoint's preprocessing, CLIP's where it has
    none."""
    from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

    path = find_folder(name) / PIXEL_STATISTICS
    settings = read_json(name, path) if path.is_file() else {}
    mean = settings.get("image_mean", OPENAI_CLIP_MEAN)
    std = settings.get("image_std", OPENAI_CLIP_STD)
    try:
        numbers = np.array([mean, std], float)  # (2, 3)
        usable = numbers.shape == (2, 3) and np.isfinite(numbers).all() and min(numbers[1]) > 0
    except (TypeError, ValueError):
        usable = False
    if not usable:
        raise UserError(
            f"cannot load {quoted(name)}: {path.name} gives no mean and standard deviation of "
            f"three channels: {mean!r:.60}, {std!r:.60}"
        )
    return list(mean), list(std)


def save_encoder(
    folder: Path, config: Any, tokenizer: Any, mean: Sequence[float], std: Sequence[float]
) -> None:
    """Write what the functions above read, so that a run is opened without its checkpoint.

    Args:
        config, tokenizer: of transformers, as the functions above give them.
        mean, std: of the pixels, three numbers each.
    """
    config.save_pretrained(folder)
    tokenizer.init_kwargs.pop("auto_map", None)  # names code
    tokenizer.save_pretrained(folder)
    statistics = {"image_mean": list(mean), "image_std": list(std)}
    (folder / PIXEL_STATISTICS).write_text(json.dumps(statistics) + "\n", encoding="utf-8")
