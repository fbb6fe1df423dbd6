"""The page of all results: visuals/index.html, which works from the disk and asks no network.

``write.write_page`` writes it, in one language. page.html is its template, page.css its looks and
page.js what it does. Big data, pictures and thumbnails lie beside it in visuals/page/.
"""

from .write import write_page

__all__ = ["write_page"]
