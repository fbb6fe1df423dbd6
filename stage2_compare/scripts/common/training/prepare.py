"""Settings -> all that a run is made of, read and checked before the first step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from ..data.copies import Duplicates, find_duplicates
from ..data.dataset import Dataset, PairDataset
from ..data.image_store import load_splits
from ..data.splits import UNLABELLED, Split, class_names, fingerprints, label_indices, read_pairs
from ..data.tokens import Tokens, check_tokens, language_warning, tokenise
from ..errors import UserError
from ..models.build import build_classifier
from ..models.checkpoint import checkpoint_records
from ..models.classifier import ImageTextClassifier
from ..models.loading import load_tokenizer
from ..runs.identity import RECORDS
from ..runs.layout import MOST_CLASSES
from ..settings import TrainingRun
from .device import Precision, choose_precision, find_device
from .processes import ALONE, Processes
from .resume import contents


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
    contents: dict[str, Any]  # what lies beneath the settings, see resume.contents
    checkpoints: dict[str, Any]  # what is recorded of them, see checkpoint.checkpoint_records
    tokenizer: Any  # of transformers
    build: Callable[[], ImageTextClassifier]  # the same model each time, on the CPU
    processes: Processes  # this one, and its peers
    micro: int  # samples that go through the model at once; fewer after memory ran out
    halvings: list[dict[str, int]] = field(default_factory=list)  # epoch and micro-batch then
    # of the same names as ``datasets``, once a frozen encoder has read them
    features: dict[str, Dataset] = field(default_factory=dict)
    encode_sec: float = 0.0  # that this took, see features.encode

    @property
    def classes(self) -> list[str]:
        return self.settings.protocol.classes

    @property
    def identity(self) -> dict[str, Any]:
        """Return the blocks of metrics.json that tell runs apart, see runs.identity."""
        model = self.settings.model_record(self.micro, self.max_length)
        return {
            "protocol": asdict(self.settings.protocol),
            "model": {**model, RECORDS: self.checkpoints},
            "content": self.contents,
        }


def prepare(
    settings: TrainingRun, processes: Processes = ALONE, pairs: tuple | None = None
) -> PreparedRun:
    """Read and check everything, the ``pairs`` too where they are not given. Raise UserError for all
    that can be known before the first batch."""
    # 1. The device, the splits, the classes
    protocol, choice = settings.protocol, settings.model
    device = processes.device or find_device(settings.machine.device)
    precision = choose_precision(settings.machine.amp, device)
    splits, folds, remarks = pairs or read_pairs(settings.paths, protocol.fold)
    print_lines(remarks)
    train, classes = splits["train"], class_names(splits["train"].labels)
    if len(classes) > MOST_CLASSES:  # nothing could read the run after its training
        raise UserError(
            f"{train.path}: {len(classes):,} classes, more than the {MOST_CLASSES} that can be "
            "compared; is the label column the right one?"
        )
    labels = {
        name: [-1] * len(split) if name == UNLABELLED else label_indices(split, classes)
        for name, split in splits.items()
    }

    # 2. The model
    tokenizer = load_tokenizer(choice.name)
    build = partial(build_classifier, choice, len(classes), protocol)
    model = build()
    unused = [model]  # the first fit takes it; only after running out of memory is another built

    # 3. Texts and photos
    longest = min(protocol.max_length, model.encoder.positions, tokenizer.model_max_length)
    specials = tokenizer.num_special_tokens_to_add()
    if longest <= specials:
        raise UserError(
            f"--max-length {longest} leaves no room for text: {specials} tokens mark its ends"
        )
    if longest < protocol.max_length:
        print(
            f"{choice.name} reads at most {longest} tokens: longer texts are cut there", flush=True
        )
    tokens = {name: tokenise(each.texts, tokenizer, longest) for name, each in splits.items()}
    for of_split in tokens.values():
        check_tokens(of_split, model.encoder.vocabulary, choice.name)
    photos = {name: split.image_paths for name, split in splits.items()}
    # All splits together, so that all broken photos are told at once.
    images = load_splits(photos, protocol.image_size, settings.paths.cache)
    datasets = {}
    for name in splits:
        augmented = protocol.augmentation != "none" and name == "train"
        pairs = tokens[name], images[name], labels[name]
        datasets[name] = PairDataset(*pairs, protocol.image_size, augmented)

    # 4. Warnings
    met = {
        name: find_duplicates(train, split, images["train"], images[name])
        for name, split in splits.items()
        if name != "train"
    }
    language = language_warning(train.texts, tokens["train"], choice.name)
    warnings = [found.warning(name) for name, found in met.items()]
    print_lines([*warnings, language if model.encoder.text_dim else ""])

    pairs = fingerprints(splits, images)[0]
    complete = replace(protocol, precision=precision.name, classes=classes, **pairs, **folds)
    return PreparedRun(
        settings=replace(settings, protocol=complete),
        precision=precision,
        splits=splits,
        datasets=datasets,
        duplicates=met["val"],
        empty_text=tokenise([""], tokenizer, longest),
        max_length=longest,
        contents=contents(complete, model, datasets, longest),
        checkpoints=checkpoint_records(choice),
        tokenizer=tokenizer,
        build=lambda: unused.pop() if unused else build(),
        processes=processes,
        micro=settings.micro_batch_of(processes.count),
    )


def print_lines(lines: Iterable[str]) -> None:
    """Print the lines that are not empty."""
    for line in filter(None, lines):
        print(line, flush=True)
