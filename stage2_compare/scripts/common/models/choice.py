"""Which model is trained. Imports no torch, so that the command line may use it."""

from __future__ import annotations

import ast
import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..files import quoted

# The hub's own rule: https://huggingface.co/docs/huggingface_hub, validate_repo_id
_HUB_NAME = re.compile(r"(?=.{1,96}$)(?!.*(--|\.\.|\.git$))(\w[\w.-]*/)?\w([\w.-]*\w)?", re.ASCII)


@dataclass(frozen=True)
class ModelChoice:
    """The model of a run. Runs that agree in it and differ in their seed form one seed group.

    The fields are keys of the ``model`` block in metrics.json.
    """

    family: str  # kind of encoder, a key of models.build.ENCODERS
    name: str  # checkpoint: a name on the hub, or a local folder
    image_backbone: str | None  # None where the checkpoint brings its own image encoder
    fusion: str  # a key of models.fusion.FUSIONS

    def __post_init__(self):
        if os.path.isdir(self.name) or _HUB_NAME.fullmatch(self.name):
            return
        raise UserError(
            f"cannot load {quoted(self.name)}: --model-name is neither a folder that exists nor a "
            "name on the hub such as bert-base-chinese or openai/clip-vit-base-patch32"
        )


def fusion_names() -> list[str]:
    """Return the keys of ``models.fusion.FUSIONS`` without the seconds that importing torch
    takes."""
    source = Path(__file__).with_name("fusion.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FUSIONS":
            return [ast.literal_eval(key) for key in node.value.keys]
    raise LookupError("models/fusion.py assigns no dict called FUSIONS")
