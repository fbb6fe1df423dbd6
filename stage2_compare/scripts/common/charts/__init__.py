"""Drawing runs. Runs in, PNG bytes out.

Every picture is laid out in inches on a page 7.5 wide, so that text keeps its size in print however many runs there
are: a chart on top, and below it a table of the same runs that is also its key. A run has one colour, marker and
dash in all pictures. Text is measured before it is placed, so nothing is clipped and nothing overlaps.
"""

from __future__ import annotations

import io
import re

import matplotlib.style
from matplotlib.figure import Figure

from ..comparison.compare import NO, Comparison, compare
from ..runs.reader import Run
from .agreement import agreement
from .confusion import confusion
from .cost import params_time
from .intervals import intervals
from .labels import run_labels, tell_apart
from .loss import loss_curves
from .page import COLOURS, DASHES, GREY, INK, MARKERS, PALE, Look
from .per_class import per_class
from .radar import radar
from .reliability import reliability
from .table import result_table
from .text import add_new_fonts, font_families, measure, without_glyph

DPI = 300
TALLEST = 60_000  # pixels; matplotlib's limit is 65,535
OF_RUNS = {
    "radar": radar,
    "params_time": params_time,
    "loss_curves": loss_curves,
    "result_table": result_table,
}
OF_PREDICTIONS = {"confusion": confusion, "per_class": per_class, "reliability": reliability}
PICTURES = [f"{name}.png" for name in (*OF_RUNS, *OF_PREDICTIONS, "agreement", "intervals")]


def draw(runs: list[Run]) -> tuple[dict[str, bytes], list[str]]:
    """Pictures of these runs by file name, and a line for everything that they leave out."""
    families = font_families()
    comparison = compare(runs)
    looks, missing = looks_of(runs, comparison, families)
    if missing and add_new_fonts():
        families = font_families()
        looks, missing = looks_of(runs, comparison, families)
    told = [look for look in looks if look.run.predictions]
    same = on_the_same_samples(told)
    with matplotlib.style.context(["default", style(families)]):
        measure.cache_clear()
        figures = {name: picture(looks) for name, picture in OF_RUNS.items()}
        if told:
            figures |= {name: picture(told) for name, picture in OF_PREDICTIONS.items()}
            figures["intervals"] = intervals(looks, comparison)
        if len(same) > 1:
            figures["agreement"] = agreement(same)
        return {f"{name}.png": png(figure) for name, figure in figures.items()}, left_out(
            looks, told, same, missing
        )


def on_the_same_samples(looks: list[Look]) -> list[Look]:
    """The most runs that were measured on the same pairs in the same order; those of the best run where many tie."""
    groups: dict[tuple, list[Look]] = {}
    for look in looks:
        said = look.run.predictions
        groups.setdefault(
            (*said.guids, *(said.classes[label] for label in said.labels)), []
        ).append(look)
    return max(groups.values(), key=len, default=[])


def left_out(looks: list[Look], told: list[Look], same: list[Look], missing: str) -> list[str]:
    """In words, what the pictures do not show."""
    silent = "it keeps no predictions.csv: only in " + ", ".join(f"{name}.png" for name in OF_RUNS)
    notes = [f"{look.run.name}: {silent}" for look in looks if look not in told]
    if len(same) > 1:
        notes += [
            f"{look.run.name}: it was validated on other pairs: not in agreement.png"
            for look in told
            if look not in same
        ]
    else:
        notes.append(
            "agreement.png needs two runs that were validated on the same pairs: not drawn"
        )
    if missing:
        notes.append(
            f"no installed font has {missing}: drawn as ?. Install Noto Sans CJK, Microsoft YaHei or SimHei"
        )
    return notes


def looks_of(
    runs: list[Run], comparison: Comparison, families: list[str]
) -> tuple[list[Look], str]:
    """How each run is drawn, and the characters in its words that no font has, which are drawn as ``?``."""
    differs = {
        entry.name: "; ".join(entry.differs) for entry in comparison.runs if entry.comparable == NO
    }
    classes = list(
        dict.fromkeys(name for run in runs if run.predictions for name in run.predictions.classes)
    )
    texts = (
        run_labels(runs),
        [run.name for run in runs],
        classes,
        [differs.get(run.name, "") for run in runs],
    )
    missing = without_glyph(sum(texts, []), families)
    *texts, protocols = (
        [re.sub(f"[{re.escape(missing)}]", "?", text) if missing else text for text in each]
        for each in texts
    )
    labels, names, shown = map(tell_apart, texts)
    shown = dict(zip(classes, shown, strict=True))
    looks = [
        Look(
            run,
            f"{labels[place]} (not\u00a0comparable)" if run.name in differs else labels[place],
            names[place],
            [shown[each] for each in run.predictions.classes] if run.predictions else [],
            COLOURS[place % len(COLOURS)],
            MARKERS[place % len(MARKERS)],
            DASHES[place % len(DASHES)],
            protocols[place],
        )
        for place, run in enumerate(runs)
    ]
    return looks, missing


def style(families: list[str]) -> dict:
    # No mathtext: a name with two dollar signs is no formula.
    ours = {
        "font.family": families,
        "text.parse_math": False,
        "axes.unicode_minus": False,
        "font.size": 8.5,
    }
    ours |= {f"{thing}.color": INK for thing in ("text", "xtick", "ytick")} | {
        "axes.labelcolor": INK
    }
    return ours | {
        "axes.edgecolor": GREY,
        "axes.linewidth": 0.8,
        "grid.color": PALE,
        "grid.linewidth": 0.6,
    }


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=min(DPI, TALLEST / figure.get_figheight()))
    return buffer.getvalue()
