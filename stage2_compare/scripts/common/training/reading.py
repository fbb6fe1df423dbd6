"""The pairs of a run: its split files, or those of its fold. Imports no torch.

``make_splits.py --folds`` writes outputs/splits/fold_1/train.csv and val.csv, and so on.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from ..data.image_store import ImageStore
from ..data.splits import FOLD, Split, check_finished, fingerprint, read_training_splits
from ..errors import UserError
from ..files import listed
from ..settings import TEST_CSV, Paths


def read_pairs(
    paths: Paths, fold: int | None
) -> tuple[dict[str, Split], dict[str, Any], list[str]]:
    """Read train, val and, where there is one, test or ``UNLABELLED``.

    Args:
        fold: reads the pairs of this fold instead of the two files of ``paths``.

    Returns:
        The splits, see ``read_folds`` where a fold is read, and remarks for the user, one line
        each.

    Raises:
        UserError: names file, row and value.
    """
    folds = read_folds(paths, fold) if fold else {}
    if fold:
        paths = paths.of_fold(fold)
    splits, remarks = read_training_splits(
        {"train": paths.train_csv, "val": paths.val_csv, "test": paths.test_csv or TEST_CSV},
        paths.project_root,
        test_is_optional=paths.test_csv is None,
        text_encoding=paths.text_encoding,
    )
    return splits, folds, remarks


def read_folds(paths: Paths, fold: int) -> dict[str, Any]:
    """Require that all folds are there, and ``fold`` is one of them.

    Returns:
        What a protocol records of them: ``folds``, how many there are, and ``folds_sha256`` of the
        validation pairs of each, so that folds of two splits do not mix.

    Raises:
        UserError: names those that are there.
    """
    splits = paths.project_root / Paths.val_csv.parent
    check_finished([splits / Paths.val_csv.name])
    names = [path.parent.name for path in splits.glob(f"{FOLD}*/{Paths.val_csv.name}")]
    matches = [re.fullmatch(rf"{FOLD}([1-9]\d{{0,5}})", name) for name in names]
    numbers = sorted(int(match[1]) for match in matches if match)
    if fold not in numbers or numbers != list(range(1, len(numbers) + 1)):
        there = listed(list(map(str, numbers))) or "none"
        raise UserError(
            f"{splits}: --fold {fold} needs all folds from 1 on, but those that are there are: "
            f"{there}. Give one of a whole set, or make them with make_splits.py --folds, for "
            "example --folds 5"
        )
    digest = hashlib.sha256()
    for number in numbers:
        path = paths.project_root / paths.of_fold(number).val_csv
        content = path.read_bytes().replace(b"\r\n", b"\n")
        digest.update(hashlib.sha256(content).digest())
    return {"folds": len(numbers), "folds_sha256": digest.hexdigest()}


def fingerprints(splits: dict[str, Split], images: dict[str, ImageStore]) -> dict[str, str]:
    """Return what a protocol records of its pairs, see ``settings.Protocol``."""
    train, val = splits["train"], splits["val"]
    digests = images["val"].digests
    return {
        "train_sha256": fingerprint(train, images["train"].digests),
        "val_sha256": fingerprint(val, digests),
        "val_pairs_sha256": fingerprint(val, digests, in_order=False),
    }
