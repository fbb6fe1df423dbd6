"""The page of all results: visuals/index.html, which works from the disk and asks no network.

``write.write_page`` writes it. page.html is its template, page.css its looks and page.js what it
does; phrases.py has every word in Chinese and English. Big data, charts and thumbnails lie beside
it in visuals/page/.
"""

from .write import write_page

__all__ = ["write_page"]
