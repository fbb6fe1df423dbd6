"""Labels that a person has checked: the csv that the page of results saves.

``guid,label,mark,corrected``: the given label; the mark ``right``, ``wrong`` or ``unsure``; and of a
wrong one the class that is meant.
"""

from __future__ import annotations

from pathlib import Path

from .errors import UserError, reason_of
from .files import listed, quoted, read_csv

COLUMNS = ("guid", "label", "mark", "corrected")
MARKS = ("right", "wrong", "unsure")
_MOST_BYTES = 100_000_000


def read_marks(path: Path, given: dict[str, str]) -> dict[str, str]:
    """Return the classes that are meant of the pairs whose label is marked as wrong, by guid;
    ``given`` has the label of each pair there is, and marks of other pairs are left out. Raise
    UserError for rows that are wrong, and where no label of these pairs is marked so."""
    try:
        header, rows = read_csv(path, _MOST_BYTES)
        places = [header.index(column) for column in COLUMNS]
    except Exception as error:
        need = f"it needs the columns {','.join(COLUMNS)}, as the page saves them"
        raise UserError(f"{path}: {reason_of(error)}; {need}") from error
    meant, faults, classes = {}, [], set(given.values())
    for number, row in enumerate(rows, 2):
        guid, label, mark, corrected = (row[place].strip() for place in places)
        if mark not in MARKS:
            faults.append(
                f"row {number}: the mark is {quoted(mark)}, not one of {', '.join(MARKS)}"
            )
        elif guid in given and label != given[guid]:
            found = f"the label of {quoted(guid)} is {quoted(given[guid])} now"
            faults.append(f"row {number}: {found}, not {quoted(label)}")
        elif guid in given and mark == "wrong" and corrected not in classes:
            faults.append(f"row {number}: {quoted(corrected)} is none of the classes")
        elif guid in given and mark == "wrong":
            meant[guid] = corrected
    if faults:
        raise UserError(f"{path}, {listed(faults)}; correct these rows, or mark the labels anew")
    if not meant:
        raise UserError(f"{path}: no label of these {len(given):,} pairs is marked as wrong")
    return meant
