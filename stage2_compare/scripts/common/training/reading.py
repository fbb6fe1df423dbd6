"""The pairs of a run: its split files, or those of its fold. Imports no torch.

``make_splits.py --folds`` writes outputs/splits/fold_1/train.csv and val.csv, and so on.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from ..data.image_store import ImageStore
from ..data.splits import Split, check_finished, fingerprint, read_training_splits
from ..errors import UserError
from ..files import error_text, listed
from ..settings import TEST_CSV, Paths

_REMEDY = "make them with make_splits.py --folds, for example --folds 5"


class Folds(NamedTuple):
    """All folds of a split."""

    count: int
    sha256: str  # of the validation pairs of each, so that folds of two splits do not mix


def read_pairs(paths: Paths, fold: int | None) -> tuple[dict[str, Split], Folds | None, list[str]]:
    """Read train, val and, where there is one, test or ``UNLABELLED``.

    Args:
        fold: reads the pairs of this fold instead of the two files of ``paths``.

    Returns:
        The splits, all folds where one is read, and remarks for the user, one line each.

    Raises:
        UserError: names file, row and value.
    """
    folds = read_folds(paths, fold) if fold else None
    if fold:
        paths = paths.of_fold(fold)
    splits, remarks = read_training_splits(
        {"train": paths.train_csv, "val": paths.val_csv, "test": paths.test_csv or TEST_CSV},
        paths.project_root,
        test_is_optional=paths.test_csv is None,
        text_encoding=paths.text_encoding,
    )
    return splits, folds, remarks


def read_folds(paths: Paths, fold: int) -> Folds:
    """Require that all folds are there, and ``fold`` is one of them.

    Raises:
        UserError: names those that are there.
    """
    splits = paths.project_root / Paths.val_csv.parent
    # Without a table it is no fold: something of the user's that make_splits.py left there.
    names = {path.parent.name for path in splits.glob("fold_*/*.csv")}
    matches = [re.fullmatch(r"fold_([1-9]\d{0,5})", name) for name in names]
    numbers = sorted(int(match[1]) for match in matches if match)
    there = listed(list(map(str, numbers)))
    if not numbers:
        raise UserError(f"{splits}: there are no folds, so --fold {fold} is none: {_REMEDY}")
    if fold not in numbers:
        raise UserError(
            f"{splits}: there is no fold {fold}: give one of {there} as --fold, or make others "
            "with make_splits.py --folds"
        )
    if numbers != list(range(1, len(numbers) + 1)):
        raise UserError(f"{splits}: there are folds {there}, and others are missing: {_REMEDY}")
    check_finished([paths.project_root / Paths.val_csv])
    digest = hashlib.sha256()
    for number in numbers:
        path = paths.project_root / paths.of_fold(number).val_csv
        try:
            content = path.read_bytes().replace(b"\r\n", b"\n")
        except OSError as error:
            raise UserError(f"{path}: {error_text(error)}; {_REMEDY}") from error
        digest.update(hashlib.sha256(content).digest())
    return Folds(len(numbers), digest.hexdigest())


def fingerprints(splits: dict[str, Split], images: dict[str, ImageStore]) -> dict[str, str]:
    """Return what a protocol records of its pairs, see ``settings.Protocol``."""
    train, val = splits["train"], splits["val"]
    digests = images["val"].digests
    return {
        "train_sha256": fingerprint(train, images["train"].digests),
        "val_sha256": fingerprint(val, digests),
        "val_pairs_sha256": fingerprint(val, digests, in_order=False),
    }
