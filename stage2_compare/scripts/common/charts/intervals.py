"""intervals.png: the macro-F1 of each model with its interval, and the verdict on it."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..comparison.judging import Judged
from ..comparison.models import Model
from ..comparison.wording import BEST, about_seeds, metric_title
from ..metrics import MAIN
from ..words import phrase
from .shown import SMALL, Shown, clean, dashed, fit, legend, new_figure, rows_of
from .styles import BAND, GREY

_BAR = {"linewidth": 2, "solid_capstyle": "butt"}
_TEST = {"marker": "|", "markersize": 7, "color": GREY}


def intervals(shown: Shown) -> Figure:
    """Draw a forest plot, best first: a row per model, its runs as small marks below its interval."""
    group, say = shown.group, shown.say
    rows = [(model, group.judged(model)) for model in shown.judged]
    tests = [group.tested(model) for model, _ in rows]
    method = [phrase("about_intervals", pairs=phrase("validation_pairs", n=group.pairs))]
    method.append(about_seeds(group))
    if len(rows) > 1 and not group.validation.too_few:
        method.append(phrase("about_verdicts"))
    corrected = any(_is_corrected(judged) for _, judged in rows)
    if corrected:
        method.append(phrase("about_corrected"))
    if any(tests):
        pairs = phrase("test_pairs", n=len(group.test.pairs))
        method.append(phrase("about_test", pairs=pairs))
    figure, body = new_figure(shown, say("title_intervals"), method)
    axes = body.subplots()
    for row, ((model, judged), test) in enumerate(zip(rows, tests, strict=True)):
        _draw_row(axes, row, shown, model, judged, test)
    height = rows_of(axes, [_label(shown, model, judged) for model, judged in rows], 0.42)
    best = next((judged for _, judged in rows if judged.verdict == BEST), None)
    if best and len(rows) > 1:
        value = best.estimates[MAIN.column].centre
        axes.axvline(value, **dashed())
        if group.smallest_difference:
            ends = (value - group.smallest_difference, value)
            axes.axvspan(*ends, color=BAND, linewidth=0, zorder=0)
    axes.margins(x=0.05)
    axes.set_xlabel(say(metric_title(MAIN)))
    clean(axes, "x")
    words = axes.secondary_yaxis("right")
    words.set_yticks(range(len(rows)), [_result(shown, judged, len(rows)) for _, judged in rows])
    words.tick_params(length=0, labelsize=SMALL)
    words.spines["right"].set_visible(False)
    small = corrected or any(len(shown.runs(model)) > 1 for model in shown.judged)
    legend(body, *_legend(shown, small, any(tests)))
    return fit(figure, [axes], height)


def _label(shown: Shown, model: Model, judged: Judged) -> str:
    """Return the name of a model, and what its figures are means of or joined from."""
    counts = {"seeds": len(judged.trials), "folds": len(judged.trials[0].runs)}
    counts["rates"] = len(model.by_rate)
    parts = [shown.say(f"count_{key}", n=count) for key, count in counts.items() if count > 1]
    label = shown.label(model)
    return "\n".join([label, ", ".join(parts)]) if parts else label


def _result(shown: Shown, judged: Judged, rows: int) -> str:
    """Return value and interval, and the verdict below them unless the row is alone."""
    say, estimate = shown.say, judged.estimates[MAIN.column]
    text = f"{estimate.centre:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
    if rows == 1:
        return text
    p = "" if judged.p is None else f" (p = {judged.p:.3f})"
    if judged.p is not None and judged.p < 0.001:
        p = " (p < 0.001)"
    return f"{text}\n{say(judged.verdict)}{p}"


def _is_corrected(judged: Judged) -> bool:
    """Say if the figure is another one than that of the model's own runs."""
    estimate = judged.estimates[MAIN.column]
    return f"{estimate.centre:.3f}" != f"{estimate.value:.3f}"


def _draw_row(
    axes: Axes, row: int, shown: Shown, model: Model, judged: Judged, test: Judged | None
) -> None:
    """Draw the interval and the value; below it each run of several, and the test pairs."""
    look, estimate = shown.looks[model.name], judged.estimates[MAIN.column]
    runs = shown.runs(model)
    axes.plot((estimate.low, estimate.high), (row, row), color=look.colour, zorder=2, **_BAR)
    axes.plot(estimate.centre, row, zorder=3, **look.dot(6.5))
    for run in runs if len(runs) > 1 or _is_corrected(judged) else ():
        axes.plot(run.best[MAIN.column], row + 0.24, **look.dot(3.5, alpha=0.8))
    if test:
        tested, below = test.estimates[MAIN.column], row + 0.38
        axes.plot((tested.low, tested.high), (below, below), color=GREY, linewidth=0.8)
        axes.plot(tested.value, below, zorder=3, **_TEST)


def _legend(shown: Shown, small: bool, tested: bool) -> tuple[list, list[str]]:
    """Return a handle for each kind of mark, and its words."""
    dot = {"marker": "o", "markerfacecolor": "none", "color": GREY}
    kinds = {shown.say("key_interval"): Line2D([], [], markersize=6.5, **dot, **_BAR)}
    if small:
        kinds[shown.say("key_run")] = Line2D([], [], markersize=3.5, linestyle="none", **dot)
    if tested:
        kinds[shown.say("key_test")] = Line2D([], [], linewidth=0.8, **_TEST)
    if len(shown.judged) > 1 and (difference := shown.group.smallest_difference):
        words = shown.say("key_difference", value=difference)
        kinds[words] = Patch(color=BAND, linewidth=0)
    return list(kinds.values()), list(kinds)
