"""Photos -> one uint8 file of squares, made once and mapped by all runs and workers.

Each distinct photo (by its bytes) is decoded once. Its centre square is stored with ``side`` = 8/7
of the image size (256 for 224); crops and flips are cut out of that. The name of the file depends
on the bytes of all its photos, which lie in the order of their digests. So a changed photo, size or
filter gives another file, and all splits and folds of the same pairs share one::

    outputs/cache/images_256_<key>.u8 = header: JSON, padded to 4096 bytes
                                        | pixels (M, 3, side, side) uint8
                                        | fingerprints (M, 2, 32, 32) uint8
                                        | notes (M,) uint8: a bit for each of photos.NOTES
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import PIL

from ..errors import UserError
from ..files import error_text, listed, remove_left_overs, replacing_owned
from .checked_file import HEADER_BYTES, CheckedWriter, is_whole
from .fingerprints import FINGERPRINT_SHAPE, fingerprint
from .photos import NOTES, decode, open_file, reason

# Part of the key: change the number when the pixels, fingerprints or layout of the file change.
VERSION = f"4 bicubic Pillow {PIL.__version__}"
_FINGERPRINT_BYTES = math.prod(FINGERPRINT_SHAPE)
_INSPECTED_SIDE = 64  # a photo of which this can be made can be used
_BLOCK = 1 << 20  # bytes read at once
_THREADS = min(16, os.cpu_count() or 1)  # Pillow and hashlib release the interpreter lock
_WINDOW = 4 * _THREADS  # photos in flight, so that memory does not grow with the split


class ImageStore:
    """The decoded photos of N samples, in a file of M distinct photos.

    Attributes:
        path: the cache file.
        side: the stored side in pixels.
        rows: (N,) int64, the photo of each sample.
    """

    def __init__(self, path: Path, side: int, rows: np.ndarray, digests: bytes):
        self.path, self.side, self.rows = path, side, rows
        self._digests = digests  # 32 bytes for each photo: a fourth of the memory of a string list
        self._pixels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, samples: slice) -> ImageStore:
        """Return the store of some of the samples."""
        return ImageStore(self.path, self.side, self.rows[samples], self._digests)

    @property
    def count(self) -> int:
        """M, the number of distinct photos in the file."""
        return len(self._digests) // 32

    @property
    def digests(self) -> list[str]:
        """SHA-256 of each sample's file, (N,) hex strings."""
        distinct = [self._digests[i : i + 32].hex() for i in range(0, len(self._digests), 32)]
        return [distinct[row] for row in self.rows.tolist()]

    @property
    def pixels(self) -> np.ndarray:
        """All photos (M, 3, side, side) uint8, mapped read-only by the process that first asks."""
        if self._pixels is None:
            shape = (self.count, 3, self.side, self.side)
            self._pixels = np.asarray(np.memmap(self.path, np.uint8, "r", HEADER_BYTES, shape))
        return self._pixels

    @property
    def fingerprints(self) -> np.ndarray:
        """See fingerprints.py: of each sample's photo, (N, 2, 32, 32) uint8."""
        values = self._behind_pixels(0, self.count * _FINGERPRINT_BYTES)
        return values.reshape(self.count, *FINGERPRINT_SHAPE)[self.rows]

    @property
    def notes(self) -> dict[str, int]:
        """Number of distinct photos of the samples by what decoding them needed, see
        ``photos.NOTES``."""
        bits = self._behind_pixels(self.count * _FINGERPRINT_BYTES, self.count)  # (M,)
        bits = np.unpackbits(bits[np.unique(self.rows)][:, None], axis=1, bitorder="little")
        counts = dict(zip(NOTES, bits.sum(0).tolist(), strict=False))
        return {note: count for note, count in counts.items() if count}

    def _behind_pixels(self, start: int, count: int) -> np.ndarray:
        """Read ``count`` bytes of the file, from so many bytes behind its pixels on."""
        end = HEADER_BYTES + self.count * 3 * self.side * self.side
        return np.fromfile(self.path, np.uint8, count, offset=end + start)

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
        batch = np.empty((len(indices), 3, size, size), np.uint8)
        rows = self.rows[np.asarray(indices)].tolist()
        for out, row, y, x, mirror in zip(batch, rows, top, left, flip, strict=True):
            crop = self.pixels[row, :, y : y + size, x : x + size]  # (3, size, size)
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


class Inspected(NamedTuple):
    """The result of opening N photos."""

    digests: list[str]  # SHA-256 of each file as hex, "" if the photo cannot be used
    fingerprints: np.ndarray  # (N, 2, 32, 32) uint8, zeros if it cannot be used
    faults: list[str]  # why it cannot be used, "" if it can


def inspect_images(paths: Sequence[str], title: str = "Opening images") -> Inspected:
    """Open and decode every photo once."""
    results = list(_in_parallel(_inspect, paths, title, show_progress=True))
    prints = np.zeros((len(results), *FINGERPRINT_SHAPE), np.uint8)
    for place, (_, found, _) in enumerate(results):
        prints[place] = found
    return Inspected([result[0] for result in results], prints, [result[2] for result in results])


def _inspect(path: str) -> tuple[str, np.ndarray, str]:
    try:
        with open_file(path) as file:
            digest = _digest(file).hex()
            file.seek(0)
            return digest, fingerprint(decode(file, _INSPECTED_SIDE).whole), ""
    except Exception as error:  # as in decode
        return "", np.zeros(FINGERPRINT_SHAPE, np.uint8), reason(error)


