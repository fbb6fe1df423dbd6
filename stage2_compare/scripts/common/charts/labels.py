"""Short names of runs for pictures: readable, and never the same for two runs."""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

from ..runs.reading import Run
from ..settings import ModelChoice, Protocol
from ..words import Language

LONGEST = 200  # characters of any label: a name of 100,000 would be laid out for minutes
_SHORT_NAMES = {"chinese-clip": "Chinese-CLIP", "clip-": "CLIP", "bert-": "BERT", "blip-": "BLIP"}


class Label(NamedTuple):
    """The words for a run, and those of them that are for its model: "BERT + ResNet18 · gated"."""

    run: str
    model: str


def run_labels(runs: list[Run], say: Language) -> list[Label]:
    """Return one label per run, with more of the names where two of them would be equal."""
    rates_differ = len({run.number("protocol", "lr") for run in runs}) > 1
    for full in (False, True):
        models = [_model(run, full, say) for run in runs]
        labels = [
            Label(" · ".join([model, *_details(run, rates_differ, say)]), model)
            for run, model in zip(runs, models, strict=True)
        ]
        if len({label.run for label in labels}) == len(labels):
            return labels
    return [Label(run.name, run.name) for run in runs]


def _model(run: Run, full: bool, say: Language) -> str:
    """Name a model by the ``model`` block of metrics.json, or by its run where that lacks it."""
    family, name = run.recorded("model", "family"), run.recorded("model", "name")
    fusion = run.recorded("model", "fusion")
    if not (isinstance(family, str) and isinstance(name, str)):
        return run.name
    checkpoint = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    short = (short for start, short in _SHORT_NAMES.items() if checkpoint.lower().startswith(start))
    encoder = checkpoint if full else next(short, checkpoint)
    image = str(run.recorded("model", "image_backbone")).replace("resnet", "ResNet")
    two = family == "bert_resnet"  # checkpoints, one of them of the image
    if fusion in ("text", "image"):
        only = say(f"one_modality_{fusion}")
        return f"{image if two and fusion == 'image' else encoder} · {only}"
    if two:
        return f"{encoder} + {image} · {fusion}"
    return encoder if fusion in (None, ModelChoice.fusion) else f"{encoder} · {fusion}"


def _details(run: Run, rates_differ: bool, say: Language) -> list[str]:
    """Say what tells a run apart from others of its model."""
    rate, fold = run.number("protocol", "lr"), run.recorded("protocol", "fold")
    details = {}
    if rates_differ and rate is not None and f"_lr{rate:g}" in run.name:
        details["lr"] = f"{rate:g}"
    if run.seed not in (None, Protocol.seed):
        details["seed"] = run.seed
    if fold is not None:
        details["fold"] = fold
    return [say(f"detail_{name}", value=value) for name, value in details.items()]


def shortened(text: str) -> str:
    """Cut the middle out of a label that is longer than LONGEST; names differ at their ends."""
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST // 2]}…{text[-(LONGEST // 2 - 1) :]}"


def number_duplicates(labels: list[str]) -> list[str]:
    """Number the labels that are equal, for example because no font has their characters."""
    total, seen, numbered = Counter(labels), Counter(), []
    for label in labels:
        seen[label] += 1
        numbered.append(label if total[label] == 1 else f"{label} ({seen[label]})")
    return numbered
