"""Photos: each distinct one is decoded once, a broken one is named, a damaged cache is replaced."""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest
from common.data import image_cache as images
from common.data import photos
from common.data.image_cache import load_images, load_splits
from common.errors import UserError
from helpers.hub import SAMPLE
from helpers.photos import BROKEN, RED, WHITE, encoded, halves, noise
from helpers.usage import cpu_seconds
from PIL import Image, PngImagePlugin, features

PHOTOS = SAMPLE / "data"


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
    real = images.decode
    monkeypatch.setattr(images, "decode", lambda *args: calls.append(1) or real(*args))
    return calls


# What is stored and what comes out


def test_gather_equals_a_plain_loop(three, load):
    store, rng = load([three[0], three[2], three[1], three[0]], 56), np.random.default_rng(1)
    assert (store.side, len(store)) == (64, 4)
    assert store.rows[0] == store.rows[3] and store.rows.dtype == np.int64
    assert sorted(store.rows[:3].tolist()) == [0, 1, 2]
    for size in (56, 64, 51, 1):
        indices = rng.integers(0, 4, 9)
        top, left = rng.integers(0, 64 - size + 1, (2, 9))
        flip = rng.random(9) < 0.5
        batch = store.gather(indices, top, left, flip, size)
        assert (
            batch.shape == (9, 3, size, size) and batch.dtype == np.uint8 and batch.flags.writeable
        )
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
    stored = load([path], 56).pixels[0].transpose(1, 2, 0)
    assert np.abs(stored - expected).max() <= 1


def test_scaled_jpeg_decoding_stays_close(tmp_path, load):
    path = tmp_path / "large.jpg"
    noise(40, 40).resize((1600, 1600), Image.Resampling.BICUBIC).save(path, quality=95)
    expected = np.asarray(Image.open(path).resize((64, 64), Image.Resampling.BICUBIC)).astype(int)
    stored = load([path], 56).pixels[0].transpose(1, 2, 0)
    assert np.abs(stored - expected).mean() < 2


def test_equal_bytes_are_one_photo_and_digests_are_per_sample(three, load, tmp_path, decoded):
    twin = tmp_path / "twin.png"
    twin.write_bytes(three[0].read_bytes())
    paths = [three[0], three[1], twin, str(three[0])]
    store = load(paths)
    assert (
        store.rows.tolist() == [0, 1, 0, 0]
        and store.pixels.shape == (2, 3, 64, 64)
        and len(decoded) == 2
    )
    assert store.digests == [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths]


# The cache


def cache_file(tmp_path: Path) -> Path:
    (path,) = (tmp_path / "cache").iterdir()
    return path


def test_a_second_run_decodes_nothing(three, load, decoded):
    first = load(three)
    second = load(three)
    assert (
        len(decoded) == 3
        and np.array_equal(first.pixels, second.pixels)
        and first.notes == second.notes
    )


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


def zeroed_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4096] + bytes(4096))


def one_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[20_000] ^= 1
    path.write_bytes(data)


def header(**changes) -> object:
    def change(path: Path) -> None:
        data = path.read_bytes()
        new = {**json.loads(data[: images.HEADER_BYTES]), **changes}
        path.write_bytes(
            json.dumps(new).encode().ljust(images.HEADER_BYTES) + data[images.HEADER_BYTES :]
        )

    return change


def brackets(path: Path) -> None:
    path.write_bytes(b"[" * images.HEADER_BYTES + path.read_bytes()[images.HEADER_BYTES :])


def no_json_object(path: Path) -> None:
    path.write_bytes(b"[]".ljust(images.HEADER_BYTES) + path.read_bytes()[images.HEADER_BYTES :])


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        grow,
        empty,
        garbage,
        zeroed_end,
        one_bit,
        no_json_object,
        brackets,
        header(key="0" * 64),
    ],
    ids=lambda damage: damage.__qualname__.split(".")[0],
)
def test_a_broken_cache_is_made_again(three, load, tmp_path, decoded, damage):
    load(three)
    good = cache_file(tmp_path).read_bytes()
    decoded.clear()
    damage(cache_file(tmp_path))
    load(three)
    assert len(decoded) == 3 and cache_file(tmp_path).read_bytes() == good


