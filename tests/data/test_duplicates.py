"""Validation pairs that training has met are counted: same text, same or similar photo."""

import io
from pathlib import Path

import numpy as np
from common.data.duplicates import Duplicates, copy_groups, find_duplicates
from common.data.image_cache import load_images
from common.data.splits import Split
from PIL import Image

LONG = "a text with more than twenty letters"


def split(
    folder: Path, texts: list[str], labels: list[str], photos: list[bytes], name: str
) -> Split:
    paths = [folder / f"{name}{i}.jpg" for i in range(len(photos))]
    for path, photo in zip(paths, photos, strict=True):
        path.write_bytes(photo)
    count = len(texts)
    return Split(
        path=folder / "x.csv",
        guids=list(map(str, range(count))),
        texts=texts,
        image_paths=list(map(str, paths)),
        labels=labels,
        rows=[],
        encodings={},
    )


def photo(seed: int, side: int = 400, quality: int = 90) -> bytes:
    """Return a smooth random picture as JPEG: one for each seed, at any size and quality."""
    field = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(field).resize((side, side), Image.Resampling.BICUBIC).save(
        buffer, "jpeg", quality=quality
    )
    return buffer.getvalue()


def test_each_kind_is_counted(tmp_path):
    train = split(
        tmp_path,
        ["same  words", "other", "", "third"],
        ["positive", "negative", "neutral", "neutral"],
        [photo(0), photo(1), photo(2), photo(3)],
        "train",
    )
    train.texts[3] = LONG
    val = split(
        tmp_path,
        ["same words", "new", "", f"RT @me: {LONG.upper()}"],
        ["positive", "positive", "neutral", "neutral"],
        # new, the same bytes with another label, a small copy, new
        [photo(4), photo(1), photo(2, 300, 60), photo(5)],
        "val",
    )
    stores = [
        load_images(part.image_paths, 56, tmp_path / "cache", show_progress=False)
        for part in (train, val)
    ]
    found = find_duplicates(train, val, *stores)
    assert found == Duplicates(text=1, near_text=1, image=1, near_image=1, label_conflicts=1)
    assert "of the validation pairs 1 share their text" in found.warning()
    assert "of the test pairs 1 share their text" in found.warning("test")


def test_a_pair_without_a_label_has_no_conflict(tmp_path):
    parts = [split(tmp_path, [LONG], [label], [photo(0)], label) for label in ("neutral", "")]
    stores = [
        load_images(part.image_paths, 56, tmp_path / "cache", show_progress=False) for part in parts
    ]
    found = find_duplicates(*parts, *stores)
    assert found == Duplicates(text=1, near_text=0, image=1, near_image=0, label_conflicts=0)


def test_a_group_of_copies_is_named_by_its_first_pair(tmp_path):
    """0 and 3 share their text nearly, 3 and 1 their photo nearly; 2 and 4 have no text."""
    texts = [LONG, "one", "", f"{LONG}!", ""]
    photos = [photo(0), photo(1), photo(2), photo(1, 300, 60), photo(3)]
    part = split(tmp_path, texts, ["neutral"] * 5, photos, "part")
    images = load_images(part.image_paths, 56, tmp_path / "cache", show_progress=False)
    assert copy_groups(part, images) == [0, 0, 2, 0, 4]


def test_a_clean_split_is_not_warned_of(tmp_path):
    sides = [
        split(tmp_path, [name], ["neutral"], [photo(i)], name)
        for i, name in enumerate(("train", "val"))
    ]
    stores = [
        load_images(part.image_paths, 56, tmp_path / "cache", show_progress=False) for part in sides
    ]
    assert find_duplicates(*sides, *stores).warning() == ""


def test_a_group_holds_copies_of_copies(tmp_path):
    """0 and 2 share their text, 2 and 4 nearly their photo, 1 and 5 their photo; 3 is alone."""
    photos = [photo(0), photo(1), photo(2), photo(3), photo(2, 300, 60), photo(1)]
    pairs = split(tmp_path, ["a", "b", "a", "", "c", ""], ["x"] * 6, photos, "val")
    images = load_images(pairs.image_paths, 56, tmp_path / "cache", show_progress=False)
    assert copy_groups(pairs, images) == [0, 1, 0, 3, 0, 1]
