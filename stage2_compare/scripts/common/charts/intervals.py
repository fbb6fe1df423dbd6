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
from ..words import Language, phrase
from .shown import SMALL, Shown, clean, dashed, fit, legend, new_figure, rows_of
from .styles import BAND, GREY

_BAR = {"linewidth": 2, "solid_capstyle": "butt"}
_TEST = {"marker": "|", "markersize": 7, "color": GREY}


def intervals(shown: Shown) -> Figure:
    """Draw a forest plot, best first: a row per model, its runs as small marks below its interval."""
    group, judgement, say = shown.group, shown.group.validation, shown.say
    rows = {model: group.judged(model) for model in shown.judged}
    tests = [test for test in map(group.tested, rows) if test]
    corrected, several = any(map(_is_corrected, rows.values())), len(rows) > 1
    method = [
        phrase("about_intervals", pairs=phrase("validation_pairs", n=group.pairs)),
        about_seeds(group),
        phrase("about_verdicts") if several and not judgement.too_few else None,
        phrase("about_corrected") if corrected else None,
    ]
    if tests:
        method.append(phrase("about_test", pairs=phrase("test_pairs", n=len(group.test.pairs))))
    figure, body = new_figure(shown, say("title_intervals"), method)
    axes = body.subplots()
    for row, (model, judged) in enumerate(rows.items()):
        _draw_row(axes, row, shown, model, judged)
    height = rows_of(axes, [_label(shown, *each) for each in rows.items()], 0.42)
    best = [judged.estimates[MAIN.column] for judged in rows.values() if judged.verdict == BEST]
    if best and several:
        value, difference = best[0].centre, judgement.smallest_difference
        axes.axvline(value, **dashed())
        if difference:
            axes.axvspan(value - difference, value, color=BAND, linewidth=0, zorder=0)
    axes.margins(x=0.05)
    axes.set_xlabel(say(metric_title(MAIN)))
    clean(axes, "x")
    words = axes.secondary_yaxis("right")
    words.set_yticks(range(len(rows)), [_result(say, each, several) for each in rows.values()])
    words.tick_params(length=0, labelsize=SMALL)
    words.spines["right"].set_visible(False)
    # What the marks are.
    dot = {"marker": "o", "markerfacecolor": "none", "color": GREY}
    marks = {say("key_interval"): Line2D([], [], markersize=6.5, **dot, **_BAR)}
    if corrected or any(len(shown.runs(model)) > 1 for model in rows):
        marks[say("key_run")] = Line2D([], [], markersize=3.5, linestyle="none", **dot)
    if tests:
        marks[say("key_test")] = Line2D([], [], linewidth=0.8, **_TEST)
    if several and judgement.smallest_difference:
        words = say("key_difference", value=judgement.smallest_difference)
        marks[words] = Patch(color=BAND, linewidth=0)
    legend(body, list(marks.values()), list(marks))
    return fit(figure, [axes], height)


def _label(shown: Shown, model: Model, judged: Judged) -> str:
    """Return the name of a model, and what its figures are means of or joined from."""
    counts = {"seeds": len(judged.trials), "folds": len(judged.trials[0].runs)}
    counts["rates"] = len(model.by_rate)
    parts = [shown.say(f"count_{key}", n=count) for key, count in counts.items() if count > 1]
    return "\n".join(filter(None, [shown.label(model), ", ".join(parts)]))


def _result(say: Language, judged: Judged, several: bool) -> str:
    """Return value and interval, and the verdict below them unless the row is alone."""
    estimate = judged.estimates[MAIN.column]
    text = f"{estimate.centre:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
    if not several:
        return text
    p = "" if judged.p is None else f" (p = {judged.p:.3f})".replace("= 0.000", "< 0.001")
    return f"{text}\n{say(judged.verdict)}{p}"


def _is_corrected(judged: Judged) -> bool:
    """Say if the figure is another one than that of the model's own runs."""
    estimate = judged.estimates[MAIN.column]
    return f"{estimate.centre:.3f}" != f"{estimate.value:.3f}"


def _draw_row(axes: Axes, row: int, shown: Shown, model: Model, judged: Judged) -> None:
    """Draw the interval and the value; below it each run of several, and the test pairs."""
    look, estimate = shown.looks[model.name], judged.estimates[MAIN.column]
    runs, test = shown.runs(model), shown.group.tested(model)
    axes.plot((estimate.low, estimate.high), (row, row), color=look.colour, zorder=2, **_BAR)
    axes.plot(estimate.centre, row, zorder=3, **look.dot(6.5))
    for run in runs if len(runs) > 1 or _is_corrected(judged) else ():
        axes.plot(run.best[MAIN.column], row + 0.24, **look.dot(3.5, alpha=0.8))
    if test:
        tested, below = test.estimates[MAIN.column], row + 0.38
        axes.plot((tested.low, tested.high), (below, below), color=GREY, linewidth=0.8)
        axes.plot(tested.value, below, zorder=3, **_TEST)
