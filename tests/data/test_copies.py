"""Copies of texts have one key; pairs that training has met, and groups of copies, are found."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from common.data.copies import Duplicates, copy_groups, find_duplicates, text_keys
from common.data.image_store import ImageStore, load_images
from common.data.splits import UNLABELLED, Split
from PIL import Image

TEXTS = [
    "RT @old_friend: A 2.5 m wave at Bondi, #sea “so blue” http://t.co/abc123",
    "今天的天气真好，我们一家人去公园放风筝，孩子们玩得非常开心 http://t.cn/A6x",
    "POST MATCH: Dean Smith furious after penalty debacle #wfc htt…",
]
CHANGES = {
    "an emoji behind": lambda text: f"{text} 😀",
    "an emoji with a colour in front": lambda text: f"👍🏽{text}",
    "a family within": lambda text: text.replace("a", "a👨‍👩‍👧", 1).replace("天", "天👨‍👩‍👧", 1),
    "a digit in a box": lambda text: f"1️⃣ {text}",
    "a heart made of a sign": lambda text: text.replace(" ", " ❤️ "),
    "a trade mark": lambda text: text.replace(" ", "™ ", 1),
    "capitals": str.upper,
    "small letters": str.lower,
    "a repost": lambda text: f"RT @some_user: {text}",
    "a repost of a repost": lambda text: f"RT @a: rt @b {text}",
    "another URL": lambda text: text.replace("abc123", "Zz9").replace("A6x", "B"),
    "a URL more": lambda text: f"{text} https://example.com/?a=1",
    "a URL cut off": lambda text: f"{text} https:/…",
    "a full stop": lambda text: f"{text}.",
    "a Chinese full stop": lambda text: f"{text}。",
    "a zero-width space": lambda text: f"{text[:9]}\u200b{text[9:]}",
    "full-width letters": lambda text: "".join(
        chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text
    ),
    "no punctuation": lambda text: text.replace("，", " ").replace(",", "").replace("“", ""),
    "other white space": lambda text: text.replace(" ", "\u3000\n"),
}


def test_a_copy_with_a_usual_change_has_the_key_of_its_text():
    for name, change in CHANGES.items():
        changed = [change(text) for text in TEXTS]
        assert changed != TEXTS and text_keys(changed) == text_keys(TEXTS), name
    assert text_keys(["Twenty letters it shows"]) == text_keys(["TWENTY letters it shows!"])


def test_templates_with_other_digits_other_words_and_short_texts_differ():
    for one, other in (
        ("The temperature in the city is 23 °C", "The temperature in the city is 24 °C"),
        ("The temperature in the city is 1.5 °C", "The temperature in the city is 15 °C"),
        ("We all met at half past seven", "We all left at half past seven"),
        ("RT via @one http://t.co/a", "RT via @two http://t.co/b"),
        ("Nineteen letters alas", "Nineteen letters alas!"),
        ("真开心", "真开心！"),
    ):
        assert len(set(text_keys([one, other]))) == 2
    assert text_keys(["so  blue ", "so blue", "", "😀"]) == ["so blue", "so blue", "", "😀"]
    texts = [f"RT via @user{i} http://t.co/{i:x}" for i in range(500)]
    texts += [f"Photo {i} of 500 in my new album, taken in Beijing" for i in range(500)]
    assert len(set(text_keys(texts))) == 1000


def test_a_text_of_any_length_takes_no_time_worth_measuring():
    """Patterns that go back and forth would take hours here."""
    for part in ("h", "rt @a", "1 ", ".", "https://", "h...", "\ufe0f", "rt   "):
        assert len(text_keys([part * (300_000 // len(part)) + "x"])) == 1


# Pairs

LONG = "a text with more than twenty letters"


def pairs(
    folder: Path, texts: list[str], labels: list[str], photos: list[bytes], name: str
) -> tuple[Split, ImageStore]:
    paths = [str(folder / f"{name}{i}.jpg") for i in range(len(photos))]
    for path, data in zip(paths, photos, strict=True):
        Path(path).write_bytes(data)
    guids = list(map(str, range(len(texts))))
    split = Split(folder / "x.csv", guids, texts, paths, labels, rows=[])
    return split, load_images(paths, 56, folder / "cache")


def photo(seed: int, side: int = 400, quality: int = 90) -> bytes:
    """Return a smooth random picture as JPEG: one for each seed, at any size and quality."""
    field = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), np.uint8)
    stream = io.BytesIO()
    picture = Image.fromarray(field).resize((side, side), Image.Resampling.BICUBIC)
    picture.save(stream, "jpeg", quality=quality)
    return stream.getvalue()


def test_pairs_that_training_has_met_are_counted_by_kind(tmp_path):
    train, train_images = pairs(
        tmp_path,
        ["same  words", "other", "", LONG],
        ["positive", "negative", "neutral", "neutral"],
        [photo(0), photo(1), photo(2), photo(3)],
        "train",
    )
    val, val_images = pairs(
        tmp_path,
        ["same words", "new", "", f"RT @me: {LONG.upper()}", LONG],
        ["positive", "positive", "neutral", "neutral", ""],  # without a label there is no conflict
        # new, the same bytes with another label, a small copy, new, the same bytes
        [photo(4), photo(1), photo(2, 300, 60), photo(5), photo(0)],
        "val",
    )
    found = find_duplicates(train, val, train_images, val_images)
    assert found == Duplicates(text=2, near_text=1, image=2, near_image=1, label_conflicts=1)
    assert "of the validation pairs 2 share their text" in found.warning()
    assert "of the test pairs 2 share their text" in found.warning("test")
    assert Duplicates(0, 0, 0, 0, 0).warning() == ""


def test_the_warning_about_an_unlabelled_list_speaks_of_no_scores():
    """There are none: its pairs are predicted, not measured."""
    found = Duplicates(2, 0, 1, 0, 0)
    assert "scores look better" in found.warning("test")
    assert "scores" not in found.warning(UNLABELLED) and "predicted" in found.warning(UNLABELLED)


def test_a_group_holds_copies_of_copies_and_is_named_by_its_first_pair(tmp_path):
    """0 and 3 share their text nearly, 3 and 1 their photo nearly, 1 and 5 their photo."""
    texts = [LONG, "one", "", f"{LONG}!", "", ""]
    photos = [photo(0), photo(1), photo(2), photo(1, 300, 60), photo(3), photo(1)]
    assert copy_groups(*pairs(tmp_path, texts, ["x"] * 6, photos, "part")) == [0, 0, 2, 0, 4, 0]
