"""Text as Markdown and as LaTeX: whatever a name or a file holds is shown, and nothing of it is run.

``[@key; @other]`` cites entries of references.bib, as pandoc reads it too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ..files import printable

_BIB = (Path(__file__).parent / "references.bib").read_text(encoding="utf-8")
_ENTRY = re.compile(r"^(@\w+\{(\w+),.*?^\})", re.DOTALL | re.MULTILINE)
ENTRIES = {key: entry for entry, key in _ENTRY.findall(_BIB)}
_CITED = re.compile(rf"\[@((?:{'|'.join(ENTRIES)})(?:; @(?:{'|'.join(ENTRIES)}))*)\]")
_MARKDOWN = re.compile(r"([\\`*_\[\]!|~#<>&$@]|^[-+])")
_BREAK, _APART = "\0", "\1"  # in no printable text: here a line may end; not a ligature
_LONG = re.compile("[!-~…]{25,}")  # without a place at which TeX ends a line
_TEX = {
    **{character: f"\\{character}" for character in "{}$&#%_"},
    **{"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}"},
    **{"`": r"\textasciigrave{}", "[": "{[}", "]": "{]}", _BREAK: r"\allowbreak{}", _APART: "{}"},
    **{"–": "--", "−": "$-$", "·": r"$\cdot$", "…": r"\ldots{}", "★": r"$\star$"},
    **{"≈": r"$\approx$", "↓": r"$\downarrow$", "↑": r"$\uparrow$", "○": r"$\circ$"},
    **{"◇": r"$\diamond$", "△": r"$\triangle$", "†": r"\dag{}", "‡": r"\ddag{}"},
}


def reference(key: str) -> str:
    """Return an entry of references.bib as a line of text."""
    fields = dict(re.findall(r"^  (\w+) = \{(.*)\},?$", ENTRIES[key], re.MULTILINE))
    where = next(fields[name] for name in ("journal", "booktitle", "publisher") if name in fields)
    authors = fields["author"].replace(" and ", ", ")
    return re.sub("[{}]", "", f"{authors}: {fields['title']}. {where}, {fields['year']}.")


def markdown(value: Any, cited: dict[str, None]) -> Markup:
    """Return a value as text of Markdown, see ``_escaped``."""
    return _escaped(value, cited, lambda text: _MARKDOWN.sub(r"\\\1", text), "[@{}]", "; @")


def tex(value: Any, cited: dict[str, None], chinese: bool, stand_ins: dict[str, str]) -> Markup:
    """Return a value as text of LaTeX, see ``_escaped``.

    Args:
        chinese: for xelatex with ctex; else for pdflatex, which has Latin letters only.
        stand_ins: what is set for names that cannot be set.
    """

    def plain(text: str) -> str:
        for name in sorted(stand_ins, key=len, reverse=True):
            text = text.replace(name, stand_ins[name])
        text = _LONG.sub(
            lambda run: re.sub(r"[/_.:…\\-]|\w{12}(?=\w)", rf"\g<0>{_BREAK}", run[0]), text
        )
        return "".join(_set(each, chinese) for each in re.sub("-(?=-)", f"-{_APART}", text))

    return _escaped(value, cited, plain, r"\cite{{{}}}", ",")


def can_be_set(text: str, chinese: bool) -> bool:
    """Tell if LaTeX has all characters of a text, or plain letters for them."""
    return not any(_set(each, chinese).startswith("{[}U+") for each in text)


def _escaped(
    value: Any, cited: dict[str, None], plain: Callable[[str], str], form: str, between: str
) -> Markup:
    """Return text as it is shown, and note what it cites; what is markup already, as it is."""
    if isinstance(value, Markup):
        return value
    parts = _CITED.split(str(value))
    for place, part in enumerate(parts):
        if place % 2:
            keys = part.split("; @")
            cited.update(dict.fromkeys(keys))
            parts[place] = form.format(between.join(keys))
        else:
            parts[place] = plain(printable(part))
    return Markup("".join(parts))


def _set(character: str, chinese: bool) -> str:
    """Return how LaTeX sets a character: by its plain letters, or its number, where it has none."""
    if character in _TEX:
        return _TEX[character]
    if character.isascii() or "À" <= character <= "ÿ" or character in "‘’“”":
        return character
    wide = unicodedata.east_asian_width(character) in "WF"
    if chinese and wide and character.encode("gb2312", "ignore"):  # the free fonts of TeX have it
        return character
    letters = unicodedata.normalize("NFKD", character)
    letters = "".join(each for each in letters if not unicodedata.combining(each))
    if letters.isascii():
        return "".join(_TEX.get(each, each) for each in letters)
    return f"{{[}}U+{ord(character):04X}{{]}}"
