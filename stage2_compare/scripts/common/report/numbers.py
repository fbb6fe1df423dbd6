"""numbers.tex: a macro for each figure, such as ``\\FOneConcat`` for macro-F1 of the model concat."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

import numpy as np

from ..comparison.results import Group, Results, shown
from ..files import printable
from ..metrics import METRICS, per_class
from ..runs.labels import BETWEEN

_DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")


def numbers_tex(results: Results) -> str:
    """Return the definitions. The names are of letters only, and no two are alike."""
    found: dict[str, str] = {}
    for name, value, about in _figures(results):
        while name in found:  # of names that differ in what is no letter
            name += "X"
        if isinstance(value, float):
            value = f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
        found[name] = f"\\newcommand{{\\{name}}}{{{value}}} % {printable(about)}\n"
    return "".join(found.values())


def _figures(results: Results) -> Iterator[tuple[str, float | int, str]]:
    """Yield a name, the figure, and what it is of."""
    group, table = results.groups[0], results.table(results.groups[0])
    if group.validation:
        yield "Pairs", group.pairs, "validation pairs"
    names = list(table["model"])
    ends = [letters(name.split(BETWEEN)[-1]) for name in names]
    for place, (name, end) in enumerate(zip(names, ends, strict=True), 1):
        own = end if end and ends.count(end) == 1 else letters(name) or letters(f"model {place}")
        row = {metric.short: shown(table, metric)[name] for metric in METRICS}
        for column, value in (row | dict(table.loc[name])).items():
            if isinstance(value, (int, float)) and column != "group":
                yield letters(column) + own, value, f"{column}, {name}"
        for at, value in enumerate(class_f1(group, name)):
            label = group.validation.pairs.classes[at]
            of_class = letters(label) or letters(f"class {at + 1}")
            yield f"FOne{own}On{of_class}", float(value), f"F1 of {label}, {name}"
    for fusion, single, gain in group.worth:
        for end, value in (("", gain.value), ("Low", gain.low), ("High", gain.high)):
            yield f"FusionGain{end}", 100 * value, f"points of {fusion} above {single}"
    smallest = group.validation and group.validation.smallest_difference
    if smallest is not None:
        yield "SmallestDifference", 100 * smallest, "points that are detected"


def class_f1(group: Group, name: str) -> np.ndarray:
    """Return F1 of each class (C,) of a model, the mean over its seeds; (0,) where it is not judged."""
    judged = group.judged(next(each for each in group.models if each.name == name))
    if judged is None:
        return np.zeros(0)
    pairs = group.validation.pairs
    seeds = (per_class(pairs.labels, said, len(pairs.classes)) for said in judged.predicted)
    return np.mean([found["f1"] for found in seeds], axis=0)


def letters(text: str) -> str:
    """Write a text with the letters that a macro may have: "ResNet18 · late" as ResNetOneEightLate."""
    text = re.sub(r"\d", lambda digit: f" {_DIGITS[int(digit[0])]} ", text)
    words = re.findall("[A-Za-z]+", unicodedata.normalize("NFKD", text))
    return "".join(word[0].upper() + word[1:] for word in words)
