"""The settings of a training run, and the families of encoders. Imports no torch.

One field is one flag: its default, its help and what it accepts stand here and nowhere else. The
parsers of the commands (``command.py``), ``metrics.json``, the arguments in ``best.pt`` and what an
unfinished run must agree in (``training.resume``) follow from the fields. To add a flag, add a
field; to add a family of encoders, add a line to ``FAMILIES``.
"""

from __future__ import annotations

import math
import os
import re
from argparse import ArgumentTypeError
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from .errors import UserError
from .files import folder_name, quoted


def _flag(default: Any, help: str, read: Callable[[str], Any] | None = None, **how: Any) -> Any:
    """Return a field that a flag sets, with ``read``, which turns its text into a value.

    ``how`` may say ``choices``; ``flag``, where it is not called as the field; ``sets``, the value
    that a flag without one sets; ``group``, where --help shows it, if not with its class;
    and ``added``, where runs recorded before there was this flag had its default."""
    if isinstance(default, bool):
        how = {"sets": not default, **how}
    kind = path if isinstance(default, Path) else type(default)
    return field(default=default, metadata={"help": help, "read": read or kind, **how})


def typed(text: str) -> str:
    """Return the path that a user typed: ``~`` is the home folder, on Windows too. Of
    "D:\\my project\\" PowerShell leaves a double quote at the end, or takes the rest for it."""
    if '" -' in text:
        fault = f"{quoted(text)} holds other flags: leave out the backslash before the quote"
        raise ArgumentTypeError(fault)
    return os.path.expanduser(text.removesuffix('"'))


def path(text: str) -> Path:
    """Read the path of a flag, see ``typed``."""
    return Path(typed(text))


def number(kind: type, rule: str, holds: Callable[[Any], bool]) -> Callable[[str], Any]:
    """Return a reader of numbers for which ``holds``, what ``rule`` says in words."""

    def read(text: str) -> Any:
        value = kind(text)
        if not holds(value):
            raise ArgumentTypeError(f"must be {rule}, got {text}")
        return value

    read.__name__ = kind.__name__  # for "invalid int value"
    return read


positive_int = number(int, "1 or more", lambda value: value >= 1)
not_negative_int = number(int, "0 or more", lambda value: value >= 0)
positive_float = number(float, "a positive number", lambda value: 0 < value < math.inf)
not_negative_float = number(float, "0 or more", lambda value: 0 <= value < math.inf)
share = number(float, "0 or more and less than 1", lambda value: 0 <= value < 1)
LARGEST_IMAGE = 4096
pixels = number(int, f"1 to {LARGEST_IMAGE:,}", lambda value: 1 <= value <= LARGEST_IMAGE)


def device(text: str) -> str:
    """Read the name of a device; only torch knows whether it is there."""
    if text.startswith("gpu") or not re.fullmatch(r"[a-z]+(:\d+)?", text):
        known = "auto, cpu, cuda, or cuda:1 for the second card"
        raise ArgumentTypeError(f"{quoted(text)} is no device: give {known}")
    return text


def tag(text: str) -> str:
    """Read what ends the name of a run; no ending of another meaning, see ``run_name``."""
    known = ("frozen", *FUSION_NAMES)
    if not re.fullmatch(r"[a-z0-9-]{1,40}", text, re.IGNORECASE | re.ASCII):
        raise ArgumentTypeError(f"{quoted(text)} must be letters, digits and -, at most 40")
    if text.lower() in known or text.lower().startswith(("lr", "seed", "fold")):
        raise ArgumentTypeError(
            f"{quoted(text)} already means something in names of runs, as do {', '.join(known)}, "
            "lr..., seed... and fold...: give another name, such as tuned"
        )
    return text


@dataclass(frozen=True)
class Family:
    """Encoders that one command trains."""

    command: str  # its script, without .py
    encoder: str  # module:class, below models/
    checkpoint: str  # without --model-name
    model_types: tuple[str, ...] = ()  # of transformers, whose texts no other family reads
    batch_size: int = 16  # without --batch-size
    reads_apart: bool = True  # False: the text is read in the light of the image
    image_backbone: str | None = None  # without --image-backbone, where a family has that flag


