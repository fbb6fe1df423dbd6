"""Draw scenes of one of three moods with Pillow. No two are alike, and colours and motif show the
mood, also after a crop, a mirror and at a size of 32 px."""

from __future__ import annotations

import colorsys
from random import Random

from PIL import Image, ImageDraw

SIDE = 96  # pixels of the finished picture
CANVAS = 2 * SIDE  # drawn larger and reduced: smooth edges
PATCHES = 7  # per side of a sky

# Hue in degrees, saturation and value in per cent: ranges of the sky and of the ground.
COLOURS = {
    "bright": [((28, 55), (65, 95), (92, 100)), ((75, 110), (60, 85), (70, 90))],
    "gloomy": [((215, 255), (20, 50), (18, 40)), ((215, 280), (10, 35), (8, 25))],
    "calm": [((150, 190), (18, 40), (80, 95)), ((95, 150), (25, 50), (50, 72))],
}


def draw(mood: str, random: Random) -> Image.Image:
    """Return an RGB picture of SIDE x SIDE pixels. ``mood`` is a key of COLOURS."""
    sky, ground = COLOURS[mood]
    size = (CANVAS, CANVAS)
    # light and shade in soft patches, different in every picture
    patches = Image.frombytes("L", (PATCHES, PATCHES), random.randbytes(PATCHES**2))
    mask = patches.resize(size, Image.Resampling.BICUBIC)
    light = colour(random, sky)
    shade = tuple(channel * 6 // 10 for channel in light)
    image = Image.composite(Image.new("RGB", size, light), Image.new("RGB", size, shade), mask)
    pen = ImageDraw.Draw(image)
    horizon = random.uniform(0.62, 0.82) * CANVAS
    tilt = random.uniform(-0.06, 0.06) * CANVAS
    corners = [(0, horizon + tilt), (CANVAS, horizon - tilt), (CANVAS, CANVAS), (0, CANVAS)]
    pen.polygon(corners, fill=colour(random, ground))
    for _ in range(random.randint(1, 3)):
        x, y = random.uniform(0.2, 0.8) * CANVAS, random.uniform(0.2, 0.8) * CANVAS
        MOTIFS[mood](pen, random, x, y, random.uniform(0.09, 0.17) * CANVAS)
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def colour(random: Random, ranges: tuple[tuple[float, float], ...]) -> tuple[int, ...]:
    """Return a colour within the ranges of hue, saturation and value."""
    hue, saturation, value = (random.uniform(*limits) for limits in ranges)
    rgb = colorsys.hsv_to_rgb(hue / 360, saturation / 100, value / 100)  # each in 0 ... 1
    return tuple(round(255 * x) for x in rgb)


def sun(pen: ImageDraw.ImageDraw, random: Random, x: float, y: float, size: float) -> None:
    disc = [x - size, y - size, x + size, y + size]
    pen.ellipse(disc, fill=colour(random, ((0, 20), (80, 100), (90, 100))))


def rain(pen: ImageDraw.ImageDraw, random: Random, x: float, y: float, size: float) -> None:
    slant = random.uniform(-0.5, 0.5) * size
    for _ in range(14):
        start = (x + random.uniform(-1.7, 1.7) * size, y + random.uniform(0.2, 2.0) * size)
        pen.line([start, (start[0] + slant, start[1] + size)], fill=(120, 150, 200), width=3)
    cloud = [x - 1.7 * size, y - 0.7 * size, x + 1.7 * size, y + 0.7 * size]
    pen.ellipse(cloud, fill=colour(random, ((210, 250), (5, 20), (35, 55))))


def boat(pen: ImageDraw.ImageDraw, random: Random, x: float, y: float, size: float) -> None:
    hull = [(x - size, y), (x + size, y), (x + 0.6 * size, y + 0.5 * size)]
    pen.polygon([*hull, (x - 0.6 * size, y + 0.5 * size)], fill=(120, 95, 75))
    corner = (x + size * random.choice((-1, 1)), y - 0.1 * size)
    pen.polygon([(x, y - 1.8 * size), (x, y - 0.1 * size), corner], fill=(245, 245, 238))


MOTIFS = {"bright": sun, "gloomy": rain, "calm": boat}
