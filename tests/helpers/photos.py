"""Photos of every kind, for the tests of the code that reads them."""

import io

import numpy as np
from PIL import Image

RED, WHITE = (255, 0, 0), (255, 255, 255)


def encoded(kind: str) -> bytes:
    stream = io.BytesIO()
    noise(200, 200).save(stream, kind)
    return stream.getvalue()


def first_part(kind: str, share: float = 0.5) -> bytes:
    """Return a photo of 200 x 200 without the rest of its bytes."""
    data = encoded(kind)
    return data[: int(share * len(data))]


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(
        np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    )


def halves(width: int = 64, height: int = 64) -> Image.Image:
    """Return a picture that is red above and white below, so that a turn shows."""
    picture = Image.new("RGB", (width, height), WHITE)
    picture.paste(RED, (0, 0, width, height // 2))
    return picture


BROKEN = {  # name -> content, and words of the error that names it
    "empty.jpg": (b"", "not an image"),
    "text.jpg": ("这不是图片".encode(), "not an image"),
    "eps.jpg": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
        "not an image",
    ),
    **{f"half.{kind}": (first_part(kind), "truncated") for kind in ("jpeg", "png", "bmp", "gif")},
    "half.webp": (first_part("WEBP"), ""),
    "fewer than 90 % of the rows.png": (first_part("png", 0.88), "truncated"),
}
