"""Short names of runs for pictures: readable, and never the same for two runs."""

from __future__ import annotations

import re
from collections import Counter

from ..cli import DEFAULT_SEED
from ..runs.reader import Run


def run_labels(runs: list[Run]) -> list[str]:
    """One label per run: "BERT + ResNet18 · gated" where that tells all runs apart, else more of the names."""
    for labels in ([_describe(run, full) for run in runs] for full in (False, True)):
        if len(set(labels)) == len(labels):
            return labels
    return [run.name for run in runs]


def _describe(run: Run, full: bool) -> str:
    """From the ``model`` block of metrics.json; the run's name where it does not say enough."""
    family, name, backbone, fusion = (
        run.recorded("model", key) for key in ("family", "name", "image_backbone", "fusion")
    )
    if not (isinstance(family, str) and isinstance(name, str)):
        return run.name
    checkpoint = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    encoder = checkpoint if full else _short(checkpoint)
    image = str(backbone).replace("resnet", "ResNet")
    if family != "bert_resnet":
        label = encoder
    elif fusion in ("text", "image"):
        label = f"{encoder if fusion == 'text' else image} · {fusion} only"
    else:
        label = f"{encoder} + {image} · {fusion}"
    return label if run.seed in (None, DEFAULT_SEED) else f"{label} · seed {run.seed}"


def _short(checkpoint: str) -> str:
    known = {"chinese-clip": "Chinese-CLIP", "clip-": "CLIP", "bert-": "BERT", "blip-": "BLIP"}
    return next(
        (short for start, short in known.items() if checkpoint.lower().startswith(start)),
        checkpoint,
    )


def tell_apart(labels: list[str]) -> list[str]:
    """Numbers the labels that became equal, say because no font has their characters."""
    total, seen, result = Counter(labels), Counter(), []
    for label in labels:
        seen[label] += 1
        result.append(label if total[label] == 1 else f"{label} ({seen[label]})")
    return result
