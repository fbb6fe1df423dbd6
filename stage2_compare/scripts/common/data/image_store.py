"""Photos -> one array of squares, decoded once and mapped by all runs.

Each distinct photo (by its bytes) is stored once, in the order of the digests, so that all splits
and folds of the same pairs share one file. Its centre square has ``side`` = 8/7 of the image size
(256 for 224); crops and flips are cut out of that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import PIL

from ..errors import UserError, reason_of
from ..files import listed, open_file, sha256_of
from .arrays import Plan, keep
from .photo_copies import FINGERPRINT_SHAPE, fingerprint
from .photos import NOTES, decode, reason

# Part of the key: change the number when the pixels, fingerprints or notes of a photo change.
VERSION = f"5 bicubic Pillow {PIL.__version__}"
_INSPECTED_SIDE = 64  # a photo of which this can be made can be used


@dataclass(frozen=True, eq=False)
class ImageStore:
    """The decoded photos of N samples, in a file of M distinct photos."""

    photos: np.ndarray  # what is kept of each photo, (M,), see _stored
    photo_digests: list[str]  # SHA-256 of each photo's file, (M,)
    rows: np.ndarray  # the photo of each sample, (N,) int64

    @property
    def pixels(self) -> np.ndarray:
        """All photos (M, 3, side, side) uint8."""
        return self.photos["pixels"]

    @property
    def side(self) -> int:
        return self.pixels.shape[-1]

    @property
    def digests(self) -> list[str]:
        """SHA-256 of each sample's file, (N,)."""
        return [self.photo_digests[row] for row in self.rows]

    @property
    def fingerprints(self) -> np.ndarray:
        """See photo_copies.py: of each sample's photo, (N, 2, 32, 32) uint8."""
        return self.photos["fingerprint"][self.rows]

    @property
    def notes(self) -> dict[str, int]:
        """Number of distinct photos by what decoding them needed, see ``photos.NOTES``."""
        bits = self.photos["notes"][np.unique(self.rows)]
        counts = {note: int((bits >> place & 1).sum()) for place, note in enumerate(NOTES)}
        return {note: count for note, count in counts.items() if count}

    def gather(
        self, indices: np.ndarray, top: np.ndarray, left: np.ndarray, flip: np.ndarray, size: int
    ) -> np.ndarray:
        """Return crops of the samples ``indices`` (B,), uint8 (B, 3, size, size): their upper left
        corners ``top`` and ``left`` in pixels, mirrored where ``flip``, (B,) each."""
        batch, pixels = np.empty((len(indices), 3, size, size), np.uint8), self.pixels
        rows = self.rows[np.asarray(indices)].tolist()
        for out, row, y, x, mirror in zip(batch, rows, top, left, flip, strict=True):
            crop = pixels[row, :, y : y + size, x : x + size]  # (3, size, size)
            out[...] = crop[..., ::-1] if mirror else crop
        return batch


class ImagesUnusable(UserError):
    """Photos are missing or broken; ``faults`` says of each path why it cannot be used."""

    def __init__(self, faults: dict[str, str]):
        count = "1 image" if len(faults) == 1 else f"{len(faults):,} images"
        shown = listed([f"{path} ({why})" for path, why in faults.items()])
        self.told = f"{count} cannot be used: {shown}"
        super().__init__(
            f"{self.told}. Repair them, remove their rows from the split, or "
            "make the splits again with make_splits.py --skip-broken"
        )
        self.faults = faults


def inspect_images(
    paths: Sequence[str],
) -> tuple[dict[str, tuple[str, np.ndarray]], dict[str, str]]:
    """Open and decode every photo once. Return, by path, SHA-256 of the file and fingerprint of
    each that can be used, and of each other why not."""
    photos, faults = {}, {}
    for path, digest, photo, fault in _read_all(paths, _INSPECTED_SIDE, "opening images"):
        if fault:
            faults[path] = fault
        else:
            photos[path] = digest, photo["fingerprint"][0].copy()
    return photos, faults


