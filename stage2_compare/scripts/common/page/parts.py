"""The data of the page as scripts: so much in it that the page has less than 2 MB, the rest in files
beside it.

Browsers refuse ``fetch`` for pages that are opened from the disk, but load scripts. A part is
``parts.push({...});``; the page's script joins the parts, whatever their number.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..comparison.decided import KINDS
from .pairs import PairTable
from .sources import Source

INLINE = 1_000_000  # bytes in the page, and in each file beside it
LONGEST_TEXT = 2_000  # characters of a text that are shown
_PER_PART = 200  # pairs
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_TWO_DIGITS = [high + low for high in _DIGITS for low in _DIGITS]  # 0 to 1295, to base 36


def script(value: Any) -> str:
    """Return a statement that hands a value to the page's script, safe inside ``<script>``."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f"parts.push({text});\n"


def model_parts(table: PairTable, marks: list[str]) -> Iterator[dict[str, Any]]:
    """Yield what each model said of all pairs, and the place of its marker.

    ``chosen`` has two digits to base 36 for each pair, the class; ``shares`` two for each pair and
    class, the probability in thousandths, or nothing where none are known. Such strings take a fourth of the memory of numbers, and
    the script reads only those it shows. ``decided`` has the place in KINDS of each pair, "-" for
    none, or nothing where no pair has one.
    """
    columns = table.models, table.predicted, table.shares, table.decided
    for model, chosen, shares, decided in zip(*columns, strict=True):
        yield {
            "model": model.name,
            "mark": marks.index(model.name),
            "chosen": "".join(_TWO_DIGITS[each] for each in chosen.tolist()),
            "shares": ""
            if np.isnan(shares).any()
            else "".join(_TWO_DIGITS[each] for each in _thousandths(shares.ravel())),
            "decided": "".join(str(KINDS.index(each)) if each else "-" for each in decided)
            if (decided != "").any()
            else "",
        }


def pair_parts(
    table: PairTable, sources: dict[str, Source], thumbnails: set[str], masks: np.ndarray
) -> Iterator[dict[str, Any]]:
    """Yield what the script needs to know of pairs, some at a time; ``masks`` (N,) are their sets,
    a bit each."""
    columns = {
        "guids": table.guids,
        "labels": table.labels.tolist(),
        "masks": masks.tolist(),
        "doubt": table.doubt.tolist(),
        "of_label": _thousandths(table.of_label),
        "disagreement": _thousandths(table.disagreement),
        "sure": _thousandths(table.confidence),
    }
    for start in range(0, len(table), _PER_PART):
        part = {key: values[start : start + _PER_PART] for key, values in columns.items()}
        found = [sources.get(guid) for guid in part["guids"]]
        yield {
            **part,
            "texts": [one.text[:LONGEST_TEXT] if one else None for one in found],
            "lengths": [len(one.text) if one else 0 for one in found],
            "photos": [one.shown if one else "" for one in found],
            "thumbs": [
                one.thumbnail if one and one.thumbnail in thumbnails else "" for one in found
            ],
        }


def _thousandths(shares: np.ndarray) -> list[int]:
    return np.rint(shares * 1000).astype(int).tolist()


def distribute(statements: Iterable[str]) -> tuple[str, list[str]]:
    """Return the script inside the page, and those of files beside it.

    Each is within ``INLINE``, unless one statement alone is more.
    """
    scripts: list[list[str]] = [[]]
    filled = 0
    for statement in statements:
        size = len(statement.encode("utf-8", "backslashreplace"))
        if filled and filled + size > INLINE:
            scripts.append([])
            filled = 0
        scripts[-1].append(statement)
        filled += size
    first, *others = ("".join(lines) for lines in scripts)
    return first, others
