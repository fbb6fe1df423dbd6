"""One photo file -> an upright 8-bit RGB picture, whatever a camera, a browser or a prankster made of it."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import UserError

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")  # none that runs a program, as EPS does
MAX_PIXELS = 178_956_970  # where Pillow itself refuses a decompression bomb; its earlier warning is only noise here
TO_UPRIGHT = dict(enumerate((  # EXIF orientation -> transposition
    Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180, Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90,
), start=2))  # fmt: skip
warnings.filterwarnings(
    "ignore", module=r"PIL\."
)  # what matters is counted in the notes, or raised


def open_image(path: str | Path) -> Image.Image:
    """A photo at its full size: RGB, upright, first frame, transparency over white, 8 bits. UserError if broken."""
    try:
        with open_file(path) as file:
            return decode(file)[0]
    except Exception as error:  # see decode
        raise UserError(f"1 image cannot be used: {path} ({reason(error)})") from None


def decode(file: BinaryIO, side: int | None = None) -> tuple[Image.Image, list[str]]:
    """An upright RGB picture, at full size or its centre square at ``side``, and what was done to get it.

    Raises whatever Pillow's plugins raise on hostile bytes, which is nearly anything.
    """
    notes = []
    image = Image.open(file, formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise Image.DecompressionBombError
    if (
        getattr(image, "is_animated", False) and image.format != "MPO"
    ):  # MPO: a phone's photo beside its preview
        notes.append("animated")
    if side:
        image.draft(None, (side, side))  # JPEG: decoded at 1/2, 1/4 or 1/8, never below side
    image.load()
    orientation = _orientation(image)
    if image.mode[0] in "IF":
        notes.append("16bit")
        image = _to_8_bits(image)
    if image.mode == "CMYK":
        notes.append("cmyk")
    transparent = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    mode = "RGBA" if transparent else "RGB"
    image = image if image.mode == mode else image.convert(mode)  # convert would copy even then
    if (
        side
    ):  # only the central box is resized: a photo of 20,000 x 1 must not become 5,120,000 x 256
        short, width, height = min(image.size), *image.size
        box = ((width - short) / 2, (height - short) / 2, (width + short) / 2, (height + short) / 2)
        image = image.resize((side, side), Image.Resampling.BICUBIC, box, reducing_gap=2.0)
    if transparent:
        notes.append("alpha")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if orientation in TO_UPRIGHT:
        notes.append("exif_rotated")
        image = image.transpose(TO_UPRIGHT[orientation])
    return image, notes


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 where the photo is fine and only its EXIF is broken."""
    try:
        return image.getexif().get(0x0112, 1)
    except Exception:  # as in decode
        return 1


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Modes I;16, I and F as L. Where the format does not tell the range, the smallest usual one or the photo's own."""
    values = np.asarray(image)
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        return Image.fromarray(
            (values >> 8).astype(np.uint8)
        )  # the high byte, which Pillow takes of 16-bit colours
    values = np.clip(np.nan_to_num(values.astype(np.float32)), -1e30, 1e30)
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    if low == 0:
        usual = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
        high = next((limit for limit in usual if high <= limit), high)
    return Image.fromarray(((values - low) * (255 / (high - low)) + 0.5).astype(np.uint8))


def open_file(path: str | Path) -> BinaryIO:
    if not os.path.isfile(path):  # a pipe would block for ever
        raise FileNotFoundError("not a file" if os.path.exists(path) else "no such file")
    return open(path, "rb")


def reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"not an image of a known kind: {', '.join(FORMATS)}"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {MAX_PIXELS / 1e6:.0f} million pixels"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
