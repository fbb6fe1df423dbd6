"""sensitivity.png: macro-F1 of each model at several learning rates."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from ..comparison.compare import Compared, Comparison
from ..comparison.wording import metric_title, order_over_rates
from ..metrics import MAIN
from ..words import Language
from .page import INNER, LINE, MARGIN, Page, clean_axes, write_lines
from .styles import PALE, RunStyle
from .text import wrap

_PLOT, _LEFT = 2.6, 0.5  # inches


def has_rates(comparison: Comparison) -> bool:
    return any(family.rates > 1 and family.by_rate for family in comparison.families)


def sensitivity(styles: list[RunStyle], comparison: Comparison, say: Language) -> Figure:
    """Draw a line per model over the learning rates, with the interval at each.

    The models stand a little beside each other, so that their intervals can be told apart.
    """
    style_of = {style.run.name: style for style in styles}
    rows = [
        (family, style_of[family.runs[0].name])
        for family in comparison.families
        if family.by_rate and family.runs[0].name in style_of
    ]
    rates = sorted({rate for family, _ in rows for rate in family.by_rate})
    labels = [wrap(style.model, 8.5, INNER - 0.5) for _, style in rows]
    key = LINE * sum(map(len, labels)) + 0.1
    remark = say("about_sensitivity", order=order_over_rates(comparison))
    page = Page(say("title_sensitivity"), remark, _PLOT + 0.6 + key)
    axes = page.axes(MARGIN + _LEFT, 0.05, INNER - _LEFT - 0.1, _PLOT)
    for place, (family, style) in enumerate(rows):
        _draw_family(axes, family, style, rates, (place + 0.5) / len(rows) - 0.5)
    _set_axis(axes, rates)
    axes.set(xlabel=say("axis_rate"), ylabel=say(metric_title(MAIN)))
    text, y = page.inches(MARGIN, _PLOT + 0.55, INNER, key), LINE / 2
    for (_, style), label in zip(rows, labels, strict=True):
        text.plot((0.08, 0.38), (y, y), **style.line())
        write_lines(text, 0.5, y, label)
        y += LINE * len(label)
    return page.figure


def _draw_family(
    axes: Axes, family: Compared, style: RunStyle, rates: list[float], beside: float
) -> None:
    """Draw one model; ``beside``, -0.5 to 0.5: where it stands between two rates."""
    places = [rates.index(rate) + 0.3 * beside for rate in sorted(family.by_rate)]
    estimates = [family.by_rate[rate] for rate in sorted(family.by_rate)]
    for place, estimate in zip(places, estimates, strict=True):
        ends = (estimate.low, estimate.high)
        axes.plot((place, place), ends, color=style.colour, linewidth=1, alpha=0.6, zorder=2)
    axes.plot(places, [estimate.corrected for estimate in estimates], zorder=3, **style.line())


def _set_axis(axes: Axes, rates: list[float]) -> None:
    axes.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlim=(-0.4, len(rates) - 0.6))
    axes.grid(True, axis="y", color=PALE, linewidth=0.5)
    clean_axes(axes)
