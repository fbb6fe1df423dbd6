"""ablation.png: what is left of a model without one modality, or without their interaction."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..comparison.wording import metric_title
from ..metrics import MAIN
from ..runs.reading import Run
from ..settings import BASELINES
from ..words import phrase
from .shown import SMALL, Shown, dashed, fit_panels, legend, new_figure, panels, rows_of
from .text import measure

# What is measured, from top to bottom.
KINDS = (
    "as_it_is", "same_pairs", "additive_projection", "images_shuffled", "texts_shuffled",
    "image_blanked", "text_blanked",
)  # fmt: skip


def ablation(shown: Shown) -> Figure | None:
    """Draw a panel per probed model with a row per measurement.

    Dashed lines are models that were trained on one modality, and always predicting the most
    frequent class.
    """
    say, majority = shown.say, shown.group.majority
    found = {model: measured(shown.runs(model)) for model in shown.models}
    found = {model: own for model, own in found.items() if own}
    if not found:
        return None
    kinds = [kind for kind in KINDS if any(kind in one for own in found.values() for one in own)]
    several = any(len(own) > 1 for own in found.values())
    method = [phrase("about_ablation"), phrase("dots_are_runs") if several else None]
    figure, body = new_figure(shown, say("title_ablation"), method)
    left = max(measure(say(kind), SMALL) for kind in kinds)
    grid = panels(body, shown, list(found), 3, left)
    rows_of(grid[0], [say(kind) for kind in kinds])
    main = shown.table[MAIN.column].astype(float)  # as measured, as what was probed is
    references = {
        shown.names[model.name]: (main[model.name], dashed(shown.looks[model.name].colour))
        for model in shown.models
        if model.runs[0].recorded("model", "fusion") in BASELINES
    }
    if majority:
        name = say("key_always", name=shown.names[shown.group.majority_class])
        references[name] = (majority[MAIN.column], dashed() | {"linestyle": ":"})
    for axes, (model, own) in zip(grid, found.items(), strict=True):
        look = shown.looks[model.name]
        means = [np.mean([one[kind] for one in own if kind in one] or np.nan) for kind in kinds]
        rows = range(len(kinds))
        axes.hlines(rows, means[0], means, color=look.colour, linewidth=1.2, alpha=0.6)
        axes.plot(means, rows, **look.dot(5))
        for one in own if len(own) > 1 else ():
            places = [kinds.index(kind) for kind in one]
            axes.plot(list(one.values()), places, ".", color=look.colour, markersize=3)
        for value, line in references.values():
            axes.axvline(value, **line)
        axes.tick_params(axis="y", length=0, labelsize=SMALL)
        axes.spines["left"].set_visible(False)
    grid[0].margins(x=0.12)
    grid[0].locator_params(axis="x", nbins=4)
    if references:
        lines = [Line2D([], [], **line) for _, line in references.values()]
        legend(body, lines, list(references))
    return fit_panels(figure, grid, say(metric_title(MAIN)), "", 0.2 * len(kinds) + 0.1)


def measured(runs: list[Run]) -> list[dict[str, float]]:
    """Return macro-F1 by KINDS of each run that was probed, of what is recorded.

    Shuffling is measured on all validation pairs; the additive projection and blanking on those
    that were probed, on which the model's own figure may differ.
    """
    return [_measured(run) for run in runs if run.recorded("probe")]


def _measured(run: Run) -> dict[str, float]:
    own = run.best[MAIN.column]
    same = run.number("probe", "f1_same_pairs")
    drops = {
        "images_shuffled": run.number("probe", "f1_drop_images_shuffled"),
        "texts_shuffled": run.number("probe", "f1_drop_texts_shuffled"),
    }
    found = {
        "as_it_is": own,
        "same_pairs": None if same is None or abs(same - own) < 5e-4 else same,
        "additive_projection": run.number("probe", "emap_f1_macro"),
        **{kind: None if drop is None else own - drop for kind, drop in drops.items()},
        "image_blanked": run.number("probe", "f1_image_blanked"),
        "text_blanked": run.number("probe", "f1_text_blanked"),
    }
    return {kind: min(1.0, max(0.0, value)) for kind, value in found.items() if value is not None}
