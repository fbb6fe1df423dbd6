"""The pairs of a run: its split files, or those of its fold. Imports no torch."""

from __future__ import annotations

from ..data.image_cache import ImageStore
from ..data.splits import Split, fingerprint, read_training_splits
from ..settings import TEST_CSV, Paths
from .folds import Folds, read_folds


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


def fingerprints(splits: dict[str, Split], images: dict[str, ImageStore]) -> dict[str, str]:
    """Return what a protocol records of its pairs, see ``settings.Protocol``."""
    train, val = splits["train"], splits["val"]
    digests = images["val"].digests
    return {
        "train_sha256": fingerprint(train, images["train"].digests),
        "val_sha256": fingerprint(val, digests),
        "val_pairs_sha256": fingerprint(val, digests, in_order=False),
    }
