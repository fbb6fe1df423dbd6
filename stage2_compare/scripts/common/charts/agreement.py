"""agreement.png: how often each pair of runs errs together."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .page import INK, INNER, MARGIN, Look, Page, dot
from .text import fitting_size, wrap

COLOURS = LinearSegmentedColormap.from_list(
    "agreement", ("#e08b4c", "#ffffff", "#2a6fb0")
)  # -1, 0, 1
ROOM = 2.3  # inches, for the runs' labels
LINE, HEAD = 0.15, 0.42
REMARK = (
    "Below the diagonal: the share of the validation samples that both runs get wrong, and in brackets the share that "
    "chance alone would give if their errors had nothing to do with each other. Above it, and as the colour: the same "
    "as one number, Cohen's kappa of right and wrong. 1: both err on the same samples. 0: as if by chance; such "
    "runs know different things, and joining them can help. On the diagonal: how often the run itself is wrong."
)


def agreement(looks: list[Look]) -> Figure:
    """A matrix of runs by runs; all of them were measured on the same samples."""
    labels = [wrap(look.label, 8.5, ROOM - 0.55) for look in looks]
    cell = min(0.75, (INNER - ROOM) / len(looks))
    heights = [max(min(cell, 0.42), LINE * len(label) + 0.1) for label in labels]
    page = Page("Errors in common", REMARK, HEAD + sum(heights) + 0.05)
    axes = page.inches(MARGIN, 0, INNER, HEAD + sum(heights))
    middles = HEAD + np.cumsum(heights) - np.array(heights) / 2
    for place, (look, label, middle) in enumerate(zip(looks, labels, middles, strict=True)):
        across = ROOM + cell * (place + 0.5)
        axes.plot((0.08, across), (middle, 0.28), linestyle="none", **dot(look))
        axes.text(across, 0.1, str(place + 1), ha="center", va="center_baseline")
        axes.text(0.36, middle, str(place + 1), ha="right", va="center_baseline")
        for row, text in enumerate(label):
            axes.text(
                0.45, middle + LINE * (row - (len(label) - 1) / 2), text, va="center_baseline"
            )
    draw_pairs(axes, errors(looks), middles, heights, cell)
    return page.figure


def errors(looks: list[Look]) -> np.ndarray:
    """(R, N) whether each run is wrong on each sample."""
    return np.array(
        [
            np.not_equal(look.run.predictions.labels, look.run.predictions.predicted)
            for look in looks
        ]
    )


def both_wrong(wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each pair of runs, each (R, R): the share of samples that both get wrong, the same if their errors were
    independent, and Cohen's kappa of right and wrong (Cohen 1960), nan where both are always right or always wrong.
    """
    rate = wrong.mean(1)
    together, chance = wrong.astype(float) @ wrong.T / wrong.shape[1], np.outer(rate, rate)
    alike = 1 - rate[:, None] - rate + 2 * together  # both right or both wrong
    alike_by_chance = 1 - rate[:, None] - rate + 2 * chance
    with np.errstate(invalid="ignore"):
        return together, chance, (alike - alike_by_chance) / (1 - alike_by_chance)


def draw_pairs(
    axes: Axes, wrong: np.ndarray, middles: np.ndarray, heights: list[float], cell: float
) -> None:
    together, chance, kappa = both_wrong(wrong)
    size = fitting_size(["100%"], cell - 0.06, 8)
    for (row, column), value in np.ndenumerate(kappa):
        x, y, height = ROOM + cell * column, middles[row], heights[row]
        same = row == column
        colour = "#eeeeee" if same or np.isnan(value) else COLOURS((value + 1) / 2)
        axes.add_patch(
            Rectangle((x, y - height / 2), cell, height, facecolor=colour, edgecolor="white")
        )
        if size is None:
            continue
        style = {"ha": "center", "va": "center_baseline"}
        style["color"] = "white" if not same and value > 0.8 else INK
        upper, lower = f"{together[row, column]:.0%}", f"({chance[row, column]:.0%})"
        if row < column:
            axes.text(
                x + cell / 2,
                y,
                "–" if np.isnan(value) else f"{value:.2f}".replace("-", "−"),
                size=size,
                **style,
            )
        elif same or height < 0.3:
            axes.text(x + cell / 2, y, upper, size=size, **style)
        else:
            axes.text(x + cell / 2, y - 0.075, upper, size=size, **style)
            axes.text(x + cell / 2, y + 0.085, lower, size=size * 0.8, **style)
