"""Lets a run folder travel: the encoder's files lie in it, and it says which code made it, and how.

Nothing in the folder is code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..data.tokens import tokenise
from ..errors import UserError, reason_of
from ..files import quoted
from ..models.classifier import ImageTextClassifier
from ..models.loading import load_tokenizer, save_encoder
from ..runs.folder import RunFolder
from ..runs.layout import ENCODER
from .identity import COMMON
from .prepare import PreparedRun

_PATIENCE = 10  # seconds for git, which may have to read a slow disk


def write_encoder(prepared: PreparedRun, folder: RunFolder, model: ImageTextClassifier) -> None:
    """Write the encoder's files. Keep them only if their tokenizer reads the validation texts as the
    run did; else say so.

    Raises:
        UserError: the disk is full.
    """
    config, tokenizer, encoder = prepared.config, prepared.tokenizer, model.encoder
    try:
        folder.write_folder(
            ENCODER, lambda path: save_encoder(path, config, tokenizer, encoder.mean, encoder.std)
        )
    except UserError:
        raise
    except Exception as error:  # a foreign tokenizer can fail in any way
        reason = reason_of(error)
    else:
        reason = _why_unlike(prepared, folder.partial / ENCODER)
    if reason:
        folder.remove_folder(ENCODER)
        print(
            f"warning: the tokenizer of {quoted(prepared.settings.model.name)} cannot be kept "
            f"({reason}): predict.py will need the checkpoint itself",
            flush=True,
        )


def _why_unlike(prepared: PreparedRun, saved: Path) -> str:
    """Return why the saved tokenizer does not do what that of the run did; "" if it does."""
    try:
        texts = prepared.splits["val"].texts
        again = tokenise(texts, load_tokenizer(str(saved)), prepared.max_length)
    except Exception as error:  # as above
        return reason_of(error)
    same = np.array_equal(again.ids, prepared.datasets["val"].tokens.ids)
    return "" if same else "a saved copy reads otherwise"


def origin(code_sha256: str) -> dict[str, Any]:
    """Return the command line and the version of the code, for metrics.json."""
    commit, clean = git_state()
    code = {"sha256": code_sha256, "git_commit": commit, "git_clean": clean}
    return {"command": sys.argv, "code": code}


def git_state(folder: Path = COMMON.parents[1]) -> tuple[str | None, bool | None]:
    """Return the commit of the code in a folder, and whether no file there differs from it; None
    where git does not say."""
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(folder)]
    command += ["status", "--porcelain=v2", "--branch", "--", "."]
    try:
        options = {"capture_output": True, "timeout": _PATIENCE, "check": True}
        lines = subprocess.run(command, **options).stdout.decode("utf-8", "replace").splitlines()
    except (OSError, subprocess.SubprocessError):  # no git, or no repository
        return None, None
    ids = [line.split()[-1] for line in lines if line.startswith("# branch.oid ")]
    if not ids or not ids[0].isalnum():  # "(initial)"
        return None, None
    return ids[0], all(line.startswith("#") for line in lines)
