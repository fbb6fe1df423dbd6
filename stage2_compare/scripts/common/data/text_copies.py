"""Texts that say the same in nearly the same characters. Standard library only.

A copy on a social network gets an emoji, another short URL, ``RT @user:`` in front, other capitals
or punctuation. ``text_keys`` leaves all of these out, so that copies have equal keys.
"""

from __future__ import annotations

import re
import unicodedata

from .splits import squeezed

# Shorter texts agree by chance, or are a template such as "RT via": only exact copies count.
MIN_LETTERS = 20
_NO_LETTERS = ("So", "Sk", "Cf")  # Unicode's categories: emoji, their colours, zero width
_EMOJI = re.compile(".\ufe0f?\u20e3|.\ufe0f", re.DOTALL)  # a digit in a box: not a digit
_URL = re.compile(r"(?:https?://|www\.)[!-~]*")  # Chinese may follow without a blank
_CUT_URL = re.compile(r"\bh(?:t|tt|ttp|ttps|ttps?:/?)?\.{3}")  # "htt…" ends a cut tweet
_REPOST = re.compile(r"^(?:\W*rt\s*@\w+)+")
_BETWEEN_DIGITS = re.compile(r"(?<=\d)[\W_]+(?=\d)")
_NO_WORD = re.compile(r"[^\w\0]+|_+")


def text_keys(texts: list[str]) -> list[str]:
    """Return a key for each text (N,): the same for copies and near copies, "" without a text."""
    return list(map(_key, texts))


def _key(text: str) -> str:
    words = _words(text)
    if sum(map(str.isalpha, words)) < MIN_LETTERS:
        return squeezed(text)
    return f"near {words}"  # has capitals nowhere and one blank only


def _words(text: str) -> str:
    """Return letters and digits alone, full-width ones as usual ones, all in small letters.

    The digits stay, and 1.5 is not 15: the texts of a template ("23 °C at 7:00") may differ in
    nothing else.
    """
    text = _EMOJI.sub("", text)
    left_out = [c for c in set(text) if unicodedata.category(c) in _NO_LETTERS]
    text = text.translate(dict.fromkeys(map(ord, left_out)))
    text = unicodedata.normalize("NFKC", text).casefold()
    text = _REPOST.sub("", _CUT_URL.sub("", _URL.sub("", text)))
    return _NO_WORD.sub("", _BETWEEN_DIGITS.sub("\0", text))
