"""loss_curves.png: training and validation loss of each run, all on the same axes."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .page import GREY, INNER, MARGIN, Look, Page, Panels, bare


def loss_curves(looks: list[Look]) -> Figure:
    panel = 1.55 if len(looks) > 1 else 2.8
    panels = Panels(looks, most=3, left=0.5, height=lambda width: panel + 0.32)
    remark = ("All panels share their axes. " if len(looks) > 1 else "") + (
        "" if has_val_loss(looks) else "Some runs have no validation loss. "
    )
    page = Page(
        "Training and validation loss",
        remark + "The best epoch has the highest validation macro-F1.",
        0.28 + panels.height + 0.1,
    )
    key(page, 0)
    ticks, last = loss_ticks(looks), max(len(look.run.history) for look in looks)
    for look, x, y, first, lowest in panels.draw(page, 0.28):
        axes = page.axes(x, y, panels.width, panel)
        axes.set(
            xlim=(1 - 0.06 * last, last + 0.06 * last), ylim=(ticks[0], ticks[-1]), yticks=ticks
        )
        loss_lines(axes, look)
        axes.tick_params(labelleft=first)
        if first:
            axes.set_ylabel("Loss")
        if lowest:
            axes.set_xlabel("Epoch")
    return page.figure


def loss_ticks(looks: list[Look]) -> list[float]:
    """Round numbers from below the smallest loss to above the largest."""
    losses = [
        row[name]
        for look in looks
        for row in look.run.history
        for name in ("train_loss", "val_loss")
    ]
    known = [loss for loss in losses if loss is not None]
    around = 0.04 * (max(known) - min(known)) or 0.1
    ticks = MaxNLocator(5, steps=(1, 2, 2.5, 5, 10)).tick_values(
        max(0.0, min(known) - around), max(known) + around
    )
    return list(ticks)


def has_val_loss(looks: list[Look]) -> bool:
    return all(row["val_loss"] is not None for look in looks for row in look.run.history)


def loss_lines(axes: Axes, look: Look) -> None:
    epochs = [row["epoch"] for row in look.run.history]
    for name, style in LOSS_STYLES.items():
        losses = [math.nan if row[name] is None else row[name] for row in look.run.history]
        axes.plot(epochs, losses, color=look.colour, **style)
    best = look.run.best
    axes.axvline(best["epoch"], color=GREY, linewidth=0.8, linestyle=(0, (1, 1.5)), zorder=1)
    loss = best["train_loss"] if best["val_loss"] is None else best["val_loss"]
    axes.plot(best["epoch"], loss, color=look.colour, **BEST_STYLE)
    bare(axes)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


LOSS_STYLES = {
    "train_loss": {"linestyle": "-", "linewidth": 1.4, "marker": ".", "markersize": 5},
    "val_loss": {
        "linestyle": (0, (4, 1.5)),
        "linewidth": 1.4,
        "marker": "o",
        "markersize": 4,
        "markerfacecolor": "white",
    },
}
BEST_STYLE = {
    "linestyle": "none",
    "marker": "*",
    "markersize": 11,
    "markeredgecolor": "white",
    "markeredgewidth": 0.6,
}


def key(page: Page, y: float) -> None:
    """What the two lines and the star mean, in one row."""
    names = {
        "training": LOSS_STYLES["train_loss"],
        "validation": LOSS_STYLES["val_loss"],
        "best epoch": BEST_STYLE,
    }
    axes = page.inches(MARGIN, y, INNER, 0.2)
    for place, (name, style) in enumerate(names.items()):
        x = 0.5 + 1.4 * place
        axes.add_line(
            Line2D((x, x + 0.19, x + 0.38), (0.1,) * 3, color=GREY, **style, markevery=[1])
        )
        axes.text(x + 0.48, 0.1, name, va="center_baseline")
