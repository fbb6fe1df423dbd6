"""The name, colour, marker and dash of each run, which are the same in all pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..comparison.compare import NO, Comparison
from ..comparison.wording import NOT_COMPARABLE
from ..runs.reading import Run
from ..words import Language
from .labels import number_duplicates, run_labels, shortened
from .text import without_glyph

INK, GREY, PALE = "#222222", "#666666", "#d9d9d9"
# Okabe and Ito's colours without their yellow, which print loses, and three of Tol's: colour-blind
# people can distinguish all of them. Their number shares no factor with the number of markers or
# of dashes, so the first 70 runs all look different. Markers with many corners would look like "o".
_COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00",
    "#56b4e9", "#222222", "#882255", "#332288", "#999933",
)  # fmt: skip
_MARKERS = ("o", "s", "^", "D", "v", "<", ">", "p", "d", "X", "P")
_DASHES = (
    (0, ()),
    (0, (5, 1.5)),
    (0, (1.2, 1.2)),
    (0, (6, 1.5, 1.2, 1.5)),
    (0, (9, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (2, 2)),
)


@dataclass(frozen=True)
class RunStyle:
    """A run, the words for it and the look of its lines in all pictures."""

    run: Run
    label: str
    model: str  # the part of the label that all runs of the model share
    name: str  # of the run folder
    classes: list[str]  # (C,) of its predictions; empty where it has none
    colour: str
    marker: str
    dash: tuple
    differs: str = ""  # from the protocol of the other runs, where it cannot be compared

    def dot(self, size: float = 5.5) -> dict[str, Any]:
        """Return the arguments of ``Axes.plot`` for the run's marker."""
        return {
            "color": self.colour,
            "marker": self.marker,
            "markersize": size,
            "markerfacecolor": "white",
            "markeredgewidth": 1.3 if size > 5 else 1.1,
        }

    def line(self, size: float = 5.5) -> dict[str, Any]:
        """Return the arguments of ``Axes.plot`` for the run's line and marker."""
        return {**self.dot(size), "linestyle": self.dash, "linewidth": 1.5}


def run_styles(
    runs: list[Run], comparison: Comparison, fonts: list[str], say: Language
) -> tuple[list[RunStyle], str]:
    """Choose the style of each run.

    Returns:
        The styles in the order of ``runs``, and the characters that none of the fonts can draw.
        In the words of the styles, ``?`` stands for each of them.
    """
    differs = {e.name: say.joined(e.differs) for e in comparison.runs if e.comparable == NO}
    predicting = [run for run in runs if run.predictions]
    classes = list(dict.fromkeys(name for run in predicting for name in run.predictions.classes))
    found, names = run_labels(runs, say), [run.name for run in runs]
    labels, models = [label.run for label in found], [label.model for label in found]
    missing = without_glyph(map(shortened, [*labels, *names, *classes, *differs.values()]), fonts)
    replacement = str.maketrans(dict.fromkeys(missing, "?"))

    def drawable(texts: Iterable[str]) -> list[str]:
        return [shortened(text).translate(replacement) for text in texts]

    differs = dict(zip(differs, drawable(differs.values()), strict=True))
    labels, names = number_duplicates(drawable(labels)), number_duplicates(drawable(names))
    class_names, model_names = (
        dict(zip(own, number_duplicates(drawable(own)), strict=True))
        for own in (classes, list(dict.fromkeys(models)))
    )
    mark = say(NOT_COMPARABLE).replace(" ", "\u00a0")
    styles = []
    for place, (run, label, name) in enumerate(zip(runs, labels, names, strict=True)):
        marked = say("with_mark", label=label, mark=mark) if run.name in differs else label
        predicted = run.predictions.classes if run.predictions else []
        style = RunStyle(
            run=run,
            label=marked,
            model=model_names[models[place]],
            name=name,
            classes=[class_names[each] for each in predicted],
            colour=_COLOURS[place % len(_COLOURS)],
            marker=_MARKERS[place % len(_MARKERS)],
            dash=_DASHES[place % len(_DASHES)],
            differs=differs.get(run.name, ""),
        )
        styles.append(style)
    return styles, missing
