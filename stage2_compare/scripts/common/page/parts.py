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

from .pairs import NONE, PairTable
from .sources import Sources, thumbnail_name

INLINE = 1_500_000  # bytes in the page, and in each file beside it
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


def pair_parts(
    table: PairTable, sources: Sources, thumbnails: set[str], masks: np.ndarray
) -> Iterator[dict[str, Any]]:
    """Yield what the script needs to know of pairs, some at a time; ``masks`` (N,) are their sets,
    a bit each."""
    keys = table.keys
    for start in range(0, len(table), _PER_PART):
        places = range(start, min(start + _PER_PART, len(table)))
        found = [sources.of_pair.get(keys[place]) for place in places]
        names = [thumbnail_name(source) if source else "" for source in found]
        yield {
            "guids": [table.guids[place] for place in places],
            "labels": [int(table.labels[place]) for place in places],
            "masks": [int(masks[place]) for place in places],
            "texts": [source.text[:LONGEST_TEXT] if source else None for source in found],
            "lengths": [len(source.text) if source else 0 for source in found],
            "photos": [name if name in thumbnails else "" for name in names],
        }


def run_parts(table: PairTable) -> Iterator[dict[str, Any]]:
    """Yield what each run said of all pairs.

    ``chosen`` has two digits to base 36 for each pair, the class, or "--" where there is no
    prediction; ``shares`` two digits for each pair and class, the probability in thousandths. Such
    strings take a fourth of the memory of numbers, and the script reads only those it shows.
    """
    for run, chosen, shares in zip(table.runs, table.chosen, table.shares, strict=True):
        rounded = np.rint(shares * 1000).astype(int).ravel().tolist()
        yield {
            "run": run.name,
            "chosen": "".join("--" if c == NONE else _TWO_DIGITS[c] for c in chosen.tolist()),
            "shares": "".join(_TWO_DIGITS[share] for share in rounded),
        }


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