@pytest.mark.parametrize("change", ["content", "size", "version"])
def test_a_stale_cache_is_not_used(three, load, decoded, monkeypatch, change):
    load(three)
    decoded.clear()
    size = 56
    if change == "content":  # with the same time stamps
        stat = three[1].stat()
        noise(100, 80, 9).save(three[1])
        os.utime(three[1], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    elif change == "size":
        size = 28
    else:
        monkeypatch.setattr(images, "VERSION", "another")
    fresh = load(three, size)
    assert len(decoded) == 3
    with Image.open(three[1]) as photo:
        expected = np.asarray(
            photo.crop((10, 0, 90, 80)).resize((fresh.side,) * 2, Image.Resampling.BICUBIC)
        )
    stored = fresh.pixels[fresh.rows[1]].transpose(1, 2, 0)
    assert np.abs(stored - expected.astype(int))[4:-4, 4:-4].max() <= 1


def test_all_splits_and_folds_of_the_same_photos_share_one_file(three, load, tmp_path, decoded):
    whole = load(three)
    one, two, three_ = three
    for train, val in (([one, two], [three_]), ([three_, one, one], [two])):
        parts = load_splits({"train": train, "val": val}, 56, tmp_path / "cache")
        for name, paths in (("train", train), ("val", val)):
            store = parts[name]
            for row, path in zip(store.rows, paths, strict=True):
                assert np.array_equal(
                    store.pixels[row], whole.pixels[whole.rows[three.index(path)]]
                )
            assert store.digests == [whole.digests[three.index(path)] for path in paths]
    assert len(decoded) == 3 and cache_file(tmp_path).is_file()


def test_notes_are_counted_for_each_split_and_photo_once(tmp_path):
    for name in ("a", "b"):
        noise(80, 80, ord(name)).convert("RGBA").save(tmp_path / f"{name}.png")
    noise(80, 80).save(tmp_path / "plain.png")
    a, b, plain = (str(tmp_path / f"{name}.png") for name in ("a", "b", "plain"))
    parts = load_splits({"train": [a, a, b, plain], "val": [a], "test": [plain]}, 56, tmp_path)
    assert [part.notes for part in parts.values()] == [{"alpha": 2}, {"alpha": 1}, {}]


def _load_elsewhere(paths, cache, barrier, queue) -> None:
    barrier.wait(60)
    queue.put(int(load_images(paths, 56, cache, show_progress=False).pixels.sum(dtype=np.int64)))


def test_commands_that_start_at_once_agree(tmp_path, load):
    paths = [tmp_path / f"{seed}.png" for seed in range(60)]
    for seed, path in enumerate(paths):
        noise(100, 100, seed).save(path)
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(2), context.Queue()
    commands = [
        context.Process(target=_load_elsewhere, args=(paths, tmp_path / "cache", barrier, queue))
        for _ in range(2)
    ]
    for command in commands:
        command.start()
    sums = {queue.get(timeout=300) for _ in commands}
    for command in commands:
        command.join(60)
    assert sums == {int(load(paths).pixels.sum(dtype=np.int64))}
    assert cache_file(tmp_path).suffix == ".u8"


def test_on_windows_a_file_in_use_is_taken_as_it_is_when_valid(three, load, tmp_path, monkeypatch):
    def in_use(source, target):
        raise PermissionError(errno.EACCES, "in use")

    expected = load(three).pixels.copy()
    real = images._is_valid
    answers = iter([False])  # the first call finds nothing, as if the other command came later
    monkeypatch.setattr(images, "_is_valid", lambda *args: next(answers, real(*args)))
    monkeypatch.setattr(os, "replace", in_use)
    assert np.array_equal(load(three).pixels, expected)
    cut(cache_file(tmp_path))
    with pytest.raises(UserError, match=r"cannot write the image cache .*in use.*other commands"):
        load(three)
    assert cache_file(tmp_path).suffix == ".u8"


def test_a_full_disk_is_named_and_leaves_nothing(three, load, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        UserError, match=r"cannot write the image cache .*No space left.*free space"
    ):
        load(three)
    assert not list((tmp_path / "cache").iterdir())


def test_too_little_space_is_seen_before_decoding(three, load, decoded, monkeypatch):
    monkeypatch.setattr(
        images.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1000})
    )
    with pytest.raises(UserError, match=r"MB needed"):
        load(three)
    assert not decoded


