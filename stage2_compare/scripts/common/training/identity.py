"""The identity of a run: the choices of the user, and the contents beneath them.

A checkpoint continues only where both are as they were. Other choices begin anew. Contents that
changed beneath the same choices are an error, since nobody asked for that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from torch import nn

from ..data.dataset import PairDataset
from ..models.classifier import ImageTextClassifier
from ..models.encoder import Encoder
from ..settings import TrainingRun

# Contents by key of the ``content`` block in metrics.json, and how a message calls them.
CONTENTS = {
    "classes": "the classes",
    "train_sha256": "the training pairs",
    "val_sha256": "the validation pairs",
    "val_pairs_sha256": "the validation pairs in any order",
    "folds_sha256": "the folds",
    "longest_text": "the longest text that the model reads",
    "weights_sha256": "the weights of the checkpoint",
    "config_sha256": "the configuration of the checkpoint",
    "tokens_sha256": "the tokens of the texts (tokenizer)",
    "pixel_statistics": "mean and standard deviation of the pixels",
    "code_sha256": "the code of this program",
}
CODE = (
    "data",
    "models",
    "training",
    "seeding.py",
    "metrics.py",
    "settings.py",
)  # below common/; decides results
COMMON = Path(__file__).resolve().parents[1]
# Digests of the weights of frozen encoders, which several runs of one process may share.
_FROZEN: WeakKeyDictionary[nn.Module, dict[str, str]] = WeakKeyDictionary()
NOT_OF_THE_MODEL = ("_name_or_path", "transformers_version")  # keys of a configuration


def choices(settings: TrainingRun) -> dict[str, Any]:
    """Return what the user chose, and what the result depends on."""
    protocol = {
        key: value for key, value in asdict(settings.protocol).items() if key not in CONTENTS
    }
    model = {f"model {key}": value for key, value in asdict(settings.model).items()}
    names = [field.name for field in fields(settings.paths) if field.metadata.get("agrees")]
    paths = {name: str(getattr(settings.paths, name)) for name in names}
    return {**protocol, **model, "batch_size": settings.micro_batch, **paths}


def contents(
    settings: TrainingRun,
    model: ImageTextClassifier,
    config: Any,
    datasets: dict[str, PairDataset],
    max_length: int,
) -> dict[str, Any]:
    """Return what lies beneath the choices, big things as hashes.

    Args:
        model: as it is built, before any training.
        config: the checkpoint's configuration, of transformers.
    """
    protocol, encoder = settings.protocol, model.encoder
    arrays = (array for name in ("train", "val") for array in _token_arrays(datasets[name]))
    values = config.to_dict().items()
    plain = {key: value for key, value in values if key not in NOT_OF_THE_MODEL}
    return {
        "classes": protocol.classes,
        "train_sha256": protocol.train_sha256,
        "val_sha256": protocol.val_sha256,
        "val_pairs_sha256": protocol.val_pairs_sha256,
        "folds_sha256": protocol.folds_sha256,
        "longest_text": max_length,
        "weights_sha256": _joined(_weight_digests(encoder) | _weight_digests(model.head)),
        "config_sha256": _sha256_of_bytes(json.dumps(plain, sort_keys=True, default=str).encode()),
        "tokens_sha256": _sha256(("tokens", array) for array in arrays),
        "pixel_statistics": [float(value) for value in (*encoder.mean, *encoder.std)],
        "code_sha256": code_sha256(),
    }


def encoder_sha256(encoder: Encoder, start: str = "") -> str:
    """Return a hash of the weights of an encoder whose names begin with ``start``."""
    digests = _weight_digests(encoder)
    return _joined({name: digest for name, digest in digests.items() if name.startswith(start)})


def changed(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Return the keys in which two records differ."""
    plain = json.loads(json.dumps(wanted))
    return [key for key in plain | found if found.get(key) != plain.get(key)]


def named(keys: list[str]) -> str:
    """Return what a message calls these keys of choices and contents."""
    return ", ".join(CONTENTS.get(key, key) for key in keys)


def code_sha256(common: Path = COMMON) -> str:
    """Return a hash of the code that decides results, the same on Windows and Linux."""
    files = [path for name in CODE for path in [common / name, *(common / name).rglob("*.py")]]
    names = sorted(path.relative_to(common).as_posix() for path in files if path.is_file())
    digest = hashlib.sha256()
    for name in names:
        code = (common / name).read_bytes().replace(b"\r\n", b"\n")
        digest.update(name.encode() + b"\0" + code + b"\0")
    return digest.hexdigest()


def _token_arrays(dataset: PairDataset) -> tuple[np.ndarray, np.ndarray]:
    return dataset.tokens.ids, dataset.tokens.starts


def _weight_digests(module: nn.Module) -> dict[str, str]:
    """Return a hash of each weight by its name. Those of a frozen module are computed once."""
    if module in _FROZEN:
        return _FROZEN[module]
    weights = module.state_dict().items()
    digests = {name: _sha256([(name, tensor.cpu().numpy())]) for name, tensor in weights}
    if not any(parameter.requires_grad for parameter in module.parameters()):
        _FROZEN[module] = digests
    return digests


def _joined(digests: dict[str, str]) -> str:
    return _sha256_of_bytes(json.dumps(digests, sort_keys=True).encode())


def _sha256(arrays: Iterable[tuple[str, np.ndarray]]) -> str:
    digest = hashlib.sha256()
    for name, array in arrays:
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _sha256_of_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
