"""intervals.png: the 95% interval of each macro-F1, and the runs that are worse than the best.

Where test pairs have labels, what was measured on them stands below in grey.
"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..comparison.compare import Compared, Comparison
from ..comparison.intervals import Estimate
from ..comparison.wording import BEST, NOT_COMPARABLE, metric_title
from ..metrics import MAIN
from ..words import Language, Phrase, phrase
from .page import INNER, LINE, MARGIN, Page, centred, clean_axes, write_lines
from .styles import GREY, INK, RunStyle
from .text import BOLD, measure, wrap

_LABEL, _PLOT, _SCORE = 2.0, 2.4, 0.85  # widths in inches; the verdicts take the rest
_HEAD, _AXIS = 0.42, 0.47
_SCORES_END = _LABEL + _PLOT + 0.1 + _SCORE
_VERDICTS = _SCORES_END + 0.2
_SEEDS, _TEST = 0.1, 0.15  # inches that a row is taller by


def intervals(styles: list[RunStyle], comparison: Comparison, say: Language) -> Figure:
    """Draw a forest plot, best first.

    It has a row per family of which at least one run kept its predictions. Of the runs of a family,
    only those among ``styles`` are shown below it.
    """
    shown = _shown(styles, comparison)
    rows = [row for row, _ in shown]
    best = next((row for row in rows if row.verdict == BEST), None)
    labels = [_row_label(row, members[0], say) for row, members in shown]
    heights = [
        max(0.36, LINE * len(label)) + 0.1 + _extra(row)
        for row, label in zip(rows, labels, strict=True)
    ]
    notes = []
    for style in styles:
        if style.differs:
            reason = say("with_reason", label=style.label, reason=style.differs)
            notes += wrap(reason, 8, INNER)
    chart = sum(heights)
    total = _HEAD + chart + _AXIS + LINE * len(notes) + 0.05
    page = Page(say("title_intervals"), say.sentences(_remark(comparison)), total)
    text = page.inches(MARGIN, 0, INNER, _HEAD + chart)
    axes = page.axes(MARGIN + _LABEL, _HEAD, _PLOT, chart)
    _set_axis(axes, rows, chart)
    main = say(metric_title(MAIN))
    axes.set(xlabel=main)
    head = {"va": "center_baseline", "color": GREY}
    text.text(_SCORES_END, _HEAD - 0.1, main, ha="right", **head)
    text.text(_VERDICTS, _HEAD - 0.1, say("verdict") if len(rows) > 1 else "", **head)
    top = 0.0
    for (row, members), label, height in zip(shown, labels, heights, strict=True):
        middle = top + height / 2
        text.plot(0.08, _HEAD + middle, **members[0].dot())
        write_lines(text, 0.22, centred(_HEAD + middle, label), label)
        _write_result(text, _HEAD + middle, row, len(rows) == 1, say)
        _draw_interval(axes, middle, members, row)
        top += height
    if best and len(rows) > 1:
        dashed = {"color": GREY, "linewidth": 0.9, "linestyle": (0, (4, 2)), "zorder": 1}
        axes.axvline(_main(best).centre, **dashed)
    if best and (smallest := comparison.smallest_difference):
        name = say("smallest_difference", value=smallest)
        _draw_difference(text, axes.get_xlim(), _main(best).centre, smallest, name)
    page.lines(_HEAD + chart + _AXIS, notes, color=GREY)
    return page.figure


def _shown(styles: list[RunStyle], comparison: Comparison) -> list[tuple[Compared, list[RunStyle]]]:
    """Return the rows that have predictions, each with the styles of its runs."""
    style_of = {style.run.name: style for style in styles}
    rows = []
    for row in comparison.families:
        members = [style_of[run.name] for run in row.runs if run.name in style_of]
        if any(style.run.predictions for style in members):
            rows.append((row, members))
    return rows


def _extra(row: Compared) -> float:
    """Return the inches that the seeds and the test pairs of a row take."""
    return _SEEDS * (len(row.runs) > 1) + _TEST * bool(row.test)


def _main(row: Compared) -> Estimate:
    return row.scores[MAIN.column]


def _remark(comparison: Comparison) -> list[Phrase]:
    pairs = phrase("n_pairs", n=comparison.pairs) if comparison.pairs else phrase("own_pairs")
    sentences = [phrase("about_bars", pairs=pairs)]
    if any(row.p_vs_best is not None for row in comparison.families):
        sentences.append(phrase("about_verdicts"))
    if comparison.smallest_difference:
        sentences.append(phrase("about_difference", value=comparison.smallest_difference))
    if comparison.several_runs:
        sentences.append(phrase("about_filled"))
    if any(_is_corrected(_main(row)) for row in comparison.families):
        sentences.append(phrase("about_corrected"))
    if comparison.test:
        tested = phrase("test_pairs", n=len(comparison.test.pairs))
        sentences.append(phrase("about_test", pairs=tested))
    return sentences


def _is_corrected(estimate: Estimate) -> bool:
    """Say if the figure in the text is another one than that of the run's own table."""
    value, corrected = estimate.value, estimate.corrected
    return corrected is not None and f"{corrected:.3f}" != f"{value:.3f}"


