"""Kinds of pairs, and the accuracy of each run on them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from ..metrics import wilson
from .pairs import PairTable
from .sources import Source, Sources

_CHINESE = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")


@dataclass(frozen=True)
class Slice:
    """The accuracy of each run on one kind of pairs."""

    name: str
    count: int
    accuracies: list[tuple[float, float, float] | None]  # value and ends of its interval; by run


def slices(table: PairTable, sources: Sources) -> dict[str, np.ndarray]:
    """Return the pairs of each kind by its name, (N,) each, without kinds that have none."""
    found: dict[str, np.ndarray] = {}
    for place, key in enumerate(table.keys):
        source = sources.of_pair.get(key)
        for name in kinds(source) if source else ():
            found.setdefault(name, np.zeros(len(table), bool))[place] = True
    if table.cut.any():
        found["text_cut"] = table.cut
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


_ORDER = (
    *("text_empty", "text_short", "text_middle", "text_long", "text_cut"),
    *("chinese", "not_chinese", "encoding_utf8", "encoding_other", "encoding_replaced"),
    *("photo_tall", "photo_square", "photo_wide", "photo_small", "photo_middle", "photo_large"),
)


def accuracies(table: PairTable, name: str, members: np.ndarray) -> Slice:
    """Measure each run on some pairs (N,)."""
    counts = (table.known & members).sum(1)  # (R,)
    rights = (table.right & members).sum(1)
    found = []
    for right, count in zip(rights.tolist(), counts.tolist(), strict=True):
        ends = wilson(np.float64(right / count), np.float64(count)) if count else None
        found.append((right / count, float(ends[0]), float(ends[1])) if count else None)
    return Slice(name, int(members.sum()), found)
