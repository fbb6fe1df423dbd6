"""The one table of phrases: Chinese and English of each."""

from __future__ import annotations

from . import charts, comparison, page, terms

CODES = ("zh", "en")  # the order of the two in the table

PHRASES: dict[str, tuple[str, str]] = {
    **terms.PHRASES,
    **comparison.PHRASES,
    **charts.PHRASES,
    **page.PHRASES,
}
