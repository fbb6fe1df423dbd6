"""Photos -> one array of squares, decoded once and mapped by all runs.

Each distinct photo (by its bytes) is stored once, in the order of the digests, so that all splits
and folds of the same pairs share one file. Its centre square has ``side`` = 8/7 of the image size
(256 for 224); crops and flips are cut out of that.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np
import PIL

from ..errors import UserError
from ..files import error_text, listed
from .arrays import Plan, keep
from .photo_copies import FINGERPRINT_SHAPE, fingerprint
from .photos import NOTES, decode, open_file, reason

# Part of the key: change the number when the pixels, fingerprints or notes of a photo change.
VERSION = f"5 bicubic Pillow {PIL.__version__}"
_INSPECTED_SIDE = 64  # a photo of which this can be made can be used
_BLOCK = 1 << 20  # bytes read at once
_THREADS = min(16, os.cpu_count() or 1)  # Pillow and hashlib release the interpreter lock
_WINDOW = 16 * _THREADS  # photos in flight


@dataclass(frozen=True, eq=False)
class ImageStore:
    """The decoded photos of N samples, in a file of M distinct photos.

    Attributes:
        photos: what is kept of each photo, (M,), see ``_stored``.
        photo_digests: SHA-256 of each photo's file, (M,).
        rows: (N,) int64, the photo of each sample.
    """

    photos: np.ndarray
    photo_digests: list[bytes]
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def pixels(self) -> np.ndarray:
        """All photos (M, 3, side, side) uint8."""
        return self.photos["pixels"]

    @property
    def side(self) -> int:
        return self.pixels.shape[-1]

    @property
    def digests(self) -> list[str]:
        """SHA-256 of each sample's file, (N,) hex strings."""
        return [self.photo_digests[row].hex() for row in self.rows.tolist()]

    @property
    def fingerprints(self) -> np.ndarray:
        """See photo_copies.py: of each sample's photo, (N, 2, 32, 32) uint8."""
        return self.photos["fingerprint"][self.rows]

    @property
    def notes(self) -> dict[str, int]:
        """Number of distinct photos of the samples by what decoding them needed, see
        ``photos.NOTES``."""
        bits = self.photos["notes"][np.unique(self.rows)]
        counts = {note: int((bits >> place & 1).sum()) for place, note in enumerate(NOTES)}
        return {note: count for note, count in counts.items() if count}

    def gather(
        self,
        indices: Sequence[int],
        top: Sequence[int],
        left: Sequence[int],
        flip: Sequence[bool],
        size: int,
    ) -> np.ndarray:
        """Return crops of ``size`` x ``size``, uint8 (B, 3, size, size), in memory of their own.

        Args:
            indices: the samples (B,).
            top, left: the upper left corner of each crop (B,), in pixels.
            flip: mirror the crop (B,).
        """
        batch, pixels = np.empty((len(indices), 3, size, size), np.uint8), self.pixels
        rows = self.rows[np.asarray(indices)].tolist()
        for out, row, y, x, mirror in zip(batch, rows, top, left, flip, strict=True):
            crop = pixels[row, :, y : y + size, x : x + size]  # (3, size, size)
            out[...] = _mirrored(crop) if mirror else crop
        return batch


def _mirrored(crop: np.ndarray) -> np.ndarray:
    """Return ``crop[..., ::-1]``, in half the time if the width is a multiple of eight bytes."""
    if crop.shape[-1] % 8:
        return crop[..., ::-1]
    return np.ascontiguousarray(crop).view(np.uint64)[..., ::-1].byteswap().view(np.uint8)


class ImagesUnusable(UserError):
    """Photos are missing or broken; ``faults`` says of each path why it cannot be used."""

    def __init__(self, faults: dict[str, str]):
        count = "1 image" if len(faults) == 1 else f"{len(faults):,} images"
        shown = listed([f"{path} ({why})" for path, why in faults.items()])
        super().__init__(
            f"{count} cannot be used: {shown}. Repair them, remove their rows from the split, or "
            "make the splits again with make_splits.py --skip-broken"
        )
        self.faults = faults


def inspect_images(
    paths: Sequence[str], title: str = "Opening images"
) -> tuple[dict[str, tuple[str, np.ndarray]], dict[str, str]]:
    """Open and decode every photo once.

    Returns:
        SHA-256 of the file and fingerprint of each photo that can be used, and of each other why
        not, by path.
    """
    photos, faults = {}, {}
    read = partial(_read, side=_INSPECTED_SIDE)
    results = _in_parallel(read, paths, title, show_progress=True)
    for path, result in zip(paths, results, strict=True):
        if isinstance(result, str):
            faults[path] = result
        else:
            digest, photo = result
            photos[path] = digest.hex(), photo["fingerprint"][0].copy()
    return photos, faults


def load_splits(
    paths: dict[str, Sequence[str]], image_size: int, cache_dir: str | Path
) -> dict[str, ImageStore]:
    """Map the photos of several splits, which share a file, see ``load_images``."""
    everything = load_images([*chain.from_iterable(paths.values())], image_size, cache_dir)
    ends = np.cumsum([len(of_split) for of_split in paths.values()])
    parts = np.split(everything.rows, ends[:-1])
    return {name: replace(everything, rows=part) for name, part in zip(paths, parts, strict=True)}