FAMILIES = {
    "bert_resnet": Family(  # whatever its two encoders are: a name that run folders have
        "compare_train", "two_encoders:TwoEncoders", "bert-base-chinese", image_backbone="resnet18"
    ),
    "clip": Family("compare_clip", "two_towers:Clip", "openai/clip-vit-base-patch32"),
    "blip": Family(
        "compare_blip",
        "blip:Blip",
        "Salesforce/blip-image-captioning-base",
        ("blip",),
        batch_size=8,
        reads_apart=False,
    ),
}
# The keys of FUSIONS, from its text: importing it would take the seconds that torch takes.
_TABLE = re.compile(r"^FUSIONS\b.*?^}", re.DOTALL | re.MULTILINE)
_SOURCE = (Path(__file__).parent / "models" / "fusion.py").read_text(encoding="utf-8")
FUSION_NAMES = tuple(re.findall(r'^    "(\w+)":', _TABLE.search(_SOURCE)[0], re.MULTILINE))
BASELINES = ("text", "image")  # those of them that use one modality only

ENCODINGS = ("auto", "utf-8", "gb18030", "cp1252", "utf-16")
MOST_FOLDS = 100
FROZEN_LR = 1e-3  # without --lr, where only the head learns: at less it barely does
TEST_CSV = Path("outputs/splits/test.csv")
NO_TEST_CSV = Path("none")  # as --test-csv
# The hub's own rule: https://huggingface.co/docs/huggingface_hub, validate_repo_id
HUB_NAME = re.compile(r"(?=.{1,96}$)(?!.*(--|\.\.|\.git$))(\w[\w.-]*/)?\w([\w.-]*\w)?", re.ASCII)


@dataclass(frozen=True)
class Paths:
    """Where and how a run reads, and where it writes; paths are relative to the root."""

    project_root: Path = _flag(Path("."), "folder of data/ and outputs/")
    train_csv: Path = _flag(Path("outputs/splits/train.csv"), "pairs to train on")
    val_csv: Path = _flag(Path("outputs/splits/val.csv"), "pairs that choose the epoch")
    test_csv: Path | None = _flag(
        None,
        "measured once at the end if labelled, else predicted "
        f"(default: {TEST_CSV.as_posix()}, if it is there; {NO_TEST_CSV}: no list)",
        path,
    )
    text_encoding: str = _flag(
        "auto",
        "of texts that are not UTF-8; auto decides for the whole data set",
        choices=ENCODINGS,
    )
    output_dir: Path = _flag(Path("outputs/compare"), "where the run folder goes", group="output")

    def of_fold(self, fold: int) -> Paths:
        """Return the paths with the training and validation pairs of a fold."""
        folder = Paths.val_csv.parent / f"fold_{fold}"
        return replace(self, train_csv=folder / "train.csv", val_csv=folder / "val.csv")

    @property
    def runs(self) -> Path:
        return self.project_root / self.output_dir

    @property
    def cache(self) -> Path:
        return self.project_root / "outputs" / "cache"


CHECKPOINTS = ("name", "image_backbone")  # fields of ModelChoice that may name one


@dataclass(frozen=True)
class ModelChoice:
    """The model of a run; the fields are keys of the ``model`` block in metrics.json."""

    family: str  # a key of FAMILIES
    name: str = _flag(MISSING, "name on the hub, or a local folder", typed, flag="--model-name")
    # None where the checkpoint brings its own image encoder.
    image_backbone: str | None = _flag(
        None,
        "image encoder: a network of torchvision (resnet18, vit_b_16, swin_t, ...), or a checkpoint "
        "(ViT, DINOv2, Swin, ConvNeXt, or that of CLIP, SigLIP, Chinese-CLIP, AltCLIP, BLIP) as a "
        "name on the hub or a local folder",
        typed,
    )
    fusion: str = _flag(
        "concat",
        "how text and image are joined; text and image use one modality only",
        choices=FUSION_NAMES,
    )

    def __post_init__(self):
        examples = {
            "--model-name": (self.name, "bert-base-chinese or openai/clip-vit-base-patch32"),
            "--image-backbone": (self.image_backbone, "facebook/dinov2-small"),
        }
        for flag, (name, example) in examples.items():
            if name is None or os.path.isdir(name) or HUB_NAME.fullmatch(name):
                continue
            raise UserError(
                f"cannot load {quoted(name)}: {flag} is neither a folder that exists nor a name on "
                f"the hub such as {example}"
            )


