"""Photos -> one uint8 file of square thumbnails per split, made once and mapped by every run, model and worker.

Each distinct file (by its bytes) is decoded once: shortest side to ``side`` = 8/7 of the image size (256 for 224),
centre square. Crop and flip are taken from that. The file is named after the contents of the photos in their order,
so a changed photo, size or filter has another file, and an equal split shares it::

    outputs/cache/images_256_<key>.u8   =   header: one JSON line padded to 4096 bytes | pixels (M, 3, side, side)
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
import warnings
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from common.errors import UserError

HEADER_BYTES = 4096
VERSION = f"1 bicubic Pillow {PIL.__version__}"  # part of the key: change it when the pixels would change
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")  # no format that runs a program (EPS) or loads on demand
MAX_PIXELS = 178_956_970  # where Pillow itself refuses a decompression bomb; below it, its warning says nothing useful
THREADS = min(16, os.cpu_count() or 1)  # Pillow and hashlib release the GIL
WINDOW = 4 * THREADS  # images in flight: memory does not grow with the split
UPRIGHT = {  # EXIF orientation -> what turns the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
warnings.filterwarnings("ignore", module=r"PIL\.")  # what matters is counted in the notes or raised


class ImageStore:
    """The decoded photos of a split: N samples over M distinct photos. Pickles without its pixels.

    Attributes: ``rows`` (N,) int64, the photo of each sample; ``side``, the stored side in pixels; ``path``, the
    file; ``notes``, how many distinct photos needed what ("cmyk", "16bit", "alpha", "animated", "exif_rotated").
    """

    def __init__(self, path: Path, side: int, rows: np.ndarray, digests: bytes, notes: dict[str, int]):
        self.path, self.side, self.rows, self.notes = path, side, rows, notes
        self._digests = digests  # (M * 32) bytes: a list of strings would weigh four times as much
        self._pixels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pixels": None}

    @property
    def digests(self) -> list[str]:
        """sha256 of each sample's file, (N,) hex strings."""
        distinct = [self._digests[i : i + 32].hex() for i in range(0, len(self._digests), 32)]
        return [distinct[row] for row in self.rows]

    @property
    def pixels(self) -> np.ndarray:
        """All photos (M, 3, side, side) uint8, mapped read-only in the process that asks first."""
        if self._pixels is None:
            shape = (len(self._digests) // 32, 3, self.side, self.side)
            self._pixels = np.asarray(np.memmap(self.path, np.uint8, "r", HEADER_BYTES, shape))
        return self._pixels

    def gather(self, indices: Sequence[int], top: Sequence[int], left: Sequence[int], flip: Sequence[bool], size: int):
        """Crops of ``size`` x ``size`` whose upper left corners are (top, left), mirrored where flip says so.

        indices, top, left, flip: (B,) each. Returns uint8 (B, 3, size, size), the caller's own memory.
        """
        pixels = self.pixels
        batch = np.empty((len(indices), 3, size, size), np.uint8)
        for out, index, y, x, mirror in zip(batch, indices, top, left, flip, strict=True):
            crop = pixels[self.rows[index], :, y : y + size, x : x + size]
            out[...] = crop[..., ::-1] if mirror else crop
        return batch


def load_images(
    paths: Sequence[str | Path], image_size: int, cache_dir: str | Path, show_progress: bool = True
) -> ImageStore:
    """Map the photos of a split, decoding them first where no valid cache holds exactly these.

    paths: (N,), repetitions welcome. UserError lists up to ten photos that are missing or broken, of all of them, or
    says that the cache cannot be written.
    """
    side = image_size * 8 // 7
    distinct_paths = list(dict.fromkeys(map(str, paths)))
    bad: dict[str, str] = {}  # path -> reason
    first: dict[bytes, str] = {}  # digest -> the first path with these bytes; its order is that of the file
    digest_of: dict[str, bytes] = {}
    digests = _in_parallel(_digest_or_reason, distinct_paths, "Reading images", show_progress)
    for path, digest in zip(distinct_paths, digests, strict=True):
        if isinstance(digest, str):
            bad[path] = digest
        else:
            digest_of[path] = digest
            first.setdefault(digest, path)

    joined = b"".join(first)
    key = hashlib.sha256(f"{VERSION} {side} ".encode() + joined).hexdigest()
    cache = Path(cache_dir) / f"images_{side}_{key[:16]}.u8"
    header = None if bad else _read_valid(cache, key, len(first), side)
    if header is None:
        header = _build(cache, key, first, side, digest_of, bad, show_progress)
    row_of = {digest: row for row, digest in enumerate(first)}
    rows = np.fromiter((row_of[digest_of[str(path)]] for path in paths), np.int64, len(paths))
    return ImageStore(cache, side, rows, joined, header["notes"])


def open_image(path: str | Path) -> Image.Image:
    """The photo at its full size: RGB, upright, first frame, transparency over white, 8 bits. UserError if broken."""
    try:
        with _open_file(path) as file:
            return _decode(file)[0]
    except Exception as error:  # see _decode
        raise UserError(f"image cannot be used: {path} ({_reason(error)})") from None


def _decode(file: BinaryIO, side: int | None = None) -> tuple[Image.Image, list[str]]:
    """One upright RGB picture, full size or the centre square at ``side``, and what had to be done to it.

    Raises whatever Pillow's plugins raise on hostile bytes, which is nearly anything.
    """
    notes = []
    image = Image.open(file, formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise Image.DecompressionBombError
    if getattr(image, "is_animated", False) and image.format != "MPO":  # MPO: a phone's photo with a preview
        notes.append("animated")
    if side:
        image.draft(None, (side, side))  # JPEG: decode at 1/2, 1/4 or 1/8, never below side
    image.load()
    orientation = image.getexif().get(0x0112)

    if image.mode == "F" or image.mode.startswith("I"):
        notes.append("16bit")
        image = _to_8_bits(image)
    if image.mode == "CMYK":
        notes.append("cmyk")
    transparent = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    image = image.convert("RGBA" if transparent else "RGB")
    if side:  # resizing inside the central box: no intermediate of 5,120,000 x 256 for a photo of 20,000 x 1
        short, (width, height) = min(image.size), image.size
        x, y = (width - short) / 2, (height - short) / 2
        image = image.resize((side, side), Image.Resampling.BICUBIC, (x, y, x + short, y + short), reducing_gap=2.0)
    if transparent:
        notes.append("alpha")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image).convert("RGB")
    if orientation in UPRIGHT:
        notes.append("exif_rotated")
        image = image.transpose(UPRIGHT[orientation])
    return image, notes


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Modes I;16, I and F to L. Where the range is not told by the format, the smallest usual one that holds."""
    values = np.nan_to_num(np.asarray(image, np.float32))
    low, high = min(0.0, float(values.min())), float(values.max())
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        high = 65535.0
    else:
        high = next(
            (usual for usual in (1.0, 255.0, 65535.0) if high <= usual and (usual > 1 or image.mode == "F")), high
        )
    return Image.fromarray(((values - low) * (255 / max(high - low, 1e-12)) + 0.5).astype(np.uint8))


def _build(
    cache: Path,
    key: str,
    first: dict[bytes, str],
    side: int,
    digest_of: dict[str, bytes],
    bad: dict[str, str],
    show_progress: bool,
) -> dict[str, Any]:
    """Decode every distinct photo into a temporary file and move it in place. Returns the header."""

    def thumbnail(item: tuple[bytes, str]) -> tuple[np.ndarray, list[str]] | str:
        digest, path = item
        try:
            with _open_file(path) as file:
                if _digest(file) != digest:
                    return "it changed while being read: start again"
                file.seek(0)
                image, notes = _decode(file, side)
            return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1)), notes
        except Exception as error:  # see _decode: all broken photos are to be listed, whatever is wrong with them
            return _reason(error)

    notes: Counter[str] = Counter()
    broken: dict[bytes, str] = {}
    checksum = 0
    temporary = cache.with_name(f"{cache.stem}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        _make_room(cache.parent, HEADER_BYTES + len(first) * 3 * side * side)
        with open(temporary, "wb") as file:
            file.write(bytes(HEADER_BYTES))
            thumbnails = _in_parallel(thumbnail, list(first.items()), "Resizing images", show_progress)
            for digest, result in zip(first, thumbnails, strict=True):
                if isinstance(result, str):
                    broken[digest] = result
                elif not (bad or broken):  # with a broken photo there will be no cache: look for the others only
                    file.write(result[0])
                    checksum = zlib.crc32(result[0], checksum)
                    notes.update(result[1])
            bad.update({path: broken[digest] for path, digest in digest_of.items() if digest in broken})
            if bad:
                raise UserError(_bad_images(bad))
            header = {"key": key, "checksum": checksum, "notes": dict(sorted(notes.items()))}
            file.seek(0)
            file.write(json.dumps(header).encode().ljust(HEADER_BYTES))
            file.flush()
            os.fsync(file.fileno())  # a name must not appear before its pixels, not even after a power cut
        try:
            os.replace(temporary, cache)
        except PermissionError:  # Windows, while another command maps the file: then that one will do
            if _read_valid(cache, key, len(first), side) is None:
                raise
    except OSError as error:
        raise UserError(
            f"cannot write the image cache {cache}: {error.strerror or error}; "
            "free some space there, close other commands that use it, or choose another output folder"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
    return header


def _read_valid(cache: Path, key: str, count: int, side: int) -> dict[str, Any] | None:
    """The header of a cache that holds what it should, down to its last byte, else None."""
    try:
        with open(cache, "rb") as file:
            header = json.loads(file.read(HEADER_BYTES))
            if header["key"] != key or os.fstat(file.fileno()).st_size != HEADER_BYTES + count * 3 * side * side:
                return None
            checksum = 0
            while block := file.read(1 << 20):
                checksum = zlib.crc32(block, checksum)
        return header if checksum == header["checksum"] and isinstance(header["notes"], dict) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _make_room(folder: Path, needed: int) -> None:
    """Make the folder, drop what killed commands left there, and see that ``needed`` bytes fit."""
    folder.mkdir(parents=True, exist_ok=True)
    for left_over in folder.glob("images_*.tmp"):
        try:
            if time.time() - left_over.stat().st_mtime > 3600:  # a living command writes every second
                left_over.unlink()
        except OSError:
            pass  # another command was quicker, or still holds it
    if (free := shutil.disk_usage(folder).free) < needed:
        raise OSError(f"{needed / 1e6:,.0f} MB needed, {free / 1e6:,.0f} MB free")


def _open_file(path: str | Path) -> BinaryIO:
    if not os.path.isfile(path):  # also: a pipe would block for ever
        raise FileNotFoundError("is a folder" if os.path.isdir(path) else "no such file")
    return open(path, "rb")


def _digest(file: BinaryIO) -> bytes:
    sha = hashlib.sha256()
    while block := file.read(1 << 20):
        sha.update(block)
    return sha.digest()


def _digest_or_reason(path: str) -> bytes | str:
    try:
        with _open_file(path) as file:
            return _digest(file)
    except (OSError, ValueError) as error:
        return _reason(error)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"not an image of a known kind: {', '.join(FORMATS)}"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {MAX_PIXELS / 1e6:.0f} million pixels"
    return " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split())


def _bad_images(bad: dict[str, str]) -> str:
    shown = "; ".join(f"{path} ({reason})" for path, reason in list(bad.items())[:10])
    more = f"; and {len(bad) - 10} more" if len(bad) > 10 else ""
    count = "1 image" if len(bad) == 1 else f"{len(bad)} images"
    return f"{count} cannot be used: {shown}{more}. Mend them or take their rows out of the split"


def _in_parallel(function: Callable, items: Sequence, title: str, show_progress: bool) -> Iterator:
    """``map`` over threads, in order, with a bar and never more than WINDOW results waiting."""
    bar = tqdm(total=len(items), desc=title, unit="img", disable=None if show_progress else True, leave=False)
    with ThreadPoolExecutor(THREADS) as pool, bar:
        waiting: deque = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) == WINDOW:
                yield waiting.popleft().result()
                bar.update()
        while waiting:
            yield waiting.popleft().result()
            bar.update()
