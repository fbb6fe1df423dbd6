"""The names of models and of their runs, the same in every table, picture and sentence.

    BERT + ResNet18 · concat      RoBERTa + ViT-B/16 · late      CLIP ViT-L/14 · frozen
    SigLIP · seed 43 · fold 2     CLIP · tuned (with --tag tuned)

A name says no more than what tells the models of one folder apart, and two models never share one.
Names are the same in every language.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from typing import Any

from ..files import printable
from ..settings import BASELINES, ModelChoice, usual_lr
from .layout import MAY_VARY
from .reading import Run

BETWEEN = " · "
# How the names of checkpoints and of networks begin -> how people write it
_KINDS = {
    "bert": "BERT",
    "roberta": "RoBERTa",
    "xlm-roberta": "XLM-R",
    "distilbert": "DistilBERT",
    "deberta": "DeBERTa",
    "clip": "CLIP",
    "chinese-clip": "Chinese-CLIP",
    "siglip": "SigLIP",
    "altclip": "AltCLIP",
    "blip": "BLIP",
    "resnet": "ResNet",
    "resnext": "ResNeXt",
    "regnet": "RegNet",
    "efficientnet": "EfficientNet",
    "mobilenet": "MobileNet",
    "convnext": "ConvNeXt",
    "convnextv2": "ConvNeXtV2",
    "swin": "Swin",
    "dinov2": "DINOv2",
}
_VIT = re.compile(r"vit[-_](base|large|huge|giant|b|l|h)[-_](?:patch)?(\d+)", re.IGNORECASE)
_USUAL = re.compile(r"(-patch\d+-window\d+)?-224$")  # how a checkpoint of the usual size ends
# A folder of such a name says nothing of the model in it: its parent does.
_NO_NAME = re.compile(r"(model|checkpoint|best|final|output|weights)?[-_]?\d*", re.IGNORECASE)
_LONGEST = 80  # characters of a recorded name


def model_names(models: list[list[Run]]) -> list[str]:
    """Return the name of each model, given by its runs. All of them differ."""
    firsts = [runs[0] for runs in models]
    checkpoints = defaultdict(set)
    for run in firsts:
        kind, checkpoint = _kind(run)
        checkpoints[kind].add(checkpoint)
    names = [_model(run, checkpoints) for run in firsts]
    # What a reader wants to know wherever the models of the folder differ in it.
    frozen = [run.recorded("protocol", "frozen_encoders") is True for run in firsts]
    names = _with_details(names, ["frozen" if each else "" for each in frozen])
    folds = [run.recorded("protocol", "folds") for run in firsts]
    names = _with_details(names, [f"{n} folds" if isinstance(n, int) else "" for n in folds])
    tags = [_shortened(run.tag) for run in firsts]
    names = [BETWEEN.join(filter(None, each)) for each in zip(names, tags, strict=True)]
    return _apart(names, firsts)


def run_names(model: str, runs: list[Run]) -> list[str]:
    """Return the name of each run of a model. All of them differ."""
    names = [model] * len(runs)
    rates = [run.number("protocol", "lr") for run in runs]
    folds = [run.recorded("protocol", "fold") for run in runs]
    names = _with_details(names, ["" if r is None else f"lr {short_rate(r)}" for r in rates])
    names = _with_details(names, ["" if run.seed is None else f"seed {run.seed}" for run in runs])
    names = _with_details(names, ["" if fold is None else f"fold {fold}" for fold in folds])
    return _apart(names, runs)


def short_rate(rate: float) -> str:
    """Write a learning rate as people do: 2e-5, 1e-3."""
    mantissa, exponent = f"{rate:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def plain_name(run: Run) -> str:
    """Return the name of a run's folder without the endings that ``settings.run_name`` adds."""
    rate = run.number("protocol", "lr") or 0.0
    return without_fold_and_seed(run).removesuffix(f"_lr{rate:g}")


def without_fold_and_seed(run: Run) -> str:
    """Return the name of a run's folder without these, and without its rate where that is the usual
    one, which earlier versions told of frozen encoders; and without its tag."""
    name = run.name.removesuffix(f"_{run.tag}") if run.tag else run.name
    name = name.removesuffix(f"_fold{run.recorded('protocol', 'fold')}")
    name, rate = name.removesuffix(f"_seed{run.seed}"), run.number("protocol", "lr")
    usual = usual_lr(run.recorded("protocol", "frozen_encoders") is True)
    return name.removesuffix(f"_lr{rate:g}") if rate == usual else name


