"""ablation.png: what is left of a model without one modality, or without their interaction."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..comparison.compare import Comparison
from ..comparison.wording import metric_title
from ..metrics import MAIN
from ..runs.reading import Run
from ..words import Language, phrase
from .page import INNER, LINE, MARGIN, Page, centred, clean_axes, write_lines
from .styles import GREY, INK, PALE, RunStyle
from .text import measure, wrap

_LABEL, _AXIS, _ROW = 2.3, 0.47, 0.34  # inches
AS_IT_IS = "as_it_is"
# What is measured, in the order of the legend: the phrase, the marker, its colour.
KINDS = {
    AS_IT_IS: ("o", INK),
    "same_pairs": ("o", GREY),
    "additive_projection": ("D", "#0072b2"),
    "images_shuffled": ("<", "#d55e00"),
    "texts_shuffled": (">", "#009e73"),
    "image_blanked": ("v", "#cc79a7"),
    "text_blanked": ("^", "#e69f00"),
}
_ONE_MODALITY = ("text", "image")  # fusions


def has_ablation(styles: list[RunStyle]) -> bool:
    return any(style.run.recorded("probe") for style in styles)


def ablation(styles: list[RunStyle], comparison: Comparison, say: Language) -> Figure:
    """Draw a row per probed run with a marker per measurement, and a row per run that was trained
    on one modality; a line is always predicting the most frequent class."""
    rows = [
        style
        for style in styles
        if style.run.recorded("probe") or style.run.recorded("model", "fusion") in _ONE_MODALITY
    ]
    values = [measurements(style.run) for style in rows]
    measured = set().union(*values)
    kinds = [kind for kind in KINDS if kind in measured]
    labels = [wrap(style.label, 8.5, _LABEL - 0.35) for style in rows]
    heights = [max(_ROW, LINE * len(label) + 0.1) for label in labels]
    legend = _legend_lines({kind: say(kind) for kind in kinds})
    chart = sum(heights)
    head = LINE * 1.3 * len(legend) + 0.1
    remark = [phrase("about_ablation")]
    if comparison.majority:
        remark.append(phrase("about_majority", name=comparison.majority_class))
    page = Page(say("title_ablation"), say.sentences(remark), head + chart + _AXIS)
    text = page.inches(MARGIN, 0, INNER, head)
    for place, line in enumerate(legend):
        y = LINE * 1.3 * (place + 0.5)
        for x, kind, words in line:
            text.plot(x + 0.07, y, **_dot(kind))
            text.text(x + 0.2, y, words, va="center_baseline")
    text = page.inches(MARGIN, head, _LABEL, chart)
    axes = page.axes(MARGIN + _LABEL, head, INNER - _LABEL - 0.1, chart)
    top = 0.0
    for style, label, height, found in zip(rows, labels, heights, values, strict=True):
        middle = top + height / 2
        text.plot(0.08, middle, **style.dot())
        write_lines(text, 0.22, centred(middle, label), label)
        ends = (min(found.values()), max(found.values()))
        axes.plot(ends, (middle, middle), color=PALE, linewidth=1.2, zorder=1)
        for kind, value in found.items():
            order = 3 if kind == AS_IT_IS else 2
            axes.plot(value, middle, clip_on=False, zorder=order, **_dot(kind))
        top += height
    if comparison.majority:
        line = {"color": GREY, "linewidth": 0.9, "linestyle": (0, (4, 2)), "zorder": 1}
        axes.axvline(comparison.majority[MAIN.column], **line)
    _set_axis(axes, chart, say(metric_title(MAIN)))
    return page.figure


def measurements(run: Run) -> dict[str, float]:
    """Return macro-F1 by KINDS, of what is recorded.

    Shuffling is measured on all validation pairs; the additive projection and blanking on those
    that were probed, on which the model's own figure may differ.
    """
    own = run.best[MAIN.column]
    same = run.number("probe", "f1_same_pairs")
    drops = {
        "images_shuffled": run.number("probe", "f1_drop_images_shuffled"),
        "texts_shuffled": run.number("probe", "f1_drop_texts_shuffled"),
    }
    found = {
        AS_IT_IS: own,
        "same_pairs": None if same is None or abs(same - own) < 5e-4 else same,
        "additive_projection": run.number("probe", "emap_f1_macro"),
        **{kind: None if drop is None else own - drop for kind, drop in drops.items()},
        "image_blanked": run.number("probe", "f1_image_blanked"),
        "text_blanked": run.number("probe", "f1_text_blanked"),
    }
    return {kind: min(1.0, max(0.0, value)) for kind, value in found.items() if value is not None}


def _legend_lines(words: dict[str, str]) -> list[list[tuple[float, str, str]]]:
    """Place the words of kinds in the legend, as many on a line as it holds: (x, kind, words)."""
    lines, x = [[]], 0.0
    for kind, text in words.items():
        width = 0.2 + measure(text, 8.5) + 0.2
        if x + width > INNER and lines[-1]:
            lines.append([])
            x = 0.0
        lines[-1].append((x, kind, text))
        x += width
    return lines


def _dot(kind: str) -> dict:
    marker, colour = KINDS[kind]
    face = colour if kind == AS_IT_IS else "white"
    return {
        "marker": marker,
        "color": colour,
        "markersize": 5.5,
        "markerfacecolor": face,
        "markeredgewidth": 1.2,
        "linestyle": "none",
    }


def _set_axis(axes: Axes, height: float, name: str) -> None:
    low, high = axes.get_xlim()
    axes.set(xlim=(max(-0.02, low), min(1.02, high)), ylim=(height, 0), yticks=(), xlabel=name)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=(1, 2, 2.5, 5, 10)))
    axes.grid(True, axis="x", color=PALE, linewidth=0.5)
    clean_axes(axes)
    axes.spines["left"].set_visible(False)
