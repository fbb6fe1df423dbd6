"""Photos -> one uint8 file of squares per split, made once and mapped by every run, model and worker.

Each distinct photo (by its bytes) is decoded once, and its centre square stored with ``side`` = 8/7 of the image size
(256 for 224); crops and flips are cut out of that. The file is named after the bytes of the photos in their order, so
a changed photo, size or filter means another file, and equal splits share one::

    outputs/cache/images_256_<key>.u8   =   header: JSON, padded to 4096 bytes | pixels (M, 3, side, side) |
                                            perceptual hashes (M,) uint64
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL
from PIL import Image
from tqdm import tqdm

from ..errors import UserError
from .photos import decode, open_file, open_image, reason

__all__ = ["ImageStore", "load_images", "open_image"]

VERSION = (
    f"2 bicubic Pillow {PIL.__version__}"  # part of the key: change it when the pixels would change
)
HEADER_BYTES = 4096
THREADS = min(16, os.cpu_count() or 1)  # Pillow and hashlib release the interpreter lock
WINDOW = 4 * THREADS  # photos in flight, so that memory does not grow with the split


class ImageStore:
    """The decoded photos of a split: N samples over M distinct photos. Pickles without its pixels.

    Attributes: ``rows`` (N,) int64, the photo of each sample; ``side``, the stored side in pixels; ``path``, the
    file; ``notes``, how many distinct photos needed what ("cmyk", "16bit", "alpha", "animated", "exif_rotated").
    """

    def __init__(
        self, path: Path, side: int, rows: np.ndarray, digests: bytes, notes: dict[str, int]
    ):
        self.path, self.side, self.rows, self.notes = path, side, rows, notes
        self._digests = (
            digests  # 32 bytes for each distinct photo: a list of strings weighs four times as much
        )
        self._pixels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def count(self) -> int:
        """M, the number of distinct photos."""
        return len(self._digests) // 32

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pixels": None}

    @property
    def digests(self) -> list[str]:
        """sha256 of each sample's file, (N,) hex strings."""
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
    def hashes(self) -> np.ndarray:
        """Difference hash of each sample's photo, (N,) uint64: near copies differ in few of the 64 bits."""
        start = HEADER_BYTES + self.count * 3 * self.side * self.side
        return np.fromfile(self.path, np.uint64, self.count, offset=start)[self.rows]

    def gather(
        self,
        indices: Sequence[int],
        top: Sequence[int],
        left: Sequence[int],
        flip: Sequence[bool],
        size: int,
    ) -> np.ndarray:
        """Crops of size x size whose upper left corner is (top, left), mirrored where flip says so.

        indices, top, left, flip: (B,) each. Returns uint8 (B, 3, size, size), the caller's own memory.
        """
        batch = np.empty((len(indices), 3, size, size), np.uint8)
        rows = self.rows[np.asarray(indices)].tolist()
        for out, row, y, x, mirror in zip(batch, rows, top, left, flip, strict=True):
            crop = self.pixels[row, :, y : y + size, x : x + size]
            out[...] = _mirrored(crop) if mirror else crop
        return batch


def _mirrored(crop: np.ndarray) -> np.ndarray:
    """``crop[..., ::-1]``; eight bytes at a time where the width allows it, in half the time."""
    if crop.shape[-1] % 8:
        return crop[..., ::-1]
    return np.ascontiguousarray(crop).view(np.uint64)[..., ::-1].byteswap().view(np.uint8)


def load_images(
    paths: Sequence[str | Path], image_size: int, cache_dir: str | Path, show_progress: bool = True
) -> ImageStore:
    """Map the photos of a split; decode them first unless the cache holds exactly these.

    paths: (N,), repetitions cost nothing. UserError names up to ten of all the photos that are missing or broken, or
    says why the cache cannot be written.
    """
    side = image_size * 8 // 7
    distinct = list(dict.fromkeys(map(str, paths)))
    bad: dict[str, str] = {}  # path -> reason
    paths_of: dict[
        bytes, list[str]
    ] = {}  # digest -> the paths with these bytes, in the order of the stored photos
    read = _in_parallel(_digest_or_reason, distinct, "Reading images", show_progress)
    for path, digest in zip(distinct, read, strict=True):
        if isinstance(digest, str):
            bad[path] = digest
        else:
            paths_of.setdefault(digest, []).append(path)

    digests = b"".join(paths_of)
    key = hashlib.sha256(f"{VERSION} {side} ".encode() + digests).hexdigest()
    cache = Path(cache_dir).absolute() / f"images_{side}_{key[:16]}.u8"
    header = None if bad else _valid_header(cache, key, len(paths_of), side)
    if header is None:
        header = _build(cache, key, paths_of, side, bad, show_progress)
    row_of = {path: row for row, same in enumerate(paths_of.values()) for path in same}
    rows = np.fromiter((row_of[str(path)] for path in paths), np.int64, len(paths))
    return ImageStore(cache, side, rows, digests, header["notes"])


