"""Finds a checkpoint's folder: a local one, its snapshot in the hub's cache, or else a download.

What lies in the cache is used without asking the network. All files of a checkpoint come from one
commit. Its weights are downloaded last: where they are, the other files are whole."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import UserError, reason_of
from ..files import is_disk_full, quoted, remedy

CONFIG = "config.json"
PIXEL_STATISTICS = "preprocessor_config.json"
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
_SMALL_FILES = (CONFIG, PIXEL_STATISTICS, *_VOCABULARIES, *_TOKENIZER_SETTINGS)
# Weights in one file, or in parts.
_WEIGHTS = (
    ("model.safetensors", "model-*-of-*.safetensors"),
    ("pytorch_model.bin", "pytorch_model-*-of-*.bin"),
)
_LARGEST = 100 * 2**20  # bytes of a small file; the largest published ones have 34 MB
_POINTER = b"version https://git-lfs"
_PATIENCE = 5  # seconds until a hub that does not answer counts as out of reach


def local_folder(name: str) -> Path | None:
    """Return the checkpoint's folder, or its snapshot in the hub's cache, which may lack files; None
    where the cache has none."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import LocalEntryNotFoundError

    if os.path.isdir(name):
        return Path(name)
    try:
        return Path(snapshot_download(name, cache_dir=_cache(), local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def find_folder(name: str) -> Path:
    """Return the folder with the configuration and the tokenizer of a checkpoint.

    Raises:
        UserError: it has no config.json, a file is a git-lfs pointer or too large, or it is neither
            in the cache nor can it be downloaded.
    """
    folder = local_folder(name)
    if not os.path.isdir(name):
        usable = _has(folder, CONFIG) and any(_has(folder, file) for file in _VOCABULARIES)
        if not (usable and _weights_in(folder)):
            lacks = "its tokenizer" if _has(folder, CONFIG) else CONFIG
            try:
                folder = _download(name, _SMALL_FILES, folder, lacks)
            except UserError:
                if not usable:
                    raise
    if not _has(folder, CONFIG):
        raise UserError(f"cannot load {quoted(name)}: it has no file named {CONFIG}")
    for file in _SMALL_FILES:
        if _has(folder, file):
            _check_file(name, folder / file)
    return folder


def find_weights(name: str) -> list[Path]:
    """Return the files of weights, one or, where they are cut into parts, all parts.

    Raises:
        UserError: see ``find_folder``.
    """
    folder = find_folder(name)
    for patterns in _WEIGHTS:
        if not _weights_in(folder) and not os.path.isdir(name):
            folder = _download(name, patterns, folder, patterns[0])
    found = _weights_in(folder)
    if not found:
        names = " or ".join(file for file, _ in _WEIGHTS)
        raise UserError(
            f"cannot load {quoted(name)}: it has no file named {names}, nor all parts of one; "
            "weights of TensorFlow or Flax cannot be used"
        )
    for path in found:
        _check_file(name, path)
    return found


def read_json(name: str, path: Path) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"cannot load {quoted(name)}: {path.name} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"cannot load {quoted(name)}: {path.name} holds no JSON object")
    return content


def _has(folder: Path | None, file: str) -> bool:
    return folder is not None and (folder / file).is_file()


def _weights_in(folder: Path) -> list[Path]:
    for file, pattern in _WEIGHTS:
        parts = sorted(folder.glob(pattern))
        if _has(folder, file):
            return [folder / file]
        if parts and parts[0].stem.endswith(f"-of-{len(parts):05}"):
            return parts
    return []


def _check_file(name: str, path: Path) -> None:
    """Refuse a git-lfs pointer, and a file too large to be what its name says."""
    with open(path, "rb") as file:
        start = file.read(len(_POINTER))
    if start == _POINTER:
        raise UserError(
            f"cannot load {quoted(name)}: {path.name} is a git-lfs pointer, not the file itself: "
            "run git lfs pull in that folder, or download the file"
        )
    size = path.stat().st_size
    if size > _LARGEST and path.name in _SMALL_FILES:
        raise UserError(
            f"cannot load {quoted(name)}: {path.name} has {size / 2**20:,.0f} MB, more than the "
            f"{_LARGEST / 2**20:.0f} MB that such a file may have"
        )


@lru_cache
def _download(name: str, patterns: tuple[str, ...], folder: Path | None, lacks: str) -> Path:
    """Download what matches the patterns, of the commit whose snapshot ``folder`` is; ``lacks`` is
    what a message says is not in the cache."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.utils import RepositoryNotFoundError

    commit = folder.name if folder is not None else None
    try:
        reason = _why_out_of_reach()  # its client would wait for ever
        if reason is not None:
            raise OSError(reason)
        found = snapshot_download(
            name,
            revision=commit,
            cache_dir=_cache(),
            allow_patterns=list(patterns),
            etag_timeout=_PATIENCE,
        )
        return Path(found)
    except RepositoryNotFoundError as error:  # the same for a name that is private
        raise UserError(
            f"cannot load {quoted(name)}: the hub at {constants.ENDPOINT} has no model of this name "
            "that you may read. Check the name; log in with huggingface-cli login if it is private "
            "or asks you to agree to its terms"
        ) from error
    except Exception as error:  # the network and the disk can fail in any way
        if is_disk_full(error):
            raise UserError(
                f"cannot load {quoted(name)}: {lacks} does not fit in {_cache()}: "
                f"{reason_of(error)}. {remedy(error)}; HF_HOME moves that folder"
            ) from error
        raise UserError(
            f"cannot load {quoted(name)}: {lacks} is not in the cache (HF_HOME says where that is), "
            f"and the hub at {constants.ENDPOINT} does not give it: {reason_of(error)}. Either "
            "download the checkpoint by other means and give its folder as --model-name, or set "
            "HF_ENDPOINT to a mirror"
        ) from error


def _cache() -> str:
    from transformers.utils.hub import TRANSFORMERS_CACHE

    return TRANSFORMERS_CACHE


@lru_cache  # it is asked once in a process
def _why_out_of_reach() -> str | None:
    """Return why the hub cannot be asked; None where it answers."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session
    from transformers.utils import is_offline_mode

    if constants.HF_HUB_OFFLINE or is_offline_mode():
        return "HF_HUB_OFFLINE forbids asking; unset HF_HUB_OFFLINE if it may be asked"
    try:
        get_session().head(constants.ENDPOINT, timeout=_PATIENCE)
    except OSError as error:  # requests' own errors are OSErrors
        return reason_of(error)
    return None
