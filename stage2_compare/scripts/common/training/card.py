"""The model card of a run, in the form of the hub: https://huggingface.co/docs/hub/model-cards"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment
from markupsafe import Markup

from .. import seeding
from ..files import printable
from ..metrics import METRICS, scores

_TEMPLATE = Path(__file__).with_name("card.md")
_MARKDOWN = re.compile(r"([\\`*_\[\]!|~#:])")  # what has a meaning within a line
_RESAMPLES = 1000


def model_card(name: str, record: dict[str, Any]) -> str:
    """Return README.md of the run ``name``, from what its metrics.json holds.

    All values are shown as plain text, whatever is in them.
    """
    environment = Environment(autoescape=True, finalize=_plain, trim_blocks=True)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    low, high = intervals(np.array(record["confusion"]), record["protocol"]["seed"])
    return template.render(
        head=Markup(_head(name, record)),
        name=name,
        metrics=METRICS,
        low=low,
        high=high,
        command=Markup(printable(shlex.join(record["command"]))),
        **{key: record[key] for key in ("best", "best_epoch", "epochs", "per_class", "labels")},
        **{key: record[key] for key in ("model", "protocol", "samples", "class_counts")},
        **{key: record[key] for key in ("code", "versions", "device")},
        test={m.key: record[f"test_{m.key}"] for m in METRICS if f"test_{m.key}" in record},
    )


def _head(name: str, record: dict[str, Any]) -> str:
    """Return the block of YAML that the hub reads."""
    values = {"accuracy": record["best"]["val_acc"], "f1": record["best"]["val_f1_macro"]}
    results = []
    for metric, value in values.items():
        result = EvalResult(
            task_type="image-text-classification",
            dataset_type="image-text-pairs",
            dataset_name="validation pairs",
            metric_type=metric,
            metric_value=round(value, 4),
        )
        results.append(result)
    checkpoint = record["model"]["name"]
    data = ModelCardData(
        model_name=name,
        base_model=None if os.path.isdir(checkpoint) else checkpoint,
        library_name="pytorch",
        tags=["image-text-classification", record["model"]["family"], record["model"]["fusion"]],
        metrics=list(values),
        eval_results=results,
    )
    return data.to_yaml(line_break="\n")


def intervals(confusion: np.ndarray, seed: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return both ends of the 95 % percentile interval of each metric, from resampled pairs.

    Args:
        confusion: (C, C) counts, rows true. To draw pairs with replacement is to draw its cells
            from a multinomial distribution.
    """
    random = np.random.Generator(np.random.Philox(seeding.derive(seed, "card")))
    count, cells = int(confusion.sum()), confusion.ravel() / confusion.sum()
    drawn = random.multinomial(count, cells, _RESAMPLES).reshape(-1, *confusion.shape)
    low, high = {}, {}
    for key, values in scores(drawn).items():
        low[key], high[key] = np.percentile(values, (2.5, 97.5)).tolist()
    return low, high


def _plain(value: Any) -> Any:
    """Show a value of the record as plain text of Markdown."""
    if isinstance(value, Markup):
        return value
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    if isinstance(value, float):
        text = f"{value:.4g}"
    return _MARKDOWN.sub(r"\\\1", printable(text))
