"""Photos: each distinct one is decoded once, upright, whatever its kind; a broken one is named."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from common.data import image_store, photos
from common.data.image_store import ImagesUnusable, load_images, load_splits
from common.errors import UserError
from helpers.photos import BROKEN, RED, WHITE, encoded, halves, noise
from PIL import Image, PngImagePlugin, features

BLUE = (0, 0, 255)


@pytest.fixture
def three(tmp_path) -> list[Path]:
    paths = [tmp_path / f"{seed}.png" for seed in range(3)]
    for seed, path in enumerate(paths):
        noise(90 + 10 * seed, 80, seed).save(path)
    return paths


@pytest.fixture
def load(tmp_path):
    return lambda paths, size=56: load_images(list(map(str, paths)), size, tmp_path / "cache")


@pytest.fixture
def decoded(monkeypatch) -> list[int]:
    """Return a list that gets one entry for each photo that is decoded."""
    calls: list[int] = []
    real = image_store.decode
    monkeypatch.setattr(image_store, "decode", lambda *args: calls.append(1) or real(*args))
    return calls


# What is stored and what comes out


def test_gather_equals_a_plain_loop(three, load):
    store, rng = load([three[0], three[2], three[1], three[0]], 56), np.random.default_rng(1)
    assert store.side == 64 and store.rows[0] == store.rows[3]
    for size in (56, 64, 51, 1):
        indices = rng.integers(0, 4, 9)
        top, left = rng.integers(0, 64 - size + 1, (2, 9))
        flip = rng.random(9) < 0.5
        batch = store.gather(indices, top, left, flip, size)
        assert batch.shape == (9, 3, size, size) and batch.dtype == np.uint8
        assert batch.flags.writeable
        for b, index in enumerate(indices):
            photo = np.array(store.pixels[store.rows[index]])
            crop = photo[:, top[b] : top[b] + size, left[b] : left[b] + size]
            expected = np.flip(crop, axis=2) if flip[b] else crop
            assert np.array_equal(batch[b], expected)


def test_stored_is_shortest_side_then_centre_square(tmp_path, load):
    path = tmp_path / "wide.png"
    noise(300, 128).save(path)
    whole = Image.open(path).resize((150, 64), Image.Resampling.BICUBIC, reducing_gap=None)
    expected = np.asarray(whole.crop((43, 0, 107, 64))).astype(int)
    stored = load([path]).pixels[0].transpose(1, 2, 0)
    assert np.abs(stored - expected).max() <= 1


def test_each_photo_is_decoded_once_for_all_splits_and_folds(three, load, tmp_path, decoded):
    twin = tmp_path / "twin.png"
    twin.write_bytes(three[0].read_bytes())
    paths = np.array([*three, twin])
    whole = load(paths)
    assert whole.rows[0] == whole.rows[3] and whole.pixels.shape == (3, 3, 64, 64)
    assert whole.digests == [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    for places in ({"train": [0, 1], "val": [2, 3]}, {"train": [2, 3, 3], "val": [1, 0]}):
        splits = {name: paths[some].tolist() for name, some in places.items()}
        for name, store in load_splits(splits, 56, tmp_path / "cache").items():
            some = places[name]
            assert np.array_equal(store.pixels[store.rows], whole.pixels[whole.rows[some]])
            assert np.array_equal(store.fingerprints, whole.fingerprints[some])
            assert store.digests == [whole.digests[place] for place in some]
    assert len(decoded) == 3 and len(list((tmp_path / "cache").iterdir())) == 1


def test_another_photo_size_or_version_is_decoded_anew(three, load, tmp_path, decoded, monkeypatch):
    load(three)
    load(three)
    assert len(decoded) == 3
    stat = three[1].stat()
    noise(100, 80, 9).save(three[1])
    os.utime(three[1], ns=(stat.st_atime_ns, stat.st_mtime_ns))  # no time shows it
    fresh, alone = load(three), load_images([str(three[1])], 56, tmp_path / "other")
    assert np.array_equal(fresh.pixels[fresh.rows[1]], alone.pixels[0])
    load(three, 28)
    monkeypatch.setattr(image_store, "VERSION", "another")
    load(three)
    assert len(decoded) == 4 * 3 + 1


def test_a_cache_that_cannot_be_written_is_named(three, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write the image cache"):
        load_images([str(three[0])], 56, tmp_path / "file" / "cache")


# Odd photos that work


def stored(
    tmp_path: Path, load, picture: Image.Image, name: str, **options
) -> tuple[np.ndarray, dict[str, int]]:
    """Save a picture and load it: return its pixels as stored (64, 64, 3), and the notes."""
    picture.save(tmp_path / name, **options)
    store = load([tmp_path / name])
    return np.asarray(store.pixels[0].transpose(1, 2, 0)).astype(int), store.notes


def near(pixels: np.ndarray, colour, tolerance: int = 6) -> bool:
    return bool(np.abs(pixels.astype(int) - np.asarray(colour)).max() <= tolerance)


def odd_photos() -> Iterator[tuple]:
    """Yield picture, file name, note, colours above and below, and options of saving."""
    plain = ["a.jpg", "a.png", "a.bmp", "a.webp", *["a.avif"] * features.check("avif")]
    yield from ((halves(), name, "", RED, WHITE) for name in plain)
    yield halves(), "junk.jpg", "", RED, WHITE, {"exif": b"Exif\0\0" + bytes(range(50))}
    text = PngImagePlugin.PngInfo()
    text.add_text("prompt", "x" * 5_000_000, zip=True)
    yield halves(), "text.png", "", RED, WHITE, {"pnginfo": text}
    for size in ((1, 1), (20_000, 1), (1, 20_000), (3, 700), (257, 256)):
        for name in ("size.png", "size.jpg"):
            yield Image.new("RGB", size, RED), name, "", RED, RED
    for mode in ("L", "1"):
        yield Image.new(mode, (30, 50), 255), "mode.png", "", WHITE, WHITE
    yield Image.new("CMYK", (80, 70), (0, 255, 255, 0)), "cmyk.jpg", "cmyk", RED, RED
    # Wide values are scaled, not clipped.
    for dtype, values, shades in (
        (np.uint16, [0, 65535], [0, 255]),
        (np.uint16, [128 * 257, 257], [128, 1]),
        (np.float32, [0, 1], [0, 255]),
        (np.float32, [0, 255], [0, 255]),
        (np.float32, [-5, 5], [0, 255]),
        (np.float32, [np.nan, np.inf], [0, 255]),
        (np.float32, [0, 0], [0, 0]),
        (np.int32, [0, 255], [0, 255]),
        (np.int32, [0, 2**31 - 1], [0, 255]),
    ):
        rows = Image.fromarray(np.repeat(np.array(values, dtype), 32)[:, None].repeat(64, 1))
        for name in ["wide.tif", *["wide.png"] * (dtype == np.uint16)]:
            yield rows, name, "16bit", *([shade] * 3 for shade in shades)
    # What is transparent lies over white. Black below it must not darken an edge.
    half_red, pink = Image.new("RGBA", (40, 40), (*RED, 128)), (255, 127, 127)
    yield from ((half_red, name, "alpha", pink, pink) for name in ("half.png", "half.webp"))
    hidden = np.zeros((500, 500, 4), np.uint8)
    hidden[::2] = 255
    for picture in (Image.new("LA", (40, 40), (0, 0)), Image.fromarray(hidden)):
        yield picture, "nothing.png", "alpha", WHITE, WHITE
    palette = Image.new("P", (40, 40), 0)
    palette.putpalette([0, 0, 0, *RED])
    palette.paste(1, (0, 0, 40, 20))
    for name, which in (("a.png", 0), ("a.gif", 0), ("b.png", bytes([0, 255]))):
        yield palette, name, "alpha", RED, WHITE, {"transparency": which}
    first, *others = (Image.new("RGB", (40, 40), colour) for colour in (RED, WHITE, BLUE))
    for name in ("a.gif", "a.webp", "a.png", "a.tif"):
        animation = {"save_all": True, "append_images": others, "lossless": True}
        yield first, name, "animated", RED, RED, animation


def test_odd_photos_are_read_and_what_is_odd_is_counted(tmp_path, load):
    for picture, name, note, above, below, *options in odd_photos():
        pixels, notes = stored(tmp_path, load, picture, name, **dict(*options))
        assert notes == ({note: 1} if note else {}), name
        tolerance = 12 if name == "a.avif" else 6
        assert near(pixels[:20], above, tolerance) and near(pixels[-20:], below, tolerance), name


def test_notes_are_counted_for_each_split_and_photo_once(tmp_path):
    for name in ("a", "b"):
        noise(80, 80, ord(name)).convert("RGBA").save(tmp_path / f"{name}.png")
    noise(80, 80).save(tmp_path / "plain.png")
    a, b, plain = (str(tmp_path / f"{name}.png") for name in ("a", "b", "plain"))
    parts = load_splits({"train": [a, a, b, plain], "val": [a], "test": [plain]}, 56, tmp_path)
    assert [part.notes for part in parts.values()] == [{"alpha": 2}, {"alpha": 1}, {}]


def test_a_photo_stored_turned_is_read_upright(tmp_path, load):
    """As a camera stores it; the inverse of the transposition is applied here by hand."""
    upright = halves(64, 64)
    upright.paste(BLUE, (0, 0, 32, 32))  # blue, red / white, white
    turns = "FLIP_LEFT_RIGHT ROTATE_180 FLIP_TOP_BOTTOM TRANSPOSE ROTATE_90 TRANSVERSE ROTATE_270"
    for orientation, turn in enumerate([None, *turns.split()], start=1):
        turned = upright.transpose(Image.Transpose[turn]) if turn else upright
        exif = Image.Exif()
        exif[0x0112] = orientation
        for name in ("a.jpg", "a.png"):
            pixels, notes = stored(tmp_path, load, turned, name, exif=exif)
            assert notes == ({"exif_rotated": 1} if turn else {})
            assert near(pixels[8:24, 8:24], BLUE, 12) and near(pixels[8:24, 40:56], RED, 12)
            assert near(pixels[40:56], WHITE, 12)


# Photos that cannot be used


def test_all_photos_that_cannot_be_used_are_found_and_ten_named(three, tmp_path):
    broken = {**BROKEN, "twin of empty.jpg": (b"", "not an image")}
    if features.check("avif"):
        broken["cut.avif"] = encoded("AVIF")[:-60], ""
    for name, (data, _) in broken.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "folder.jpg").mkdir()
    unreadable = {"folder.jpg": (b"", "not a file"), "missing.jpg": (b"", "o such file")}
    for expected in (broken, broken | unreadable):
        bad = [str(tmp_path / name) for name in expected]
        splits = {"train": [three[0], *bad[:9]], "val": [*bad[9:], three[1]]}
        with pytest.raises(ImagesUnusable) as caught:
            load_splits(splits, 56, tmp_path / "cache")
        message, faults = str(caught.value), caught.value.faults
        assert list(faults) == bad
        assert all(
            why in faults[path] for path, (_, why) in zip(bad, expected.values(), strict=True)
        )
        assert all(faults.values()) and "0x" not in "".join(faults.values())
        assert message.startswith(f"{len(bad)} images cannot be used: {bad[0]} (not an image")
        assert f"; and {len(bad) - 10} more. " in message and "\n" not in message
        assert not list(tmp_path.glob("cache/*"))


def test_too_large_a_photo_is_refused_before_it_is_read(tmp_path, load, monkeypatch):
    path = tmp_path / "large.png"
    Image.new("1", (4000, 4000)).save(path)
    monkeypatch.setattr(photos, "MAX_PIXELS", 15_000_000)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("its pixels were decoded"))
    with pytest.raises(UserError, match="15 million pixels"):
        load([path])


# Photos that were cut short


def test_a_photo_with_nine_tenths_of_its_rows_is_used_and_counted(tmp_path, load):
    whole = noise(40, 40).resize((400, 400), Image.Resampling.BICUBIC)
    for name, options, share in (
        ("a.jpg", {}, 0.92),
        ("b.jpg", {"quality": 20}, 0.97),
        ("c.jpg", {"progressive": True}, 0.99),
        ("a.png", {}, 0.92),
        ("a.bmp", {}, 0.92),
        ("a.tif", {}, 0.92),
        ("a.gif", {}, 0.96),
    ):
        path = tmp_path / name
        before, _ = stored(tmp_path, load, whole, name, **options)
        data = path.read_bytes()
        path.write_bytes(data[: int(share * len(data))])
        store = load([path])
        assert store.notes == {"truncated": 1}, name
        after = store.pixels[0].transpose(1, 2, 0)
        difference = np.abs(after - before).mean(axis=(1, 2))  # of each row
        assert np.median(difference) < 3 and (difference > 20).mean() < 0.25
        path.write_bytes(data[: len(data) // 2])
        with pytest.raises(UserError, match="truncated"):
            load([path])