def test_a_cache_folder_that_cannot_be_made_is_named(three, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write the image cache"):
        load_images(three, 56, tmp_path / "file" / "cache", show_progress=False)


def test_what_killed_commands_have_left_goes_when_it_is_a_day_old(three, load, tmp_path):
    (tmp_path / "cache").mkdir()
    old, new = (tmp_path / "cache" / f".images_64_{i}.u8.x.tmp" for i in range(2))
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (time.time() - 9e4,) * 2)
    load(three)
    assert not old.exists() and new.exists()


def test_a_disk_without_locks_still_gets_its_cache(three, load, tmp_path, monkeypatch):
    monkeypatch.setattr("common.files.lock", lambda path: None)
    load(three)
    assert cache_file(tmp_path).suffix == ".u8"


# Hostile photos that work


def stored(
    tmp_path: Path, load, picture: Image.Image, name: str, **options
) -> tuple[np.ndarray, dict[str, int]]:
    """Save a picture and load it: return its pixels as stored (64, 64, 3), and the notes."""
    picture.save(tmp_path / name, **options)
    store = load([tmp_path / name], 56)
    pixels = np.asarray(store.pixels[0].transpose(1, 2, 0)).astype(int)
    return pixels, store.notes


def near(pixels: np.ndarray, colour, tolerance: int = 6) -> bool:
    return bool(np.abs(pixels.astype(int) - np.asarray(colour)).max() <= tolerance)


def test_plain_photos_have_no_notes(tmp_path, load):
    for name in ("a.jpg", "a.png", "a.bmp", "a.webp"):
        pixels, notes = stored(tmp_path, load, halves(), name)
        assert notes == {} and near(pixels[:20], RED) and near(pixels[-20:], WHITE)


def test_grey_and_black_and_white(tmp_path, load):
    for mode in ("L", "1"):
        pixels, notes = stored(tmp_path, load, Image.new(mode, (30, 50), 255), f"{mode}.png")
        assert notes == {} and near(pixels, WHITE, 0)


def test_cmyk(tmp_path, load):
    pixels, notes = stored(tmp_path, load, Image.new("CMYK", (80, 70), (0, 255, 255, 0)), "a.jpg")
    assert notes == {"cmyk": 1} and near(pixels, RED)


@pytest.mark.parametrize("value", [0, 128 * 257, 65535])
def test_16_bit_is_scaled_not_clipped(tmp_path, load, value):
    picture = Image.fromarray(np.full((40, 40), value, np.uint16))
    for name in ("a.png", "a.tif"):
        pixels, notes = stored(tmp_path, load, picture, name)
        assert notes == {"16bit": 1} and near(pixels, (round(value / 257),) * 3, 0)


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        (np.float32, [0, 1], [0, 255]),
        (np.float32, [0, 255], [0, 255]),
        (np.float32, [-5, 5], [0, 255]),
        (np.float32, [np.nan, np.inf], [0, 255]),
        (np.float32, [0, 0], [0, 0]),
        (np.int32, [0, 255], [0, 255]),
        (np.int32, [0, 65535], [0, 255]),
        (np.int32, [0, 2**31 - 1], [0, 255]),
    ],
)
def test_wide_tiff_values(tmp_path, load, dtype, values, expected):
    picture = Image.fromarray(np.repeat(np.array(values, dtype), 32)[:, None].repeat(64, axis=1))
    pixels, notes = stored(tmp_path, load, picture, "a.tif")
    assert (
        notes == {"16bit": 1}
        and near(pixels[0], (expected[0],) * 3, 1)
        and near(pixels[-1], (expected[1],) * 3, 1)
    )


