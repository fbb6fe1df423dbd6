"""Opens a finished run's folder: with the encoder's files in it, wherever it lies, or else with the
checkpoint that it was trained from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import UserError, reason_of
from ..files import quoted
from ..models.build import build_classifier
from ..models.checkpoint import CONFIG
from ..models.classifier import ImageTextClassifier
from ..models.loading import load_tokenizer
from ..runs.layout import BEST, ENCODER, METRICS_JSON
from ..runs.reading import Unreadable, read_record
from ..settings import FAMILIES, FUSION_NAMES, ModelChoice
from ..tensors import read_tensors

_LARGEST = {"image_size": 4096, "max_length": 2**16, "batch_size": 2**16}
_LEGACY_ENCODINGS = ("gb18030", "cp1252")


@dataclass(frozen=True)
class OpenedRun:
    """A finished run, as its metrics.json describes it."""

    folder: Path
    choice: ModelChoice  # its name is a place where the encoder's files are found
    classes: list[str]
    image_size: int  # pixels
    max_length: int  # tokens
    batch_size: int  # of its training: what fitted in memory
    precision: str  # fp32, bf16 or fp16
    text_encoding: str  # that of its texts which were not UTF-8, "auto" where all were


def open_run(folder: Path, model_name: str | None) -> OpenedRun:
    """Read the record of a run.

    Args:
        model_name: the checkpoint to use where the folder keeps no files of it.
    Raises:
        UserError: the folder holds no run that can be opened.
    """
    if not (folder / METRICS_JSON).is_file():
        raise UserError(
            f"{folder}: no {METRICS_JSON} there, so it is no finished run: give a folder such as "
            "outputs/compare/<run> as --run"
        )
    try:
        record = read_record(folder / METRICS_JSON)
        block, protocol = record["model"], record["protocol"]
        family, backbone, fusion = (block[key] for key in ("family", "image_backbone", "fusion"))
        opened = {
            "classes": record["labels"],
            "image_size": protocol["image_size"],
            "max_length": block["max_length"],
            "batch_size": block["batch_size"],
            "precision": protocol["precision"],
            "text_encoding": _legacy_encoding(record.get("text_encodings", {})),
        }
        backbones = FAMILIES[family].image_backbones or (None,)
        known = backbone in backbones and fusion in FUSION_NAMES
        if not (known and _are_classes(opened["classes"]) and _are_sizes(opened)):
            raise ValueError(f"{family}, {backbone}, {fusion}")
    except (Unreadable, KeyError, TypeError, ValueError, AttributeError) as error:
        raise _unreadable(folder, reason_of(error)) from None
    name = str(folder / ENCODER)
    if not (folder / ENCODER / CONFIG).is_file():
        name = model_name or str(block.get("name"))
    return OpenedRun(folder, ModelChoice(family, name, backbone, fusion), **opened)


def _are_classes(classes: Any) -> bool:
    if not isinstance(classes, list) or len(classes) < 2:
        return False
    # A split file with NUL is refused, so no run knows such a class; Python 3.10 cannot write it.
    return all(isinstance(name, str) and "\0" not in name for name in classes)


def _are_sizes(opened: dict[str, Any]) -> bool:
    sizes = [opened[key] for key in _LARGEST]
    if not all(isinstance(size, int) for size in sizes):
        return False
    return all(0 < size <= most for size, most in zip(sizes, _LARGEST.values(), strict=True))


def _legacy_encoding(counts: dict[str, int]) -> str:
    return next((name for name in _LEGACY_ENCODINGS if counts.get(name)), "auto")


def _unreadable(folder: Path, reason: str) -> UserError:
    return UserError(
        f"{folder / METRICS_JSON} is not the record of a run ({reason[:200]}): copy the folder "
        "again, or give another --run"
    )


def load_run(run: OpenedRun) -> tuple[ImageTextClassifier, Any]:
    """Build the classifier with the weights of best.pt, on the CPU, and load its tokenizer.

    Raises:
        UserError: they cannot be read, or do not fit, or the encoder's files are not found.
    """
    path = run.folder / BEST
    state = _read_state(path)
    try:
        tokenizer = load_tokenizer(run.choice.name)
        model = build_classifier(run.choice, len(run.classes), run.image_size, state=state)
    except UserError as error:
        if run.choice.name == str(run.folder / ENCODER):
            raise
        raise UserError(f"{run.folder} keeps no {ENCODER}/ of its own, and {error}") from error
    except (RuntimeError, KeyError) as error:
        raise UserError(
            f"the weights in {path} do not fit the model of {quoted(run.choice.name)}: "
            f"{reason_of(error)}"
        ) from error
    return model, tokenizer


def _read_state(path: Path) -> dict[str, Tensor]:
    try:
        content = read_tensors(path)
        state = content["model_state"]
        if not all(isinstance(value, Tensor) for value in state.values()):
            raise TypeError("it holds no table of weights")
    except Exception as error:  # a broken or foreign file can fail in any way
        raise UserError(
            f"{path} cannot be read: {reason_of(error)}. It may be cut off, or of an older "
            "program: copy it again, or train the run again"
        ) from error
    return state
