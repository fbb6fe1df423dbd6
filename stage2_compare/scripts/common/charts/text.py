"""Fonts, and how wide text is before it is placed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from functools import cache

from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

BOLD = {
    "weight": "bold",
    "family": "DejaVu Sans",
}  # numbers and our own words only: few Chinese fonts have a bold face
CHINESE_FONTS = (
    "Noto Sans CJK", "Noto Sans SC", "Source Han Sans", "Microsoft YaHei", "PingFang", "Hiragino Sans GB", "SimHei",
    "Heiti", "STHeiti", "WenQuanYi", "Droid Sans Fallback", "SimSun", "Arial Unicode MS",
)  # fmt: skip

_CONTROLS = ("Cc", "Cf", "Zl", "Zp")


def font_families() -> list[str]:
    """DejaVu Sans, which comes with matplotlib, and behind it the first Chinese font that is installed."""
    installed = sorted({font.name for font in font_manager.fontManager.ttflist})
    chinese = [name for wanted in CHINESE_FONTS for name in installed if name.startswith(wanted)]
    return ["DejaVu Sans", *chinese[:1]]


def add_new_fonts() -> bool:
    """Whether there are fonts that matplotlib's list lacks: it is kept from the first time that matplotlib ran."""
    known = {font.fname for font in font_manager.fontManager.ttflist}
    new = [path for path in font_manager.findSystemFonts() if path not in known]
    for path in new:
        with suppress(OSError, RuntimeError):  # a font that cannot be read helps nobody
            font_manager.fontManager.addfont(path)
    return bool(new)


def without_glyph(texts: Iterable[str], families: list[str]) -> str:
    """The characters of these texts that none of the fonts can draw, controls among them: some fonts have a glyph for
    a line break, which would tear a line, and a mark that turns the direction of text would turn the rest of it.
    """
    fonts = (font_manager.get_font(font_manager.findfont(family)) for family in families)
    drawn = {chr(code) for font in fonts for code in font.get_charmap()}
    used = {character for text in texts for character in text}
    return "".join(
        sorted(c for c in used if c not in drawn or unicodedata.category(c) in _CONTROLS)
    )


_RESOLUTION = 300
_RULER = FigureCanvasAgg(Figure(figsize=(1, 1), dpi=_RESOLUTION)).get_renderer()


@cache
def measure(text: str, size: float, **style: str) -> float:
    """Width of a line of text in inches."""
    return (
        _RULER.get_text_width_height_descent(text, FontProperties(size=size, **style), False)[0]
        / _RESOLUTION
    )


def widest(texts: Iterable[str], size: float) -> float:
    """Width in inches of the widest of these lines."""
    return max(measure(text, size) for text in texts)


def wrap(text: str, size: float, width: float) -> list[str]:
    """Lines that fit a width in inches: broken after a space, ``_``, ``-`` or ``/``, within a word if need be, and
    never between a ``·`` and what it joins.
    """
    lines = [""]
    for word in re.findall(r"(?:· )?[^ _/-]*[ _/-]*", text):
        if lines[-1] and measure((lines[-1] + word).rstrip(), size) > width:
            lines.append("")
        for character in word:
            if lines[-1] and measure((lines[-1] + character).rstrip(), size) > width:
                lines.append("")
            lines[-1] += character
    return [line.strip() for line in lines]


def fitting_size(texts: Iterable[str], width: float, size: float) -> float | None:
    """The font size, at most ``size``, at which every text fits a width in inches; None where nobody could read it."""
    fits = min(size, size * width / widest(texts, size))
    return fits if fits >= 4.5 else None
