"""One photo file -> an upright 8-bit RGB picture, whatever its format, mode or orientation."""

from __future__ import annotations

import io
import math
import warnings
from contextlib import suppress
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from ..errors import reason_of

# None of them runs a program, as EPS does. Pillow reads AVIF from release 11.3 on.
Image.init()
_FORMATS = [
    name for name in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF") if name in Image.OPEN
]
# From here on Pillow itself refuses a photo as a decompression bomb.
MAX_PIXELS = 178_956_970
# A photo that was cut short is used if so many of its rows are there.
_ROWS_NEEDED = 0.9
_GREY = 128  # of the rows that are not
_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
_SCANS_NEEDED = (3, 5)  # of a progressive JPEG, grey or in colour
WHOLE_SIDE = 128  # of the small picture of the whole photo
Image.core.set_block_size(1 << 26)  # memory in large blocks goes back to the system
# Viewers show a PNG with any amount of text in it; Pillow would refuse more than 1 MB of one kind.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY
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
NOTES = ("16bit", "alpha", "animated", "cmyk", "exif_rotated", "truncated")


class Decoded(NamedTuple):
    """What is kept of a photo."""

    square: Image.Image  # RGB: the centre square
    whole: Image.Image  # grey: the whole photo, whatever its proportions, WHOLE_SIDE x WHOLE_SIDE
    notes: list[str]  # some of NOTES


def decode(file: BinaryIO, side: int) -> Decoded:
    """Return two upright pictures of a photo; the square has ``side`` pixels a side. Raise an Exception
    of almost any class, as Pillow's plugins raise them on broken files."""
    image = Image.open(file, formats=_FORMATS)  # only the header is read: a bomb is not decoded
    if math.prod(image.size) > MAX_PIXELS:
        raise Image.DecompressionBombError
    notes = []
    # The second image of an MPO is the preview that a phone adds to a photo.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        notes.append("animated")
    # 1. Decode.
    try:
        image.draft(None, (side, side))  # JPEG: decode at 1/2, 1/4 or 1/8, never below ``side``
        image.load()
    except OSError as error:
        if error.errno is not None:  # the disk is damaged, not the photo
            raise
        image = _load_damaged(file, side, error)
        notes.append("truncated")
    # 2. Convert to 8 bits and RGB, or RGBA while there is transparency.
    orientation = _orientation(image)  # before a conversion: it drops the EXIF data
    if image.mode[0] in "IF":
        notes.append("16bit")
        image = _to_8_bits(image)
    if image.mode == "CMYK":
        notes.append("cmyk")
    transparent = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    mode = "RGBA" if transparent else "RGB"
    image = image if image.mode == mode else image.convert(mode)  # convert would copy even then
    # 3. Make the small pictures: the centre square alone, since a photo of 20,000 x 1 must not
    # become 5,120,000 x 256, and the whole.
    width, height = image.size
    short = min(width, height)
    box = ((width - short) / 2, (height - short) / 2, (width + short) / 2, (height + short) / 2)
    pictures = [
        image.resize((side, side), Image.Resampling.BICUBIC, box, reducing_gap=2.0),
        image.resize((WHOLE_SIDE, WHOLE_SIDE), Image.Resampling.BOX, reducing_gap=2.0),
    ]
    if transparent:
        notes.append("alpha")
        whites = [Image.new("RGBA", picture.size, "white") for picture in pictures]
        pictures = map(Image.alpha_composite, whites, pictures)
        pictures = [picture.convert("RGB") for picture in pictures]
    if orientation in _TO_UPRIGHT:
        notes.append("exif_rotated")
        pictures = [picture.transpose(_TO_UPRIGHT[orientation]) for picture in pictures]
    square, whole = pictures
    return Decoded(square, whole.convert("L"), notes)


def upright_size(file: BinaryIO) -> tuple[int, int]:
    """Return width and height of the upright picture, from the header; raise what ``decode`` does."""
    image = Image.open(file, formats=_FORMATS)
    return image.size[::-1] if _orientation(image) >= 5 else image.size


def _load_damaged(file: BinaryIO, side: int, error: OSError) -> Image.Image:
    """Decode a photo that was cut short; its last rows may be grey. Raise ``error`` where too many
    are."""
    try:
        file.seek(0)
        data = file.read()
        end = _JPEG_END if data.startswith(_JPEG_START) else b""
        image = Image.open(io.BytesIO(data + end), formats=_FORMATS)
        image.draft(None, (side, side))
        image.load_prepare()
        blank, bands = Image.new(image.mode, (1, 1)), len(image.getbands())
        for core, size in ((image.im, image.size), (blank.im, blank.size)):
            core.paste((_GREY,) * bands if bands > 1 else _GREY, (0, 0, *size))
        with suppress(OSError):
            image.load()
        image.tile = []  # it counts as decoded now
        rows = np.asarray(image).reshape(image.height, image.width, -1)
        grey = rows == np.asarray(blank).ravel()
        if image.mode == "CMYK":  # JPEG turns it round, from 128 to 127
            grey |= rows == _GREY - 1
        missing = grey.all((1, 2)).mean()
        if image.info.get("progressive"):  # the first scans hold all rows, not quite sharp
            missing = max(missing, data.count(_JPEG_SCAN) <= _SCANS_NEEDED[bands > 1])
    except Exception:  # as in decode
        raise error from None
    if missing > 1 - _ROWS_NEEDED:
        raise error
    return image


def reason(error: Exception) -> str:
    """Return in a few words why a photo cannot be used."""
    if isinstance(error, UnidentifiedImageError):
        return f"not an image of a known kind: {', '.join(_FORMATS)}"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {MAX_PIXELS / 1e6:.0f} million pixels"
    return reason_of(error)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1 (upright) if the EXIF data are broken and the photo is not."""
    try:
        return image.getexif().get(0x0112, 1)
    except Exception:  # as in decode
        return 1


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Convert mode I;16, I or F to L. Where the format does not fix the range of the values, take the
    smallest usual range that holds them, or else that from their smallest to their largest."""
    values = np.asarray(image)
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        return Image.fromarray((values >> 8).astype(np.uint8))  # as Pillow does with colours
    values = np.clip(np.nan_to_num(values.astype(np.float32)), -1e30, 1e30)
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    if low == 0:
        usual = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
        high = next((limit for limit in usual if high <= limit), high)
    return Image.fromarray(((values - low) * (255 / (high - low)) + 0.5).astype(np.uint8))
