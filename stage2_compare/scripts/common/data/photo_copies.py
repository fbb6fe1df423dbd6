"""Photos that show nearly the same picture: resized, recompressed, mirrored, cropped, framed.

A photo's fingerprint is two small grey pictures, with and without its frame. Of two fingerprints,
three tests follow each other, each stricter, slower and on fewer pairs than the one before:

1. the low frequencies agree (as in pHash, Zauner 2010, but as numbers rather than bits);
2. one photo, cut by 0 to 10 % at each side, agrees with the middle of the other in 8 x 8 cells;
3. near that cut, the edges agree too.

Agreement is Lin's concordance (1989): unlike a correlation it also asks for the same brightness
and contrast.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product

import numpy as np
from PIL import Image
from scipy.fft import dct
from threadpoolctl import threadpool_limits

from .photos import WHOLE_SIDE
from .splitting import component_of_each

FINGERPRINT_SHAPE = (2, 32, 32)  # uint8: the whole photo, the photo without its frame
_SAME_GREY = 10  # of 255
_PLAIN = 0.97  # share of a line that has one grey
_BAR = 1 / 3  # of a side: plain lines between and below the letters of a caption lie within it
_LEAST = 24  # lines that stay
_CELLS = FINGERPRINT_SHAPE[-1]
_CAPTION = 0.15  # of the height: a bar over the photo hides as much of it
# Fewer cells than this differ from their neighbours: plain pictures and simple drawings are alike.
_DETAIL, _DETAILED = 4, 0.35
_FREQUENCIES = 6  # per side
_LIKE = 0.65  # cosine of the low frequencies
_CUTS = (0.0, 0.05, 0.1)
_STEP = 0.025  # the third test also tries cuts so much smaller or larger
_COARSE, _FINE = 8, 16  # cells per side of the second and the third test
_AGREE, _EDGES_AGREE = 0.9, 0.87
_BLOCK, _FINE_BLOCK = 1024, 8  # views at once; pairs at once in the third test
_THREADS = min(4, os.cpu_count() or 1)  # each takes 100 MB


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


def photo_keys(digests: list[str], fingerprints: Sequence[np.ndarray]) -> list[str]:
    """Return a key for each photo (N,): the same for copies and near copies of a photo, and for
    equal ``digests`` of files (N,). ``fingerprints`` are N of FINGERPRINT_SHAPE uint8."""
    first = {digest: i for i, digest in reversed(list(enumerate(digests)))}
    pairs = near_photos(np.stack([fingerprints[i] for i in first.values()]))
    group = dict(zip(first, component_of_each(pairs, len(first)), strict=True))
    return [str(group[digest]) for digest in digests]


def near_photos(fingerprints: np.ndarray) -> np.ndarray:
    """Return the pairs of photos (N,) that are near copies: indices (P, 2), a pair maybe twice."""
    rows = np.arange(len(fingerprints))
    whole, inside = fingerprints[:, 0], fingerprints[:, 1]
    framed = np.flatnonzero((whole != inside).any((1, 2)))
    pairs = [
        *_matches(np.concatenate([whole, inside[framed]]), np.concatenate([rows, framed])),
        *_matches(_in_blocks(_without_captions, whole), rows),
    ]
    return np.array(pairs, np.int64).reshape(-1, 2)


def _without_captions(views: np.ndarray) -> np.ndarray:
    """Cut above and below: a bar over a photo hides what was there, and the rest is the same."""
    return np.rint(_cells(views, (_CAPTION, _CAPTION), (0, 0), _CELLS)).astype(np.uint8)


def _matches(views: np.ndarray, photos: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield the pairs of photos with views that agree, from views (K, 32, 32) uint8 and the photo
    that each is a view of (K,)."""
    detailed = _in_blocks(_share_of_detail, views) >= _DETAILED
    views, photos = views[detailed], photos[detailed]
    # Each view, cut, with all, as they are and mirrored: so each of a pair is the one that is cut.
    others, photos_of_others = np.concatenate([views, views[:, :, ::-1]]), np.tile(photos, 2)
    middle = partial(_cells, rows=_MIDDLE, columns=_MIDDLE, side=_COARSE)
    tones = _in_blocks(_frequencies, others)
    middles = _in_blocks(middle, others).reshape(-1, _COARSE**2)

    def of_block(start: int) -> tuple[np.ndarray, np.ndarray]:
        block = slice(start, min(start + _BLOCK, len(views)))  # behind it the mirrored begin
        one, other = _alike(tones[block], tones)
        apart = photos[block][one] != photos_of_others[other]
        one, other, cut = _coarsely(views[block], one[apart], middles, other[apart])
        same = _edges_agree(views[block][one], others[other], cut) >= _EDGES_AGREE
        return photos[block][one[same]], photos_of_others[other[same]]

    # Threads of our own: in products as small as these, those of the library mostly wait.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(_THREADS) as pool:
        for one, other in pool.map(of_block, range(0, len(views), _BLOCK)):
            yield from zip(one.tolist(), other.tolist(), strict=True)


def _in_blocks(function: Callable[[np.ndarray], np.ndarray], views: np.ndarray) -> np.ndarray:
    """Apply a function to few views at a time: it needs much more memory than they do."""
    starts = range(0, max(1, len(views)), _BLOCK)
    return np.concatenate([function(views[start : start + _BLOCK]) for start in starts])


