"""loss_curves.png: training and validation loss of each run, all on the same axes."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..runs.reading import Run
from ..words import Language, phrase
from .page import INNER, MARGIN, Page, Panels, clean_axes
from .styles import GREY, RunStyle

_DASHED = (0, (4, 1.5))
_HOLLOW = {"marker": "o", "markersize": 4, "markerfacecolor": "white"}
_LOSS_LINES = {
    "train_loss": {"linestyle": "-", "linewidth": 1.4, "marker": ".", "markersize": 5},
    "val_loss": {"linestyle": _DASHED, "linewidth": 1.4, **_HOLLOW},
}
_BEST_STAR = {
    "linestyle": "none",
    "marker": "*",
    "markersize": 11,
    "markeredgecolor": "white",
    "markeredgewidth": 0.6,
}


def loss_curves(styles: list[RunStyle], say: Language) -> Figure:
    """Draw one panel per run."""
    rows = [row for style in styles for row in style.run.history]
    remark = [phrase("shared_axes")] if len(styles) > 1 else []
    if any(row["val_loss"] is None for row in rows):
        remark.append(phrase("no_val_loss"))
    remark.append(phrase("which_epoch"))
    height = 1.55 if len(styles) > 1 else 2.8
    panels = Panels(styles, lambda width: height + 0.32, most=3, left=0.5)
    page = Page(say("title_loss_curves"), say.sentences(remark), 0.28 + panels.height + 0.1)
    _draw_key(page, [say(f"key_{name}") for name in ("training", "validation", "best_epoch")])
    losses = [row[name] for row in rows for name in _LOSS_LINES if row[name] is not None]
    least, most = min(losses), max(losses)
    around = 0.04 * (most - least) or 0.1
    locator = MaxNLocator(5, steps=(1, 2, 2.5, 5, 10))
    ticks = locator.tick_values(max(0.0, least - around), most + around)
    last = max(len(style.run.history) for style in styles)
    for panel in panels.draw(page, 0.28):
        axes = page.axes(panel.x, panel.y, panels.width, height)
        axes.set(xlim=(1 - 0.06 * last, last + 0.06 * last))
        axes.set(ylim=(ticks[0], ticks[-1]), yticks=ticks)
        _draw_losses(axes, panel.style.run, panel.style.colour)
        # Written out: a common factor would stand in the label of the panel.
        axes.yaxis.set_major_formatter("{x:g}")
        axes.tick_params(labelleft=panel.first)
        if panel.first:
            axes.set_ylabel(say("axis_loss"))
        if panel.lowest:
            axes.set_xlabel(say("axis_epoch"))
    return page.figure


def _draw_losses(axes: Axes, run: Run, colour: str) -> None:
    epochs = [row["epoch"] for row in run.history]
    for name, line in _LOSS_LINES.items():
        losses = [math.nan if row[name] is None else row[name] for row in run.history]
        axes.plot(epochs, losses, color=colour, **line)
    epoch, loss = run.best["epoch"], run.best["val_loss"]
    axes.axvline(epoch, color=GREY, linewidth=0.8, linestyle=(0, (1, 1.5)), zorder=1)
    star = run.best["train_loss"] if loss is None else loss
    axes.plot(epoch, star, color=colour, **_BEST_STAR)
    clean_axes(axes)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def _draw_key(page: Page, names: list[str]) -> None:
    """Explain the two lines and the star in one row."""
    axes = page.inches(MARGIN, 0, INNER, 0.2)
    for place, (name, line) in enumerate(
        zip(names, [*_LOSS_LINES.values(), _BEST_STAR], strict=True)
    ):
        x = 0.5 + 1.4 * place
        xs = (x, x + 0.19, x + 0.38)
        axes.add_line(Line2D(xs, (0.1,) * 3, color=GREY, **line, markevery=[1]))
        axes.text(x + 0.48, 0.1, name, va="center_baseline")
