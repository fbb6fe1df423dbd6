"""What is asked: finished runs, and the pairs that they shall predict. Imports no torch, so what is
wrong with a question is told at once."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from ..data.pair_files import TEST_LIST, TRAIN_LIST, describe
from ..data.splits import Split, label_indices, read_splits
from ..data.tables import without_placeholders
from ..errors import UserError, reason_of
from ..files import MARK, file_problem, quoted
from ..models.checkpoint import CONFIG, IMAGE_ENCODER
from ..runs.layout import ENCODER, ENCODERS, HISTORY, METRICS_JSON, PARTIAL
from ..runs.reading import read_record
from ..settings import FAMILIES, FUSION_NAMES, HUB_NAME, LARGEST_IMAGE, ModelChoice, Paths
from ..words import ENGLISH
from .test_list import unanswered

REMEDY = "or give --blank-missing to let them pass"
# How a file begins that this command has written, see ``training.record.answers_table``.
_ANSWERS = (b"guid,tag", b"guid,pred", b"guid,label,pred")


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


@dataclass(frozen=True)
class Question:
    """Runs of the same classes, and the pairs they are asked about."""

    runs: list[OpenedRun]
    split: Split
    unread: str  # "text" or "image" where no run reads it, else ""
    blank_texts: int  # texts that are missing, and are read as empty ones


def read_question(asked: Namespace) -> Question:
    """Read what the flags of predict.py ask for. Raise UserError where a run cannot be opened, the
    pairs cannot be read, or the answer may not be written."""
    root = asked.project_root
    if asked.csv is not None and _is_run(root / asked.csv):
        raise UserError(f"--csv {asked.csv} is the folder of a run: are --csv and --run swapped?")
    runs = [open_run(find_run(root, run), asked.model_name) for run in asked.run]
    classes = runs[0].classes
    for run in runs:
        if run.classes != classes:
            raise UserError(
                f"{run.folder} knows the classes {quoted(', '.join(run.classes))}, {runs[0].folder} "
                f"{quoted(', '.join(classes))}: give runs of the same classes"
            )
    fusions = {run.choice.fusion for run in runs}
    unread = {"text": "image", "image": "text"}.get(fusions.pop(), "") if len(fusions) == 1 else ""
    if asked.csv is None:
        blank = int(asked.text is None and unread != "text")
        return Question(runs, _one_pair(asked, unread), unread, blank)
    split, blank_texts = _read_pairs(asked, runs[0], unread)
    targets = [root / path for path in (asked.output, asked.probs) if isinstance(path, Path)]
    for target in targets:
        _check_target(target, split.path)
    own = (root / Paths.output_dir).resolve()
    ours = [run.folder for run in runs if own in run.folder.resolve().parents]
    if remark := unanswered(ours, root, ENGLISH):
        print(remark, file=sys.stderr)
    if targets[0].resolve() in [target.resolve() for target in targets[1:]]:
        raise UserError("--output and --probs name the same file: give --probs another one")
    return Question(runs, split, unread, blank_texts)


def read_export(asked: Namespace) -> tuple[Path, Path]:
    """Return the run that is to be written whole, and its new folder. Raise UserError where there is
    no such run, or the folder is there already."""
    folder, target = find_run(asked.project_root, asked.run[0]), asked.project_root / asked.export
    if os.path.lexists(target):
        raise UserError(f"--export {target} is there already: give the name of a new folder")
    _check_place(target)
    return folder, target


# The runs


def _is_run(folder: Path) -> bool:
    return not file_problem(folder / METRICS_JSON)


def find_run(root: Path, run: Path) -> Path:
    """Return the folder of a finished run; raise UserError where it is none, with the one that may
    be meant: by its name, a file in it, a path of Windows, or nearly its name."""
    folder, said = root / run, Path(str(run).replace("\\", "/"))
    if _is_run(folder):
        return folder
    names = [path.parent.name for path in (root / Paths.output_dir).glob(f"[!.]*/{METRICS_JSON}")]
    near = get_close_matches(said.name, names, 1)
    below = [Paths.output_dir / name for name in (said.name, said.parent.name, *near) if name]
    meant = [path for path in (said, said.parent, *below) if _is_run(root / path)]
    fault = f"no {METRICS_JSON} there" if os.path.isdir(folder) else "no such folder"
    hint = f"did you mean {meant[0]}?" if meant else "give --run outputs/compare/<run>"
    raise UserError(f"{folder}: {fault}, so it is no finished run; {hint}")


def open_run(folder: Path, model_name: str | None) -> OpenedRun:
    """Read the record of a run; ``model_name`` is the checkpoint to use where the folder keeps no
    files of it. Raise UserError where it holds no run that can be opened."""
    path = folder / METRICS_JSON
    try:
        record = read_record(path)
        block, protocol, classes = record["model"], record["protocol"], record["labels"]
        family, fusion = block["family"], block["fusion"]
        sizes = protocol["image_size"], block["max_length"], block["batch_size"]
        known = family in FAMILIES and fusion in FUSION_NAMES and isinstance(classes, list)
        if not known or not all(isinstance(each, str) for each in classes):
            raise ValueError("its family, fusion or labels are none that this program writes")
        if not 0 < len(set(classes)) == len(classes):
            raise ValueError("its labels are no list of classes")
        if not all(type(size) is int and size > 0 for size in sizes) or sizes[0] > LARGEST_IMAGE:
            raise ValueError(f"its image_size, max_length and batch_size are {sizes}")
        encodings, encoder = record.get("text_encodings", {}), folder / ENCODER
        here = (encoder / CONFIG).is_file()
        name = str(encoder) if here else model_name or _named(block["name"])
        backbone = block["image_backbone"]
        if (encoder / IMAGE_ENCODER / CONFIG).is_file():
            backbone = str(encoder / IMAGE_ENCODER)
        elif FAMILIES[family].image_backbone:
            backbone = _named(backbone)
        return OpenedRun(
            folder,
            ModelChoice(family, name, backbone, fusion),
            classes,
            *sizes,
            precision=protocol["precision"],
            text_encoding=next((n for n in ("gb18030", "cp1252") if encodings.get(n)), "auto"),
        )
    except UserError:
        raise
    except Exception as error:  # a stranger's file can fail in any way
        raise UserError(
            f"{path} is not the record of a run ({type(error).__name__}: {reason_of(error)[:200]}): "
            "copy the folder again, or give another --run"
        ) from error


def _named(checkpoint: str) -> str:
    """Return the name of a checkpoint that a record has, unless it is a path: a stranger's record
    names any, and Windows logs in on another machine to follow one."""
    if not HUB_NAME.fullmatch(checkpoint):
        raise ValueError(
            f"the checkpoint {quoted(checkpoint)} that it names is no name on the hub: give "
            "its folder as --model-name"
        )
    return checkpoint


# The pairs


def _read_pairs(asked: Namespace, run: OpenedRun, unread: str) -> tuple[Split, int]:
    """Read the pairs of a csv, whose labels count if all have one, and count the missing texts."""
    root, told = asked.project_root, asked.text_encoding
    if problem := file_problem(root / asked.csv):
        raise UserError(f"--csv {root / asked.csv}: {problem}; give a list of pairs")
    encoding = run.text_encoding if told == "auto" else told
    splits, faults = read_splits({"test": asked.csv}, root, text_encoding=encoding)
    split = splits["test"]
    photos = sum(bool(file_problem(path)) for path in split.image_paths)
    texts = 0 if unread == "text" else len(faults) - photos
    if (texts or (photos and unread != "image")) and not asked.blank_missing:
        raise UserError(f"{describe(faults, root)}, {REMEDY}")
    labels = without_placeholders(split.labels, run.classes)
    if dropped := sorted(set(split.labels) - set(labels)):
        shown = quoted(", ".join(dropped))
        print(f"{split.path}: {shown} is no class of the run: taken for no label", flush=True)
    if "" not in labels:
        label_indices(split, run.classes, "correct it, or leave out the column of labels")
    return replace(split, labels=labels), texts


def _one_pair(asked: Namespace, unread: str) -> Split:
    """Take the pair of ``--text`` and ``--image``."""
    root = asked.project_root
    given = {"text": asked.text, "image": asked.image}
    lacking = [f"--{name}" for name in given if given[name] is None and name != unread]
    if lacking and not asked.blank_missing:
        raise UserError(f"a pair needs {' and '.join(lacking)} too, {REMEDY}")
    if asked.text and not file_problem(root / asked.text):
        raise UserError(
            f"--text {quoted(asked.text)} is the name of a file: did you mean what it says? Give "
            "the text itself, or the list of several files as --csv"
        )
    problem = file_problem(root / asked.image) if asked.image else ""
    if problem and not asked.blank_missing and unread != "image":
        raise UserError(f"--image {root / asked.image}: {problem}; give another, {REMEDY}")
    return Split(
        path=Path("--text"),
        guids=["pair"],
        texts=[(asked.text or "").replace("\0", "").strip()],
        image_paths=[str(root / asked.image) if asked.image else ""],
        labels=[""],
        rows=[1],
    )


def _check_target(target: Path, pairs: Path) -> None:
    """Refuse to write over what is no file that this command wrote before, as far as is known."""
    if os.path.isdir(target):
        raise UserError(f"{target} is a folder: give a file in it, such as predicted.csv")
    _check_place(target)
    if not os.path.lexists(target):
        return
    if os.path.islink(target) or file_problem(target):
        raise UserError(f"{target} is no regular file: give another name")
    with open(target, "rb") as file:
        line = file.readline(100).removeprefix(MARK)
    holds_other = line and not line.startswith(_ANSWERS)  # an empty file is nobody's
    if holds_other or target.name in (TRAIN_LIST, TEST_LIST) or target.samefile(pairs):
        raise UserError(f"{target} holds no predictions: give another name, or delete it before")


def _check_place(target: Path) -> None:
    """Refuse a place in what the training commands write: a run, also one in progress, or the
    encoders that runs share."""
    for folder in target.resolve().parents:
        in_progress = folder.name.startswith(".") and folder.name.endswith(PARTIAL)
        if in_progress or (_is_run(folder) and not file_problem(folder / HISTORY)):
            raise UserError(f"{target} lies in the run {folder}: give another place")
        if folder.name == ENCODERS and any(folder.glob("*/encoder.pt")):
            raise UserError(f"{target} lies in {folder}, which runs need: give another place")