@dataclass(frozen=True)
class Protocol:
    """All that must agree between runs, but for ``runs.layout.MAY_VARY``, for a fair comparison.

    ``asdict`` of it is the ``protocol`` block of metrics.json. ``precision`` and the last fields
    are known once the data are read.
    """

    seed: int = _flag(42, "of all random numbers", not_negative_int)
    epochs: int = _flag(5, "passes over the training pairs", positive_int)
    effective_batch_size: int = _flag(16, "samples of one step", positive_int)
    optimizer: str = "AdamW"
    lr: float = _flag(
        2e-5,
        f"AdamW's highest learning rate; with --freeze-encoders {FROZEN_LR:g} unless it is given",
        positive_float,
    )
    encoder_lr: float = _flag(
        0.0,
        "that of the encoders, where it is another one; 0: --lr",
        not_negative_float,
        added=True,
    )
    weight_decay: float = _flag(1e-4, "AdamW's", not_negative_float)
    schedule: str = _flag(
        "constant",
        "of the learning rate, down to 0 at the end unless constant",
        choices=("constant", "linear", "cosine"),
        added=True,
    )
    warmup_ratio: float = _flag(
        0.0, "share of all steps in which the learning rate rises from 0", share, added=True
    )
    clip_norm: float = _flag(
        0.0, "largest norm of a step's gradient; 0: any", not_negative_float, added=True
    )
    patience: int = _flag(
        0,
        "stop after so many epochs without a better macro-F1; 0: never",
        not_negative_int,
        added=True,
    )
    keep_epoch: int = _flag(
        0,
        "stop after this epoch and keep it; the validation pairs choose nothing, and the schedule is "
        "that of --epochs; 0: keep the epoch with the best macro-F1",
        not_negative_int,
        added=True,
    )
    loss: str = "cross-entropy"
    branch_loss: float = _flag(
        0.0,
        "weight of the losses of two more classifiers in training, one of the text and one of the "
        "image alone; not for BLIP, whose text has seen the image",
        not_negative_float,
        added=True,
    )
    class_weights: str = _flag(
        "balanced", "weight of a class: N / its count", choices=("balanced", "none")
    )
    max_length: int = _flag(64, "longest text in tokens", positive_int)
    image_size: int = _flag(224, "height and width in pixels", pixels)
    augmentation: str = _flag(
        "crop, flip",
        "no random crop and flip of training images",
        flag="--no-train-aug",
        sets="none",
    )
    dropout: float = _flag(0.2, "of the features of the head, in training", share, added=True)
    modality_dropout: float = _flag(
        0.0,
        "share of the training pairs that get an empty text or a blank image, half of them each, in "
        "every epoch others",
        share,
        added=True,
    )
    precision: str = ""  # fp32, bf16 or fp16
    pretrained: bool = _flag(True, "start the encoders from random weights", flag="--no-pretrained")
    frozen_encoders: bool = _flag(False, "train the head only", flag="--freeze-encoders")
    tag: str | None = _flag(
        None,
        "name of a variant, such as tuned, whose values here may differ from those of the other "
        "runs: it is shown apart, against the same model without a tag",
        tag,
        group="output",
        added=True,
    )
    fold: int | None = _flag(
        None,
        "the pairs of a fold of make_splits.py --folds instead of these two files",
        positive_int,
        group="data",
    )
    folds: int | None = None  # how many there are
    folds_sha256: str = ""  # of the validation pairs of all of them
    classes: list[str] = field(default_factory=list)
    train_sha256: str = ""
    val_sha256: str = ""
    val_pairs_sha256: str = ""  # of the same pairs in any order

    @property
    def last_epoch(self) -> int:
        return self.keep_epoch or self.epochs


def recorded_protocol(found: dict[str, Any]) -> dict[str, Any]:
    """Return the protocol of a record with the flags that were ``added`` since: it had their
    defaults."""
    added = {each.name: each.default for each in fields(Protocol) if each.metadata.get("added")}
    return {**added, **found}


