"""From a choice of model to the classifier, with pretrained weights or with those of a finished
run."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from importlib import import_module

from torch import Tensor

from .. import seeding
from ..settings import FAMILIES, ModelChoice, Protocol
from .classifier import Head, ImageTextClassifier
from .encoder import Encoder
from .fusion import FUSIONS
from .loading import load_config

# At most one: the frozen encoder of this process's last classifier, by the choices that made it.
_kept: dict[tuple, Encoder] = {}


def build_classifier(
    choice: ModelChoice,
    classes: int,
    image_size: int,
    seed: int | None = None,
    pretrained: bool = True,
    state: dict[str, Tensor] | None = None,
    frozen: bool = False,
    branches: bool = False,
    dropout: float = Protocol.dropout,
) -> ImageTextClassifier:
    """Build the classifier of a choice.

    Args:
        seed: of the weights that start random; None draws them from torch's own stream.
        pretrained: False starts the encoder from random weights too.
        state: ``model_state`` of a finished run's best.pt; then no pretrained weights are read.
        frozen: train the head alone. The process keeps such an encoder, if pretrained, for its next
            classifier: reading the weights takes longer than training a head.
        branches, dropout: see ``classifier.Head``; weights of ``state`` that are of branches are
            left out.
    Raises:
        UserError: the checkpoint is absent, broken, of another kind, or lacks a weight in use.
    """

    def stream(part: str):
        return nullcontext() if seed is None else seeding.initialising(seed, part)

    pretrained = pretrained and state is None
    fusion = FUSIONS[choice.fusion]
    made_of = replace(choice, fusion=""), fusion.uses, fusion.pooled, image_size
    encoder = _kept.get(made_of) if frozen and pretrained else None
    if encoder is None:
        _kept.clear()  # before the next one is read: there is memory for one
        with stream("encoder"):
            load = encoder_class(choice.family)
            encoder = load(choice, load_config(choice.name), image_size, pretrained)
        if frozen and pretrained:
            _kept[made_of] = encoder
    with stream("head"):
        head = Head(encoder, choice.fusion, classes, branches, dropout)
    model = ImageTextClassifier(encoder, head)
    if frozen:
        model.freeze_encoder()
    if state is not None:
        encoder.drop_missing({name.removeprefix("encoder.") for name in state})
        of_branches = ("head.text_branch.", "head.image_branch.")
        model.load_state_dict({k: v for k, v in state.items() if not k.startswith(of_branches)})
    return model


def encoder_class(family: str) -> type[Encoder]:
    """Import the class of a family of encoders, a key of FAMILIES."""
    module, name = FAMILIES[family].encoder.split(":")
    return getattr(import_module(f".{module}", __package__), name)
