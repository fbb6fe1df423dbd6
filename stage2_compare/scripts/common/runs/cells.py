"""The files of a run folder as text and as cells, or the reason why they cannot be read."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import reason_of
from ..files import MARK, unescaped
from . import layout

# 5 of the other files; reading takes 20 times as much
_LARGE = (
    layout.PREDICTIONS,
    layout.EPOCH_PREDICTIONS,
    layout.EPOCH_PROBABILITIES,
    layout.TEST_PREDICTIONS,
)
_MOST_MEGABYTES = dict.fromkeys(_LARGE, 500)
_MOST_COLUMNS = 5_000  # pandas takes minutes for a million


class Unreadable(Exception):
    """The reason why a folder is not taken as a run."""


def read_text(path: Path) -> str:
    check_size(path)
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable(f"{path.name} is not UTF-8") from None
    except OSError as error:
        raise Unreadable(f"cannot read {path.name} ({error.strerror})") from None


def check_size(path: Path) -> None:
    """Require a file that fits in memory."""
    try:
        if path.exists() and not path.is_file():  # a pipe would block, a device may never end
            raise Unreadable(f"{path.name} is no file")
        megabytes, most = path.stat().st_size / 1e6, _MOST_MEGABYTES.get(path.name, 5)
    except FileNotFoundError:
        raise Unreadable(f"no {path.name}") from None
    except OSError as error:
        raise Unreadable(f"cannot read {path.name} ({error.strerror})") from None
    if megabytes > most:
        raise Unreadable(f"{path.name} has {megabytes:,.0f} MB, more than {most}")


def read_header(path: Path, text: str) -> list[str]:
    if max(line.count(",") for line in text.split("\n")) > _MOST_COLUMNS:
        raise Unreadable(f"{path.name} has more than {_MOST_COLUMNS:,} columns")
    return _read_csv(path, text, nrows=1).to_numpy().ravel().tolist()


def read_rows(path: Path, text: str, width: int, skip_blank_lines: bool = False) -> pd.DataFrame:
    """Return the rows below the header, numbered from 1, a cell that is missing as "".

    There is one column more than ``width``: it holds what a row has too much.
    """
    options = {"names": range(width + 1), "skip_blank_lines": skip_blank_lines}
    return _read_csv(path, text, **options).iloc[1:]


def _read_csv(path: Path, text: str, **options) -> pd.DataFrame:
    """Read all cells as text, so that guid 007 and a class called None stay as they are."""
    options |= {"header": None, "dtype": str, "keep_default_na": False}
    try:
        return pd.read_csv(io.StringIO(text), **options)
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except pd.errors.ParserError as error:
        raise Unreadable(f"{path.name} is no CSV ({reason_of(error)})") from None


def has_mark(path: Path) -> bool:
    """Return True for a table in which texts are escaped; those of the first version are not."""
    with open(path, "rb") as file:
        return file.read(len(MARK)) == MARK


def texts(cells: pd.Series, escaped: bool) -> list[str]:
    """Return a column as the texts (N,) that were written."""
    return [unescaped(text) for text in cells] if escaped else cells.tolist()


def class_places(cells: pd.DataFrame, classes: list[str], escaped: bool) -> np.ndarray:
    """Return the place in ``classes`` of each cell (N, K), -1 where it is none of them."""
    codes, names = pd.factorize(cells.to_numpy(dtype=object).ravel())
    known = {name: place for place, name in enumerate(classes)}
    found = [known.get(name, -1) for name in texts(pd.Series(names, dtype=object), escaped)]
    return np.array(found, dtype=int)[codes].reshape(cells.shape)


def numbers(cells: pd.DataFrame) -> np.ndarray:
    """Return the numbers (N, K) that are nearest to the cells, NaN where a cell is none.

    Not by pandas' own parser, which does not promise the nearest.
    """
    try:
        return cells.to_numpy(dtype=object).astype(float)
    except ValueError:
        return cells.map(to_float).astype(float).to_numpy()


def to_float(text: str) -> float | None:
    """Return the number that is nearest to the text, None where it is none."""
    try:
        return float(text)
    except ValueError:
        return None
