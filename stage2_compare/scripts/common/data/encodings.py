"""Bytes -> text. Standard library only.

A byte order mark says what a text is; without one, bytes that are valid UTF-8 are UTF-8. The other
texts of a data set have one encoding in common, GB18030 or Windows-1252 (cp1252). Many bytes are
valid in both, so ``choose_encoding`` asks in which of the two more lines look like something that
people write.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable

# Mark, codec and name. The mark of UTF-32 begins like that of UTF-16, so it comes first.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32", "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig", "utf-8"),
)
_HIGH = re.compile(rb"[\x80-\xff]+")
# Western punctuation, and signs that stand alone among ASCII characters.
_PUNCTUATION = frozenset("’‘“”„…–—•€™")
_SIGNS = _PUNCTUATION | frozenset("£©®°«»¿¡½¼¾·²³´ºª")
_VOTING_BYTES = 1 << 20  # of each text


def decode(data: bytes, legacy: str = "gb18030", whole: bool = True) -> tuple[str, str]:
    """Return ``data`` as text, and the name of its encoding.

    The name is "utf-8", "utf-16", "utf-32", "gb18030", "cp1252" or "replaced": then some bytes are
    wrong in every encoding, and U+FFFD stands for them, so that nothing is lost silently.

    Args:
        legacy: the encoding of texts without a mark that are not UTF-8, one of ``settings.ENCODINGS``
            without "auto". "utf-16" is also the encoding of texts with NUL bytes.
        whole: False if ``data`` is the beginning of a longer text and may end within a character.
    """
    for mark, codec, name in _MARKS:
        if data.startswith(mark):
            text = _strict(data, codec, whole)
            return (_replaced(data, codec), "replaced") if text is None else (text, name)
    text = None if legacy == "utf-16" and b"\0" in data else _strict(data, "utf-8", whole)
    if text is not None:
        return text, "utf-8"
    damaged = _replaced(data, "utf-8")
    if legacy == "utf-8" or _is_damaged_utf_8(damaged):
        return damaged, "replaced"
    codec = "utf-16-le" if legacy == "utf-16" else legacy
    text = _strict(data, codec, whole)
    if text is not None:
        return text, legacy
    other = _replaced(data, codec)
    return min(damaged, other, key=lambda text: text.count("\ufffd")), "replaced"


def choose_encoding(texts: Iterable[bytes]) -> str:
    """Return "gb18030" or "cp1252" for those texts of a data set that are neither marked nor UTF-8.

    Each line has one vote. Where the votes are equal, it is GB18030, as in the published data.
    """
    votes = 0
    for data in texts:
        if not data.isascii() and decode(data, legacy="utf-8")[1] == "replaced":
            votes += sum(map(_vote, data[:_VOTING_BYTES].splitlines()))
    return "cp1252" if votes > 0 else "gb18030"


def _strict(data: bytes, codec: str, whole: bool) -> str | None:
    """Return the text without a mark, or None if a byte is wrong."""
    try:
        text = codecs.getincrementaldecoder(codec)().decode(data, final=whole)
    except UnicodeDecodeError:
        return None
    return text.removeprefix("\ufeff")


def _replaced(data: bytes, codec: str) -> str:
    return data.decode(codec, errors="replace").removeprefix("\ufeff")


def _is_damaged_utf_8(text: str) -> bool:
    """Return True if long sequences of UTF-8 outnumber the wrong bytes, as in a text cut short."""
    return sum(c >= "\u0800" and c != "\ufffd" for c in text) > text.count("\ufffd")


def _vote(line: bytes) -> int:
    """Return 1 if a line looks like Windows-1252, -1 if it looks like GB18030, else 0."""
    western, chinese = _western_marks(line), _chinese_marks(line)
    return (western > chinese) - (western < chinese)


def _western_marks(line: bytes) -> int:
    """Count what is plausible in Windows-1252: a sign alone, a letter beside an ASCII letter."""
    text = _strict(line, "cp1252", whole=True)
    marks = 0
    for run in _HIGH.finditer(line) if text else ():
        start, end = run.span()  # the same in the text: one byte is one character
        characters, around = text[start:end], text[max(start - 1, 0) : start] + text[end : end + 1]
        in_word = characters.isalpha() and any(map(str.isalpha, around))
        if len(characters) == 1:
            marks += in_word or characters in _SIGNS
        else:  # "größer"; the bytes of Chinese characters are seldom small letters only
            marks += (in_word and characters.islower()) or _PUNCTUATION.issuperset(characters)
    return marks


def _chinese_marks(line: bytes) -> int:
    """Count the common characters of GB18030: signs, kana, the first level of GB 2312, emoji.

    The others are rare in what people write, but are what Windows-1252 becomes when misread.
    """
    marks = 0
    for character in _strict(line, "gb18030", whole=False) or "":
        code = character.encode("gb18030")
        if len(code) == 4:  # two bytes of it may look like signs that stand alone
            marks += 2
        elif len(code) == 2:
            marks += b"\xa1" <= code[:1] <= b"\xd7" and code[1:] >= b"\xa1"
    return marks
