"""A training command's flags -> all that its run is made of, read and checked before the first step."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .. import seeding as seeds
from ..data.dataset import PairDataset
from ..data.duplicates import Duplicates, find_duplicates
from ..data.image_cache import ImageStore, load_images
from ..data.splits import Split, class_names, label_indices, read_split
from ..data.tokens import Tokens, check_tokens, tokenise
from ..errors import UserError
from ..models.classifier import ImageTextClassifier
from ..models.fused_attention import use_fused_attention
from ..models.loading import load_config, load_tokenizer
from .device import find_device
from .precision import Precision, choose_precision


@dataclass
class Job:
    """All that a run is made of, checked, before its first step."""

    args: argparse.Namespace
    family: str
    fusion: str
    precision: Precision
    classes: list[str]
    splits: dict[str, Split]  # train, val and, where it has labels, test
    parts: dict[str, PairDataset]  # of the same names
    duplicates: Duplicates
    max_length: int
    build: Callable[[], ImageTextClassifier]

    @property
    def micro(self) -> int:
        return min(self.args.batch_size, self.args.effective_batch_size)

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the result: a checkpoint of anything else is of no use."""
        model = {**self.model_record(), "batch_size": self.micro}
        return {**self.protocol, **{f"model {key}": value for key, value in model.items()}}

    @cached_property
    def protocol(self) -> dict[str, Any]:
        return protocol(self)

    def model_record(self) -> dict[str, Any]:
        """What may differ between runs that are compared."""
        return {
            "family": self.family,
            "name": self.args.model_name,
            "image_backbone": getattr(self.args, "image_backbone", None),
            "fusion": self.fusion,
            "max_length": self.max_length,
        }


def prepare(args: argparse.Namespace, family: str, fusion: str, make_encoder: Callable) -> Job:
    """Read and check everything. Raises UserError for all that can be known before the first batch."""
    precision = choose_precision(args.amp, find_device(args.device))
    splits = read_splits(args)
    classes = class_names(splits["train"].labels)
    labels = {part: label_indices(split, classes) for part, split in splits.items()}
    tokenizer = load_tokenizer(args.model_name)

    def build() -> ImageTextClassifier:
        with seeds.initialising(args.seed, "encoder"):
            encoder = make_encoder(load_config(args.model_name))
        with seeds.initialising(args.seed, "head"):
            model = ImageTextClassifier(encoder, fusion, len(classes))
        if args.freeze_encoders:
            model.freeze_encoder()
        if not (
            precision.device.type == "cuda" and args.deterministic
        ):  # its backward pass there is not deterministic
            use_fused_attention(model)
        return model

    model = build()
    built = [
        model
    ]  # the first attempt takes it; only after running out of memory another one is made
    max_length = min(args.max_length, model.encoder.positions, tokenizer.model_max_length)
    if max_length <= (specials := tokenizer.num_special_tokens_to_add()):
        raise UserError(
            f"--max-length {max_length} leaves no room for text: {specials} tokens mark its ends"
        )
    if max_length < args.max_length:
        print(
            f"{args.model_name} reads at most {max_length} tokens: longer texts are cut there",
            flush=True,
        )
    parts = {}
    for part, split in splits.items():
        tokens = tokenise(split.texts, tokenizer, max_length)
        check_tokens(tokens, model.encoder.vocabulary, args.model_name)
        images = load_images(
            split.image_paths, args.image_size, args.project_root / "outputs" / "cache"
        )
        augment = part == "train" and not (args.no_train_aug or args.freeze_encoders)
        parts[part] = PairDataset(tokens, images, labels[part], args.image_size, augment)
    duplicates = find_duplicates(
        splits["train"], splits["val"], parts["train"].images, parts["val"].images
    )
    for warning in (
        duplicates.warning(),
        language_warning(splits["train"].texts, parts["train"].tokens, args),
    ):
        if warning:
            print(warning, flush=True)
    return Job(
        args, family, fusion, precision, classes, splits, parts, duplicates, max_length,
        build=lambda: built.pop() if built else build(),
    )  # fmt: skip


def read_splits(args: argparse.Namespace) -> dict[str, Split]:
    root = args.project_root
    splits = {part: read_split(getattr(args, f"{part}_csv"), root) for part in ("train", "val")}
    if (root / args.test_csv).is_file():
        test = read_split(args.test_csv, root, allow_unlabelled=True)
        if all(test.labels):
            splits["test"] = test
        elif any(test.labels):
            print(f"{test.path}: some pairs have no label, so it is not measured", flush=True)
    return splits


def language_warning(texts: list[str], tokens: Tokens, args: argparse.Namespace) -> str:
    """A vocabulary made for another language cuts words to pieces or does not know them."""
    characters = max(sum(map(len, texts)), 1)
    chinese = sum("\u4e00" <= c <= "\u9fff" for text in texts for c in text) / characters
    # Tokens per character: 1.0 for Chinese and 0.30 to 0.33 for English tweets with a vocabulary of the language;
    # bert-base-chinese needs 0.42 for the latter, CLIP 2.5 for the former.
    usual = chinese + 0.3 * (1 - chinese)
    if tokens.unknown_rate < 0.05 and tokens.per_character < 1.25 * usual:
        return ""
    return (
        f"warning: the vocabulary of {args.model_name!r} does not suit these texts ({tokens.per_character:.2f} tokens "
        f"per character where {usual:.2f} are usual, {tokens.unknown_rate:.1%} of the tokens unknown): its text side "
        "is at a disadvantage; take a model of the language of the texts"
    )


def protocol(job: Job) -> dict[str, Any]:
    """All that must agree between runs for their comparison to be fair."""
    args = job.args
    return {
        "seed": args.seed,
        "epochs": args.epochs,
        "effective_batch_size": args.effective_batch_size,
        "optimizer": "AdamW",
        "lr": args.lr,
        "weight_decay": args.weight_decay,
        "schedule": "constant",
        "loss": "cross-entropy",
        "class_weights": args.class_weights,
        "max_length": args.max_length,
        "image_size": args.image_size,
        "augmentation": "crop, flip" if job.parts["train"].augment else "none",
        "precision": job.precision.name,
        "pretrained": not args.no_pretrained,
        "frozen_encoders": args.freeze_encoders,
        "classes": job.classes,
        **{
            f"{part}_sha256": fingerprint(job.splits[part], job.parts[part].images)
            for part in ("train", "val")
        },
    }


def fingerprint(split: Split, images: ImageStore) -> str:
    """Changes with any guid, label, text or image of a split."""
    digest = hashlib.sha256()
    for row in zip(split.guids, split.labels, split.texts, images.digests, strict=True):
        digest.update(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
