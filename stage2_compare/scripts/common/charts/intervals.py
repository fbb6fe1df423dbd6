"""intervals.png: how far each macro-F1 can be trusted, and which runs are worse than the best."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..comparison.bootstrap import Estimate
from ..comparison.compare import BEST, NOT_COMPARABLE, Compared, Comparison
from .page import GREY, INK, INNER, MARGIN, Look, Page, bare, dot
from .text import BOLD, measure, wrap

LABEL, PLOT, SCORE = 2.0, 2.75, 0.85  # widths in inches; the verdicts take what they leave
LINE, HEAD, AXIS = 0.15, 0.42, 0.47


def intervals(looks: list[Look], comparison: Comparison) -> Figure:
    """A forest plot, best first: a row per run, or per family of seeds, of which at least one kept its predictions."""
    rows = [entry for entry in comparison.families if any(run.predictions for run in entry.runs)]
    best = next((entry for entry in rows if entry.verdict == BEST), None)
    of_run = {look.run.name: look for look in looks}
    labels = [row_label([of_run[run.name] for run in entry.runs], entry) for entry in rows]
    heights = [
        max(0.36, LINE * len(label)) + 0.1 + 0.1 * (len(entry.runs) > 1)
        for entry, label in zip(rows, labels, strict=True)
    ]
    notes = [
        text
        for look in looks
        if look.differs
        for text in wrap(f"{look.label}: {look.differs}", 8, INNER)
    ]
    chart = sum(heights)
    page = Page(
        "Macro-F1 and what it proves",
        remark(comparison),
        HEAD + chart + AXIS + LINE * len(notes) + 0.05,
    )
    text = page.inches(MARGIN, 0, INNER, HEAD + chart)
    axes = page.axes(MARGIN + LABEL, HEAD, PLOT, chart)
    value_axis(axes, rows, chart)
    if best and len(rows) > 1:
        axes.axvline(f1(best).value, color=GREY, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
    right = LABEL + PLOT + 0.1 + SCORE
    for x, name, ha in (
        (right, "Macro-F1", "right"),
        (right + 0.2, "Against the best" * (len(rows) > 1), "left"),
    ):
        text.text(x, HEAD - 0.1, name, ha=ha, va="center_baseline", color=GREY)
    middle = 0.0
    for entry, label, height in zip(rows, labels, heights, strict=True):
        middle += height / 2
        write_row(
            text, HEAD + middle, of_run[entry.runs[0].name], entry, label, alone=len(rows) == 1
        )
        draw_row(axes, middle, [of_run[run.name] for run in entry.runs], entry)
        middle += height / 2
    if best and comparison.smallest_difference:
        ruler(text, axes.get_xlim(), f1(best).value, comparison.smallest_difference)
    for place, note in enumerate(notes):
        page.text(
            MARGIN, page.top + HEAD + chart + AXIS + LINE * (place + 0.5), note, size=8, color=GREY
        )
    return page.figure


def f1(entry: Compared) -> Estimate:
    return entry.scores["val_f1_macro"]


def remark(comparison: Comparison) -> str:
    pairs = f"n = {comparison.pairs}" if comparison.pairs else "each run's own"
    text = (
        f"Bars: {comparison.confidence:.0%} intervals by bootstrap over {pairs} validation pairs. "
    )
    if not comparison.smallest_difference:
        return text
    text += (
        "A verdict compares with the best on the same pairs, corrected for how many there are and for having picked "
        "the best (Hsu 1984); not told apart is no proof of being equal. Smallest difference that these pairs would "
        f"have shown in 4 of 5 cases: {comparison.smallest_difference:.3f}."
    )
    if comparison.several_seeds:
        text += " Filled: mean over the seeds; below it each seed."
    return text


def row_label(looks: list[Look], entry: Compared) -> list[str]:
    """Lines of a run's label; that of a family does not name one of its seeds."""
    label = looks[0].label
    if len(looks) > 1:
        label = label.removesuffix(f" · seed {looks[0].run.seed}") + f" · {len(looks)} seeds"
    return wrap(label, 8.5, LABEL - 0.35)


def value_axis(axes: Axes, rows: list[Compared], height: float) -> None:
    ends = [
        end
        for entry in rows
        for end in (*f1(entry), *(run.best["val_f1_macro"] for run in entry.runs))
    ]
    ends = [end for end in ends if end is not None]
    low, high = min(ends), max(ends)
    around = 0.06 * (high - low) or 0.05
    axes.set(
        xlim=(max(0, low - around), min(1, high + around)),
        ylim=(height, 0),
        xlabel="Macro-F1",
        yticks=(),
    )
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 2.5, 5, 10)))
    bare(axes)
    axes.spines["left"].set_visible(False)


def write_row(
    axes: Axes, y: float, look: Look, entry: Compared, label: list[str], alone: bool
) -> None:
    axes.plot(0.08, y, **dot(look))
    for place, text in enumerate(label):
        axes.text(0.22, y + LINE * (place - (len(label) - 1) / 2), text, va="center_baseline")
    best = {} if alone or entry.verdict != BEST else BOLD
    right, estimate = LABEL + PLOT + 0.1 + SCORE, f1(entry)
    style = {"va": "center_baseline"}
    axes.text(right, y - 0.08, f"{estimate.value:.3f}", ha="right", **style, **best)
    between = (
        "no interval" if estimate.low is None else f"{estimate.low:.3f} to {estimate.high:.3f}"
    )
    axes.text(right, y + 0.08, between, ha="right", size=7, color=GREY, **style)
    if not alone:
        p = "" if entry.p_vs_best is None or entry.verdict == BEST else p_text(entry.p_vs_best)
        axes.text(right + 0.2, y - 0.08 * bool(p), entry.verdict, **style, **best)
        axes.text(right + 0.2, y + 0.08, p, size=7, color=GREY, **style)


def p_text(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def draw_row(axes: Axes, y: float, looks: list[Look], entry: Compared) -> None:
    estimate, several = f1(entry), len(looks) > 1
    y -= 0.05 * several
    faint = {"alpha": 0.35} if entry.verdict == NOT_COMPARABLE else {}
    style = {
        "color": looks[0].colour,
        "linewidth": 2,
        "solid_capstyle": "butt",
        "zorder": 2,
        **faint,
    }
    if estimate.low is not None:
        axes.plot((estimate.low, estimate.high), (y, y), **style)
    mean = {"markerfacecolor": looks[0].colour} if several else {}
    axes.plot(estimate.value, y, zorder=3, **{**dot(looks[0], 6.5), **mean})
    for look in looks if several else ():
        axes.plot(look.run.best["val_f1_macro"], y + 0.14, clip_on=False, **dot(look, 4))


def ruler(axes: Axes, limits: tuple[float, float], best: float, difference: float) -> None:
    """The smallest difference that could have been shown, to scale above the plot, with its upper end at the best."""
    inch = PLOT / (limits[1] - limits[0])
    right = LABEL + (best - limits[0]) * inch
    left = right - difference * inch
    if left < LABEL:
        return  # wider than the plot: the heading has the number
    y, name = HEAD - 0.12, f"smallest difference: {difference:.3f}"
    axes.plot(
        (left, left, left, right, right, right),
        (y - 0.04, y + 0.04, y, y, y - 0.04, y + 0.04),
        color=INK,
        lw=1,
    )
    half = measure(name, 7) / 2
    middle = min(max((left + right) / 2, LABEL + half), LABEL + PLOT - half)
    axes.text(middle, y - 0.13, name, ha="center", va="center_baseline", size=7, color=GREY)
