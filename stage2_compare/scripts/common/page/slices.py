"""Kinds of pairs, by their texts and photos."""

from __future__ import annotations

import re

import numpy as np

from .pairs import PairTable
from .sources import Source

_CHINESE = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")
_ORDER = (
    *("text_empty", "text_short", "text_middle", "text_long", "text_cut"),
    *("chinese", "not_chinese", "encoding_utf8", "encoding_other", "encoding_replaced"),
    *("photo_tall", "photo_square", "photo_wide", "photo_small", "photo_middle", "photo_large"),
)


def slices(table: PairTable, sources: dict[str, Source]) -> dict[str, np.ndarray]:
    """Return the pairs of each kind by its name, (N,) each, without kinds that have none."""
    found = {"text_cut": table.cut} if table.cut.any() else {}
    for place, guid in enumerate(table.guids):
        for name in kinds(sources[guid]) if guid in sources else ():
            found.setdefault(name, np.zeros(len(table), bool))[place] = True
    return {name: found[name] for name in _ORDER if name in found}


def kinds(source: Source) -> list[str]:
    """Return the kinds of one pair, at most one of text length, language, encoding, photo shape and
    size."""
    length, (width, height) = len(source.text), source.size
    names = [_by_limit(length, (0, 50, 100), ("empty", "short", "middle", "long"), "text")]
    if length:
        names.append("chinese" if _CHINESE.search(source.text) else "not_chinese")
    encodings = {"utf-8": "encoding_utf8", "replaced": "encoding_replaced"}
    names.append(encodings.get(source.encoding, "encoding_other"))
    if width and height:
        names += [
            _by_limit(width / height, (0.85, 1.18), ("tall", "square", "wide"), "photo"),
            _by_limit(min(width, height), (299, 599), ("small", "middle", "large"), "photo"),
        ]
    return names


def _by_limit(value: float, limits: tuple, names: tuple[str, ...], what: str) -> str:
    """Name the first range that holds a value; each ends with its limit."""
    place = sum(value > limit for limit in limits)
    return f"{what}_{names[place]}"
