"""Draw scenes of one of three moods with Pillow. No two are alike, and the mood is easy to see.

Both colours and motif show the mood. It survives a crop, a mirror and a size of 32 px.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from random import Random

from PIL import Image, ImageDraw

SIDE = 96  # pixels of the finished picture
CANVAS = 2 * SIDE  # drawn larger and reduced: smooth edges
PATCHES = 7  # per side of a sky

Colour = tuple[int, int, int]
Motif = Callable[[ImageDraw.ImageDraw, Random], None]

# Hue in degrees, saturation and value in per cent: ranges of the sky and of the ground.
SKIES = {
    "bright": ((28, 55), (65, 95), (92, 100)),
    "gloomy": ((215, 255), (20, 50), (18, 40)),
    "calm": ((150, 190), (18, 40), (80, 95)),
}
GROUNDS = {
    "bright": ((75, 110), (60, 85), (70, 90)),
    "gloomy": ((215, 280), (10, 35), (8, 25)),
    "calm": ((95, 150), (25, 50), (50, 72)),
}


def draw(mood: str, random: Random) -> Image.Image:
    """Return an RGB picture of SIDE x SIDE pixels. ``mood`` is a key of MOTIFS."""
    image = sky(mood, random)
    pen = ImageDraw.Draw(image)
    horizon = random.uniform(0.62, 0.82) * CANVAS
    tilt = random.uniform(-0.06, 0.06) * CANVAS
    ground = [(0, horizon + tilt), (CANVAS, horizon - tilt), (CANVAS, CANVAS), (0, CANVAS)]
    pen.polygon(ground, fill=colour(random, GROUNDS[mood]))
    for motif in random.sample(MOTIFS[mood], 2):
        motif(pen, random)
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def sky(mood: str, random: Random) -> Image.Image:
    """Return two colours in soft patches, different in every picture."""
    patches = Image.frombytes("L", (PATCHES, PATCHES), random.randbytes(PATCHES**2))
    mask = patches.resize((CANVAS, CANVAS), Image.Resampling.BICUBIC)
    one = Image.new("RGB", (CANVAS, CANVAS), colour(random, SKIES[mood]))
    other = Image.new("RGB", (CANVAS, CANVAS), colour(random, SKIES[mood]))
    return Image.composite(one, other, mask)


def colour(random: Random, ranges: tuple[tuple[float, float], ...]) -> Colour:
    """Return a colour within the ranges of hue, saturation and value."""
    hue, saturation, value = (random.uniform(*limits) for limits in ranges)
    rgb = colorsys.hsv_to_rgb(hue / 360, saturation / 100, value / 100)  # each in 0 ... 1
    return tuple(round(255 * x) for x in rgb)


def place(random: Random, low: float = 0.2, high: float = 0.8) -> tuple[float, float, float]:
    """Return centre (x, y) and size of a motif in canvas pixels; ``low`` and ``high`` bound y, as
    shares of the canvas."""
    return (
        random.uniform(0.2, 0.8) * CANVAS,
        random.uniform(low, high) * CANVAS,
        random.uniform(0.11, 0.19) * CANVAS,
    )


def disc(pen: ImageDraw.ImageDraw, x: float, y: float, size: float, fill: Colour) -> None:
    pen.ellipse([x - size, y - size, x + size, y + size], fill=fill)


# ---------------------------------------------------------------- bright


def sun(pen: ImageDraw.ImageDraw, random: Random) -> None:
    x, y, size = place(random, 0.2, 0.45)
    fill = colour(random, ((0, 20), (80, 100), (90, 100)))
    turn = random.random()
    for ray in range(12):
        angle = (ray + turn) * math.tau / 12
        end = (x + 1.7 * size * math.cos(angle), y + 1.7 * size * math.sin(angle))
        pen.line([(x, y), end], fill=fill, width=5)
    disc(pen, x, y, size, fill)


def balloons(pen: ImageDraw.ImageDraw, random: Random) -> None:
    for _ in range(random.randint(2, 4)):
        x, y, size = place(random, 0.2, 0.5)
        pen.line([(x, y), (x + random.uniform(-10, 10), y + 3 * size)], fill=(90, 60, 40), width=2)
        size *= 0.75
        fill = colour(random, ((320, 375), (70, 95), (90, 100)))
        pen.ellipse([x - size, y - 1.2 * size, x + size, y + 1.2 * size], fill=fill)


def flowers(pen: ImageDraw.ImageDraw, random: Random) -> None:
    for _ in range(random.randint(3, 6)):
        x, y, size = place(random, 0.65, 0.9)
        fill = colour(random, ((300, 360), (60, 90), (90, 100)))
        for petal in range(5):
            angle = petal * math.tau / 5
            right = x + 0.4 * size * math.cos(angle)
            down = y + 0.4 * size * math.sin(angle)
            disc(pen, right, down, 0.3 * size, fill)
        disc(pen, x, y, 0.25 * size, (255, 220, 60))


# ---------------------------------------------------------------- gloomy


def rain_cloud(pen: ImageDraw.ImageDraw, random: Random) -> None:
    x, y, size = place(random, 0.2, 0.35)
    fill = colour(random, ((210, 250), (5, 20), (35, 55)))
    slant = random.uniform(-0.5, 0.5) * size
    for _ in range(14):
        start = (x + random.uniform(-1.7, 1.7) * size, y + random.uniform(0.2, 2.0) * size)
        pen.line([start, (start[0] + slant, start[1] + size)], fill=(120, 150, 200), width=3)
    for shift, lift, share in ((-1.0, 0.1, 0.7), (0.0, -0.3, 1.0), (1.0, 0.1, 0.75)):
        disc(pen, x + shift * size, y + lift * size, share * size, fill)


def lightning(pen: ImageDraw.ImageDraw, random: Random) -> None:
    x, y, size = place(random, 0.2, 0.4)
    points = [(x, y - size)]
    for step in range(1, 5):
        points.append((x + random.uniform(-0.7, 0.7) * size, y + (step - 1) * 0.8 * size))
    pen.line(points, fill=(225, 225, 250), width=6)


def bare_tree(pen: ImageDraw.ImageDraw, random: Random) -> None:
    x, y, size = place(random, 0.75, 0.85)
    for _ in range(7):
        end = (x + random.uniform(-1.6, 1.6) * size, y - random.uniform(1.6, 3.2) * size)
        pen.line([(x, y - 1.2 * size), end], fill=(15, 12, 20), width=4)
    pen.line([(x, y + 0.3 * size), (x, y - 1.4 * size)], fill=(15, 12, 20), width=10)


# ---------------------------------------------------------------- calm


def hills(pen: ImageDraw.ImageDraw, random: Random) -> None:
    for _ in range(random.randint(2, 3)):
        x, y, size = place(random, 0.75, 0.9)
        fill = colour(random, ((120, 175), (20, 40), (55, 75)))
        pen.ellipse([x - 3.5 * size, y - 1.6 * size, x + 3.5 * size, y + 3 * size], fill=fill)


def boat(pen: ImageDraw.ImageDraw, random: Random) -> None:
    x, y, size = place(random, 0.6, 0.75)
    deck = [(x - size, y), (x + size, y)]
    keel = [(x + 0.6 * size, y + 0.5 * size), (x - 0.6 * size, y + 0.5 * size)]
    pen.polygon(deck + keel, fill=(120, 95, 75))
    corner = (x + size * random.choice((-1, 1)), y - 0.1 * size)
    pen.polygon([(x, y - 1.8 * size), (x, y - 0.1 * size), corner], fill=(245, 245, 238))


def pale_moon(pen: ImageDraw.ImageDraw, random: Random) -> None:
    x, y, size = place(random, 0.2, 0.45)
    disc(pen, x, y, size, colour(random, ((60, 180), (3, 12), (94, 100))))
    for _ in range(3):
        left, height = random.uniform(0, 0.6) * CANVAS, random.uniform(0.15, 0.55) * CANVAS
        pen.line([(left, height), (left + 0.35 * CANVAS, height)], fill=(235, 245, 240), width=5)


MOTIFS: dict[str, list[Motif]] = {
    "bright": [sun, balloons, flowers],
    "gloomy": [rain_cloud, lightning, bare_tree],
    "calm": [hills, boat, pale_moon],
}
