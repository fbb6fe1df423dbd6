"""All pictures of a list of runs, and notes on what they leave out."""

from __future__ import annotations

import io
from typing import Any

import matplotlib.style
from matplotlib.figure import Figure

from ..comparison.compare import Comparison
from ..metrics import METRICS
from ..runs.layout import PREDICTIONS
from ..runs.reader import Run
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
from .text import add_new_fonts, choose_fonts, measure

DPI = 300
MOST_RUNS = 50  # a page has no room for more, and each takes half a second
_TALLEST = 60_000  # pixels; matplotlib's limit is 65,535
OF_RUNS = {
    "radar": radar,
    "params_time": params_time,
    "loss_curves": loss_curves,
    "result_table": result_table,
}
OF_PREDICTIONS = {"confusion": confusion, "per_class": per_class, "reliability": reliability}
_OTHERS = ("agreement", "intervals", "ablation", "sensitivity")
PICTURES = [f"{name}.png" for name in (*OF_RUNS, *OF_PREDICTIONS, *_OTHERS)]


def draw(runs: list[Run], comparison: Comparison) -> tuple[dict[str, bytes], list[str]]:
    """Draw all pictures of these runs, the best first; of more than MOST_RUNS only the best.

    Returns:
        Files by their names: PNG, which are some of PICTURES, and for the page SVG of each; and
        notes, one line for each thing that the pictures leave out.
    """
    shown = runs[:MOST_RUNS]
    fonts = choose_fonts()
    styles, missing = run_styles(shown, comparison, fonts)
    if missing and add_new_fonts():
        fonts = choose_fonts()
        styles, missing = run_styles(shown, comparison, fonts)
    predicting = [style for style in styles if style.run.predictions]
    paired = _on_the_same_pairs(predicting)
    notes = _notes(styles, paired, missing)
    left_out = f"the best {len(shown)} of {len(runs)} runs" if len(shown) < len(runs) else ""
    if left_out:
        notes.insert(0, f"the pictures show {left_out} by macro-F1")
    with matplotlib.style.context(["default", _settings(fonts)]):
        measure.cache_clear()
        figures = {name: chart(styles) for name, chart in OF_RUNS.items()}
        if predicting:
            figures |= {name: chart(predicting) for name, chart in OF_PREDICTIONS.items()}
            figures["intervals"] = intervals(styles, comparison)
        if len(paired) > 1:
            figures["agreement"] = agreement(paired)
        if has_ablation(styles):
            figures["ablation"] = ablation(styles, comparison)
        if has_rates(comparison):
            figures["sensitivity"] = sensitivity(styles, comparison)
        for figure in figures.values():
            write_corner(figure, left_out)
        files = {f"{name}.png": png(figure) for name, figure in figures.items()}
        files |= {f"{name}.svg": svg(figure) for name, figure in figures.items()}
    return files, notes


def _on_the_same_pairs(styles: list[RunStyle]) -> list[RunStyle]:
    """Return the largest group of runs that were validated on the same pairs in the same order.

    Of groups of one size it is that of the best run.
    """
    groups: dict[tuple, list[RunStyle]] = {}
    for style in styles:
        predictions = style.run.predictions
        true_classes = (predictions.classes[label] for label in predictions.labels)
        groups.setdefault((*predictions.guids, *true_classes), []).append(style)
    return max(groups.values(), key=len, default=[])


def _notes(styles: list[RunStyle], paired: list[RunStyle], missing: str) -> list[str]:
    notes = []
    of_runs = ", ".join(f"{name}.png" for name in OF_RUNS)
    for style in styles:
        run = style.run
        lacking = [metric.title for metric in METRICS if run.best[metric.column] is None]
        if lacking:
            what = ", ".join(lacking)
            notes.append(f"{run.name}: it has no {what}: a gap in radar.png, – in the tables")
        if not run.predictions:
            notes.append(f"{run.name}: it keeps no {PREDICTIONS}: only in {of_runs}")
        elif len(paired) > 1 and style not in paired:
            notes.append(f"{run.name}: it was validated on other pairs: not in agreement.png")
    if len(paired) < 2:
        notes.append(
            "agreement.png needs two runs that were validated on the same pairs: not drawn"
        )
    if missing:
        advice = "Install Noto Sans CJK, Microsoft YaHei or SimHei"
        notes.append(f"no installed font has {missing}: drawn as ?. {advice}")
    return notes


def _settings(fonts: list[str]) -> dict[str, Any]:
    """Return the settings of matplotlib that all charts share."""
    inked = ("text.color", "xtick.color", "ytick.color", "axes.labelcolor")
    return {
        **dict.fromkeys(inked, INK),
        "font.family": fonts,
        "font.size": 8.5,
        "text.parse_math": False,  # a name with two dollar signs is no formula
        "axes.unicode_minus": False,
        "svg.hashsalt": "",  # equal pictures are equal files
        "axes.edgecolor": GREY,
        "axes.linewidth": 0.8,
        "grid.color": PALE,
        "grid.linewidth": 0.6,
    }


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=min(DPI, _TALLEST / figure.get_figheight()))
    return buffer.getvalue()


def svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