def _build(
    cache: Path,
    key: str,
    paths_of: dict[bytes, list[str]],
    side: int,
    bad: dict[str, str],
    show_progress: bool,
) -> dict[str, Any]:
    """Decode every distinct photo into a temporary file and move that in place. Returns the header."""

    def square(digest: bytes) -> tuple[np.ndarray, np.ndarray, list[str]] | str:
        try:
            with open_file(paths_of[digest][0]) as file:
                if _digest(file) != digest:
                    return "it changed while being read: start again"
                file.seek(0)
                image, notes = decode(file, side)
            pixels = np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))  # (3, side, side)
            return pixels, difference_hash(image), notes
        except Exception as error:  # as in decode; one broken photo must not hide the others
            return reason(error)

    checksum, notes, hashes = 0, Counter(), []
    temporary = cache.with_name(f"{cache.stem}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        _make_room(cache.parent, _file_size(len(paths_of), side))
        with open(temporary, "wb") as file:
            file.write(bytes(HEADER_BYTES))
            decoded = _in_parallel(square, paths_of, "Resizing images", show_progress)
            for digest, result in zip(paths_of, decoded, strict=True):
                if isinstance(result, str):
                    bad.update(dict.fromkeys(paths_of[digest], result))
                elif not bad:  # with a bad photo there will be no cache: only the other bad ones are looked for
                    pixels, picture_hash, done = result
                    file.write(pixels)
                    checksum = zlib.crc32(pixels, checksum)
                    hashes.append(picture_hash)
                    notes.update(done)
            if bad:
                raise UserError(_bad_images(bad))
            file.write(np.concatenate(hashes))
            checksum = zlib.crc32(np.concatenate(hashes), checksum)
            header = {"key": key, "checksum": checksum, "notes": dict(sorted(notes.items()))}
            file.seek(0)
            file.write(json.dumps(header).encode().ljust(HEADER_BYTES))
            file.flush()
            os.fsync(
                file.fileno()
            )  # the name must not appear before the pixels, not even after a power cut
        try:
            os.replace(temporary, cache)
        except (
            PermissionError
        ):  # Windows, while another command maps the file: then that file will do
            if _valid_header(cache, key, len(paths_of), side) is None:
                raise
        return header
    except OSError as error:
        raise UserError(
            f"cannot write the image cache {cache}: {error.strerror or error}; "
            "free space there, or end other commands that use it, and start again"
        ) from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _valid_header(cache: Path, key: str, count: int, side: int) -> dict[str, Any] | None:
    """The header of a cache that holds what it should, down to its last byte; else None."""
    try:
        with open(cache, "rb") as file:
            header = json.loads(file.read(HEADER_BYTES))
            if header["key"] != key or os.fstat(file.fileno()).st_size != _file_size(count, side):
                return None
            checksum = 0
            while block := file.read(1 << 20):
                checksum = zlib.crc32(block, checksum)
        return (
            header if checksum == header["checksum"] and isinstance(header["notes"], dict) else None
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _file_size(count: int, side: int) -> int:
    return HEADER_BYTES + count * (3 * side * side + 8)


def difference_hash(image: Image.Image) -> np.ndarray:
    """Is each of 8 x 8 fields darker than its right neighbour? One bit each, (1,) uint64.

    dHash (Krawetz 2013): it survives another size, compression or brightness.
    """
    fields = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX)).astype(np.int16)
    return np.packbits(fields[:, 1:] > fields[:, :-1]).view(np.uint64)


def _make_room(folder: Path, needed: int) -> None:
    """Make the folder, drop what killed commands left in it, and see that ``needed`` bytes fit."""
    folder.mkdir(parents=True, exist_ok=True)
    for left_over in folder.glob("images_*.tmp"):
        with suppress(OSError):  # another command was quicker, or holds it open
            if (
                time.time() - left_over.stat().st_mtime > 3600
            ):  # a living command writes every second
                left_over.unlink()
    if (free := shutil.disk_usage(folder).free) < needed:
        raise OSError(f"{needed / 1e6:,.0f} MB needed, {free / 1e6:,.0f} MB free")


def _digest(file: BinaryIO) -> bytes:
    sha = hashlib.sha256()
    while block := file.read(1 << 20):
        sha.update(block)
    return sha.digest()


def _digest_or_reason(path: str) -> bytes | str:
    try:
        with open_file(path) as file:
            return _digest(file)
    except OSError as error:
        return reason(error)


def _bad_images(bad: dict[str, str]) -> str:
    count = "1 image" if len(bad) == 1 else f"{len(bad):,} images"
    shown = "; ".join(f"{path} ({why})" for path, why in list(bad.items())[:10])
    more = f"; and {len(bad) - 10:,} more" if len(bad) > 10 else ""
    return f"{count} cannot be used: {shown}{more}. Mend them or take their rows out of the split"


def _in_parallel(function: Callable, items: Iterable, title: str, show_progress: bool) -> Iterator:
    """``map`` over threads, in order, with a bar, and with never more than WINDOW results waiting."""
    items, waiting = list(items), deque()
    bar = tqdm(
        total=len(items),
        desc=title,
        unit="img",
        disable=None if show_progress else True,
        leave=False,
    )
    with ThreadPoolExecutor(THREADS) as pool, bar:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) == WINDOW:
                yield waiting.popleft().result()
                bar.update()
        while waiting:
            yield waiting.popleft().result()
            bar.update()
