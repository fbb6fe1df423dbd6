"""radar.png: the metrics of the best models, on one axis each and all on one scale."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes
from matplotlib.ticker import MaxNLocator

from ..comparison.results import shown as figure_of
from ..comparison.wording import metric_title
from ..metrics import METRICS
from ..words import phrase
from .shown import SMALL, Shown, fit, legend_of_models, new_figure
from .styles import GREY, PALE, PAPER

_MOST = 6


def radar(shown: Shown) -> Figure:
    """Draw the best models: more than six could not be told apart.

    The line of a model has a gap at a metric that it did not record.
    """
    say = shown.say
    models, table = shown.models[:_MOST], shown.table[:_MOST]
    values = np.array([figure_of(table, metric) for metric in METRICS], float).T  # (M, K)
    centre, *others = rings(values)
    method = [phrase("about_radar", centre=centre, high=others[-1])]
    figure, body = new_figure(shown, say("title_radar"), method, models)
    axes: PolarAxes = body.subplots(subplot_kw={"projection": "polar"})
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    angles = np.linspace(0, 2 * math.pi, len(METRICS), endpoint=False)
    axes.set_xticks(angles, [say(metric_title(metric)) for metric in METRICS])
    for angle, name in zip(angles, axes.get_xticklabels(), strict=True):
        side = round(math.sin(angle), 3)
        name.set(ha="left" if side > 0 else "right" if side < 0 else "center")
    axes.tick_params(axis="x", pad=2)
    axes.set_ylim(centre, others[-1])
    axes.set_yticks(others, [])
    between = math.pi / len(METRICS)  # two axes
    paper = {"facecolor": PAPER, "alpha": 0.8, "linewidth": 0, "pad": 0.8}
    for ring in others:
        style = {"ha": "center", "va": "center", "size": SMALL, "color": GREY, "bbox": paper}
        axes.text(between, ring, f"{ring:.2f}", zorder=3, **style)
    axes.spines["polar"].set_color(PALE)
    around = [*angles, angles[0]]
    for model, row in zip(models, values, strict=True):
        style = shown.looks[model.name].line()
        axes.plot(around, [*row, row[0]], clip_on=False, **style)
    legend_of_models(body, shown, models, line=True)
    return fit(figure, [axes], 2.9)


def rings(values: np.ndarray) -> np.ndarray:
    """Return the values at the centre, at the rings and at the rim of a radar of models (M, K).

    It starts at 0, unless the models lie so close that no difference would be seen.
    """
    least, most = np.nanmin(values), np.nanmax(values)
    spread = most - least
    is_close = len(values) > 1 and 0 < spread <= 0.4 * most
    low = max(0, min(least - spread / 4, most - 0.04)) if is_close else 0
    return MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(low, max(most, 0.04))
