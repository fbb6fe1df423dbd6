"""One photo file -> an upright 8-bit RGB picture, whatever its format, mode or orientation."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import UserError
from ..files import error_text

_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")  # none that runs a program, as EPS does
# From here on Pillow itself refuses a photo as a decompression bomb.
MAX_PIXELS = 178_956_970
_TO_UPRIGHT = {  # EXIF orientation -> transposition that makes the photo upright; 1 is upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Pillow's warnings help no user: what matters is counted in the notes, or raised.
warnings.filterwarnings("ignore", module=r"PIL\.")


def open_image(path: str | Path) -> Image.Image:
    """Return a photo at full size: RGB, 8 bits, upright, first frame, transparency over white.

    Raises:
        UserError: the photo is missing or broken.
    """
    try:
        with open_file(path) as file:
            return decode(file)[0]
    except Exception as error:  # see decode
        raise UserError(f"1 image cannot be used: {path} ({reason(error)})") from None


def decode(file: BinaryIO, side: int | None = None) -> tuple[Image.Image, list[str]]:
    """Return an upright RGB picture and notes on what was done to get it.

    The picture has the full size; with ``side`` it is the centre square, resized to that side.
    The notes are some of "animated", "16bit", "cmyk", "alpha", "exif_rotated".

    Raises:
        Exception: of almost any class, as Pillow's plugins raise them on broken files.
    """
    notes = []
    # 1. Open: only the header is read, so a decompression bomb is refused before it is decoded.
    image = Image.open(file, formats=_FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise Image.DecompressionBombError
    # The second image of an MPO is the preview that a phone adds to a photo.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        notes.append("animated")
    # 2. Decode.
    if side:
        image.draft(None, (side, side))  # JPEG: decode at 1/2, 1/4 or 1/8, never below ``side``
    image.load()
    orientation = _orientation(image)  # before a conversion: it drops the EXIF data
    # 3. Convert to 8 bits and RGB, or RGBA while there is transparency.
    if image.mode[0] in "IF":
        notes.append("16bit")
        image = _to_8_bits(image)
    if image.mode == "CMYK":
        notes.append("cmyk")
    transparent = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    mode = "RGBA" if transparent else "RGB"
    image = image if image.mode == mode else image.convert(mode)  # convert would copy even then
    # 4. Resize the centre square only: a photo of 20,000 x 1 must not become 5,120,000 x 256.
    if side:
        width, height = image.size
        short = min(width, height)
        box = ((width - short) / 2, (height - short) / 2, (width + short) / 2, (height + short) / 2)
        image = image.resize((side, side), Image.Resampling.BICUBIC, box, reducing_gap=2.0)
    if transparent:
        notes.append("alpha")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if orientation in _TO_UPRIGHT:
        notes.append("exif_rotated")
        image = image.transpose(_TO_UPRIGHT[orientation])
    return image, notes


def open_file(path: str | Path) -> BinaryIO:
    """Open a regular file. Refuse a pipe or a device, because reading it could hang.

    Raises:
        OSError: the file is missing, not a regular file, or may not be read.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError("not a file" if os.path.exists(path) else "no such file")
    return open(path, "rb")


def reason(error: Exception) -> str:
    """Return in a few words why a photo cannot be used."""
    if isinstance(error, UnidentifiedImageError):
        return f"not an image of a known kind: {', '.join(_FORMATS)}"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {MAX_PIXELS / 1e6:.0f} million pixels"
    return error_text(error) or type(error).__name__


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1 (upright) if the EXIF data are broken and the photo is not."""
    try:
        return image.getexif().get(0x0112, 1)
    except Exception:  # as in decode
        return 1


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Convert mode I;16, I or F to L.

    If the format does not fix the range of the values, take the smallest usual range that holds
    them, or else the range from the smallest to the largest value of this photo.
    """
    values = np.asarray(image)  # (H, W)
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        high_bytes = (values >> 8).astype(np.uint8)  # as Pillow does with 16-bit colours
        return Image.fromarray(high_bytes)
    values = np.clip(np.nan_to_num(values.astype(np.float32)), -1e30, 1e30)
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    if low == 0:
        usual = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
        high = next((limit for limit in usual if high <= limit), high)
    return Image.fromarray(((values - low) * (255 / (high - low)) + 0.5).astype(np.uint8))