def test_alpha_lies_over_white(tmp_path, load):
    half_red, nothing = Image.new("RGBA", (40, 40), (*RED, 128)), Image.new("LA", (40, 40), (0, 0))
    pink = (255, 127, 127)
    cases = [(half_red, "a.png", pink), (half_red, "a.webp", pink), (nothing, "b.png", WHITE)]
    for picture, name, seen in cases:
        pixels, notes = stored(tmp_path, load, picture, name)
        assert notes == {"alpha": 1} and near(pixels, seen)


def test_hidden_colours_do_not_bleed(tmp_path, load):
    """Black below full transparency must not darken an edge when the photo is made smaller."""
    values = np.zeros((500, 500, 4), np.uint8)
    values[::2] = (255, 255, 255, 255)
    pixels, _ = stored(tmp_path, load, Image.fromarray(values), "a.png")
    assert near(pixels, WHITE, 2)


def test_palette_with_transparency(tmp_path, load):
    picture = Image.new("P", (40, 40), 0)
    picture.putpalette([0, 0, 0, *RED])
    picture.paste(1, (0, 0, 40, 20))
    for name in ("a.png", "a.gif"):
        pixels, notes = stored(tmp_path, load, picture, name, transparency=0)
        assert notes == {"alpha": 1} and near(pixels[:24], RED) and near(pixels[-24:], WHITE)
    picture.save(tmp_path / "bytes.png", transparency=bytes([0, 255]))
    assert load([tmp_path / "bytes.png"]).notes == {"alpha": 1}