def _alike(ones: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs whose low frequencies agree, as indices, sorted by the first."""
    found = []
    for start in range(0, len(others), _BLOCK):  # what fits into a processor's cache is fast
        part = others[start : start + _BLOCK]
        places = np.flatnonzero(ones @ part.T > _LIKE)
        found.append(places // len(part) * len(others) + start + places % len(part))
    return np.divmod(np.sort(np.concatenate(found)), len(others))


def _share_of_detail(views: np.ndarray) -> np.ndarray:
    """Return the share of cells (K,) that differ from the one below or to the right."""
    views = views.astype(np.int16)
    down, right = np.diff(views, axis=1)[:, :, :-1], np.diff(views, axis=2)[:, :-1]
    return (np.maximum(abs(down), abs(right)) > _DETAIL).mean((1, 2))


def _frequencies(views: np.ndarray) -> np.ndarray:
    """Return the low frequencies of views (K, 35), each row of length 1, without the mean.

    They are weighted with the root of the frequency, since in photos the lowest are strongest.
    """
    waves = _WAVES @ views.astype(np.float32) @ _WAVES.T
    y, x = np.indices((_FREQUENCIES, _FREQUENCIES), np.float32)
    values = (waves * np.sqrt(np.hypot(y, x))).reshape(-1, _FREQUENCIES**2)[:, 1:]
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)


def _coarsely(
    block: np.ndarray, ones: np.ndarray, middles: np.ndarray, others: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keep the pairs of which one view, cut somehow, agrees with the middle of the other: ones,
    others, and the best cut of each, an index into _CUT_PAIRS for the rows, times their number, plus
    one for the columns."""
    kept = [(np.empty(0, np.int64),) * 3]
    cuts = _all_cuts(block)
    starts = np.flatnonzero(np.diff(ones, prepend=-1))
    # Without pairs there are no starts, but one part, which is empty.
    for one, candidates in zip(ones[starts], np.split(others, starts[1:]), strict=False):
        agree = _concordance(cuts[one], middles[candidates])  # (81, of the others)
        good = agree.max(0, initial=0) >= _AGREE
        kept.append((np.full(good.sum(), one), candidates[good], agree[:, good].argmax(0)))
    return tuple(map(np.concatenate, zip(*kept, strict=True)))


def _all_cuts(views: np.ndarray) -> np.ndarray:
    """Return views (B, 32, 32), each cut in all 81 ways, as cells (B, 81, 64)."""
    matrix = _COARSE_CUTS.reshape(-1, _CELLS)
    cells = (matrix @ views.astype(np.float32) @ matrix.T).reshape(-1, 9, _COARSE, 9, _COARSE)
    return cells.swapaxes(2, 3).reshape(len(views), -1, _COARSE**2)


def _edges_agree(views: np.ndarray, others: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Return how well the edges of pairs agree (P,), with the best of the cuts near those given."""
    agree = [np.empty(0, np.float32)]
    for start in range(0, len(cuts), _FINE_BLOCK):
        part = slice(start, start + _FINE_BLOCK)
        y, x = np.divmod(cuts[part], len(_CUT_PAIRS))
        rows = _FINE_CUTS[y] @ views[part, None].astype(np.float32)  # (P, 9, 16, 32)
        columns = _FINE_CUTS[x].transpose(0, 1, 3, 2)
        cut = rows[:, :, None] @ columns[:, None]  # (P, 9, 9, 16, 16)
        middle = _cells(others[part], _MIDDLE, _MIDDLE, _FINE)[:, None]
        found = _concordance(_edges(cut.reshape(len(y), -1, _FINE, _FINE)), _edges(middle))
        agree.append(found.max((1, 2)))
    return np.concatenate(agree)


def _edges(cells: np.ndarray) -> np.ndarray:
    """Return the differences between neighbours, (..., S, S) -> (..., 2 S (S - 1))."""
    down, right = np.diff(cells, axis=-2), np.diff(cells, axis=-1)
    flat = (*cells.shape[:-2], -1)
    return np.concatenate([down.reshape(flat), right.reshape(flat)], -1)


def _concordance(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return Lin's coefficient of each with each, (..., A, D), (..., B, D) -> (..., A, B)."""
    mean, other_mean = ones.mean(-1, keepdims=True), others.mean(-1, keepdims=True)
    ones, others = ones - mean, others - other_mean
    variance = np.square(ones).mean(-1)[..., None] + np.square(others).mean(-1)[..., None, :]
    apart = np.square(mean - np.swapaxes(other_mean, -1, -2))
    covariance = ones @ np.swapaxes(others, -1, -2) / ones.shape[-1]
    return 2 * covariance / np.maximum(variance + apart, 1e-6)


def _cells(
    views: np.ndarray, rows: tuple[float, float], columns: tuple[float, float], side: int
) -> np.ndarray:
    """Return the means (K, side, side) of cells, after cutting shares off both ends."""
    down, across = _averages(*rows, side), _averages(*columns, side)
    return down @ views.astype(np.float32) @ across.T


def _averages(first: float, last: float, side: int) -> np.ndarray:
    """Return the matrix (side, 32) of means of fields, without shares at the two ends."""
    edges = np.linspace(first * _CELLS, (1 - last) * _CELLS, side + 1)[:, None]
    places = np.arange(_CELLS)
    overlap = np.minimum(edges[1:], places + 1) - np.maximum(edges[:-1], places)
    weights = np.clip(overlap, 0, None)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


_WAVES = dct(np.eye(_CELLS, dtype=np.float32), axis=0, norm="ortho")[:_FREQUENCIES]
_MIDDLE = (_CUTS[1], _CUTS[1])
_CUT_PAIRS = list(product(_CUTS, _CUTS))
_COARSE_CUTS = np.stack([_averages(*cut, _COARSE) for cut in _CUT_PAIRS])  # (9, 8, 32)
_STEPS = list(product((-_STEP, 0, _STEP), repeat=2))
_FINE_CUTS = np.array(  # (9, 9, 16, 32): each of them, and its neighbours
    [
        [_averages(max(first + one, 0), max(last + other, 0), _FINE) for one, other in _STEPS]
        for first, last in _CUT_PAIRS
    ]
)
