"""The names of models and of their runs, the same in every table, picture and sentence.

    BERT + ResNet18 · concat      CLIP      CLIP ViT-L/14 · frozen      CLIP · seed 43 · fold 2

A name says no more than what tells the models of one folder apart, and two models never share one.
Names are the same in every language.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from ..files import printable
from ..settings import ModelChoice
from .layout import MAY_VARY
from .reading import Run

BETWEEN = " · "
_KINDS = {"chinese-clip": "Chinese-CLIP", "clip": "CLIP", "bert": "BERT", "blip": "BLIP"}
_VIT = re.compile(r"vit-(base|large|huge|giant)-patch(\d+)")
_SIZES = {"base": "B", "large": "L", "huge": "H", "giant": "g"}
# A folder of such a name says nothing of the model in it: its parent does.
_NO_NAME = re.compile(r"(model|checkpoint|best|final|output|weights)?[-_]?\d*", re.IGNORECASE)
_LONGEST = 80  # characters of a recorded name


def model_names(models: list[list[Run]]) -> list[str]:
    """Return the name of each model, given by its runs. All of them differ."""
    firsts = [runs[0] for runs in models]
    checkpoints = defaultdict(set)
    for run in firsts:
        checkpoints[_kind(run)].add(_checkpoint(run))
    names = [_model(run, len(checkpoints[_kind(run)]) > 1) for run in firsts]
    # 1. What a reader wants to know wherever the models of the folder differ in it.
    for detail in (_frozen, _folds):
        names = _with_details(names, [detail(run) for run in firsts])
    # 2. What else tells equal names apart: values of the protocol, at last the folder.
    names = _apart(names, firsts, _protocol)
    return _apart(names, firsts, lambda equal: [f"({printable(run.name)})" for run in equal])


def run_names(model: str, runs: list[Run]) -> list[str]:
    """Return the name of each run of a model. All of them differ."""
    names = [model] * len(runs)
    rates = [run.number("protocol", "lr") for run in runs]
    folds = [run.recorded("protocol", "fold") for run in runs]
    names = _with_details(
        names, ["" if rate is None else f"lr {short_rate(rate)}" for rate in rates]
    )
    names = _with_details(names, ["" if run.seed is None else f"seed {run.seed}" for run in runs])
    names = _with_details(names, ["" if fold is None else f"fold {fold}" for fold in folds])
    return _apart(names, runs, lambda equal: [f"({printable(run.name)})" for run in equal])


def short_rate(rate: float) -> str:
    """Write a learning rate as people do: 2e-5, 1e-3."""
    mantissa, exponent = f"{rate:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def plain_name(run: Run) -> str:
    """Return the name of a run's folder without the endings that ``settings.run_name`` adds."""
    rate = run.number("protocol", "lr") or 0.0
    return without_fold_and_seed(run).removesuffix(f"_lr{rate:g}")


def without_fold_and_seed(run: Run) -> str:
    name = run.name.removesuffix(f"_fold{run.recorded('protocol', 'fold')}")
    return name.removesuffix(f"_seed{run.seed}")


def _model(run: Run, full: bool) -> str:
    """Name a model by the ``model`` block of metrics.json, or by its folder where that lacks it.

    ``full``: with its checkpoint, because another one of its kind is compared too.
    """
    kind, fusion, image = _kind(run), run.recorded("model", "fusion"), _image(run)
    if kind is None:
        return _shortened(plain_name(run))
    if full:
        kind = _checkpoint(run)
    if fusion in ("text", "image"):
        return f"{image if image and fusion == 'image' else kind}{BETWEEN}{fusion} only"
    encoders = f"{kind} + {image}" if image else kind
    default = fusion is None or (not image and fusion == ModelChoice.fusion)
    return encoders if default else f"{encoders}{BETWEEN}{_shortened(fusion)}"


def _image(run: Run) -> str:
    """Return the image encoder beside that of the text, or nothing where one checkpoint has both."""
    name = run.recorded("model", "image_backbone")
    return "" if name is None else _shortened(name).replace("resnet", "ResNet")


def _kind(run: Run) -> str | None:
    """Return BERT, CLIP, ..., or the checkpoint's own name; None where no model is recorded."""
    if not all(isinstance(run.recorded("model", key), str) for key in ("family", "name")):
        return None
    name = _last_part(run).lower()
    kinds = (kind for start, kind in _KINDS.items() if re.match(rf"{start}([-_]|$)", name))
    return next(kinds, _last_part(run))


def _checkpoint(run: Run) -> str | None:
    """Return the kind and what its checkpoint's name adds to it: "CLIP ViT-L/14"."""
    kind = _kind(run)
    if kind is None:
        return None
    name = _last_part(run)
    name = _VIT.sub(lambda found: f"ViT-{_SIZES[found[1]]}/{found[2]}", name)
    start = next((start for start, known in _KINDS.items() if known == kind), None)
    return name if start is None else f"{kind} {name[len(start) :].strip('-_')}".strip()


def _last_part(run: Run) -> str:
    """Return the last part of a checkpoint's name that says something."""
    parts = list(filter(None, re.split(r"[/\\]", run.recorded("model", "name")))) or ["?"]
    own = parts[-1]
    if _NO_NAME.fullmatch(own) and len(parts) > 1:
        own = f"{parts[-2]}/{own}"
    return _shortened(own)


def _frozen(run: Run) -> str:
    return "frozen" if run.recorded("protocol", "frozen_encoders") is True else ""


def _folds(run: Run) -> str:
    folds = run.recorded("protocol", "folds")
    return f"{folds} folds" if isinstance(folds, int) else ""


def _protocol(equal: list[Run]) -> list[str]:
    """Say in which recorded values some runs of one name differ: "epochs 9"."""
    settings = []
    for run in equal:
        found = {**(run.recorded("model") or {}), **(run.recorded("protocol") or {})}
        known = {key: value for key, value in found.items() if isinstance(value, (str, int, float))}
        settings.append({key: json.dumps(value).strip('"') for key, value in known.items()})
    keys = [
        key
        for key in dict.fromkeys(key for own in settings for key in own)
        if key not in (*MAY_VARY, "lr", "batch_size") and not key.endswith("sha256")
        if len({own.get(key) for own in settings}) > 1
    ]
    details = [[f"{key} {own[key]}" for key in keys if key in own] for own in settings]
    return [_shortened(", ".join(own)) for own in details]


def _with_details(names: list[str], details: list[str]) -> list[str]:
    """Add a detail to each name, if they are not all the same."""
    if len(set(details)) < 2:
        return names
    return [BETWEEN.join(filter(None, each)) for each in zip(names, details, strict=True)]


def _apart(
    names: list[str], runs: list[Run], details: Callable[[list[Run]], list[str]]
) -> list[str]:
    """Add details to names that are equal."""
    found = list(names)
    for name, count in Counter(names).items():
        if count > 1:
            places = [place for place, each in enumerate(names) if each == name]
            told = details([runs[place] for place in places])
            for place, detail in zip(places, told, strict=True):
                found[place] = BETWEEN.join(filter(None, (name, detail)))
    return found


def _shortened(text: Any) -> str:
    """Return a text fit for one line; of a long one the middle is left out."""
    line = printable(str(text))
    half = _LONGEST // 2
    return line if len(line) <= _LONGEST else f"{line[:half]}…{line[-half:]}"
