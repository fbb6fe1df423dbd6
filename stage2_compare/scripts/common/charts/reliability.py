"""reliability.png: the accuracy of each model over its confidence."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..metrics import reliability as calibration
from ..metrics import wilson
from ..words import phrase
from .shown import SIZE, Shown, dashed, fit_panels, new_figure, panels
from .styles import GREY, Look

_BINS = 15
_SEED, _SIMULATIONS = 15_000, 200  # labels that a calibrated model would meet


def reliability(shown: Shown) -> Figure:
    """Draw a reliability diagram per model, over a histogram of its confidence."""
    say = shown.say
    figure, body = new_figure(shown, say("title_reliability"), [phrase("about_reliability")])
    grid = panels(body, shown, shown.judged, 3)
    labels = shown.group.validation.pairs.labels
    for axes, model in zip(grid, shown.judged, strict=True):
        predicted = shown.group.judged(model).predicted  # (S, N)
        shares = np.take_along_axis(shown.group.shares(model), predicted[..., None], -1)
        # Of each seed: confidence (N,), and whether it was right (N,).
        answers = list(zip(shares[..., 0], predicted == labels, strict=True))
        errors = [calibration(*answer, _BINS)[1] for answer in answers]
        by_chance = [chance_error(confidence, _BINS) for confidence, _ in answers]
        joined = map(np.concatenate, zip(*answers, strict=True))
        _draw(axes, calibration(*joined, _BINS)[0], len(answers), shown.looks[model.name])
        figures = f"ECE {np.mean(errors):.3f} ({np.mean(by_chance):.3f})"
        axes.set_title(f"{axes.get_title('left')}\n{figures}", loc="left", size=SIZE, pad=5)
    grid[0].set(xlim=(0, 1), ylim=(0, 1))
    grid[0].set_xticks((0, 0.5, 1), ("0", ".5", "1"))
    grid[0].set_yticks((0, 0.5, 1), ("0", ".5", "1"))
    height = 1.35 if len(grid) > 1 else 2.6
    return fit_panels(figure, grid, say("axis_confidence"), say("axis_accuracy"), height)


def chance_error(confidence: np.ndarray, bins: int) -> float:
    """Return the expected calibration error that chance gives a calibrated model.

    Each of its answers is right with the probability that the model gives it, ``confidence`` (N,);
    the error is a mean over simulations.
    """
    random = np.random.default_rng(_SEED)
    right = random.random((_SIMULATIONS, len(confidence))) < confidence
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)  # (N,)
    of_bin = np.equal.outer(place, np.arange(bins)).astype(float)  # (N, bins)
    distances = (right - confidence) @ of_bin  # (simulations, bins), times the pairs of a bin
    return float(np.abs(distances).sum(1).mean() / len(confidence))


def _draw(axes: Axes, bins: list[dict], seeds: int, look: Look) -> None:
    """Draw the bins of all seeds together; the intervals are those of the pairs of one."""
    counts = np.array([row["count"] for row in bins], float)
    edges, shares = np.linspace(0, 1, len(bins) + 1), 0.3 * counts / counts.max()
    axes.stairs(shares, edges, fill=True, color=look.colour, alpha=0.2)
    axes.plot((0, 1), (0, 1), **dashed(GREY))
    used = [row for row in bins if row["count"]]
    confidence, accuracy = (
        np.array([row[key] for row in used]) for key in ("confidence", "accuracy")
    )
    low, high = wilson(accuracy, counts[counts > 0] / seeds)
    axes.vlines(confidence, low, high, color=look.colour, linewidth=1.2, alpha=0.6)
    axes.plot(confidence, accuracy, clip_on=False, **look.dot(4, linestyle="-", linewidth=1))
