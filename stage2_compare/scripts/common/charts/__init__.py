"""Pictures of runs as PNG files.

``pictures.draw`` makes all of them, one module a chart. Every chart is laid out in inches on a page
that is 7.5 inches wide, so text keeps its size in print however many runs there are. Below most
charts stands a table of the same runs, which is also the key. A run has one colour, marker and dash
in all pictures. Text is measured before it is placed, so nothing is clipped and nothing overlaps.
"""

from .pictures import PICTURES, draw

__all__ = ["PICTURES", "draw"]
