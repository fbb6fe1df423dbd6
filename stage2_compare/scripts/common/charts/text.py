"""The fonts, and the width of a text before it is placed."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache

from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

BOLD = {"weight": "bold"}  # of a Chinese font without a bold face it is the usual one
_CHINESE_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK", "Noto Sans SC", "Source Han Sans", "Microsoft YaHei", "PingFang",
    "Hiragino Sans GB", "SimHei", "Heiti", "STHeiti", "WenQuanYi", "Droid Sans Fallback",
    "SimSun", "Arial Unicode MS",
)  # fmt: skip
_HAN, _OPEN, _MARK = "\u3400-\u9fff", "（“《", "，。；：、！？）”》"
_WORD = re.compile(
    rf"(?:· [^ _/-]*|[\d.]+e-\d+|[{_OPEN}]*(?:[{_HAN}]|[^ _/{_HAN}{_OPEN}{_MARK}-]+)?)"
    rf"[{_MARK}]*[ _/-]*"
)
_CONTROLS = ("Cc", "Cf", "Zl", "Zp")
_RESOLUTION = 300
_RULER = FigureCanvasAgg(Figure(figsize=(1, 1), dpi=_RESOLUTION)).get_renderer()


def choose_fonts() -> list[str]:
    """Return DejaVu Sans, which comes with matplotlib, then the first installed Chinese font."""
    installed = sorted({font.name for font in font_manager.fontManager.ttflist})
    chinese = [name for wanted in _CHINESE_FONTS for name in installed if name.startswith(wanted)]
    return ["DejaVu Sans", *chinese[:1]]


def add_new_fonts() -> bool:
    """Add the installed fonts that matplotlib's list lacks; return whether there are any.

    Matplotlib keeps its list from the first time that it ran.
    """
    known = {font.fname for font in font_manager.fontManager.ttflist}
    new = [path for path in font_manager.findSystemFonts() if path not in known]
    for path in new:
        with suppress(OSError, RuntimeError):  # a font that cannot be read helps nobody
            font_manager.fontManager.addfont(path)
    return bool(new)


@contextmanager
def one_weight_will_do() -> Iterator[None]:
    """Keep matplotlib from warning of a font, such as SimHei, that has no bold face."""
    logger = logging.getLogger("matplotlib.font_manager")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def without_glyph(texts: Iterable[str], fonts: list[str]) -> str:
    """Return the characters of these texts that none of the fonts can draw.

    Control characters are among them even where a font has a glyph for them: a line break would
    tear a line, and a mark that turns the direction of text would turn the rest of it.
    """
    faces = (font_manager.get_font(font_manager.findfont(font)) for font in fonts)
    drawn = {chr(code) for face in faces for code in face.get_charmap()}
    used = sorted(set("".join(texts)))
    return "".join(c for c in used if c not in drawn or unicodedata.category(c) in _CONTROLS)


@cache
def measure(text: str, size: float, **style: str) -> float:
    """Return the width of a line of text in inches."""
    font = FontProperties(size=size, **style)
    return _RULER.get_text_width_height_descent(text, font, False)[0] / _RESOLUTION


def widest(texts: Iterable[str], size: float, **style: str) -> float:
    """Return the width in inches of the widest of these lines."""
    return max(measure(text, size, **style) for text in texts)


def wrap(text: str, size: float, width: float) -> list[str]:
    """Break a text into lines that fit a width in inches.

    It is broken after a space, ``_``, ``/`` or a ``-`` outside a number, beside a Chinese
    character, and within a word where one is wider than a line. A ``·`` stays on the line of all
    that is behind it up to the next space, a Chinese mark on that of the word before it.
    """
    lines = [""]
    for word in _WORD.findall(text):
        if lines[-1] and measure((lines[-1] + word).rstrip(), size) > width:
            lines.append("")
        for character in word:
            if lines[-1] and measure((lines[-1] + character).rstrip(), size) > width:
                lines.append("")
            lines[-1] += character
    return [line.strip() for line in lines]


def fitting_size(texts: Iterable[str], width: float, size: float) -> float | None:
    """Return the font size, at most ``size``, at which every text fits a width in inches.

    It is None where the text would be too small to read.
    """
    fits = min(size, size * width / widest(texts, size))
    return fits if fits >= 4.5 else None
