"""Bytes -> text. A byte order mark says what a text is; without one, bytes that are valid UTF-8 are
UTF-8. The other texts of a data set have one encoding in common, GB18030 or Windows-1252 (cp1252)."""

from __future__ import annotations

import codecs
from collections.abc import Iterable

from charset_normalizer import from_bytes

# Mark, codec and name. The mark of UTF-32 begins like that of UTF-16, so it comes first.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32", "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig", "utf-8"),
)
_VOTING_BYTES = 1 << 20  # of each text


def decode(data: bytes, legacy: str = "gb18030") -> tuple[str, str]:
    """Return ``data`` as text, and the name of its encoding: "utf-8", "utf-16", "utf-32", "gb18030",
    "cp1252" or "replaced": then some bytes are wrong in every encoding, and U+FFFD stands for them.

    ``legacy`` is the encoding of texts without a mark that are not UTF-8, one of ``settings.ENCODINGS``
    without "auto". "utf-16" is also the encoding of texts with NUL bytes."""
    for mark, codec, name in _MARKS:
        if data.startswith(mark):
            text = _strict(data, codec)
            return (_replaced(data, codec), "replaced") if text is None else (text, name)
    text = None if legacy == "utf-16" and b"\0" in data else _strict(data, "utf-8")
    if text is not None:
        return text, "utf-8"
    damaged = _replaced(data, "utf-8")
    # In a text cut short, long sequences of UTF-8 outnumber the wrong bytes.
    long_ones = sum(c >= "\u0800" and c != "\ufffd" for c in damaged)
    if legacy == "utf-8" or long_ones > damaged.count("\ufffd"):
        return damaged, "replaced"
    codec = "utf-16-le" if legacy == "utf-16" else legacy
    text = _strict(data, codec)
    if text is not None:
        return text, legacy
    other = _replaced(data, codec)
    return min(damaged, other, key=lambda text: text.count("\ufffd")), "replaced"


def choose_encoding(texts: Iterable[bytes]) -> str:
    """Return "gb18030" or "cp1252" for those texts of a data set that are neither marked nor UTF-8. A
    line that is valid in one of the two alone votes for it. About the others charset_normalizer
    decides, all together, since it errs on single short ones. Without a majority it is GB18030."""
    votes = {"gb18030": 0, "cp1252": 0}
    doubtful = []
    for data in texts:
        if data.isascii() or decode(data, legacy="utf-8")[1] != "replaced":
            continue
        for line in data[:_VOTING_BYTES].splitlines():
            possible = [name for name in votes if _strict(line, name) is not None]
            if len(possible) == 1:
                votes[possible[0]] += 1
            elif possible and not line.isascii():
                doubtful.append(line)
    found = from_bytes(b"\n".join(doubtful), cp_isolation=list(votes)).best()
    if doubtful and found:
        votes[found.encoding] += len(doubtful)
    return "cp1252" if votes["cp1252"] > votes["gb18030"] else "gb18030"


def _strict(data: bytes, codec: str) -> str | None:
    """Return the text without a mark, or None if a byte is wrong."""
    try:
        return data.decode(codec).removeprefix("\ufeff")
    except UnicodeDecodeError:
        return None


def _replaced(data: bytes, codec: str) -> str:
    return data.decode(codec, errors="replace").removeprefix("\ufeff")
