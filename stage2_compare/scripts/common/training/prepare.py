"""Settings -> all that a run is made of, read and checked before the first step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from ..data.copies import Duplicates, find_duplicates
from ..data.dataset import FeatureDataset, PairDataset, TokenDataset
from ..data.image_cache import load_splits
from ..data.splits import UNLABELLED, Split, class_names, label_indices
from ..data.tokens import Tokens, check_tokens, language_warning, tokenise
from ..errors import UserError
from ..models.build import build_classifier
from ..models.classifier import ImageTextClassifier
from ..models.loading import load_config, load_tokenizer
from ..runs.layout import MOST_CLASSES
from ..settings import TrainingRun
from .device import Precision, choose_precision, find_device
from .folds import Folds
from .identity import contents
from .reading import fingerprints, read_pairs


@dataclass
class PreparedRun:
    """All that a run is made of, checked, before its first step."""

    settings: TrainingRun  # its protocol is complete
    precision: Precision
    splits: dict[str, Split]  # train, val and, where there is one, test or ``UNLABELLED``
    datasets: dict[str, PairDataset]  # of the same names
    duplicates: Duplicates
    empty_text: Tokens  # one text without a word, for the probes
    max_length: int  # of a text in tokens, at most what the model reads
    contents: dict[str, Any]  # what lies beneath the settings, see identity.contents
    config: Any  # of the checkpoint, of transformers
    tokenizer: Any  # of transformers
    build: Callable[[], ImageTextClassifier]  # the same model each time, on the CPU
    # of the same names as ``datasets``, once a frozen encoder has read them
    features: dict[str, FeatureDataset | TokenDataset] = field(default_factory=dict)

    @property
    def classes(self) -> list[str]:
        return self.settings.protocol.classes


def prepare(settings: TrainingRun) -> PreparedRun:
    """Read and check everything.

    Raises:
        UserError: for all that can be known before the first batch.
    """
    # 1. The device, the splits, the model
    precision = choose_precision(settings.machine.amp, find_device(settings.machine.device))
    splits, folds, remarks = read_pairs(settings.paths, settings.protocol.fold)
    _print_lines(remarks)
    classes = _classes(splits["train"])
    labels = _labels(splits, classes)
    tokenizer = load_tokenizer(settings.model.name)
    build = _builder(settings, len(classes))
    model = build()

    # 2. Texts and photos
    max_length = _longest_text(settings, model.encoder.positions, tokenizer)
    tokens = _tokens(splits, tokenizer, max_length, model, settings.model.name)
    datasets = _datasets(settings, splits, tokens, labels)

    # 3. Warnings
    met = _met_in_training(splits, datasets)
    language = language_warning(splits["train"].texts, tokens["train"], settings.model.name)
    warnings = [found.warning(name) for name, found in met.items()]
    _print_lines([*warnings, language if model.encoder.text_dim else ""])

    complete = _with_data(settings, precision, classes, splits, datasets, folds)
    config = load_config(settings.model.name)
    unused = [model]  # the first fit takes it; only after running out of memory is another built
    return PreparedRun(
        settings=complete,
        precision=precision,
        splits=splits,
        datasets=datasets,
        duplicates=met["val"],
        empty_text=tokenise([""], tokenizer, max_length),
        max_length=max_length,
        contents=contents(complete, model, config, datasets, max_length),
        config=config,
        tokenizer=tokenizer,
        build=lambda: unused.pop() if unused else build(),
    )


def _classes(train: Split) -> list[str]:
    classes = class_names(train.labels)
    if len(classes) > MOST_CLASSES:  # nothing could read the run after its training
        raise UserError(
            f"{train.path}: {len(classes):,} classes, more than the {MOST_CLASSES} that can be "
            "compared; is the label column the right one?"
        )
    return classes


def _tokens(
    splits: dict[str, Split], tokenizer: Any, max_length: int, model: ImageTextClassifier, name: str
) -> dict[str, Tokens]:
    """Cut all texts into tokens that the model knows."""
    found = {each: tokenise(split.texts, tokenizer, max_length) for each, split in splits.items()}
    for tokens in found.values():
        check_tokens(tokens, model.encoder.vocabulary, name)
    return found


def _print_lines(lines: list[str]) -> None:
    for line in filter(None, lines):
        print(line, flush=True)


def _met_in_training(
    splits: dict[str, Split], datasets: dict[str, PairDataset]
) -> dict[str, Duplicates]:
    """Count the pairs of each other split that share something with a training pair."""
    found = {}
    for name in [name for name in splits if name != "train"]:
        images = datasets["train"].images, datasets[name].images
        found[name] = find_duplicates(splits["train"], splits[name], *images)
    return found


def _labels(splits: dict[str, Split], classes: list[str]) -> dict[str, list[int]]:
    """Return the labels of each split as places in ``classes``, -1 where they are not known."""
    return {
        name: [-1] * len(split) if name == UNLABELLED else label_indices(split, classes)
        for name, split in splits.items()
    }


def _datasets(
    settings: TrainingRun,
    splits: dict[str, Split],
    tokens: dict[str, Tokens],
    labels: dict[str, list[int]],
) -> dict[str, PairDataset]:
    """Decode the photos of all splits together, so that all broken ones are told at once."""
    image_size = settings.protocol.image_size
    photos = {name: split.image_paths for name, split in splits.items()}
    images = load_splits(photos, image_size, settings.paths.cache)
    augmented = settings.protocol.augmentation != "none"
    return {
        name: PairDataset(
            tokens[name], images[name], labels[name], image_size, augmented and name == "train"
        )
        for name in splits
    }


def _with_data(
    settings: TrainingRun,
    precision: Precision,
    classes: list[str],
    splits: dict[str, Split],
    datasets: dict[str, PairDataset],
    folds: Folds | None,
) -> TrainingRun:
    """Complete the protocol with what is known once the data are read."""
    protocol = replace(
        settings.protocol,
        precision=precision.name,
        classes=classes,
        **fingerprints(splits, {name: dataset.images for name, dataset in datasets.items()}),
        folds=folds.count if folds else None,
        folds_sha256=folds.sha256 if folds else "",
    )
    return replace(settings, protocol=protocol)


def _builder(settings: TrainingRun, classes: int) -> Callable[[], ImageTextClassifier]:
    protocol = settings.protocol

    def build() -> ImageTextClassifier:
        return build_classifier(
            settings.model,
            classes,
            protocol.image_size,
            seed=protocol.seed,
            pretrained=protocol.pretrained,
            frozen=protocol.frozen_encoders,
        )

    return build


def _longest_text(settings: TrainingRun, positions: int, tokenizer: Any) -> int:
    """Return the longest text in tokens: what was asked for, or less where the model reads less."""
    wanted = settings.protocol.max_length
    longest = min(wanted, positions, tokenizer.model_max_length)
    specials = tokenizer.num_special_tokens_to_add()
    if longest <= specials:
        raise UserError(
            f"--max-length {longest} leaves no room for text: {specials} tokens mark its ends"
        )
    if longest < wanted:
        name = settings.model.name
        print(f"{name} reads at most {longest} tokens: longer texts are cut there", flush=True)
    return longest