def _row_label(row: Compared, first: RunStyle, say: Language) -> list[str]:
    """Break a run's label into lines; that of a family counts what its runs differ in."""
    label = first.label
    if len(row.runs) > 1:
        folds = len({run.recorded("protocol", "fold") for run in row.runs})
        counts = {"seeds": row.seeds, "folds": folds, "rates": row.rates}
        parts = [say(f"count_{name}", n=count) for name, count in counts.items() if count > 1]
        label = " · ".join([first.model, *parts])
    return wrap(label, 8.5, _LABEL - 0.35)


def _set_axis(axes: Axes, rows: list[Compared], height: float) -> None:
    """Let the axis hold all intervals and the values of all seeds."""
    ends = [run.best[MAIN.column] for row in rows for run in row.runs]
    measured = [_main(row) for row in rows] + [
        row.test.estimates[MAIN.column] for row in rows if row.test
    ]
    ends += [end for estimate in measured for end in estimate if end is not None]
    low, high = min(ends), max(ends)
    around = 0.06 * (high - low) or 0.05
    axes.set(xlim=(max(0, low - around), min(1, high + around)), ylim=(height, 0), yticks=())
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 2.5, 5, 10)))
    clean_axes(axes)
    axes.spines["left"].set_visible(False)


def _write_result(axes: Axes, y: float, row: Compared, alone: bool, say: Language) -> None:
    """Write value and interval, and the verdict unless the row is alone; then those on test."""
    y -= _TEST / 2 * bool(row.test)
    style = {"va": "center_baseline"}
    small = {**style, "size": 7, "color": GREY}
    weight = BOLD if row.verdict == BEST and not alone else {}
    estimate, tested = _main(row), row.test
    low, high = estimate.low, estimate.high
    axes.text(_SCORES_END, y - 0.08, f"{estimate.centre:.3f}", ha="right", **style, **weight)
    between = say("no_interval") if low is None else say("bounds", low=low, high=high)
    axes.text(_SCORES_END, y + 0.08, between, ha="right", **small)
    if not alone:
        p = _p_text(row.p_vs_best, row.verdict)
        axes.text(_VERDICTS, y - 0.08 * bool(p), say(row.verdict), **style, **weight)
        axes.text(_VERDICTS, y + 0.08, p, **small)
    if tested:
        value = say("test_value", value=tested.estimates[MAIN.column].value)
        axes.text(_SCORES_END, y + 0.08 + _TEST, value, ha="right", **small)
    if tested and not alone:
        words = filter(None, [say(tested.verdict), _p_text(tested.p, tested.verdict)])
        axes.text(_VERDICTS, y + 0.08 + _TEST, " ".join(words), **small)


def _p_text(p: float | None, verdict: str) -> str:
    if p is None or verdict == BEST:
        return ""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _draw_interval(axes: Axes, y: float, members: list[RunStyle], row: Compared) -> None:
    """Draw the interval and the value of a row, below it the value of each of several seeds, and
    below these the interval and value on test pairs."""
    estimate = _main(row)
    low, high = estimate.low, estimate.high
    several, colour = len(row.runs) > 1, members[0].colour
    y -= _extra(row) / 2
    if low is not None:
        alpha = 0.35 if row.verdict == NOT_COMPARABLE else None
        bar = {"color": colour, "alpha": alpha, "linewidth": 2, "solid_capstyle": "butt"}
        axes.plot((low, high), (y, y), zorder=2, **bar)
    filled = {"markerfacecolor": colour} if several else {}
    axes.plot(estimate.centre, y, zorder=3, **{**members[0].dot(6.5), **filled})
    if _is_corrected(estimate):
        tick = {"marker": "|", "color": colour, "markersize": 8, "zorder": 2, "clip_on": False}
        axes.plot(estimate.value, y, **tick)
    for style in members if several else ():
        axes.plot(style.run.best[MAIN.column], y + 0.14, clip_on=False, **style.dot(4))
    if row.test:
        tested, y = row.test.estimates[MAIN.column], y + 0.12 + _SEEDS * several
        axes.plot((tested.low, tested.high), (y, y), color=GREY, linewidth=0.8, zorder=2)
        axes.plot(tested.value, y, marker="s", markersize=3.5, color=GREY, zorder=3)


def _draw_difference(
    axes: Axes, limits: tuple[float, float], best: float, difference: float, name: str
) -> None:
    """Draw the smallest difference that could have been shown, to scale above the plot.

    Its upper end is at the best value; ``name`` stands above it.
    """
    inch = _PLOT / (limits[1] - limits[0])
    right = _LABEL + (best - limits[0]) * inch
    left = right - difference * inch
    if left < _LABEL:
        return  # it is wider than the plot: the heading has the number
    y = _HEAD - 0.12
    ys = (y - 0.04, y + 0.04, y, y, y - 0.04, y + 0.04)
    axes.plot((left,) * 3 + (right,) * 3, ys, color=INK, lw=1)
    half = measure(name, 7) / 2
    middle = min(max((left + right) / 2, _LABEL + half), _LABEL + _PLOT - half)
    axes.text(middle, y - 0.13, name, ha="center", va="center_baseline", size=7, color=GREY)
