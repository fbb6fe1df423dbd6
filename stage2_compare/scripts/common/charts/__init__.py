"""Pictures of results as PNG, SVG and PDF.

``pictures.draw`` makes all of them, one module a chart. A chart takes what is ``Shown`` and returns
a figure of 14 cm: matplotlib's constrained layout places its texts, and ``shown.fit`` makes it as
high as its rows need. A model is one mark, which looks the same in all pictures and on the page.
"""

from .pictures import PICTURES, draw

__all__ = ["PICTURES", "draw"]
