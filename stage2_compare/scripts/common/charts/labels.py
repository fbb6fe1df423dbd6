"""Short names of runs for pictures: readable, and never the same for two runs."""

from __future__ import annotations

import re
from collections import Counter

from ..runs.layout import DEFAULT_FUSION, DEFAULT_SEED
from ..runs.reader import Run

LONGEST = 200  # characters of any label: a name of 100,000 would be laid out for minutes
_SHORT_NAMES = {"chinese-clip": "Chinese-CLIP", "clip-": "CLIP", "bert-": "BERT", "blip-": "BLIP"}


def run_labels(runs: list[Run]) -> list[str]:
    """Return one label per run: "BERT + ResNet18 · gated", or more of the names where two of
    these would be equal."""
    rates_differ = len({run.number("protocol", "lr") for run in runs}) > 1
    for full in (False, True):
        labels = [_describe(run, full, rates_differ) for run in runs]
        if len(set(labels)) == len(labels):
            return labels
    return [run.name for run in runs]


def _describe(run: Run, full: bool, rates_differ: bool) -> str:
    """Describe a run by the ``model`` block of metrics.json, or by its name where that lacks it."""
    family, name = run.recorded("model", "family"), run.recorded("model", "name")
    fusion = run.recorded("model", "fusion")
    if not (isinstance(family, str) and isinstance(name, str)):
        return run.name
    checkpoint = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    encoder = checkpoint if full else _shorten(checkpoint)
    image = str(run.recorded("model", "image_backbone")).replace("resnet", "ResNet")
    two = family == "bert_resnet"  # checkpoints, one of them of the image
    if fusion in ("text", "image"):
        label = f"{image if two and fusion == 'image' else encoder} · {fusion} only"
    elif two:
        label = f"{encoder} + {image} · {fusion}"
    else:
        label = encoder if fusion in (None, DEFAULT_FUSION) else f"{encoder} · {fusion}"
    return " · ".join([label, *_details(run, rates_differ)])


def _details(run: Run, rates_differ: bool) -> list[str]:
    """Say what tells a run apart from others of its model."""
    rate, fold = run.number("protocol", "lr"), run.recorded("protocol", "fold")
    details = []
    if rates_differ and rate is not None and f"_lr{rate:g}" in run.name:
        details.append(f"lr {rate:g}")
    if run.seed not in (None, DEFAULT_SEED):
        details.append(f"seed {run.seed}")
    if fold is not None:
        details.append(f"fold {fold}")
    return details


def without_details(label: str) -> str:
    """Return the label of the model that a run's label begins with."""
    return re.sub(r"( · (lr [^·]+|seed [^·]+|fold [^·]+))+$", "", label)


def _shorten(checkpoint: str) -> str:
    for start, short in _SHORT_NAMES.items():
        if checkpoint.lower().startswith(start):
            return short
    return checkpoint


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
