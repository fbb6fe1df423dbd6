"""Split csv -> guids, texts, image paths and labels.

Columns: ``guid,text_path,image_path,label``. ``tag`` is accepted for ``label``, a ``text`` column
for ``text_path``. Without both path columns the guid names the files, see pair_files.py.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import listed, quoted
from ..settings import MOST_FOLDS, NO_TEST_CSV, TEST_CSV, Paths
from ..words import ENGLISH, Language
from .encodings import choose_encoding, decode
from .image_store import ImageStore
from .pair_files import Fault, describe, find_files
from .tables import Split, read_tables, refuse

# Lies beside the splits while make_splits.py replaces them, and stays if it is killed.
UNFINISHED = ".make_splits.unfinished"
UNLABELLED = "unlabelled"  # name of the test list among the splits where it has no labels

# Of texts, for a fingerprint: LF, as it is recorded. Then those of earlier versions: None, as the
# files have them, and CRLF, as they had them where the run was made.
LINE_ENDS = ("\n", None, "\r\n")
_CLASS_ORDER = ("negative", "neutral", "positive")
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?%?")
_FEW = 10  # so many classes may each have one pair, as in an attempt


def read_splits(
    csv_paths: dict[str, str | Path],
    project_root: str | Path,
    *,
    data_dir: str | Path | None = None,
    text_encoding: str = "auto",
    leave_out: dict[str, set[int]] | None = None,
) -> tuple[dict[str, Split], list[Fault]]:
    """Read splits and their texts. Check that their images exist, but do not open them.

    The one called "test" may lack labels; they are "" in the result. What is no class of the other
    splits and stands for a label, such as "None", is none either.

    Args:
        csv_paths: absolute, or relative to ``project_root`` like the paths in the csv.
        data_dir: of the files that guids name, see ``pair_files.find_data_folder``.
        text_encoding: one of ``settings.ENCODINGS``, for texts that are not UTF-8. "auto" decides
            for all splits together.
        leave_out: rows by the name of the split.

    Returns:
        The splits, and the files that are missing or unreadable: their pairs are in the splits.
    """
    root = Path(project_root)
    paths = {name: root / path for name, path in csv_paths.items()}
    splits = read_tables(paths, text_encoding, leave_out or {})
    found = {name: find_files(split, root, data_dir) for name, split in splits.items()}
    legacy = text_encoding
    if legacy == "auto":
        legacy = choose_encoding(data for contents, _ in found.values() for data in contents)
    for name, split in splits.items():
        if contents := found[name][0]:  # else the texts are in the csv
            decoded = [decode(data, legacy) for data in contents]
            split.texts, split.text_encodings = map(list, zip(*decoded, strict=True))
        # Tokenizers differ on NUL characters.
        split.notes["nul_text"] = sum("\0" in text for text in split.texts)
        split.texts = [text.replace("\0", "").strip() for text in split.texts]
        split.notes["empty_text"] = split.texts.count("")
        split.notes = {note: count for note, count in split.notes.items() if count}
    return splits, [fault for _, faults in found.values() for fault in faults]


def read_training_splits(
    csv_paths: dict[str, str | Path],
    project_root: str | Path,
    *,
    test_is_optional: bool,
    text_encoding: str = "auto",
) -> tuple[dict[str, Split], list[str]]:
    """Read "train", "val" and "test", which is called ``UNLABELLED`` where a label is missing; do
    without a test list that ``test_is_optional`` where there is no such file. Return also remarks
    for the user, one line each. Raise UserError also for files of pairs that are missing."""
    root, paths = Path(project_root), dict(csv_paths)
    if test_is_optional and "test" in paths and not os.path.lexists(root / paths["test"]):
        del paths["test"]
    check_finished(root / path for path in paths.values())
    splits, faults = read_splits(paths, root, text_encoding=text_encoding)
    if faults:
        raise UserError(describe(faults, root))
    remarks = []
    if "test" in splits and "" in splits["test"].labels:
        test = splits[UNLABELLED] = splits.pop("test")
        count = test.labels.count("")
        told = "its pairs have no label, so they are predicted, not measured"
        if count < len(test):
            told = (
                f"{count:,} of its {len(test):,} pairs have no label, so all are predicted and none "
                "is measured: label the others too to measure them"
            )
        remarks.append(f"{test.path}: {told}")
    classes = class_names(splits["train"].labels) if "train" in splits else []
    for split in [splits[name] for name in ("val", "test") if name in splits]:
        if lacking := [quoted(each) for each in classes if each not in split.labels]:
            remarks.append(
                f"warning: {split.path} has no pair of class {listed(lacking)}: its macro-F1 is a mean "
                "over the other classes"
            )
    return splits, [*remarks, *encoding_remarks(splits.values())]


def read_pairs(
    paths: Paths, fold: int | None
) -> tuple[dict[str, Split], dict[str, Any], list[str]]:
    """Read what a training reads, see ``read_training_splits``: the files of ``paths``, or the
    training and validation pairs of a fold. Return also what ``read_folds`` says of the folds."""
    folds = read_folds(paths, fold) if fold else {}
    if fold:
        paths = paths.of_fold(fold)
    lists = {"train": paths.train_csv, "val": paths.val_csv}
    if paths.test_csv != NO_TEST_CSV:
        lists["test"] = paths.test_csv or TEST_CSV
    splits, remarks = read_training_splits(
        lists,
        paths.project_root,
        test_is_optional=paths.test_csv is None,
        text_encoding=paths.text_encoding,
    )
    check_classes(splits["train"])
    return splits, folds, remarks


def read_folds(paths: Paths, fold: int) -> dict[str, Any]:
    """Require that all folds are there, and ``fold`` is one of them. Return what a protocol records
    of them: ``folds``, how many there are, and ``folds_sha256`` of the validation pairs of each, so
    that folds of two splits do not mix."""
    splits = paths.project_root / Paths.val_csv.parent
    check_finished([splits / Paths.val_csv.name])
    tables = {k: paths.project_root / paths.of_fold(k).val_csv for k in range(1, MOST_FOLDS + 1)}
    there = [number for number, path in tables.items() if path.exists()]
    if fold not in there or there[-1] != len(there):
        raise UserError(
            f"{splits}: --fold {fold} needs all folds from 1 on, but those that are there are: "
            f"{listed(list(map(str, there))) or 'none'}. Give one of a whole set, or make them with "
            "make_splits.py --folds, for example --folds 5"
        )
    digest = hashlib.sha256()
    for number in there:
        content = tables[number].read_bytes().replace(b"\r\n", b"\n")
        digest.update(hashlib.sha256(content).digest())
    return {"folds": len(there), "folds_sha256": digest.hexdigest()}


def encoding_remarks(splits: Iterable[Split], say: Language = ENGLISH) -> list[str]:
    """Return what was decided about texts that are not UTF-8, one line each."""
    counts = sum((Counter(split.encodings) for split in splits), Counter())
    remarks = {
        "gb18030": say("not_utf8", n=counts["gb18030"], encoding="GB18030"),
        "cp1252": say("not_utf8", n=counts["cp1252"], encoding="Windows-1252"),
        "replaced": say("wrong_bytes", n=counts["replaced"]),
    }
    return [remark for encoding, remark in remarks.items() if counts[encoding]]


def check_finished(csv_paths: Iterable[Path]) -> None:
    """Refuse splits that make_splits.py has only begun to replace."""
    for folder in {folder for path in csv_paths for folder in path.parents[:2]}:  # it may be a fold
        if (folder / UNFINISHED).exists():
            raise UserError(
                f"{folder}: make_splits.py is writing there, or was stopped while it wrote, so the "
                "files may belong to two different splits: run make_splits.py again"
            )


def check_classes(split: Split) -> None:
    """Refuse training pairs of one class, and labels that are scores: numbers, most of which occur
    once or twice."""
    labels = set(split.labels)
    if len(labels) < 2:
        raise UserError(
            f"{split.path}: {quoted(split.labels[0])} is the only class, and there is nothing to "
            "learn from one class: is the label column the right one?"
        )
    if len(labels) > max(_FEW, len(split) / 2) and all(map(_NUMBER.fullmatch, labels)):
        raise UserError(
            f"{split.path}: {len(labels):,} different labels in {len(split):,} pairs, all of them "
            f"numbers such as {quoted(split.labels[0])}, look like scores, and here classes are "
            "compared: put the scores into 3 to 5 classes, such as low, middle and high"
        )


def class_names(labels: Iterable[str]) -> list[str]:
    """Return the classes: negative, neutral, positive if there are no others, else sorted."""
    found = set(labels)
    return sorted(found, key=_CLASS_ORDER.index if found <= set(_CLASS_ORDER) else None)


def fingerprint(
    split: Split, digests: Iterable[str], in_order: bool = True, line_end: str | None = LINE_ENDS[0]
) -> str:
    """Return a hash of all guids, labels, texts and photos of a split, whose ``digests`` (N,) are
    given, in the order of its rows, or in any; ``line_end`` is one of LINE_ENDS."""
    digest, texts = hashlib.sha256(), split.texts
    if line_end:
        texts = [text.replace("\r\n", "\n").replace("\n", line_end) for text in texts]
    rows = zip(split.guids, split.labels, texts, digests, strict=True)
    for row in rows if in_order else sorted(rows):
        digest.update(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def fingerprints(splits: dict[str, Split], images: dict[str, ImageStore]) -> list[dict[str, str]]:
    """Return what a protocol records of its pairs, see ``settings.Protocol``, and behind it what
    earlier versions may have recorded."""
    train, val = ((splits[name], images[name].digests) for name in ("train", "val"))
    return [
        {
            "train_sha256": fingerprint(*train, line_end=end),
            "val_sha256": fingerprint(*val, line_end=end),
            "val_pairs_sha256": fingerprint(*val, in_order=False, line_end=end),
        }
        for end in LINE_ENDS
    ]


def to_predict(
    splits: dict[str, Split], digests: Callable[[str], Iterable[str]]
) -> tuple[Split, str] | None:
    """Return the test list and the fingerprint of its pairs, or None where there is no such list;
    ``digests`` gives those of the photos of a split, by its name."""
    name = next(iter(splits.keys() & {"test", UNLABELLED}), None)
    return (splits[name], fingerprint(splits[name], digests(name))) if name else None


def label_indices(
    split: Split, classes: list[str], remedy: str = "correct it, or make the splits again"
) -> list[int]:
    """Return the labels as indices into ``classes`` (N,); raise UserError for one that is none."""
    faults = {
        row: f"label {quoted(label)} is not a class of the training split"
        for row, label in zip(split.rows, split.labels, strict=True)
        if label not in classes
    }
    known = quoted(", ".join(classes))
    refuse(split.path, faults, f"its classes are {known}: {remedy}")
    return [classes.index(label) for label in split.labels]
