"""A photo -> two small grey pictures, by which its copies are found: with and without a frame."""

from __future__ import annotations

import numpy as np
from PIL import Image

from .photos import WHOLE_SIDE

FINGERPRINT_SHAPE = (2, 32, 32)  # uint8: the whole photo, the photo without its frame
_SAME_GREY = 10  # of 255
_PLAIN = 0.97  # share of a line that has one grey
_BAR = 1 / 3  # of a side: plain lines between and below the letters of a caption lie within it
_LEAST = 24  # lines that stay


def fingerprint(grey: Image.Image) -> np.ndarray:
    """Return ``FINGERPRINT_SHAPE`` of the small grey picture that ``photos.decode`` gives."""
    left, top, right, bottom = _inside_frame(np.asarray(grey).astype(np.int16))
    size = FINGERPRINT_SHAPE[1:]
    whole = grey.resize(size, Image.Resampling.BOX)
    inside = grey.resize(size, Image.Resampling.BOX, (left, top, right, bottom))
    return np.stack([np.asarray(whole), np.asarray(inside)])


def _inside_frame(grey: np.ndarray) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of what lies within borders and caption bars."""
    low, high = [0, 0], [WHOLE_SIDE, WHOLE_SIDE]  # of the rows and of the columns that stay
    for _ in range(2):  # a caption within a border
        for axis in (0, 1):
            for ends in (low, high):
                part = grey[low[0] : high[0], low[1] : high[1]]
                lines = part if axis == 0 else part.T
                width = _frame_width(lines if ends is low else lines[::-1])
                if width and len(lines) - width - 1 >= _LEAST:
                    # One line more, because the photo may begin within a line.
                    ends[axis] += width + 1 if ends is low else -width - 1
    return low[1], low[0], high[1], high[0]


def _frame_width(lines: np.ndarray) -> int:
    """Return how many of the first lines (N, M) belong to a plain border or a caption bar."""
    grey = int(lines[0, lines.shape[1] // 2])
    if (np.abs(lines[0] - grey) <= _SAME_GREY).mean() < _PLAIN:
        return 0
    plain = (np.abs(lines - grey) <= _SAME_GREY).mean(1) >= _PLAIN
    border = int(np.argmin(np.append(plain, False)))
    bar = int(np.flatnonzero(plain[: int(len(lines) * _BAR)])[-1]) + 1
    return max(border, bar)
