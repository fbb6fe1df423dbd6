"""Copies of a photo with the usual changes are found; other photos and plain ones are not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from common.data.photo_copies import fingerprint, near_photos, photo_keys
from common.data.photos import decode
from helpers.hub import SAMPLE
from PIL import Image, ImageDraw, ImageFont, ImageOps

COUNT = 50


def scene(seed: int) -> Image.Image:
    """Return a picture with structure at all sizes: blurred noise and forms, of any proportions."""
    random = np.random.default_rng(seed)
    size = (int(random.integers(300, 500)), int(random.integers(300, 500)))
    picture = np.zeros((size[1], size[0], 3), np.float32)
    for fields in (4, 8, 16, 32):
        noise = Image.fromarray(random.integers(0, 256, (fields, fields, 3), np.uint8))
        picture += np.asarray(noise.resize(size, Image.Resampling.BICUBIC)) / fields
    picture = 255 * (picture - picture.min()) / np.ptp(picture)
    image = Image.fromarray(picture.astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for _ in range(6):
        x, y, side = random.uniform(0.1, 0.8), random.uniform(0.1, 0.8), random.uniform(20, 120)
        corner = (x * size[0], y * size[1])
        box = (*corner, corner[0] + side, corner[1] + side * random.uniform(0.4, 2))
        pen.ellipse(box, tuple(random.integers(0, 256, 3).tolist()))
    return image


def saved(image: Image.Image, quality: int = 85) -> bytes:
    stream = io.BytesIO()
    image.convert("RGB").save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def cropped(left: float, top: float, right: float, bottom: float):
    def change(image: Image.Image) -> Image.Image:
        width, height = image.size
        box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
        return image.crop(tuple(map(round, box)))

    return change


def captioned(share: float, *, over: bool, top: bool = False, grey: int = 255):
    """A bar with letters, over the photo or beside it."""

    def change(image: Image.Image) -> Image.Image:
        width, height = image.size
        bar = Image.new("RGB", (width, round(share * height)), (grey,) * 3)
        font = ImageFont.load_default(bar.height * 0.5)
        ImageDraw.Draw(bar).text((9, 4), "when you see it", (255 - grey,) * 3, font)
        picture = Image.new("RGB", (width, height if over else height + bar.height))
        picture.paste(image, (0, bar.height if top and not over else 0))
        picture.paste(bar, (0, 0 if top else picture.height - bar.height))
        return picture

    return change


CHANGES = {  # name -> change, and how many of 100 are found at least
    "mirrored": (ImageOps.mirror, 95),
    "cropped": (cropped(0.05, 0.05, 0.05, 0.05), 90),
    "cropped off-centre": (cropped(0.05, 0.05, 0, 0), 90),
    "cropped on one side": (cropped(0, 0.1, 0, 0), 90),
    "a narrow white border": (lambda image: ImageOps.expand(image, 8, "white"), 90),
    "a wide black border": (lambda image: ImageOps.expand(image, 50, "black"), 90),
    "a caption below": (captioned(0.12, over=False), 90),
    "a black caption above": (captioned(0.15, over=False, top=True, grey=0), 90),
    "a caption over it": (captioned(0.12, over=True), 90),
    "a caption over its top": (captioned(0.12, over=True, top=True, grey=0), 90),
    "another size": (lambda image: image.resize((100, 100)), 95),
    "cropped and mirrored": (lambda image: ImageOps.mirror(cropped(0.05, 0, 0, 0.05)(image)), 90),
    "grey": (lambda image: image.convert("L"), 95),
    "recompressed": (lambda image: Image.open(io.BytesIO(saved(image, 20))), 100),
}


def prints(files: list[bytes]) -> np.ndarray:
    return np.stack([fingerprint(decode(io.BytesIO(file), 64).whole) for file in files])


def found(fingerprints: np.ndarray) -> set[tuple[int, int]]:
    return {(min(pair), max(pair)) for pair in near_photos(fingerprints).tolist()}


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    return [scene(seed) for seed in range(COUNT)]


@pytest.fixture(scope="module")
def originals(photos) -> np.ndarray:
    return prints([saved(photo) for photo in photos])


@pytest.mark.parametrize("name", CHANGES)
def test_changed_copies_are_found_and_nothing_else(photos, originals, name):
    change, least = CHANGES[name]
    copies = prints([saved(change(photo)) for photo in photos])
    pairs = found(np.concatenate([originals, copies]))
    right = {(i, COUNT + i) for i in range(COUNT)}
    assert len(pairs & right) >= least * COUNT / 100 and not pairs - right


def test_a_copy_is_found_whether_it_comes_before_its_original_or_after(photos, originals):
    copies = prints([saved(cropped(0.1, 0, 0.06, 0.03)(photo)) for photo in photos])
    after = found(np.concatenate([originals, copies]))
    before = found(np.concatenate([copies, originals]))
    assert before == after and len(after) >= 0.9 * COUNT


def test_copies_have_one_key_also_through_others_and_equal_bytes_too(photos):
    photo = photos[0]
    chain = [photo, cropped(0.08, 0, 0, 0)(photo), cropped(0.16, 0, 0, 0)(photo), photos[1]]
    plain = Image.new("RGB", (50, 50), "red")
    fingerprints = prints([saved(picture) for picture in (*chain, plain, plain)])
    assert (0, 2) not in found(fingerprints)
    chained, same, again, other, *plain = photo_keys(list("abcdee"), fingerprints)
    assert chained == same == again and len({chained, other, plain[0]}) == 3 and len({*plain}) == 1


def test_plain_pictures_simple_drawings_and_darker_photos_resemble_nothing(photos):
    pictures = [Image.new("RGB", (200, 200), (shade, shade, 90)) for shade in (0, 3, 200, 203)]
    for side in (60, 62, 64):
        drawing = Image.new("RGB", (200, 200), "skyblue")
        ImageDraw.Draw(drawing).ellipse((70, 60, 70 + side, 60 + side), "gold")
        pictures.append(drawing)
    pictures += [photos[0], photos[0].point(lambda value: value // 3)]
    assert found(prints([saved(picture) for picture in pictures])) == set()


def test_no_photos_and_one_photo_have_no_copies(originals):
    assert len(photo_keys(["a"], originals[:1])) == 1
    assert near_photos(originals[:0]).shape == (0, 2)


def test_real_photos_against_what_a_person_sees():
    """Of the 44,850 pairs of 300 photos, at most two are no copies; the planted ones are found."""
    if not SAMPLE.is_dir():
        pytest.skip("needs the sample of real pairs in ../shared/data/mvsa_sample")
    paths = sorted((SAMPLE / "data").glob("*.jpg"))
    files = list(dict.fromkeys(path.read_bytes() for path in paths))[:300]
    real, chosen = prints(files), range(0, 300, 6)
    opened = [Image.open(io.BytesIO(files[i])).convert("RGB") for i in chosen]
    for name in ("cropped off-centre", "a caption over it"):
        change, least = CHANGES[name]
        pairs = found(np.concatenate([real, prints([saved(change(photo)) for photo in opened])]))
        planted = {(i, 300 + place) for place, i in enumerate(chosen)}
        assert len(planted & pairs) >= least * len(chosen) / 100
    assert len(found(real)) <= 2
