"""All pictures of a list of runs, and notes on what they leave out."""

from __future__ import annotations

import io

import matplotlib.style
from matplotlib.figure import Figure

from ..comparison.compare import Comparison
from ..comparison.wording import metric_title
from ..metrics import METRICS
from ..runs.layout import PREDICTIONS
from ..runs.reading import Run
from ..words import ENGLISH, LANGUAGES, Language, Phrase, phrase
from .ablation import ablation, has_ablation
from .agreement import agreement
from .confusion import confusion
from .cost import params_time
from .intervals import intervals
from .loss import loss_curves
from .page import write_corner
from .per_class import per_class
from .radar import radar
from .reliability import reliability
from .sensitivity import has_rates, sensitivity
from .styles import GREY, INK, PALE, RunStyle, run_styles
from .table import result_table
from .text import add_new_fonts, choose_fonts, measure, one_weight_will_do, without_glyph

DPI = 300
MOST_RUNS = 40  # a page has no room for more, and each takes most of a second
_TALLEST = 60_000  # pixels; matplotlib's limit is 65,535
OF_RUNS = {
    "radar": radar,
    "params_time": params_time,
    "loss_curves": loss_curves,
    "result_table": result_table,
}
OF_PREDICTIONS = {"confusion": confusion, "per_class": per_class, "reliability": reliability}
_OTHERS = ("agreement", "intervals", "ablation", "sensitivity")
_LOOK = {
    **dict.fromkeys(("text.color", "xtick.color", "ytick.color", "axes.labelcolor"), INK),
    "font.size": 8.5,
    "text.parse_math": False,  # a name with two dollar signs is no formula
    "axes.unicode_minus": False,
    "svg.hashsalt": "",  # equal pictures are equal files
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "grid.color": PALE,
    "grid.linewidth": 0.6,
}
PICTURES = [f"{name}.png" for name in (*OF_RUNS, *OF_PREDICTIONS, *_OTHERS)]


def draw(
    runs: list[Run], comparison: Comparison, say: Language
) -> tuple[dict[str, bytes], list[str]]:
    """Draw all pictures of these runs, the best first; of more than MOST_RUNS only the best.

    Without a Chinese font the pictures are in English.

    Returns:
        Files by their names: PNG in a language, which are some of PICTURES, and for the page SVG of
        each, ``radar.en.svg``, in all languages unless runs are left out; and notes, one line for
        each thing that the pictures leave out.
    """
    shown = runs[:MOST_RUNS]
    fonts = choose_fonts()
    _, missing = run_styles(shown, comparison, fonts, ENGLISH)
    if (missing or _languages(fonts) != LANGUAGES) and add_new_fonts():
        fonts = choose_fonts()
    languages = _languages(fonts)
    spoken = say if say in languages else ENGLISH
    if len(shown) < len(runs):  # charts of so many runs take long, and twice as long in two
        languages = (spoken,)
    files, notes = {}, []
    left_out = phrase("best_runs", shown=len(shown), total=len(runs))
    with (
        matplotlib.style.context(["default", _LOOK | {"font.family": fonts}]),
        one_weight_will_do(),
    ):
        measure.cache_clear()
        for each in languages:
            styles, missing = run_styles(shown, comparison, fonts, each)
            figures = _figures(styles, comparison, each)
            for figure in figures.values() if len(shown) < len(runs) else ():
                write_corner(figure, each(left_out))
            if each == spoken:
                files |= {f"{name}.png": png(figure) for name, figure in figures.items()}
            files |= {f"{name}.{each.code}.svg": svg(figure) for name, figure in figures.items()}
    if spoken != say:
        notes.append(say("note_no_chinese_font"))
    if len(shown) < len(runs):
        notes.append(say("note_best_runs", what=left_out))
    return files, notes + _notes(styles, missing, say)


def _languages(fonts: list[str]) -> tuple[Language, ...]:
    """Return the languages of which these fonts can draw every phrase."""
    return tuple(each for each in LANGUAGES if not without_glyph(each.texts("charts"), fonts))


def _figures(styles: list[RunStyle], comparison: Comparison, say: Language) -> dict[str, Figure]:
    predicting, paired = _predicting(styles), _on_the_same_pairs(_predicting(styles))
    figures = {name: chart(styles, say) for name, chart in OF_RUNS.items()}
    if predicting:
        figures |= {name: chart(predicting, say) for name, chart in OF_PREDICTIONS.items()}
        figures["intervals"] = intervals(styles, comparison, say)
    if len(paired) > 1:
        figures["agreement"] = agreement(paired, say)
    if has_ablation(styles):
        figures["ablation"] = ablation(styles, comparison, say)
    if has_rates(comparison):
        figures["sensitivity"] = sensitivity(styles, comparison, say)
    return figures


def _predicting(styles: list[RunStyle]) -> list[RunStyle]:
    return [style for style in styles if style.run.predictions]


def _on_the_same_pairs(styles: list[RunStyle]) -> list[RunStyle]:
    """Return the largest group of runs that were validated on the same pairs, in any order.

    Of groups of one size it is that of the best run.
    """
    groups: dict[frozenset, list[RunStyle]] = {}
    for style in styles:
        predictions = style.run.predictions
        true_classes = (predictions.classes[label] for label in predictions.labels)
        pairs = frozenset(zip(predictions.guids, true_classes, strict=True))
        groups.setdefault(pairs, []).append(style)
    return max(groups.values(), key=len, default=[])


def _notes(styles: list[RunStyle], missing: str, say: Language) -> list[str]:
    paired = _on_the_same_pairs(_predicting(styles))
    lacking: dict[tuple[Phrase, ...], list[str]] = {}  # names of runs by the metrics they lack
    for run in (style.run for style in styles):
        metrics = [metric_title(each) for each in METRICS if run.best[each.column] is None]
        lacking.setdefault(tuple(metrics), []).append(run.name)
    notes = [
        say("note_no_metric", names=names, what=list(metrics))
        for metrics, names in lacking.items()
        if metrics
    ]
    if names := [style.run.name for style in styles if not style.run.predictions]:
        of_runs = ", ".join(f"{name}.png" for name in OF_RUNS)
        notes.append(say("note_no_predictions", names=names, file=PREDICTIONS, pictures=of_runs))
    others = [style.run.name for style in _predicting(styles) if style not in paired]
    if others and len(paired) > 1:
        notes.append(say("note_other_pairs", names=others))
    if len(paired) < 2:
        notes.append(say("note_no_agreement"))
    if missing:
        notes.append(say("note_no_font", missing=missing))
    return notes


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=min(DPI, _TALLEST / figure.get_figheight()))
    return buffer.getvalue()


def svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
