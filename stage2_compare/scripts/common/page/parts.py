"""The data of the page as a script: in the page, or where it is large, in a file beside it.

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

LONGEST_TEXT = 2_000  # characters of a text that are shown
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
        known, probed = not np.isnan(shares).any(), (decided != "").any()
        places = (str(KINDS.index(each)) if each else "-" for each in decided)
        yield {
            "model": model.name,
            "mark": marks.index(model.name),
            "chosen": _two_digits(chosen.tolist()),
            "shares": _two_digits(_thousandths(shares.ravel())) if known else "",
            "decided": "".join(places) if probed else "",
        }


def pair_part(
    table: PairTable, sources: dict[str, Source], thumbnails: set[str], sets: Iterable[np.ndarray]
) -> dict[str, Any]:
    """Return what the script needs to know of pairs; ``sets`` of them, (N,) each, are a bit each."""
    found = [sources.get(guid) for guid in table.pairs.guids]
    thumbs = [one.thumbnail if one else "" for one in found]
    return {
        "guids": table.pairs.guids,
        "labels": table.pairs.labels.tolist(),
        "masks": sum(members.astype(int) << bit for bit, members in enumerate(sets)).tolist(),
        "doubt": table.doubt.tolist(),
        "of_label": _thousandths(table.of_label),
        "disagreement": _thousandths(table.disagreement),
        "sure": _thousandths(table.confidence),
        "texts": [one.text[:LONGEST_TEXT] if one else None for one in found],
        "lengths": [len(one.text) if one else 0 for one in found],
        "photos": [one.shown if one else "" for one in found],
        "thumbs": [name if name in thumbnails else "" for name in thumbs],
    }


def _thousandths(shares: np.ndarray) -> list[int]:
    return np.rint(shares * 1000).astype(int).tolist()


def _two_digits(numbers: list[int]) -> str:
    return "".join(_TWO_DIGITS[each] for each in numbers)
