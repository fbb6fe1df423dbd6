"""Chinese and English: every phrase that people read in results stands in words.csv.

A phrase is kept apart from its language until it is shown, so each sentence is built once:

    say = Language("zh")
    say("validation_pairs", n=400)          "400 对验证样本"
    note = phrase("other_seeds", name=...)  in a comparison, which has no language; later say(note)

Columns of csv files, names of files and messages of errors are English.
"""

from __future__ import annotations

import csv
import locale
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

CODES = ("zh", "en")  # columns of words.csv
_MOST_NAMES = 3  # in one sentence

# By room and key, in the order of CODES. Rooms are for those who look for a phrase; the page's
# script gets those of its own.
ROOMS: dict[str, dict[str, tuple[str, str]]] = {}
with open(Path(__file__).with_suffix(".csv"), encoding="utf-8", newline="") as _file:
    for _row in csv.DictReader(_file):
        ROOMS.setdefault(_row["room"], {})[_row["key"]] = (_row["zh"], _row["en"])
PHRASES = {key: texts for room in ROOMS.values() for key, texts in room.items()}


class Phrase(NamedTuple):
    """A phrase and what fills it: text, numbers, lists of names, or other phrases."""

    key: str
    values: tuple[tuple[str, Any], ...]  # a tuple, so that equal phrases can be counted


def phrase(key: str, /, **values: Any) -> Phrase:
    return Phrase(key, tuple(values.items()))


def known(key: str, otherwise: str) -> Phrase:
    """Return a phrase without values, or ``otherwise`` in all languages where the table has none:
    of a new metric, for example."""
    return phrase(key) if key in PHRASES else phrase("as_written", text=otherwise)


class _Count(int):
    """A number in a phrase: ``{n:pair|pairs}`` chooses between the words for one and for several."""

    def __format__(self, form: str) -> str:
        if "|" not in form:
            return super().__format__(form)
        return form.split("|")[self != 1]


@dataclass(frozen=True)
class Language:
    """Chinese or English: ``say("this_run", name="late")``."""

    code: str  # of CODES

    def __call__(self, key: str | Phrase, /, **values: Any) -> str:
        """Say a phrase of the table, or one that was kept."""
        if isinstance(key, Phrase):
            key, values = key.key, dict(key.values)
        filled = {name: self._filled(value) for name, value in values.items()}
        return PHRASES[key][CODES.index(self.code)].format(**filled)

    def texts(self, room: str) -> list[str]:
        """Return the phrases of a room, with nothing filled in."""
        return [texts[CODES.index(self.code)] for texts in ROOMS[room].values()]

    def sentences(self, phrases: Iterable[Phrase | None]) -> str:
        """Say sentences one after another."""
        return self("between_sentences").join(self(each) for each in phrases if each)

    def joined(self, phrases: Iterable[Phrase]) -> str:
        """Say all of several parts of one line."""
        return self("between_parts").join(map(self, phrases))

    def listed(self, names: Iterable[str | Phrase]) -> str:
        """Join names; of many, only the first are named."""
        said = [self._filled(name) for name in names]
        between = self("between_names")
        if len(said) > _MOST_NAMES + 1:
            first, others = between.join(said[:_MOST_NAMES]), len(said) - _MOST_NAMES
            return self("and_others", names=first, n=others)
        if len(said) < 2:
            return "".join(said)
        return self("and", names=between.join(said[:-1]), last=said[-1])

    def _filled(self, value: Any) -> Any:
        if isinstance(value, Phrase):
            return self(value)
        if isinstance(value, list):
            return self.listed(value)
        return _Count(value) if type(value) is int else value


def unit_of(seconds: float) -> tuple[Phrase, int]:
    """Return the unit in which a time has few digits, and how many seconds it has."""
    for unit, size in (("unit_h", 3600), ("unit_min", 60)):
        if seconds >= size:
            return phrase(unit), size
    return phrase("unit_s"), 1


def duration(seconds: float, say: Language) -> str:
    """Write a time in the unit that suits it."""
    unit, size = unit_of(seconds)
    digits = ".0f" if size == 1 else ".1f"
    if seconds >= 1e7:  # a record may hold any number
        digits = ".0e"
    return f"{seconds / size:{digits}} {say(unit)}"


CHINESE, ENGLISH = LANGUAGES = tuple(map(Language, CODES))


def system_language() -> str:
    """Return the code of the language that the system speaks; English where it is neither."""
    name = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    if sys.platform == "win32" and not name:
        import ctypes

        number = ctypes.windll.kernel32.GetUserDefaultUILanguage()
        name = locale.windows_locale.get(number, "")
    return "zh" if name.lower().startswith("zh") else "en"
