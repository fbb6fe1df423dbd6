"""Finds a checkpoint's folder: a local one, its snapshot in the hub's cache, or else a download.

What lies in the cache is used without asking the network. All files of a checkpoint come from one
commit. Its weights are downloaded last: where they are, the other files are whole."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Event
from typing import Any

from ..errors import UserError, reason_of
from ..files import is_disk_full, quoted, remedy
from ..settings import CHECKPOINTS, ModelChoice

CONFIG = "config.json"
PIXEL_STATISTICS = "preprocessor_config.json"
IMAGE_ENCODER = "image"  # in the folder of a run's encoder: an image encoder of another checkpoint
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
# What other programs leave: a file in the folder -> what the folder is, and what to do.
_OTHERS = {
    "checkpoint-*/config.json": ("the output of a Trainer", "give a checkpoint in it, as {there}"),
    "[0-9]_*/config.json": ("a model of sentence-transformers", "give the encoder in it, {there}"),
    "snapshots/*/config.json": ("a folder of the hub's cache", "give {there}"),
    "adapter_config.json": (
        "an adapter (LoRA) without the model that it changes",
        "join them by merge_and_unload(), save_pretrained the result and its tokenizer, and give "
        "that folder",
    ),
    "open_clip_*": (
        "a checkpoint for OpenCLIP",
        "give one for transformers, with config.json and model.safetensors, of the same model",
    ),
    "random_states_*.pkl": (
        "a state of accelerate",
        "load it there, save_pretrained the unwrapped model and its tokenizer, and give that folder",
    ),
    "*.pt*": (
        "no checkpoint of transformers",
        "load its {file} in its own program, save_pretrained the model and its tokenizer, and give that "
        "folder",
    ),
}
NO_DOWNLOADS = Event()  # set where compare_all.py --check tries a run
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


def find_folder(name: str, also: str = CONFIG, tokenizer: bool = False) -> Path:
    """Return the folder with the configuration of a checkpoint, where there is any.

    Args:
        also: a small file that it may lack; then the hub is asked for it.
        tokenizer: True where that is needed too; a checkpoint that reads images only has none.
    Raises:
        UserError: it is neither in the cache nor can it be downloaded.
    """
    folder = local_folder(name)
    usable = _has(folder, CONFIG) and (not tokenizer or has_tokenizer(folder))
    whole = usable and _has(folder, also) and _weights_in(folder)
    if whole or os.path.isdir(name):
        return folder
    try:
        lacks = "its tokenizer" if _has(folder, CONFIG) else CONFIG
        return _download(name, _SMALL_FILES, folder, lacks)
    except UserError:
        if usable:
            return folder
        raise


def find_weights(name: str) -> list[Path]:
    """Return the files of weights, one or, where they are cut into parts, all parts. Raise UserError
    where there are none, or they cannot be downloaded."""
    folder = find_folder(name)
    for patterns in _WEIGHTS:
        if not _weights_in(folder) and not os.path.isdir(name):
            folder = _download(name, patterns, folder, patterns[0])
    found = _weights_in(folder)
    if not found:
        names = " or ".join(file for file, _ in _WEIGHTS)
        raise of_other_kind(name) or UserError(
            f"cannot load {quoted(name)}: it has no file named {names}, nor all parts of one; "
            "weights of TensorFlow or Flax cannot be used"
        )
    return found


def checkpoint_records(choice: ModelChoice) -> dict[str, dict[str, Any]]:
    """Return what a run records of each checkpoint of its model: if its name is one of the hub, and
    a hash of the files that are read of it, wherever they lie; None where they cannot be read."""
    found = {}
    for key in CHECKPOINTS:
        if name := getattr(choice, key):
            try:
                said = _sha256_of_files(local_folder(name))
            except OSError:  # who reads them next says what is wrong
                said = None
            found[key] = {"from_hub": not os.path.isdir(name), "sha256": said}
    return found


def _sha256_of_files(folder: Path | None) -> str | None:
    if folder is None or not (weights := _weights_in(folder)):
        return None
    small = {file: folder / file for file in _SMALL_FILES if _has(folder, file)}
    # Git on Windows gives texts other line ends.
    parts = {file: path.read_bytes().replace(b"\r\n", b"\n") for file, path in small.items()}
    digests = {file: hashlib.sha256(part).hexdigest() for file, part in parts.items()}
    for path in weights:
        found = path.stat()
        digests[path.name] = _sha256_of(path, found.st_size, found.st_mtime_ns)
    return hashlib.sha256(repr(sorted(digests.items())).encode()).hexdigest()


@lru_cache
def _sha256_of(path: Path, size: int, changed: int) -> str:
    """Return the hash of a file, which is read once while its size and time stay."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def faults_named(name: str, part: str) -> Iterator[None]:
    """Name the checkpoint and its part in whatever goes wrong: a foreign file can fail in any
    way."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise of_other_kind(name) or UserError(
            f"cannot load {quoted(name)}: {part} cannot be used: {reason_of(error)}. It may be "
            "broken, cut off or a git-lfs pointer (git lfs pull fetches what it stands for): "
            "download it again, or use another checkpoint"
        ) from error


def of_other_kind(name: str) -> UserError | None:
    """Say what a folder is that lacks a part of a checkpoint; None where that is not known."""
    folder = Path(name)
    if not folder.is_dir() or (_has(folder, CONFIG) and _weights_in(folder)):
        return None
    for pattern, (kind, advice) in _OTHERS.items():
        found = next(iter(sorted(folder.glob(pattern))), None)
        if found:
            advice = advice.format(there=quoted(str(found.parent)), file=found.name)
            return UserError(f"{quoted(name)} is {kind}: {advice}")
    if not _has(folder, CONFIG):
        return UserError(
            f"{quoted(name)} is no checkpoint, it has no {CONFIG}: give a folder as "
            "save_pretrained writes it"
        )
    return None


def has_tokenizer(folder: Path) -> bool:
    """Tell if a checkpoint's folder holds the vocabulary of a tokenizer."""
    return any(_has(folder, file) for file in _VOCABULARIES)


