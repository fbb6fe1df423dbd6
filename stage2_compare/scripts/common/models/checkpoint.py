"""Finds the files of a checkpoint: in its folder, in the hub's cache, or else on the hub.

What lies in the cache is used without asking the network. All files of a checkpoint come from one
commit, the one of its config.json."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import UserError, reason_of
from ..files import is_disk_full, quoted, remedy

CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_WEIGHTS_AND_INDEXES = tuple(name + end for name in WEIGHTS for end in ("", ".index.json"))
_VOCABULARIES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "bpe.codes",
    "spiece.model",
    "spm.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
_TOKENIZER_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
_LARGEST = 100 * 2**20  # bytes of a file that is no weights; the largest published ones have 34 MB
_POINTER = b"version https://git-lfs"
_PATIENCE = 10  # seconds until a hub that does not answer counts as out of reach
_SHORT_PATIENCE = 1.5  # the same where only something that has a default may be missing


def local_folder(name: str) -> Path | None:
    """Return the checkpoint's folder, or its snapshot in the hub's cache; None where the cache has
    no config.json of it."""
    if os.path.isdir(name):
        return Path(name)
    config = _in_cache(name, CONFIG)
    return Path(config).parent if isinstance(config, str) else None


def find_file(name: str, *choices: str) -> Path | None:
    """Return the first of the files ``choices`` that the checkpoint has; None where it has none.

    Raises:
        UserError: the file is a git-lfs pointer or too large, or it is neither in the cache nor can
            it be downloaded.
    """
    folder = local_folder(name)
    found = _first_file(folder, choices)
    if found is None and not os.path.isdir(name):
        downloads = (_download(name, file, folder) for file in choices)
        found = next((path for path in downloads if path is not None), None)
    if found is not None:
        check_file(name, found)
    return found


def find_weights(name: str) -> list[Path]:
    """Return the files of weights, one or, where they are cut into parts, all parts."""
    path = find_file(name, *_WEIGHTS_AND_INDEXES)
    if path is None:
        raise UserError(
            f"cannot load {quoted(name)}: it has no file named {' or '.join(WEIGHTS)}; weights of "
            "TensorFlow or Flax cannot be used"
        )
    if path.suffix != ".json":
        return [path]
    table = read_json(name, path).get("weight_map")
    names = set(table.values()) if isinstance(table, dict) else {None}
    if not all(isinstance(part, str) and Path(part).name == part for part in names):
        raise UserError(
            f"cannot load {quoted(name)}: {path.name} has no table of files, weight_map"
        )
    parts = {part: find_file(name, part) for part in sorted(names)}
    for part, found in parts.items():
        if found is None:
            raise UserError(
                f"cannot load {quoted(name)}: {part}, which {path.name} lists, is missing"
            )
    return list(parts.values())


def tokenizer_place(name: str) -> tuple[str, dict[str, str]]:
    """Return the name and the options with which transformers finds the tokenizer.

    It is a folder wherever the tokenizer is known to be whole. Weights are downloaded last, so
    where they are the tokenizer is. Else transformers downloads what is missing."""
    folder = local_folder(name)
    has_vocabulary = _first_file(folder, _VOCABULARIES) is not None
    if not os.path.isdir(name):
        optional = (*_TOKENIZER_SETTINGS, "tokenizer.json")
        unknown = [file for file in optional if _in_cache(name, file, folder.name) is None]
        whole = has_vocabulary and (_first_file(folder, _WEIGHTS_AND_INDEXES) or not unknown)
        if not whole and _why_unreachable() is None:
            return name, {"revision": folder.name}
        if not has_vocabulary:
            raise UserError(unreachable(name, "its tokenizer"))
    for file in (*_VOCABULARIES, *_TOKENIZER_SETTINGS):
        if (folder / file).is_file():
            check_file(name, folder / file)
    return str(folder), {}


def check_file(name: str, path: Path) -> None:
    """Refuse a git-lfs pointer, and a file too large to be what its name says."""
    with open(path, "rb") as file:
        start = file.read(len(_POINTER))
    if start == _POINTER:
        raise UserError(
            f"cannot load {quoted(name)}: {path.name} is a git-lfs pointer, not the file itself: "
            "run git lfs pull in that folder, or download the file"
        )
    size = path.stat().st_size
    if size > _LARGEST and path.suffix not in (".safetensors", ".bin"):
        raise UserError(
            f"cannot load {quoted(name)}: {path.name} has {size / 2**20:,.0f} MB, more than the "
            f"{_LARGEST / 2**20:.0f} MB that such a file may have"
        )


def read_json(name: str, path: Path) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"cannot load {quoted(name)}: {path.name} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"cannot load {quoted(name)}: {path.name} holds no JSON object")
    return content


def _first_file(folder: Path | None, names: tuple[str, ...]) -> Path | None:
    paths = [folder / name for name in names] if folder is not None else []
    return next((path for path in paths if path.is_file()), None)


def _in_cache(name: str, file: str, revision: str | None = None) -> Any:
    """Return the path in the hub's cache, None where the file is unknown there, or something else
    where the hub is known to have no such file."""
    from huggingface_hub import try_to_load_from_cache

    return try_to_load_from_cache(name, file, cache_dir=_cache(), revision=revision)


def _download(name: str, file: str, folder: Path | None) -> Path | None:
    """Download a file that the cache lacks; None where the hub has none either."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import (
        EntryNotFoundError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    commit = folder.name if folder is not None else None
    if _in_cache(name, file, commit) is not None:
        return None
    is_whole = _first_file(folder, _WEIGHTS_AND_INDEXES) is not None
    if _why_unreachable(_SHORT_PATIENCE if is_whole else _PATIENCE) is not None:
        if is_whole:
            return None
        raise UserError(unreachable(name, file))
    try:
        return Path(hf_hub_download(name, file, revision=commit, cache_dir=_cache()))
    except RepositoryNotFoundError as error:  # the same for a name that is private
        raise UserError(
            f"cannot load {quoted(name)}: the hub at {_endpoint()} has no model of this name that "
            "you may read. Check the name; log in with huggingface-cli login if it is private or "
            "asks you to agree to its terms"
        ) from error
    except EntryNotFoundError as error:
        if isinstance(error, LocalEntryNotFoundError):
            raise UserError(unreachable(name, file, error)) from error
        return None
    except Exception as error:  # the network and the disk can fail in any way
        raise UserError(unreachable(name, file, error)) from error


