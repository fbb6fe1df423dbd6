"""The model card of a run, in the form of the hub: https://huggingface.co/docs/hub/model-cards"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from ..files import printable
from ..metrics import METRICS

_TEMPLATE = Path(__file__).with_name("card.md")
_MARKDOWN = re.compile(r"([\\`*_\[\]!|~#:])")  # what has a meaning within a line


def model_card(name: str, record: dict[str, Any]) -> str:
    """Return README.md of the run ``name``, from what its metrics.json holds.

    All values are shown as plain text, whatever is in them.
    """
    environment = Environment(autoescape=True, finalize=_plain, trim_blocks=True)
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}  # YAML has no surrogates
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        record,
        is_folder=os.path.isdir(record["model"]["name"]),
        name=name,
        metrics=METRICS,
        command=Markup(printable(shlex.join(record["command"]))),
        test={m.key: record[f"test_{m.key}"] for m in METRICS if f"test_{m.key}" in record},
    )


def _plain(value: Any) -> Any:
    """Show a value of the record as plain text of Markdown."""
    if isinstance(value, Markup):
        return value
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    if isinstance(value, float):
        text = f"{value:.4g}"
    return _MARKDOWN.sub(r"\\\1", printable(text))
