"""The weights of a finished run: those of its best.pt, and of the encoder that frozen runs share.

A frozen encoder is the same in many runs, so it lies beside them once, in a folder named by its hash,
and best.pt holds the head and that hash. A wrong encoder never answers: what is read is hashed again.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..errors import UserError, reason_of
from ..files import file_problem
from ..tensors import read_tensors, sha256_of_tensors
from . import layout

ENCODER_SHA256 = "encoder_sha256"  # key of best.pt and metrics.json: which encoder a frozen run has
_PREFIX = "encoder."  # of its weights in ``model_state``


def read_best(folder: Path) -> dict[str, Any]:
    """Return what best.pt of a run holds, with the weights of a shared encoder in ``model_state``.

    Raises:
        UserError: best.pt or the shared encoder is absent, damaged or something else.
    """
    try:
        content = read_tensors(folder / layout.BEST)
        if not isinstance(content["model_state"], dict):
            raise ValueError("it holds no weights by name")
        digest = content.pop(ENCODER_SHA256, None)
        if digest and not re.fullmatch("[0-9a-f]{64}", digest):  # it becomes a path
            raise ValueError(f"its {ENCODER_SHA256} is no hash")
    except Exception as error:  # a broken or foreign file can fail in any way
        raise UserError(
            f"{folder / layout.BEST} cannot be read: {reason_of(error)[:200]}. Copy it again, or train "
            "the run anew (--restart)"
        ) from error
    if not digest:
        return content
    # Beside the run, or beside earlier/, in which it lies.
    places = [layout.encoder(parent, digest) for parent in folder.absolute().parents[:2]]
    path = next((place for place in places if not file_problem(place)), places[0])
    remedy = (
        f"copy {layout.ENCODERS}/{digest}/ from where the run was trained to {places[0].parent}"
    )
    try:
        state = read_tensors(path)
        found = sha256_of_tensors(state)
    except Exception as error:  # a broken or foreign file can fail in any way
        raise UserError(
            f"{folder} has no encoder of its own, and that of all frozen runs, {path}, cannot be "
            f"read ({reason_of(error)[:200]}): {remedy}, or make the run whole there with predict.py "
            "--export"
        ) from error
    if found != digest:
        raise UserError(
            f"{path} is damaged, or another encoder (its hash differs): {remedy}, or delete "
            f"it there and train one of its runs anew (--restart)"
        )
    content["model_state"] |= {f"{_PREFIX}{name}": weight for name, weight in state.items()}
    return content