def _model(run: Run, checkpoints: dict[str | None, set]) -> str:
    """Name a model by the ``model`` block of metrics.json, or by its folder where that lacks it;
    with its checkpoint, where another one of its kind is compared too."""
    kind, checkpoint = _kind(run)
    if kind is None:
        return _shortened(plain_name(run))
    if len(checkpoints[kind]) > 1:
        kind = checkpoint
    fusion, backbone = (run.recorded("model", key) for key in ("fusion", "image_backbone"))
    # Nothing where one checkpoint has both encoders.
    image = "" if backbone is None else _image(str(backbone))
    if fusion in BASELINES:
        return f"{image if image and fusion == 'image' else kind}{BETWEEN}{fusion} only"
    encoders = f"{kind} + {image}" if image else kind
    default = fusion is None or (not image and fusion == ModelChoice.fusion)
    return encoders if default else f"{encoders}{BETWEEN}{_shortened(fusion)}"


def _kind(run: Run) -> tuple[str | None, str | None]:
    """Return BERT, CLIP, ..., or the checkpoint's own name, and the kind with what its checkpoint's
    name adds to it: "CLIP ViT-L/14"; None where no model is recorded."""
    if not all(isinstance(run.recorded("model", key), str) for key in ("family", "name")):
        return None, None
    own, kind, rest = _parts(run.recorded("model", "name"))
    return kind or own, f"{kind} {rest.strip('-_')}".strip() if kind else rest


def _image(backbone: str) -> str:
    """Return the name of an image encoder: ResNet18, ViT-B/16, DINOv2-small, CLIP ViT-B/32."""
    _, kind, rest = _parts(backbone)
    return kind + rest.replace("_", "-").replace("-ViT", " ViT") if kind else rest


def _parts(name: str) -> tuple[str, str, str]:
    """Return the part of a recorded name that says something, the kind at its start, "" where that
    is unknown, and what follows it, written as people do."""
    parts = list(filter(None, re.split(r"[/\\]", name))) or ["?"]
    own = parts[-1]
    if _NO_NAME.fullmatch(own) and len(parts) > 1:
        own = f"{parts[-2]}/{own}"
    own = _shortened(own)
    written = _VIT.sub(lambda vit: f"ViT-{_size(vit[1])}/{vit[2]}", _USUAL.sub("", own))
    for start, kind in _KINDS.items():
        if re.match(rf"{start}(?![a-z])", own.lower()):
            return own, kind, written[len(start) :]
    return own, "", written


def _size(word: str) -> str:
    return "g" if word == "giant" else word[0].upper()


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
        if key not in (*MAY_VARY, "batch_size") and not key.endswith("sha256")
        if len({own.get(key) for own in settings}) > 1
    ]
    details = [[f"{key} {own[key]}" for key in keys if key in own] for own in settings]
    return [_shortened(", ".join(own)) for own in details]


def _folders(equal: list[Run]) -> list[str]:
    # Two names stay two where they differ only in what cannot be printed.
    escaped = [[c if c.isprintable() else ascii(c)[1:-1] for c in run.name] for run in equal]
    return [f"({''.join(name)})" for name in escaped]


def _with_details(names: list[str], details: list[str]) -> list[str]:
    """Add a detail to each name, if they are not all the same."""
    if len(set(details)) < 2:
        return names
    return [BETWEEN.join(filter(None, each)) for each in zip(names, details, strict=True)]


def _apart(names: list[str], runs: list[Run]) -> list[str]:
    """Tell equal names apart by values of the protocol, and at last by the folder."""
    for details in (_protocol, _folders):
        found = list(names)
        for name in {name for name, count in Counter(found).items() if count > 1}:
            places = [place for place, each in enumerate(found) if each == name]
            told = details([runs[place] for place in places])
            for place, detail in zip(places, told, strict=True):
                names[place] = BETWEEN.join(filter(None, (name, detail)))
    return names


def _shortened(text: Any) -> str:
    """Return a text fit for one line; of a long one the middle is left out."""
    line = printable(str(text))
    half = _LONGEST // 2
    return line if len(line) <= _LONGEST else f"{line[:half]}…{line[-half:]}"
