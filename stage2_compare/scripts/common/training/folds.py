"""The folds of ``make_splits.py --folds``: outputs/splits/fold_1/train.csv and val.csv, and so on."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from ..data.splits import check_finished
from ..errors import UserError
from ..files import error_text, listed
from ..settings import Paths

_REMEDY = "make them with make_splits.py --folds, for example --folds 5"


class Folds(NamedTuple):
    """All folds of a split."""

    count: int
    sha256: str  # of the validation pairs of each, so that folds of two splits do not mix


def read_folds(paths: Paths, fold: int) -> Folds:
    """Require that all folds are there, and ``fold`` is one of them.

    Raises:
        UserError: names those that are there.
    """
    splits = paths.project_root / Paths.val_csv.parent
    numbers = _numbers(splits)
    if not numbers:
        raise UserError(f"{splits}: there are no folds, so --fold {fold} is none: {_REMEDY}")
    if fold not in numbers:
        raise UserError(
            f"{splits}: there is no fold {fold}: give one of {listed(list(map(str, numbers)))} as "
            "--fold, or make others with make_splits.py --folds"
        )
    if numbers != list(range(1, len(numbers) + 1)):
        raise UserError(
            f"{splits}: there are folds {listed(list(map(str, numbers)))}, and others are missing: "
            f"{_REMEDY}"
        )
    check_finished([paths.project_root / Paths.val_csv])
    return Folds(len(numbers), _sha256(paths, len(numbers)))


def _numbers(splits: Path) -> list[int]:
    # Without a table it is no fold: something of the user's that make_splits.py left there.
    names = {path.parent.name for path in splits.glob("fold_*/*.csv")}
    found = [re.fullmatch(r"fold_([1-9]\d{0,5})", name) for name in names]
    return sorted(int(match[1]) for match in found if match)


def _sha256(paths: Paths, count: int) -> str:
    digest = hashlib.sha256()
    for fold in range(1, count + 1):
        path = paths.project_root / paths.of_fold(fold).val_csv
        try:
            content = path.read_bytes().replace(b"\r\n", b"\n")
        except OSError as error:
            raise UserError(f"{path}: {error_text(error)}; {_REMEDY}") from error
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()
