"""The csv files: compare_summary.csv, a row per run, compare_families.csv, per model, and
doubtful.csv, per pair."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from ..files import escaped, write_result
from .doubtful import doubtful
from .results import Results


def write_tables(folder: Path, results: Results) -> None:
    """Write them into a folder.

    Raises:
        UserError: a file cannot be written.
    """
    _write(folder / "compare_summary.csv", results.runs)
    _write(folder / "compare_families.csv", results.models.drop(columns="kind"))
    _write(folder / "doubtful.csv", doubtful(results.groups[0]))


def _write(path: Path, table: pd.DataFrame) -> None:
    """Write UTF-8 with a byte order mark, without which Excel on a Chinese Windows reads GBK."""
    cells = [list(map(_spreadsheet_cell, row)) for row in table.itertuples(index=False)]
    # With dtype=object, whole numbers beside an empty cell stay whole.
    table = pd.DataFrame(cells, columns=table.columns, dtype=object)
    text = table.to_csv(index=False, lineterminator="\r\n")
    write_result(path, text.encode("utf-8-sig", "backslashreplace"))


def _spreadsheet_cell(value: Any) -> Any:
    """Round numbers to six places, and protect text that a spreadsheet would run as a formula."""
    if isinstance(value, float):
        return round(value, 6)
    # The csv writer of Python 3.10 fails on NUL, which a record may hold and no table needs.
    return escaped(value.replace("\0", "")) if isinstance(value, str) else value
