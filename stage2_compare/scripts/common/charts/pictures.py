"""All pictures of the results as PNG, SVG and PDF, and notes on what they leave out.

One module a chart: it takes what is ``Shown`` and returns a figure of 14 cm. A model is one mark,
which looks the same in all pictures and on the page.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from xml.sax.saxutils import quoteattr

import matplotlib.style
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from ..comparison.models import Model
from ..comparison.results import Results
from ..runs.layout import PREDICTIONS
from ..words import ENGLISH, Language
from .ablation import ablation
from .agreement import agreement
from .confusion import confusion
from .cost import params_time
from .intervals import intervals
from .loss import loss_curves
from .per_class import per_class
from .radar import radar
from .reliability import reliability
from .sensitivity import sensitivity
from .shown import SIZE, Shown
from .styles import BAND, GREY, INK, PALE, PAPER, looks
from .table import result_table
from .text import add_new_fonts, advance, choose_fonts, drawable, without_glyph

MOST_MODELS = 12  # that a reader can tell apart
_OF_PREDICTIONS = (confusion, per_class, reliability, agreement, intervals, sensitivity)
_CHARTS = (radar, params_time, loss_curves, result_table, *_OF_PREDICTIONS, ablation)
CHARTS = {chart.__name__: chart for chart in _CHARTS}
PICTURES = [f"{name}.png" for name in CHARTS]
_LOOK = {
    **dict.fromkeys(("text.color", "xtick.color", "ytick.color", "axes.labelcolor"), INK),
    **dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "axes.labelsize"), SIZE),
    "font.size": SIZE,
    "text.parse_math": False,  # a name with two dollar signs is no formula
    "axes.unicode_minus": False,
    "axes.facecolor": "none",
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "grid.color": PALE,
    "grid.linewidth": 0.6,
    "figure.facecolor": PAPER,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "",  # equal pictures are equal files
}
_CANVASES = {"png": FigureCanvasAgg, "svg": FigureCanvasSVG, "pdf": FigureCanvasPdf}
_UNDATED = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
_THEME = {INK: "ink", GREY: "grey", PALE: "pale", BAND: "band", PAPER: "paper"}
# Of a picture that is opened alone; in a page, the page sets the colours.
_DARK = (
    "@media (prefers-color-scheme: dark) { svg:root { --ink: #e8e8e8; --grey: #a0a0a0; "
    "--pale: #3c3f45; --band: #23262b; --paper: #16181c } }"
)


def draw(
    results: Results,
    say: Language,
    save: Callable[[str, bytes], None] = lambda name, file: None,
    captions: dict[str, str] | None = None,
) -> tuple[dict[str, bytes], list[str]]:
    """Draw all pictures of the first group; of more than MOST_MODELS models the best.

    Without a Chinese font the pictures are in English.

    Args:
        save: called with the name and the content of each file as soon as it is drawn.
        captions: takes the method of each picture by its name. Then neither title nor method stand in
            the pictures, which are PDF only.

    Returns:
        Files by their names, each picture as ``radar.png``, ``radar.svg`` and ``radar.pdf``; and
        notes, one line for each thing that the pictures leave out.
    """
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # SimHei has no bold face
    group = results.groups[0]
    names = [model.name for model in group.models]
    classes = group.validation.pairs.classes if group.validation else []
    fonts = choose_fonts()
    if without_glyph([*names, *classes, *say.texts("charts")], fonts) and add_new_fonts():
        fonts = choose_fonts()
    spoken = ENGLISH if without_glyph(say.texts("charts"), fonts) else say
    missing = without_glyph([*names, *classes], fonts)
    drawn = drawable(names, missing, 200)
    drawn |= {name: spoken("imported_name", name=drawn[name]) for name in group.imported}
    drawn, table, marks = drawable(classes, missing, 22) | drawn, results.table(group), looks(names)

    def of(models: list[Model]) -> Shown:
        best = models[:MOST_MODELS]
        own = table.loc[[model.name for model in best]]
        return Shown(replace(group, models=models), best, own, marks, drawn, spoken)

    shown = of(group.models)
    trained = of([model for model in group.models if not model.imported])
    sure = of([model for model in group.models if model.has_probabilities])
    of_some = {params_time: trained, loss_curves: trained, reliability: sure}
    files = {}
    advance.cache_clear()
    with matplotlib.style.context(["default", _LOOK | {"font.family": fonts}]):
        for name, chart in CHARTS.items():
            own = of_some.get(chart, shown)
            figure = None if chart in _OF_PREDICTIONS and not own.judged else chart(own)
            if figure and captions is not None:
                captions[name] = say.sentences(own.methods[figure])
                files[f"{name}.pdf"] = _for_a_caption(figure)
                continue
            for kind, canvas in _CANVASES.items() if figure else ():
                content = _written(figure, kind, canvas)
                files[f"{name}.{kind}"] = content
                save(f"{name}.{kind}", content)
    return files, _notes(shown, say, missing)


def _written(figure: Figure, kind: str, canvas: type[FigureCanvasBase]) -> bytes:
    """Return a file of this kind. The canvas draws once, where ``savefig`` would draw twice."""
    buffer = io.BytesIO()
    getattr(canvas(figure), f"print_{kind}")(buffer, metadata=_UNDATED.get(kind))
    if kind != "svg":
        return buffer.getvalue()
    # A page can hold the picture as it is, and it follows the colours of the page.
    text = buffer.getvalue().decode("utf-8")
    text = text[text.index("<svg") :]
    for colour, name in _THEME.items():
        text = re.sub(rf"(fill|stroke): {colour}", rf"\1: var(--{name}, {colour})", text)
    families = r"'DejaVu Sans', Verdana\1, sans-serif"
    text = re.sub(r"'DejaVu Sans'((?:, '[^']*')*)", families, text)
    title = quoteattr(figure.get_suptitle())
    text = text.replace("<svg ", f'<svg role="img" aria-label={title} ', 1)
    return text.replace("<defs>", f"<style>{_DARK}</style>\n<defs>", 1).encode("utf-8")


def _for_a_caption(figure: Figure) -> bytes:
    """Return a PDF file without the title and the method, which the caption below it tells."""
    for text in figure.texts:
        text.set_visible(False)
    buffer, options = io.BytesIO(), {"bbox_inches": "tight", "pad_inches": 0.02}
    FigureCanvasPdf(figure).print_figure(buffer, format="pdf", metadata=_UNDATED["pdf"], **options)
    return buffer.getvalue()


def _notes(shown: Shown, say: Language, missing: str) -> list[str]:
    notes, group = [], shown.group
    if shown.say != say:
        notes.append(say("note_no_chinese_font"))
    if len(shown.models) < len(group.models):
        notes.append(say("note_best_models", n=len(shown.models), total=len(group.models)))
    others = [model.name for model in shown.models if model not in shown.judged]
    if others:
        notes.append(say("note_not_judged", names=others, file=PREDICTIONS))
    if len(shown.judged) < 2:
        notes.append(say("note_no_agreement"))
    if missing:
        notes.append(say("note_no_font", missing=missing))
    return notes
