"""From a choice of model to the classifier, with pretrained weights or with those of a finished
run."""

from __future__ import annotations

from contextlib import nullcontext

from torch import Tensor

from .. import seeding
from .bert_resnet import BertResNet
from .blip import Blip
from .choice import ModelChoice
from .classifier import ImageTextClassifier
from .clip import Clip
from .encoder import Encoder
from .loading import load_config

ENCODERS: dict[str, type[Encoder]] = {"bert_resnet": BertResNet, "clip": Clip, "blip": Blip}


def build_classifier(
    choice: ModelChoice,
    classes: int,
    image_size: int,
    seed: int | None = None,
    pretrained: bool = True,
    state: dict[str, Tensor] | None = None,
) -> ImageTextClassifier:
    """Build the classifier of a choice.

    Args:
        classes: C.
        image_size: height and width of the images in pixels.
        seed: of the weights that start random; None draws them from torch's own stream.
        pretrained: False starts the encoder from random weights too.
        state: ``model_state`` of a finished run's best.pt; then no pretrained weights are read.
    Raises:
        UserError: the checkpoint is absent, broken, of another kind, or lacks a weight in use.
    """

    def stream(part: str):
        return nullcontext() if seed is None else seeding.initialising(seed, part)

    config = load_config(choice.name)
    with stream("encoder"):
        encoder = ENCODERS[choice.family](choice, config, image_size, pretrained and state is None)
    with stream("head"):
        model = ImageTextClassifier(encoder, choice.fusion, classes)
    if state is not None:
        encoder.drop_missing({name.removeprefix("encoder.") for name in state})
        model.load_state_dict(state)
    return model
