"""From a choice of model to the classifier, with pretrained weights or with those of a finished
run."""

from __future__ import annotations

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
    choice: ModelChoice, classes: int, protocol: Protocol, state: dict[str, Tensor] | None = None
) -> ImageTextClassifier:
    """Build the classifier of a choice, as a protocol says. The process keeps a frozen encoder for its
    next classifier: reading the weights takes longer than training a head.

    Args:
        state: ``model_state`` of a finished run's best.pt, without its branches; then no pretrained
            weights are read.
    Raises:
        UserError: the checkpoint is absent, broken, of another kind, or lacks a weight in use.
    """
    pretrained = protocol.pretrained and state is None
    fusion, kept = FUSIONS[choice.fusion], protocol.frozen_encoders and pretrained
    made_of = replace(choice, fusion=""), fusion.uses, fusion.pooled, protocol.image_size
    encoder = _kept.get(made_of) if kept else None
    if encoder is None:
        _kept.clear()  # before the next one is read: there is memory for one
        with seeding.initialising(protocol.seed, "encoder"):
            load = encoder_class(choice.family)
            encoder = load(choice, load_config(choice.name), protocol.image_size, pretrained)
        if kept:
            _kept[made_of] = encoder
    with seeding.initialising(protocol.seed, "head"):
        branches = protocol.branch_loss > 0
        head = Head(encoder, choice.fusion, classes, branches, protocol.dropout)
    model = ImageTextClassifier(encoder, head)
    if protocol.frozen_encoders:
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
