"""The model card of a run, in the form of the hub: https://huggingface.co/docs/hub/model-cards"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
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
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        record,
        head=Markup(_head(name, record)),
        name=name,
        metrics=METRICS,
        command=Markup(printable(shlex.join(record["command"]))),
        test={m.key: record[f"test_{m.key}"] for m in METRICS if f"test_{m.key}" in record},
    )


def _head(name: str, record: dict[str, Any]) -> str:
    """Return the block of YAML that the hub reads."""
    task, dataset, pairs = "image-text-classification", "image-text-pairs", "validation pairs"
    values = {"accuracy": record["best"]["val_acc"], "f1": record["best"]["val_f1_macro"]}
    checkpoint = record["model"]["name"]
    data = ModelCardData(
        model_name=name,
        base_model=None if os.path.isdir(checkpoint) else checkpoint,
        library_name="pytorch",
        tags=[task, record["model"]["family"], record["model"]["fusion"]],
        metrics=list(values),
        eval_results=[
            EvalResult(task, dataset, pairs, metric, round(value, 4))
            for metric, value in values.items()
        ],
    )
    return data.to_yaml(line_break="\n")


def _plain(value: Any) -> Any:
    """Show a value of the record as plain text of Markdown."""
    if isinstance(value, Markup):
        return value
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    if isinstance(value, float):
        text = f"{value:.4g}"
    return _MARKDOWN.sub(r"\\\1", printable(text))