def load_splits(
    paths: dict[str, Sequence[str]], image_size: int, cache_dir: str | Path
) -> dict[str, ImageStore]:
    """Map the photos of several splits, which share a file, see ``load_images``."""
    everything = load_images([*chain.from_iterable(paths.values())], image_size, cache_dir)
    ends = np.cumsum([len(of_split) for of_split in paths.values()]).tolist()
    parts = map(slice, [0, *ends], ends)
    return {name: everything.part(part) for name, part in zip(paths, parts, strict=True)}


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
    # 1. Identify the photos by their bytes.
    photos, faults = _identified(paths, show_progress)
    # 2. Find or make the file that holds exactly these.
    digests = b"".join(photos)
    key = hashlib.sha256(f"{VERSION} {side} ".encode() + digests).hexdigest()
    cache = _CacheFile(
        path=Path(cache_dir).absolute() / f"images_{side}_{key[:16]}.u8",
        key=key,
        count=len(photos),
        side=side,
    )
    if faults or not _is_valid(cache):
        _build(cache, photos, faults, show_progress)
    # 3. Map each sample to its photo.
    row_of = {}
    for row, same in enumerate(photos.values()):
        row_of.update(dict.fromkeys(same, row))
    rows = np.fromiter((row_of[str(path)] for path in paths), np.int64, len(paths))
    return ImageStore(cache.path, side, rows, digests)


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


@dataclass(frozen=True)
class _CacheFile:
    """A cache file that exists or is to be made."""

    path: Path
    key: str  # of its content: the photos, their stored size and the version of this code
    count: int  # M
    side: int

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return HEADER_BYTES + self.count * (3 * self.side * self.side + _FINGERPRINT_BYTES + 1)


def _is_valid(cache: _CacheFile) -> bool:
    """Tell if the file holds what it should, down to the last byte."""
    try:
        with open(cache.path, "rb") as file:
            has_its_size = os.fstat(file.fileno()).st_size == cache.size
            return has_its_size and is_whole(file, cache.key)
    except OSError:
        return False


def _build(
    cache: _CacheFile, photos: dict[bytes, list[str]], faults: dict[str, str], show_progress: bool
) -> None:
    """Write the cache file, whole or not at all.

    Raises:
        ImagesUnusable: some cannot be used (``faults``, and those found here).
        UserError: no file can be written.
    """
    try:
        _make_room(cache)
        with replacing_owned(cache.path) as file:
            _write_photos(file, cache, photos, faults, show_progress)
    except OSError as error:
        # Windows lets nobody replace a file that another command maps: then that file will do.
        if isinstance(error, PermissionError) and _is_valid(cache):
            return
        raise UserError(
            f"cannot write the image cache {cache.path}: {error_text(error)}; "
            "free space there, or end other commands that use it, and start again"
        ) from None


def _make_room(cache: _CacheFile) -> None:
    """Make the folder, delete what killed commands left in it, and check the free space."""
    folder = cache.path.parent
    folder.mkdir(parents=True, exist_ok=True)
    remove_left_overs(folder, "*images_*.tmp")
    free = shutil.disk_usage(folder).free
    if free < cache.size:
        raise OSError(f"{cache.size / 1e6:,.0f} MB needed, {free / 1e6:,.0f} MB free")


def _write_photos(
    file: BinaryIO,
    cache: _CacheFile,
    photos: dict[bytes, list[str]],
    faults: dict[str, str],
    show_progress: bool,
) -> None:
    """Decode every distinct photo into ``file``.

    Raises:
        ImagesUnusable: some cannot be used.
    """
    writer, prints, notes = CheckedWriter(file), bytearray(), bytearray()
    broken: dict[str, str] = {}
    square = partial(_square_or_reason, side=cache.side)
    results = _in_parallel(square, photos.items(), "Resizing images", show_progress)
    for same, result in zip(photos.values(), results, strict=True):
        if isinstance(result, str):
            broken.update(dict.fromkeys(same, result))
        elif not (
            faults or broken
        ):  # after a fault there will be no cache; only further faults are looked for
            pixels, of_photo, done = result
            writer.write(pixels)
            prints += of_photo.tobytes()
            notes.append(sum(1 << NOTES.index(note) for note in done))
    if faults or broken:
        raise ImagesUnusable(faults | dict(sorted(broken.items())))
    writer.write(prints + notes)
    writer.finish(cache.key)


def _square_or_reason(
    photo: tuple[bytes, list[str]], side: int
) -> tuple[np.ndarray, np.ndarray, list[str]] | str:
    """Return pixels (3, side, side), fingerprint and notes, or why the photo cannot be used."""
    digest, paths = photo
    try:
        with open_file(paths[0]) as file:
            if _digest(file) != digest:
                return "it changed while being read: start again"
            file.seek(0)
            square, whole, notes = decode(file, side)
        pixels = np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))  # (3, side, side)
        return pixels, fingerprint(whole), notes
    except Exception as error:  # as in decode; one broken photo must not hide the others
        return reason(error)


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


def _in_parallel(function: Callable, items: Iterable, title: str, show_progress: bool) -> Iterator:
    """Yield ``function(item)`` in order, computed by threads, with a progress bar.

    Never more than _WINDOW results wait for their turn.
    """
    from tqdm import tqdm  # not where compare_all.py is imported, see sweep/worker.py

    items, waiting = list(items), deque()
    disable = None if show_progress else True  # None: show it on a console only
    bar = tqdm(total=len(items), desc=title, unit="img", disable=disable, leave=False)
    with ThreadPoolExecutor(_THREADS) as pool, bar:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) == _WINDOW:
                yield waiting.popleft().result()
                bar.update()
        while waiting:
            yield waiting.popleft().result()
            bar.update()
