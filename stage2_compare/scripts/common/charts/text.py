"""The fonts, what they can draw, and where a text is broken into lines."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from functools import cache

from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

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


def without_glyph(texts: Iterable[str], fonts: list[str]) -> str:
    """Return the characters of these texts that none of the fonts can draw.

    Control characters are among them even where a font has a glyph for them: a line break would
    tear a line, and a mark that turns the direction of text would turn the rest of it.
    """
    faces = (font_manager.get_font(font_manager.findfont(font)) for font in fonts)
    drawn = {chr(code) for face in faces for code in face.get_charmap()}
    used = sorted(set("".join(texts)))
    return "".join(c for c in used if c not in drawn or unicodedata.category(c) in _CONTROLS)


def drawable(names: Iterable[str], missing: str, longest: int) -> dict[str, str]:
    """Return by each name what is drawn for it: the middle of a long one is cut out, for names
    differ at their ends; ``?`` stands for a missing character; equal texts are then numbered."""
    names, texts = list(dict.fromkeys(names)), []
    for name in names:
        if len(name) > longest:
            name = f"{name[: longest // 2]}…{name[1 - longest // 2 :]}"
        texts.append(name.translate(str.maketrans(dict.fromkeys(missing, "?"))))
    total, seen = Counter(texts), Counter()
    for place, text in enumerate(texts):
        seen[text] += 1
        if total[text] > 1:
            texts[place] = f"{text} ({seen[text]})"
    return dict(zip(names, texts, strict=True))


@cache
def advance(character: str, size: float) -> float:
    """Return the width of a character in inches."""
    font = FontProperties(size=size)
    return _RULER.get_text_width_height_descent(character, font, False)[0] / _RESOLUTION


def measure(text: str, size: float) -> float:
    """Return the width of a line of text in inches; kerning makes it a little narrower."""
    return sum(advance(character, size) for character in text)


def wrap(text: str, size: float, width: float) -> str:
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
    return "\n".join(line.strip() for line in lines)
