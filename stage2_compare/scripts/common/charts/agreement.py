"""agreement.png: the errors that each pair of models has in common."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from ..words import phrase
from .confusion import DARK, draw_cells
from .shown import SMALL, Shown, fit, new_figure, rows_of
from .styles import GREY, INK, WHITE


def agreement(shown: Shown) -> Figure | None:
    """Draw a matrix of models by models; of a model's seeds and folds, the answers joined."""
    models = shown.judged
    if len(models) < 2:
        return None
    labels = shown.group.validation.pairs.labels
    wrong = np.array([shown.group.answers(model)[0] != labels for model in models])  # (M, N)
    together, chance, kappa = both_wrong(wrong)
    figure, body = new_figure(shown, shown.say("title_agreement"), [phrase("about_agreement")])
    axes = body.subplots()
    draw_cells(axes, np.where(np.triu(np.ones_like(kappa), 1) > 0, kappa, np.nan))
    for (row, column), value in np.ndenumerate(kappa):
        style = {"ha": "center", "va": "center", "size": SMALL, "color": INK}
        if row < column:
            text = "–" if np.isnan(value) else _short(value)
            style["color"] = WHITE if abs(value) > DARK else INK
        elif row == column:
            text, style["color"] = _short(together[row, row]), GREY
        else:
            text = f"{_short(together[row, column])}\n({_short(chance[row, column])})"
        axes.text(column, row, text, **style)
    labels = [f"{place} {shown.label(model)}" for place, model in enumerate(models, 1)]
    height = rows_of(axes, labels)
    axes.xaxis.tick_top()
    axes.set_xticks(range(len(models)), range(1, len(models) + 1))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return fit(figure, [axes], height)


def _short(value: float) -> str:
    """Write .35, −.10, 0 and 1, for cells of little width."""
    text = f"{value:.2f}".replace("0.", ".", 1).replace("-", "−")
    return {".00": "0", "−.00": "0", "1.00": "1", "−1.00": "−1"}.get(text, text)


def both_wrong(wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compare the errors (M, N) of each two models, true where one is wrong on a pair.

    Returns:
        Matrices (M, M): the share of pairs that both get wrong; the same if their errors were
        independent; Cohen's kappa of right and wrong (Cohen 1960), nan where both are always right,
        or always wrong.
    """
    rate = wrong.mean(1)  # (M,)
    together = wrong.astype(float) @ wrong.T / wrong.shape[1]
    chance = np.outer(rate, rate)
    alike = 1 - rate[:, None] - rate + 2 * together  # both right or both wrong
    alike_by_chance = 1 - rate[:, None] - rate + 2 * chance
    with np.errstate(invalid="ignore"):
        return together, chance, (alike - alike_by_chance) / (1 - alike_by_chance)
