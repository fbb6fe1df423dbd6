"""Whether an unfinished run can go on: where its choices and their contents are as they were.

Other choices of the user begin anew. Contents that changed beneath the same choices are an error,
since nobody asked for that.
"""

from __future__ import annotations

import ast
import hashlib
import re
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from torch import nn

from ..data.dataset import PairDataset
from ..errors import UserError
from ..models.classifier import ImageTextClassifier
from ..runs.folder import RunFolder
from ..settings import Protocol, TrainingRun
from ..tensors import sha256_of_json, sha256_of_tensor

if TYPE_CHECKING:
    from .prepare import PreparedRun

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
_DOCSTRING = re.compile(r"(?<=body=)\[Expr\(value=Constant\(value=(['\"])(\\?.)*?\1\)\)(, )?")
COMMON = Path(__file__).resolve().parents[1]
# Below common/: what decides results. Of settings.py it is the values, which are choices.
CODE = ("data", "models", "training", "seeding.py", "metrics.py")
# Digests of the weights of frozen encoders, which several runs of one process may share.
_FROZEN: WeakKeyDictionary[nn.Module, dict[str, str]] = WeakKeyDictionary()


def unfinished(run: PreparedRun, folder: RunFolder) -> dict[str, Any] | None:
    """Return the checkpoint to continue, see ``train.learn``; remove one of other choices, and say
    which.

    Raises:
        UserError: the choices are the same, but what they name has changed.
    """
    checkpoint = None if run.settings.restart else folder.read_checkpoint()
    if checkpoint:
        earlier, wanted = checkpoint.get("choices", {}), choices(run.settings)
        # What was not recorded is no other choice: a flag is new.
        for key in [key for key in changed(earlier, wanted) if key in earlier][:1]:
            had = f"{key} {earlier[key]!r}, not {wanted[key]!r}"
            print(f"beginning anew: the unfinished run had {had}", flush=True)
            checkpoint = None
    if not checkpoint:
        folder.clear()
        return None
    if moved := changed(checkpoint.get("contents", {}), run.contents):
        raise UserError(
            f"the unfinished run in {folder.partial} cannot go on as if nothing had happened: "
            f"changed since it stopped: {named(moved)}. It is kept: undo the change to go on, or "
            "give --restart to begin anew"
        )
    return checkpoint


def choices(settings: TrainingRun) -> dict[str, Any]:
    """Return what the user chose by value; of a file that was named, its contents decide."""
    chosen = {**asdict(settings.protocol), "batch_size": settings.micro_batch}
    return {key: value for key, value in chosen.items() if key not in CONTENTS}


def contents(
    protocol: Protocol,
    model: ImageTextClassifier,
    datasets: dict[str, PairDataset],
    max_length: int,
) -> dict[str, Any]:
    """Return what lies beneath the choices, big things as hashes.

    Args:
        protocol: complete.
        model: as it is built, before any training.
    """
    texts = [digest for name in ("train", "val") for digest in datasets[name].tokens.digests]
    encoder = model.encoder
    # The name of a network of torchvision is a choice.
    configs = [each for each in encoder.configs.values() if not isinstance(each, str)]
    names = ("classes", "train_sha256", "val_sha256", "val_pairs_sha256", "folds_sha256")
    return {
        **{name: getattr(protocol, name) for name in names},
        "longest_text": max_length,
        "weights_sha256": weights_sha256(encoder, model.head),
        "config_sha256": " ".join(dict.fromkeys(map(config_sha256, configs))),
        "tokens_sha256": hashlib.sha256(b"".join(texts)).hexdigest(),
        "pixel_statistics": [float(value) for value in (*encoder.mean, *encoder.std)],
        "code_sha256": code_sha256(),
    }


def changed(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Return the keys of a record in which another one differs."""
    return [key for key in wanted if found.get(key) != wanted[key]]


def named(keys: list[str]) -> str:
    """Return what a message calls these keys of choices and contents."""
    return ", ".join(CONTENTS.get(key, key) for key in keys)


@cache
def code_sha256(common: Path = COMMON) -> str:
    """Return a hash of the code that decides results: of its syntax, so that comments, docstrings
    and line ends do not count."""
    digest = hashlib.sha256()
    for path in sorted(common.rglob("*.py")):
        name = path.relative_to(common)
        if name.parts[0] not in CODE:
            continue
        tree = _DOCSTRING.sub("[", ast.dump(ast.parse(path.read_bytes())))
        digest.update(f"{name.as_posix()} {tree}\n".encode())
    return digest.hexdigest()


def config_sha256(config: Any) -> str:
    """Return a hash of a configuration, of transformers, but for where it lay and who wrote it; a
    name as it is."""
    if isinstance(config, str):
        return config
    content = config.to_dict()
    for key in ("_name_or_path", "transformers_version"):
        content.pop(key, None)
    return sha256_of_json(content)


def weights_sha256(*modules: nn.Module) -> str:
    """Return a hash of all weights; each weight of a frozen module is hashed once, since several
    runs of one process may share it."""
    found: dict[str, str] = {}
    for module in modules:
        digests = _FROZEN.get(module, {})
        if not digests:
            for name, weight in module.state_dict().items():
                digests[name] = sha256_of_tensor(name, weight)
        if not any(parameter.requires_grad for parameter in module.parameters()):
            _FROZEN[module] = digests
        found |= digests
    return sha256_of_json(found)