def _cache() -> str:
    from transformers.utils.hub import TRANSFORMERS_CACHE

    return TRANSFORMERS_CACHE


def _endpoint() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT


def _is_offline() -> bool:
    from huggingface_hub import constants
    from transformers.utils import is_offline_mode

    return constants.HF_HUB_OFFLINE or is_offline_mode()


def _why_unreachable(patience: float = _PATIENCE) -> str | None:
    """Return why the hub cannot be asked; None where it answers within ``patience`` seconds."""
    return "HF_HUB_OFFLINE forbids asking" if _is_offline() else _ask_hub(patience)


@lru_cache  # it is asked once in a process
def _ask_hub(patience: float) -> str | None:
    from huggingface_hub.utils import get_session

    try:
        get_session().head(_endpoint(), timeout=patience)
    except OSError as error:  # requests' own errors are OSErrors
        return reason_of(error)
    return None


def unreachable(name: str, file: str, error: Exception | None = None) -> str:
    """Write the message for what is not in the cache and cannot be downloaded."""
    if error is not None and is_disk_full(error):
        return (
            f"cannot load {quoted(name)}: {file} does not fit in {_cache()}: "
            f"{reason_of(error)}. {remedy(error)}; HF_HOME moves that folder"
        )
    reason = reason_of(error) if error is not None else _why_unreachable()
    online = "unset HF_HUB_OFFLINE and, if need be, set" if _is_offline() else "set"
    return (
        f"cannot load {quoted(name)}: {file} is not in the cache (HF_HOME says where that is), and "
        f"the hub at {_endpoint()} does not give it: {reason}. Either download the checkpoint by "
        f"other means and give its folder as --model-name, or {online} HF_ENDPOINT to a mirror"
    )