@dataclass(frozen=True)
class Machine:
    """Where and how a run computes. Up to rounding, its result does not depend on it."""

    batch_size: int = _flag(Family.batch_size, "what fits in memory at once", positive_int)
    num_workers: int = _flag(0, "threads that prepare batches ahead", not_negative_int)
    pin_memory: bool = _flag(False, "faster copies to a CUDA device, if there is one")
    device: str = _flag("auto", "auto, cpu, cuda, cuda:1, ...", device)
    amp: str = _flag(
        "auto", "number format on a CUDA device", choices=("auto", "bf16", "fp16", "off")
    )
    deterministic: bool = _flag(False, "same sums in the same order on CUDA; slower")
    feature_cache: bool = _flag(
        True,
        "do not keep, or use, what frozen encoders made of texts and photos",
        flag="--no-feature-cache",
    )


@dataclass(frozen=True)
class TrainingRun:
    """All that a command asks for, and ``arguments``, its flags as best.pt records them."""

    name: str  # of the run folder
    protocol: Protocol
    model: ModelChoice
    machine: Machine
    paths: Paths
    probe: bool = _flag(
        False,
        "macro-F1 with texts or images shuffled or blanked, and of the additive projection of this "
        "model (EMAP); and which modality decides each answer",
    )
    restart: bool = _flag(False, "forget an unfinished run instead of continuing it")
    arguments: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        protocol, fusion = self.protocol, self.model.fusion
        of_both = {
            "--modality-dropout": protocol.modality_dropout,
            "--branch-loss": protocol.branch_loss,
            "--probe": self.probe,
        }
        given = [flag for flag, value in of_both.items() if value]
        if given and fusion in BASELINES:
            raise UserError(
                f"{given[0]} is about both modalities, but --fusion {fusion} uses one only: leave "
                "out the flag or this model"
            )
        if protocol.branch_loss and not FAMILIES[self.model.family].reads_apart:
            raise UserError(
                "--branch-loss classifies text and image each by itself, but the text of "
                f"{self.model.family} has seen the image: leave out the flag or this model"
            )
        if protocol.encoder_lr and protocol.frozen_encoders:
            raise UserError("--encoder-lr: frozen encoders learn nothing, so leave out one flag")
        if protocol.keep_epoch > protocol.epochs:
            raise UserError(
                f"--keep-epoch {protocol.keep_epoch} is not reached: there are {protocol.epochs} "
                "--epochs"
            )
        if protocol.keep_epoch and protocol.patience:
            raise UserError(
                "--patience stops by the validation pairs, and with --keep-epoch these choose nothing: "
                "leave out one flag"
            )

    @property
    def micro_batch(self) -> int:
        """Return how many samples go through the model at once."""
        return min(self.machine.batch_size, self.protocol.effective_batch_size)

    def micro_batch_of(self, processes: int) -> int:
        """Return the same for one of several processes: at most the longest share of a step."""
        return min(self.micro_batch, math.ceil(self.protocol.effective_batch_size / processes))

    def model_record(self, micro_batch: int, max_length: int) -> dict[str, Any]:
        """Return the ``model`` block of metrics.json; the model reads ``max_length`` tokens."""
        return {**asdict(self.model), "max_length": max_length, "batch_size": micro_batch}


def usual_lr(frozen_encoders: bool) -> float:
    """Return the learning rate of a run without --lr."""
    return FROZEN_LR if frozen_encoders else Protocol.lr


def run_name(model: ModelChoice, protocol: Protocol, unsaid_lr: float | None = None) -> str:
    """Name a run folder after its model, and after what people compare where it is no default.

    A local folder is named by its last part. The suffixes stand in one order. ``unsaid_lr`` is the
    rate that is not said, if not the usual one.
    """

    def part(name: str) -> str:
        return Path(name).resolve().name if os.path.isdir(name) else name

    if model.image_backbone:
        parts = [part(model.name), part(model.image_backbone), model.fusion]
    else:
        parts = [model.family, part(model.name)]
        if model.fusion != ModelChoice.fusion:
            parts.append(model.fusion)
    if protocol.frozen_encoders:
        parts.append("frozen")
    if protocol.lr != (unsaid_lr or usual_lr(protocol.frozen_encoders)):
        parts.append(f"lr{protocol.lr:g}")
    name = folder_name("_".join(parts))
    if protocol.seed != Protocol.seed:
        name += f"_seed{protocol.seed}"
    if protocol.fold is not None:
        name += f"_fold{protocol.fold}"
    return f"{name}_{protocol.tag}" if protocol.tag else name