def load_images(
    paths: Sequence[str | Path], image_size: int, cache_dir: str | Path, show_progress: bool = True
) -> ImageStore:
    """Map the photos of samples. Decode them first unless the cache holds exactly these.

    Args:
        paths: the photo of each sample (N,); a path may occur several times.
        image_size: the side of the crops in pixels.

    Raises:
        ImagesUnusable: photos are missing or broken (all are counted, ten are named).
        UserError: the cache cannot be written.
    """
    side = image_size * 8 // 7
    photos, faults = _identified(paths, show_progress)
    folder, decides = Path(cache_dir).absolute(), f"{VERSION} {side} ".encode() + b"".join(photos)
    decoded = _decoded(photos, side, faults, show_progress)
    plan = Plan((len(photos),), _stored(side), decoded)
    try:
        kept = keep(folder, f"images_{side}", decides, lambda: plan)
    except OSError as error:
        raise UserError(
            f"cannot write the image cache in {folder}: {error_text(error)}; "
            "free space there, or end other commands that use it, and start again"
        ) from None
    if faults:  # the other photos are known to be good
        raise ImagesUnusable(faults)
    row_of = {}
    for row, same in enumerate(photos.values()):
        row_of.update(dict.fromkeys(same, row))
    rows = np.fromiter((row_of[str(path)] for path in paths), np.int64, len(paths))
    return ImageStore(kept, list(photos), rows)


def _identified(
    paths: Sequence[str | Path], show_progress: bool
) -> tuple[dict[bytes, list[str]], dict[str, str]]:
    """Return the paths of each photo by its digest, in the order in which photos are stored, and
    of each path that cannot be used why."""
    distinct = list(dict.fromkeys(map(str, paths)))
    photos: dict[bytes, list[str]] = {}
    faults: dict[str, str] = {}
    results = _in_parallel(_digest_or_reason, distinct, "Reading images", show_progress)
    for path, result in zip(distinct, results, strict=True):
        if isinstance(result, str):
            faults[path] = result
        else:
            photos.setdefault(result, []).append(path)
    return dict(sorted(photos.items())), faults


def _digest_or_reason(path: str) -> bytes | str:
    """Return the SHA-256 of a file, or why it cannot be read."""
    try:
        with open_file(path) as file:
            return _digest(file)
    except OSError as error:
        return reason(error)


def _digest(file: BinaryIO) -> bytes:
    sha = hashlib.sha256()
    while block := file.read(_BLOCK):
        sha.update(block)
    return sha.digest()


def _decoded(
    photos: dict[bytes, list[str]], side: int, faults: dict[str, str], show_progress: bool
) -> Iterator[np.ndarray]:
    """Yield what is kept of every distinct photo, (1,) each.

    Raises:
        ImagesUnusable: some cannot be used: ``faults``, and those found here.
    """
    broken: dict[str, str] = {}
    files = [same[0] for same in photos.values()]
    results = _in_parallel(partial(_read, side=side), files, "Resizing images", show_progress)
    for (expected, same), result in zip(photos.items(), results, strict=True):
        if isinstance(result, str):
            broken.update(dict.fromkeys(same, result))
        elif result[0] != expected:
            broken.update(dict.fromkeys(same, "it changed while being read: start again"))
        elif not (faults or broken):  # after a fault only further ones are looked for
            yield result[1]
    if faults or broken:
        raise ImagesUnusable(faults | dict(sorted(broken.items())))


def _stored(side: int) -> np.dtype:
    """Return the type of what is kept of a photo; the notes are a bit for each of photos.NOTES."""
    return np.dtype(
        [
            ("pixels", np.uint8, (3, side, side)),
            ("fingerprint", np.uint8, FINGERPRINT_SHAPE),
            ("notes", np.uint8),
        ]
    )


def _read(path: str, side: int) -> tuple[bytes, np.ndarray] | str:
    """Return the digest of a file and what is kept of its photo, (1,), or why it cannot be used."""
    try:
        with open_file(path) as file:
            digest = _digest(file)
            file.seek(0)
            square, whole, notes = decode(file, side)
        photo = np.empty(1, _stored(side))
        photo["pixels"] = np.asarray(square).transpose(2, 0, 1)
        photo["fingerprint"] = fingerprint(whole)
        photo["notes"] = sum(1 << NOTES.index(note) for note in notes)
        return digest, photo
    except Exception as error:  # as in decode; one broken photo must not hide the others
        return reason(error)


def _in_parallel(function: Callable, items: Sequence, title: str, show_progress: bool) -> Iterator:
    """Yield ``function(item)`` in order, computed by threads, with a progress bar."""
    from tqdm import tqdm  # not where compare_all.py is imported, see sweep/worker.py

    disable = None if show_progress else True  # None: show it on a console only
    bar = tqdm(total=len(items), desc=title, unit="img", disable=disable, leave=False)
    with ThreadPoolExecutor(_THREADS) as pool, bar:
        for start in range(0, len(items), _WINDOW):  # so that memory does not grow with the split
            for result in pool.map(function, items[start : start + _WINDOW]):
                yield result
                bar.update()