def _has(folder: Path | None, file: str) -> bool:
    return folder is not None and (folder / file).is_file()


def _weights_in(folder: Path) -> list[Path]:
    for file, pattern in _WEIGHTS:
        parts = sorted(path for path in folder.glob(pattern) if path.is_file())
        if _has(folder, file):
            return [folder / file]
        if parts and parts[0].stem.endswith(f"-of-{len(parts):05}"):
            return parts
    return []


def refuse_downloads() -> None:
    """Raise OSError where this process shall download nothing."""
    if NO_DOWNLOADS.is_set():
        raise OSError("--check downloads nothing")


@lru_cache
def _download(name: str, patterns: tuple[str, ...], folder: Path | None, lacks: str) -> Path:
    """Download what matches the patterns, of the commit whose snapshot ``folder`` is; ``lacks`` is
    what a message says is not in the cache."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.utils import RepositoryNotFoundError

    commit = folder.name if folder is not None else None
    try:
        refuse_downloads()
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
    except Exception as error:  # the network and the disk can fail in any way
        advice = (
            "Either download the checkpoint by other means and give its folder in place of the name, "
            "or set HF_ENDPOINT to a mirror"
        )
        if isinstance(error, RepositoryNotFoundError):  # the same for a name that is private
            advice = "Check the name; log in with huggingface-cli login if it is private"
        elif is_disk_full(error):
            advice = remedy(error)
        raise UserError(
            f"cannot load {quoted(name)}: {lacks} is not in the cache {_cache()} (HF_HOME moves "
            f"it), and the hub at {constants.ENDPOINT} does not give it: {reason_of(error)}. "
            f"{advice}"
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
