"""Photos: each distinct one is decoded once, upright, whatever its kind; a broken one is named."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from pathlib import Path

import numpy as np
import pytest
from common.data import arrays, image_store, photos
from common.data.image_store import inspect_images, load_images, load_splits
from common.errors import UserError
from helpers.hub import SAMPLE
from helpers.photos import BROKEN, RED, WHITE, encoded, halves, noise
from helpers.usage import cpu_seconds
from PIL import Image, PngImagePlugin, features

PHOTOS = SAMPLE / "data"
BLUE = (0, 0, 255)


@pytest.fixture
def three(tmp_path) -> list[Path]:
    paths = [tmp_path / f"{seed}.png" for seed in range(3)]
    for seed, path in enumerate(paths):
        noise(90 + 10 * seed, 80, seed).save(path)
    return paths


@pytest.fixture
def load(tmp_path):
    return lambda paths, size=56: load_images(paths, size, tmp_path / "cache", show_progress=False)


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
    assert (store.side, len(store)) == (64, 4) and store.rows[0] == store.rows[3]
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


def test_equal_bytes_are_one_photo_and_digests_are_per_sample(three, load, tmp_path, decoded):
    twin = tmp_path / "twin.png"
    twin.write_bytes(three[0].read_bytes())
    paths = [three[0], three[1], twin, str(three[0])]
    store = load(paths)
    assert store.rows[0] == store.rows[2] == store.rows[3] != store.rows[1]
    assert store.pixels.shape == (2, 3, 64, 64) and len(decoded) == 2
    assert store.digests == [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths]


# The cache


def test_all_splits_and_folds_of_the_same_photos_are_decoded_once(three, load, tmp_path, decoded):
    whole = load(three)
    one, two, three_ = three
    for train, val in (([one, two], [three_]), ([three_, one, one], [two])):
        parts = load_splits({"train": train, "val": val}, 56, tmp_path / "cache")
        for name, paths in (("train", train), ("val", val)):
            samples = [three.index(path) for path in paths]
            store, rows = parts[name], whole.rows[samples]
            assert np.array_equal(store.pixels[store.rows], whole.pixels[rows])
            assert np.array_equal(store.fingerprints, whole.fingerprints[samples])
            assert store.digests == [whole.digests[sample] for sample in samples]
    assert len(decoded) == 3 and len(list((tmp_path / "cache").iterdir())) == 1


def test_notes_are_counted_for_each_split_and_photo_once(tmp_path):
    for name in ("a", "b"):
        noise(80, 80, ord(name)).convert("RGBA").save(tmp_path / f"{name}.png")
    noise(80, 80).save(tmp_path / "plain.png")
    a, b, plain = (str(tmp_path / f"{name}.png") for name in ("a", "b", "plain"))
    parts = load_splits({"train": [a, a, b, plain], "val": [a], "test": [plain]}, 56, tmp_path)
    assert [part.notes for part in parts.values()] == [{"alpha": 2}, {"alpha": 1}, {}]


def test_a_stale_cache_is_not_used(three, load, decoded, monkeypatch):
    load(three)
    load(three)
    assert len(decoded) == 3
    stat = three[1].stat()
    noise(100, 80, 9).save(three[1])  # with the same time stamps
    os.utime(three[1], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    fresh = load(three)
    assert len(decoded) == 6
    with Image.open(three[1]) as photo:
        square = photo.crop((10, 0, 90, 80)).resize((64, 64), Image.Resampling.BICUBIC)
    stored = fresh.pixels[fresh.rows[1]].transpose(1, 2, 0)
    assert np.abs(stored - np.asarray(square).astype(int))[4:-4, 4:-4].max() <= 1
    load(three, 28)
    monkeypatch.setattr(image_store, "VERSION", "another")
    load(three)
    assert len(decoded) == 12


def test_a_cache_that_cannot_be_written_is_named(three, load, tmp_path, decoded, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write the image cache"):
        load_images(three, 56, tmp_path / "file" / "cache", show_progress=False)
    with monkeypatch.context() as patch:
        usage = arrays.shutil.disk_usage(tmp_path)._replace(free=1000)
        patch.setattr(arrays.shutil, "disk_usage", lambda folder: usage)
        with pytest.raises(UserError, match=r"MB are needed"):
            load(three)
    assert not decoded

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"the image cache .*No space left.*free space"):
        load(three)
    assert not list((tmp_path / "cache").iterdir())


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


def test_plain_photos_and_broken_exif_have_no_notes(tmp_path, load):
    for name in ("a.jpg", "a.png", "a.bmp", "a.webp"):
        pixels, notes = stored(tmp_path, load, halves(), name)
        assert notes == {} and near(pixels[:20], RED) and near(pixels[-20:], WHITE)
    for mode in ("L", "1"):
        pixels, notes = stored(tmp_path, load, Image.new(mode, (30, 50), 255), f"{mode}.png")
        assert notes == {} and near(pixels, WHITE, 0)
    for size in ((1, 1), (20_000, 1), (1, 20_000), (3, 700), (257, 256)):
        for name in ("a.png", "a.jpg"):
            pixels, notes = stored(tmp_path, load, Image.new("RGB", size, RED), name)
            assert notes == {} and near(pixels, RED)
    cmyk = Image.new("CMYK", (80, 70), (0, 255, 255, 0))
    pixels, notes = stored(tmp_path, load, cmyk, "cmyk.jpg")
    assert notes == {"cmyk": 1} and near(pixels, RED)
    junk = b"Exif\0\0" + np.random.default_rng(0).bytes(50)
    assert stored(tmp_path, load, halves(), "junk.jpg", exif=junk)[1] == {}


def test_wide_values_are_scaled_not_clipped(tmp_path, load):
    for value in (0, 128 * 257, 65535):
        picture = Image.fromarray(np.full((40, 40), value, np.uint16))
        for name in ("a.png", "a.tif"):
            pixels, notes = stored(tmp_path, load, picture, name)
            assert notes == {"16bit": 1} and near(pixels, (round(value / 257),) * 3, 0)
    for dtype, values, expected in (
        (np.float32, [0, 1], [0, 255]),
        (np.float32, [0, 255], [0, 255]),
        (np.float32, [-5, 5], [0, 255]),
        (np.float32, [np.nan, np.inf], [0, 255]),
        (np.float32, [0, 0], [0, 0]),
        (np.int32, [0, 255], [0, 255]),
        (np.int32, [0, 2**31 - 1], [0, 255]),
    ):
        rows = np.repeat(np.array(values, dtype), 32)[:, None].repeat(64, axis=1)
        pixels, notes = stored(tmp_path, load, Image.fromarray(rows), "a.tif")
        assert notes == {"16bit": 1}
        assert near(pixels[0], expected[0], 1) and near(pixels[-1], expected[1], 1)


def test_transparency_lies_over_white(tmp_path, load):
    half_red, nothing = Image.new("RGBA", (40, 40), (*RED, 128)), Image.new("LA", (40, 40), (0, 0))
    # Black below full transparency must not darken an edge when the photo is made smaller.
    hidden = np.zeros((500, 500, 4), np.uint8)
    hidden[::2] = 255
    for picture, name, seen in (
        (half_red, "a.png", (255, 127, 127)),
        (half_red, "a.webp", (255, 127, 127)),
        (nothing, "b.png", WHITE),
        (Image.fromarray(hidden), "c.png", WHITE),
    ):
        pixels, notes = stored(tmp_path, load, picture, name)
        assert notes == {"alpha": 1} and near(pixels, seen)

    palette = Image.new("P", (40, 40), 0)
    palette.putpalette([0, 0, 0, *RED])
    palette.paste(1, (0, 0, 40, 20))
    for name, transparency in (("a.png", 0), ("a.gif", 0), ("b.png", bytes([0, 255]))):
        pixels, notes = stored(tmp_path, load, palette, name, transparency=transparency)
        assert notes == {"alpha": 1} and near(pixels[:24], RED) and near(pixels[-24:], WHITE)


def test_animated_shows_its_first_frame(tmp_path, load):
    frames = [Image.new("RGB", (40, 40), colour) for colour in (RED, WHITE, BLUE)]
    animation = {"save_all": True, "append_images": frames[1:]}
    for name in ("a.gif", "a.webp", "a.png", "a.tif"):
        lossless = {"lossless": True} if name == "a.webp" else {}
        pixels, notes = stored(tmp_path, load, frames[0], name, **animation, **lossless)
        assert notes == {"animated": 1} and near(pixels, RED), name


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


def test_a_png_may_hold_more_than_a_megabyte_of_text(tmp_path, load):
    for compressed in (False, True):
        text = PngImagePlugin.PngInfo()
        text.add_text("prompt", "x" * 5_000_000, zip=compressed)
        text.add_itxt("more", "y" * 3_000_000, zip=compressed)
        assert stored(tmp_path, load, halves(), "a.png", pnginfo=text)[1] == {}


def test_avif_is_read_where_pillow_has_it(tmp_path, load):
    if not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    pixels, notes = stored(tmp_path, load, halves(), "a.avif", quality=95)
    assert notes == {} and near(pixels[:20], RED, 12) and near(pixels[-20:], WHITE, 12)
    (tmp_path / "a.avif").write_bytes((tmp_path / "a.avif").read_bytes()[:-60])
    with pytest.raises(UserError, match="1 image cannot be used"):
        load([tmp_path / "a.avif"])


# Photos that cannot be used


def test_a_broken_photo_is_named_in_one_line(tmp_path, load):
    start = cpu_seconds()
    for name, (data, why) in BROKEN.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError) as caught:
            load([tmp_path / name])
        message = str(caught.value)
        assert message.startswith("1 image cannot be used: ") and name in message and why in message
        assert "\n" not in message and "0x" not in message and "()" not in message
    assert cpu_seconds() - start < 20
    assert not list(tmp_path.glob("cache/*"))


# pytest turns the warnings on again that photos.py turned off
@pytest.mark.filterwarnings("ignore::UserWarning:PIL.TiffImagePlugin")
def test_photos_cut_anywhere_never_crash(tmp_path, load):
    """A photo cut short or changed at random is used or named, and nothing else happens."""
    rng = np.random.default_rng(3)
    whole = [encoded(kind) for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF")]
    paths = [tmp_path / f"{number}.jpg" for number in range(150)]
    for number, path in enumerate(paths):
        data = bytearray(whole[number % 5])
        if number % 2:
            del data[int(rng.integers(0, len(data))) :]
        else:
            for place in rng.integers(0, min(600, len(data)), 3):
                data[place] = int(rng.integers(0, 256))
        path.write_bytes(data)
    with pytest.raises(UserError, match=r"^\d+ images cannot be used: .*; and \d+ more\. "):
        load(paths)


def test_all_bad_photos_of_all_splits_are_found_and_ten_named(three, tmp_path):
    bad = [tmp_path / f"bad{number}.jpg" for number in range(14)]
    for number, path in enumerate(bad[2:], start=2):
        path.write_bytes(b"not a photo %d" % (number // 2))  # pairs with equal bytes: each is named
    folder = tmp_path / "folder.jpg"
    folder.mkdir()
    splits = {"train": [three[0], *bad[:7]], "val": [*bad[7:], three[1]], "test": [folder]}
    for _ in range(2):  # without a cache of the good ones, and with it
        with pytest.raises(UserError) as caught:
            load_splits(splits, 56, tmp_path / "cache")
        message = str(caught.value)
        assert message.startswith("15 images cannot be used: ") and "; and 5 more. " in message
        assert message.count(".jpg (") == 10
        assert f"{bad[0]} (" in message and "o such file" in message
        assert f"{folder} (not a file)" in message
        good = load_splits({"train": three[:1], "val": three[1:2]}, 56, tmp_path / "cache")
    assert [len(store) for store in good.values()] == [1, 1]


def test_a_photo_that_changes_between_the_passes_is_named(three, load, monkeypatch):
    real = image_store._read

    def read_then_change(path, side):
        result = real(path, side)
        if path == str(three[1]):
            noise(50, 50, 7).save(path)
        return result

    monkeypatch.setattr(image_store, "_read", read_then_change)
    with pytest.raises(UserError, match=r"1 image .*1\.png \(it changed while being read"):
        load(three)


def test_too_large_a_photo_is_refused_before_it_is_read(tmp_path, load, monkeypatch):
    path = tmp_path / "large.png"
    Image.new("1", (4000, 4000)).save(path)
    monkeypatch.setattr(photos, "MAX_PIXELS", 15_000_000)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("its pixels were decoded"))
    with pytest.raises(UserError, match="15 million pixels"):
        load([path])
    monkeypatch.setattr(photos, "MAX_BYTES", 1000)
    with pytest.raises(UserError, match="large.png .larger than"):
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


def test_a_jpeg_without_its_last_bytes_is_shown_as_viewers_do(tmp_path, load):
    path = tmp_path / "a.jpg"
    for side in (48, 100, 1000):
        picture = noise(9, 9).resize((side, side), Image.Resampling.BICUBIC)
        for progressive in (False, True):
            whole, _ = stored(tmp_path, load, picture, "a.jpg", progressive=progressive)
            path.write_bytes(path.read_bytes()[:-2])
            store = load([path])
            # At a smaller scale, Pillow may be content without the bytes: nothing is counted then.
            assert store.notes == {"truncated": 1} or (side == 1000 and store.notes == {})
            assert np.abs(store.pixels[0].transpose(1, 2, 0) - whole).max() <= 1


# Bounds


def test_photos_in_flight_are_bounded_in_sum(tmp_path, monkeypatch):
    """Sixteen threads and photos of 60 % of the bound: they are decoded one after the other."""
    monkeypatch.setattr(image_store, "_THREADS", 16)
    monkeypatch.setattr(photos, "_pixels_free", 10_000)
    inside, most, real = [], [], photos._decode

    def watched(file, side):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.01)
        try:
            return real(file, side)
        finally:
            inside.pop()

    monkeypatch.setattr(photos, "_decode", watched)
    paths = [tmp_path / f"{number}.png" for number in range(20)]
    for number, path in enumerate(paths):
        noise(100, 60 if number % 2 else 5, number).save(path)
    found, faults = inspect_images(list(map(str, paths)))
    assert not faults and len({digest for digest, _ in found.values()}) == 20
    assert 1 < max(most) <= 10 and photos._pixels_free == 10_000
