"""agreement.png: the errors that each pair of runs has in common."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..words import Language
from .page import INNER, LINE, MARGIN, Page, centred, write_lines
from .styles import INK, RunStyle
from .text import fitting_size, wrap

# For a kappa of -1, 0 and 1.
_COLOURS = LinearSegmentedColormap.from_list("agreement", ("#e08b4c", "#ffffff", "#2a6fb0"))
_ROOM = 2.3  # inches, for the labels of the runs
_HEAD = 0.42


def agreement(styles: list[RunStyle], say: Language) -> Figure:
    """Draw a matrix of runs by runs; all of them were measured on the same samples.

    Where there are so many that nobody could read numbers, there are colours alone.
    """
    labels = [wrap(style.label, 8.5, _ROOM - 0.55) for style in styles]
    cell = min(0.75, (INNER - _ROOM) / len(styles))
    heights = [max(min(cell, 0.42), LINE * len(label) + 0.1) for label in labels]
    size = fitting_size(["100%"], cell - 0.06, 8)
    remark = say("about_agreement" if size else "about_agreement_colours")
    page = Page(say("title_agreement"), remark, _HEAD + sum(heights) + 0.05)
    axes = page.inches(MARGIN, 0, INNER, _HEAD + sum(heights))
    middles = _HEAD + np.cumsum(heights) - np.array(heights) / 2
    head_size = fitting_size([str(len(styles))], cell - 0.04, 8.5)
    for place, (style, label, middle) in enumerate(zip(styles, labels, middles, strict=True)):
        across, number = _ROOM + cell * (place + 0.5), str(place + 1)
        axes.plot((0.08, across), (middle, 0.28), linestyle="none", **style.dot())
        axes.text(across, 0.1, number, ha="center", va="center_baseline", size=head_size)
        axes.text(0.36, middle, number, ha="right", va="center_baseline")
        write_lines(axes, 0.45, centred(middle, label), label)
    wrong = []  # (R, N) in the order of the guids: runs may have any other
    for found in (style.run.predictions for style in styles):
        order = np.argsort(np.array(found.guids, object))
        wrong.append(np.not_equal(found.labels, found.predicted)[order])
    _draw_pairs(axes, np.array(wrong), middles, heights, cell, size)
    return page.figure


def both_wrong(wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compare the errors of each pair of runs.

    Args:
        wrong: (R, N) true where a run is wrong on a sample.

    Returns:
        Three matrices (R, R): the share of samples that both get wrong; the same if their errors
        were independent; and Cohen's kappa of right and wrong (Cohen 1960), nan where both are
        always right or always wrong.
    """
    rate = wrong.mean(1)  # (R,)
    together = wrong.astype(float) @ wrong.T / wrong.shape[1]
    chance = np.outer(rate, rate)
    alike = 1 - rate[:, None] - rate + 2 * together  # both right or both wrong
    alike_by_chance = 1 - rate[:, None] - rate + 2 * chance
    with np.errstate(invalid="ignore"):
        return together, chance, (alike - alike_by_chance) / (1 - alike_by_chance)


def _draw_pairs(
    axes: Axes,
    wrong: np.ndarray,
    middles: np.ndarray,
    heights: list[float],
    cell: float,
    size: float | None,
) -> None:
    """Draw the cells; ``size``: of their numbers, None for colours alone."""
    together, chance, kappa = both_wrong(wrong)
    for (row, column), value in np.ndenumerate(kappa):
        left, middle, height = _ROOM + cell * column, middles[row], heights[row]
        same = row == column
        colour = "#eeeeee" if same or np.isnan(value) else _COLOURS((value + 1) / 2)
        corner = (left, middle - height / 2)
        axes.add_patch(Rectangle(corner, cell, height, facecolor=colour, edgecolor="white"))
        if size is None:
            continue
        x = left + cell / 2
        text = {"ha": "center", "va": "center_baseline", "size": size}
        text["color"] = "white" if not same and value > 0.8 else INK
        share = f"{together[row, column]:.0%}"
        if row < column:
            # Adding 0 makes a rounded -0 a 0.
            number = "–" if np.isnan(value) else f"{round(value, 2) + 0:.2f}".replace("-", "−")
            axes.text(x, middle, number, **text)
        elif same or height < 0.3:
            axes.text(x, middle, share, **text)
        else:
            axes.text(x, middle - 0.075, share, **text)
            text["size"] = size * 0.8
            axes.text(x, middle + 0.085, f"({chance[row, column]:.0%})", **text)
