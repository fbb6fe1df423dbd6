"""reliability.png: whether each run is right as often as it is sure."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..metrics import reliability as calibrated
from .page import GREY, Look, Page, Panels, bare, dot
from .table import Column, Table

HISTOGRAM, BETWEEN, BELOW = 0.42, 0.15, 0.45  # inches
TICKS = (0, 0.25, 0.5, 0.75, 1), ("0", ".25", ".5", ".75", "1")
REMARK = (
    "Of the answers that a run gives with a confidence of 0.8, 80% should be right: the dashed line. Points below it: "
    "too sure. Bars: 95% intervals (Wilson) of the accuracy, in 15 bins of confidence. Under each diagram: the share "
    "of the samples in each bin. ECE: expected calibration error, the mean distance from the line (Guo et al. 2017)."
)


def reliability(looks: list[Look]) -> Figure:
    """A reliability diagram per run, and below it how often the run is how sure."""
    answers = [confidence_and_truth(look) for look in looks]
    results = [calibrated(*answer) for answer in answers]
    most, least = (3, min(3, len(looks) + 1)) if len(looks) <= 6 else (4, 4)
    panels = Panels(looks, most, 0.5, lambda width: width + BETWEEN + HISTOGRAM + BELOW, least)
    table = Table(looks, columns(looks, answers, [error for _, error in results]))
    page = Page("Calibration", REMARK, panels.height + 0.1 + table.height)
    shares = [
        np.array([row["count"] for row in bins]) / len(answer[0])
        for (bins, _), answer in zip(results, answers, strict=True)
    ]
    tallest = np.max(shares)
    for (look, x, y, first, lowest), (bins, _), share in zip(
        panels.draw(page, 0), results, shares, strict=True
    ):
        diagram = page.axes(x, y, panels.width, panels.width)
        histogram = page.axes(x, y + panels.width + BETWEEN, panels.width, HISTOGRAM)
        draw_diagram(diagram, look, [row for row in bins if row["count"]])
        draw_histogram(histogram, look, share, tallest)
        for axes, name in ((diagram, "Accuracy"), (histogram, "Share")):
            axes.tick_params(labelleft=first)
            if first:
                axes.set_ylabel(name)
                axes.yaxis.set_label_coords(-0.36 / panels.width, 0.5)
        if lowest:
            histogram.set_xlabel("Confidence")
    table.draw(page, panels.height + 0.1)
    return page.figure


def confidence_and_truth(look: Look) -> tuple[np.ndarray, np.ndarray]:
    """(N,) probability of the class that the run chose, and whether it was right."""
    said = look.run.predictions
    places = np.array(said.predicted)
    return np.array(said.probabilities)[np.arange(len(places)), places], places == np.array(
        said.labels
    )


def columns(
    looks: list[Look], answers: list[tuple[np.ndarray, np.ndarray]], errors: list[float]
) -> list[Column]:
    sure, right = ([float(answer[which].mean()) for answer in answers] for which in (0, 1))
    too_sure = [f"{a - b:+.3f}" for a, b in zip(sure, right, strict=True)]
    return [
        Column(["Mean", "confidence"], [f"{mean:.3f}" for mean in sure], set()),
        Column.of(looks, ["Accuracy"], right, 3, max),
        Column(["Too sure", "by"], too_sure, set()),
        Column.of(looks, ["ECE"], errors, 3, min),
    ]


def draw_diagram(axes: Axes, look: Look, bins: list[dict]) -> None:
    axes.plot((0, 1), (0, 1), color=GREY, linewidth=1, linestyle=(0, (4, 2)), zorder=1)
    sure, right, counts = (
        np.array([row[key] for row in bins], float) for key in ("confidence", "accuracy", "count")
    )
    axes.vlines(sure, *wilson(right, counts), color=look.colour, linewidth=3.5, alpha=0.3, zorder=2)
    axes.plot(sure, right, linewidth=1.2, clip_on=False, **dot(look, 4.5))
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_yticks(*TICKS)
    axes.set_xticks(TICKS[0], [""] * len(TICKS[0]))
    bare(axes)


def wilson(share: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95% interval of a share of so many samples (Wilson 1927), which stays within 0 and 1 and is not empty at them."""
    z2 = 1.96**2
    middle, half = (
        share + z2 / (2 * count),
        np.sqrt(z2 * (share * (1 - share) / count + z2 / (4 * count**2))),
    )
    return (middle - half) / (1 + z2 / count), (middle + half) / (1 + z2 / count)


def draw_histogram(axes: Axes, look: Look, shares: np.ndarray, tallest: float) -> None:
    edges = np.arange(len(shares)) / len(shares)
    axes.bar(
        edges,
        shares,
        1 / len(shares),
        align="edge",
        color=look.colour,
        edgecolor="white",
        linewidth=0.5,
    )
    axes.set(xlim=(0, 1), ylim=(0, tallest * 1.02))
    axes.set_yticks((0, tallest), ("0", f"{tallest:.2f}".lstrip("0")))
    axes.set_xticks(*TICKS)
    axes.spines[["top", "right"]].set_visible(False)