def test_animated_shows_its_first_frame(tmp_path, load):
    frames = [Image.new("RGB", (40, 40), colour) for colour in (RED, WHITE, (0, 0, 255))]
    for name in ("a.gif", "a.webp", "a.png", "a.tif"):
        options = {"lossless": True} if name == "a.webp" else {}
        pixels, notes = stored(
            tmp_path, load, frames[0], name, save_all=True, append_images=frames[1:], **options
        )
        assert notes == {"animated": 1} and near(pixels, RED), name


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_exif_orientation(tmp_path, load, orientation, name):
    """A photo stored turned, as a camera stores it, is read upright.

    The inverse of the transposition is applied here by hand.
    """
    upright = halves(64, 64)
    upright.paste((0, 0, 255), (0, 0, 32, 32))  # blue, red / white, white
    turned = {
        1: upright,
        2: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: upright.transpose(Image.Transpose.ROTATE_180),
        4: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: upright.transpose(Image.Transpose.TRANSPOSE),
        6: upright.transpose(Image.Transpose.ROTATE_90),
        7: upright.transpose(Image.Transpose.TRANSVERSE),
        8: upright.transpose(Image.Transpose.ROTATE_270),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels, notes = stored(tmp_path, load, turned, name, exif=exif)
    assert notes == ({} if orientation == 1 else {"exif_rotated": 1})
    assert near(pixels[8:24, 8:24], (0, 0, 255), 12) and near(pixels[8:24, 40:56], RED, 12)
    assert near(pixels[40:56], WHITE, 12)


def test_broken_exif_does_not_break_a_photo(tmp_path, load):
    for seed in range(20):
        junk = b"Exif\0\0" + np.random.default_rng(seed).bytes(50)
        _, notes = stored(tmp_path, load, halves(), f"{seed}.jpg", exif=junk)
        assert notes == {}


@pytest.mark.parametrize("size", [(1, 1), (20_000, 1), (1, 20_000), (3, 700), (257, 256)])
def test_odd_shapes(tmp_path, load, size):
    for name in ("a.png", "a.jpg"):
        pixels, notes = stored(tmp_path, load, Image.new("RGB", size, RED), name)
        assert notes == {} and near(pixels, RED)


# Photos that cannot be used


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_photo_is_named_in_one_line(tmp_path, load, name):
    data, why = BROKEN[name]
    (tmp_path / name).write_bytes(data)
    start = cpu_seconds()
    with pytest.raises(UserError) as caught:
        load([tmp_path / name])
    message = str(caught.value)
    assert message.startswith("1 image cannot be used: ") and name in message and why in message
    assert "\n" not in message and "0x" not in message and "()" not in message
    assert cpu_seconds() - start < 5
    assert not list(tmp_path.glob("cache/*"))


# pytest turns the warnings on again that photos.py turned off
@pytest.mark.filterwarnings("ignore::UserWarning:PIL.TiffImagePlugin")
def test_photos_cut_anywhere_never_crash(tmp_path, load):
    """A photo cut short or changed at random is used or named, and nothing else happens."""
    rng = np.random.default_rng(3)
    whole = [encoded(kind) for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF")]
    paths = []
    for number in range(300):
        data = bytearray(whole[number % 5])
        if number % 2:
            del data[int(rng.integers(0, len(data))) :]
        else:
            for place in rng.integers(0, min(600, len(data)), 3):
                data[place] = int(rng.integers(0, 256))
        paths.append(tmp_path / f"{number}.jpg")
        paths[-1].write_bytes(data)
    with pytest.raises(UserError, match=r"^\d+ images cannot be used: .*; and \d+ more\. "):
        load(paths)


def test_all_bad_photos_are_found_and_ten_named(three, load, tmp_path):
    bad = [tmp_path / f"bad{number}.jpg" for number in range(14)]
    for number, path in enumerate(bad[2:], start=2):
        path.write_bytes(b"not a photo %d" % (number // 2))  # pairs with equal bytes: each is named
    folder = tmp_path / "folder.jpg"
    folder.mkdir()
    with pytest.raises(UserError) as caught:
        load([three[0], *bad, folder, three[1]])
    message = str(caught.value)
    assert message.startswith("15 images cannot be used: ") and "; and 5 more. " in message
    assert message.count(".jpg (") == 10
    assert f"{bad[0]} (no such file)" in message and f"{folder} (not a file)" in message
    assert not list((tmp_path / "cache").iterdir())


def test_a_photo_that_changes_between_the_passes_is_named(three, load, monkeypatch):
    real = images._digest_or_reason

    def read_then_change(path):
        digest = real(path)
        if path == str(three[1]):
            noise(50, 50, 7).save(path)
        return digest

    monkeypatch.setattr(images, "_digest_or_reason", read_then_change)
    with pytest.raises(
        UserError, match=r"1 image cannot be used: .*1\.png \(it changed while being read"
    ):
        load(three)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_does_not_block(tmp_path, load):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(UserError, match="not a file"):
        load([tmp_path / "pipe.jpg"])


def test_a_bomb_is_refused_before_its_pixels_are_made(tmp_path, monkeypatch):
    path = tmp_path / "large.png"
    Image.new("1", (4000, 4000)).save(path)
    monkeypatch.setattr(photos, "MAX_PIXELS", 15_000_000)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("its pixels were decoded"))
    with open(path, "rb") as file, pytest.raises(Image.DecompressionBombError):
        photos.decode(file, 64)


# Photos that were cut short


@pytest.mark.parametrize(
    ("name", "options", "share"),
    [
        ("a.jpg", {}, 0.92),
        ("a.jpg", {"quality": 20}, 0.97),
        ("a.jpg", {"progressive": True}, 0.99),
        ("a.png", {}, 0.92),
        ("a.bmp", {}, 0.92),
        ("a.tif", {}, 0.92),
        ("a.gif", {}, 0.96),
    ],
)
def test_a_photo_with_nine_tenths_of_its_rows_is_used_and_counted(
    tmp_path, load, name, options, share
):
    path = tmp_path / name
    noise(40, 40).resize((400, 400), Image.Resampling.BICUBIC).save(path, **options)
    whole = load([path]).pixels[0].astype(int)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    store = load([path])
    assert store.notes == {"truncated": 1}
    difference = np.abs(store.pixels[0].astype(int) - whole).mean(axis=(0, 2))  # of each row
    assert np.median(difference) < 3 and (difference > 20).mean() < 0.25
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="truncated"):
        load([path])


@pytest.mark.parametrize("side", [48, 100, 1000])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_without_its_last_bytes_is_shown_as_viewers_do(tmp_path, load, side, progressive):
    path = tmp_path / "a.jpg"
    noise(9, 9).resize((side, side), Image.Resampling.BICUBIC).save(path, progressive=progressive)
    whole = load([path]).pixels[0].astype(int)
    path.write_bytes(path.read_bytes()[:-2])
    store = load([path])
    # Decoding at a smaller scale, Pillow may be content without the bytes: nothing is counted then.
    assert store.notes == {"truncated": 1} or (side == 1000 and store.notes == {})
    assert np.abs(store.pixels[0] - whole).max() <= 1


def test_truncated_photos_in_many_threads_do_not_hide_each_other(tmp_path, load):
    """Pillow has one switch for the whole process that would let broken photos pass."""
    paths = [tmp_path / f"{number}.png" for number in range(60)]
    for number, path in enumerate(paths):
        noise(80, 80, number).save(path)
        share = (1, 0.95, 0.5)[number % 3]
        data = path.read_bytes()
        path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(UserError, match="^20 images cannot be used"):
        load(paths)
    used = [path for number, path in enumerate(paths) if number % 3 < 2]
    assert load(used).notes == {"truncated": 20}


# Photos of every kind that Pillow reads safely


@pytest.mark.parametrize("compressed", [False, True])
def test_a_png_may_hold_more_than_a_megabyte_of_text(tmp_path, load, compressed):
    text = PngImagePlugin.PngInfo()
    text.add_text("prompt", "x" * 5_000_000, zip=compressed)
    text.add_itxt("more", "y" * 3_000_000, zip=compressed)
    _, notes = stored(tmp_path, load, halves(), "a.png", pnginfo=text)
    assert notes == {}


def test_avif_is_read_where_pillow_has_it(tmp_path, load):
    if not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    pixels, notes = stored(tmp_path, load, halves(), "a.avif", quality=95)
    assert notes == {} and near(pixels[:20], RED, 12) and near(pixels[-20:], WHITE, 12)
    (tmp_path / "a.avif").write_bytes((tmp_path / "a.avif").read_bytes()[:-60])
    with pytest.raises(UserError, match="1 image cannot be used"):
        load([tmp_path / "a.avif"])


# Bounds


def test_photos_in_flight_are_bounded_in_sum(tmp_path, monkeypatch):
    """Sixteen threads and photos of 60 % of the bound: they are decoded one after the other."""
    monkeypatch.setattr(images, "_THREADS", 16)
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
    digests, _, faults = images.inspect_images(list(map(str, paths)))
    assert not any(faults) and len(set(digests)) == 20
    assert 1 < max(most) <= 10 and photos._pixels_free == 10_000


def test_a_file_too_large_for_a_photo_is_named_before_it_is_read(tmp_path, load, monkeypatch):
    monkeypatch.setattr(photos, "MAX_BYTES", 1000)
    noise(80, 80).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="a.png .larger than"):
        load([tmp_path / "a.png"])


def test_broken_photos_of_all_splits_are_told_together(three, tmp_path):
    bad = [tmp_path / f"bad{number}.jpg" for number in range(3)]
    for path in bad:
        path.write_bytes(b"no photo")
    splits = {"train": [three[0], bad[0]], "val": [three[1], bad[1]], "test": [bad[2], three[2]]}
    with pytest.raises(UserError, match="^3 images cannot be used: .*bad0.*bad1.*bad2"):
        load_splits(splits, 56, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())
    good = load_splits({"train": three[:2], "val": three[2:]}, 56, tmp_path / "cache")
    assert [len(store) for store in good.values()] == [2, 1]


# Real photos


def test_real_photos(load):
    paths = sorted(PHOTOS.glob("*.jpg"))[:40]
    if not paths:
        pytest.skip("needs the sample of real photos in ../shared/data/mvsa_sample")
    store = load(paths, 224)
    assert store.pixels.shape[1:] == (3, 256, 256)
    for row, path in list(zip(store.rows, paths, strict=True))[::8]:
        with Image.open(path) as photo:
            short = min(photo.size)
            scaled = photo.convert("RGB").resize(
                tuple(round(edge * 256 / short) for edge in photo.size), Image.Resampling.BICUBIC
            )
        x, y = (scaled.width - 256) // 2, (scaled.height - 256) // 2
        expected = np.asarray(scaled.crop((x, y, x + 256, y + 256))).astype(int)
        assert np.abs(store.pixels[row].transpose(1, 2, 0) - expected).mean() < 8