def photo_digests(paths: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return, by path, SHA-256 of each photo's file, and of each other why it is not read."""
    read = list(_read_all(list(dict.fromkeys(paths)), 0, "reading images"))
    digests = {path: digest for path, digest, _, fault in read if not fault}
    return digests, {path: fault for path, _, _, fault in read if fault}


def load_splits(
    paths: dict[str, Sequence[str]], image_size: int, cache_dir: str | Path
) -> dict[str, ImageStore]:
    """Map the photos of several splits, which share a file, see ``load_images``."""
    everything = load_images([*chain.from_iterable(paths.values())], image_size, cache_dir)
    ends = np.cumsum([len(of_split) for of_split in paths.values()])
    parts = np.split(everything.rows, ends[:-1])
    return {name: replace(everything, rows=part) for name, part in zip(paths, parts, strict=True)}


def load_images(paths: Sequence[str], image_size: int, cache_dir: str | Path) -> ImageStore:
    """Map the photos of samples (N,), for crops of ``image_size`` pixels. Decode them first unless the
    cache holds exactly these. Raise ImagesUnusable where photos are missing or broken (all are
    counted, ten are named), and UserError where the cache cannot be written."""
    side, folder = image_size * 8 // 7, Path(cache_dir).absolute()
    digest_of, missing = photo_digests(paths)
    files = {digest: path for path, digest in reversed(digest_of.items())}
    digests = sorted(files)
    decides = f"{VERSION} {side} ".encode() + bytes.fromhex("".join(digests))
    photos = _decoded([(digest, files[digest]) for digest in digests], side)
    plan = Plan((len(digests),), _stored(side), photos)
    try:
        if missing:
            raise ImagesUnusable(missing)
        kept = keep(folder, f"images_{side}", decides, lambda: plan).values
    except ImagesUnusable as error:  # tell all others with it
        faults = inspect_images(list(dict.fromkeys(paths)))[1]
        raise ImagesUnusable(faults | error.faults) from None
    except OSError as error:
        raise UserError(
            f"cannot write the image cache in {folder}: {reason_of(error)}; "
            "free space there, or end other commands that use it, and start again"
        ) from None
    row_of = {digest: row for row, digest in enumerate(digests)}
    return ImageStore(
        kept, digests, np.array([row_of[digest_of[path]] for path in paths], np.int64)
    )


def _decoded(files: list[tuple[str, str]], side: int) -> Iterator[np.ndarray]:
    """Yield what is kept of each photo, (1,), from its digest and file; raise ImagesUnusable for the
    first that cannot be used."""
    results = _read_all([path for _, path in files], side, "resizing images")
    for (expected, _), (path, digest, photo, fault) in zip(files, results, strict=True):
        if digest != expected:
            raise ImagesUnusable({path: fault or "it changed while being read: start again"})
        yield photo


def _stored(side: int) -> np.dtype:
    """Return the type of what is kept of a photo; the notes are a bit for each of photos.NOTES."""
    pixels, prints = ("pixels", "u1", (3, side, side)), ("fingerprint", "u1", FINGERPRINT_SHAPE)
    return np.dtype([pixels, prints, ("notes", "u1")])


def _read(path: str, side: int) -> tuple[str, str, np.ndarray | None, str]:
    """Return path, digest, what is kept of the photo, (1,), and why it cannot be used, "" if it can.
    With ``side`` 0 it is not decoded."""
    try:
        with open_file(path) as file:
            digest = sha256_of(file)
            if not side:
                return path, digest, None, ""
            square, whole, notes = decode(file, side)
        photo = np.empty(1, _stored(side))
        photo["pixels"] = np.asarray(square).transpose(2, 0, 1)
        photo["fingerprint"] = fingerprint(whole)
        photo["notes"] = sum(1 << NOTES.index(note) for note in notes)
        return path, digest, photo, ""
    except Exception as error:  # as in decode; one broken photo must not hide the others
        return path, "", None, reason(error)


def _read_all(
    paths: Sequence[str], side: int, title: str
) -> Iterator[tuple[str, str, np.ndarray | None, str]]:
    """Yield what ``_read`` returns of each path, in order, and show the progress."""
    from ..progress import in_threads  # tqdm: not where compare_all.py is imported, see sweep.py

    return in_threads(partial(_read, side=side), paths, title, " images")
