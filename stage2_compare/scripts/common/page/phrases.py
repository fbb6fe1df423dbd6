"""Phrases in both languages at once, as HTML.

The style sheet of the page hides one of the two, so a switch needs no server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from markupsafe import Markup

from ..words import LANGUAGES, Language, Phrase


def both(key: str | Phrase, **values: Any) -> Markup:
    """Return a phrase in both languages; values are escaped."""
    return in_each(lambda say: say(key, **values))


def in_each(words: Callable[[Language], str]) -> Markup:
    """Return what each language says, escaped."""
    spans = [Markup('<span lang="{}">{}</span>').format(say.code, words(say)) for say in LANGUAGES]
    return Markup("").join(spans)
