"""Copies of a text with the usual changes have one key; other texts and short ones do not."""

from __future__ import annotations

import pytest
from common.data.text_copies import text_keys

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


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_copy_with_a_usual_change_has_the_key_of_its_text(change):
    changed = [change(text) for text in TEXTS]
    assert changed != TEXTS and text_keys(changed) == text_keys(TEXTS)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The temperature in the city is 23 °C", "The temperature in the city is 24 °C"),
        ("The temperature in the city is 1.5 °C", "The temperature in the city is 15 °C"),
        ("We all met at half past seven", "We all left at half past seven"),
        ("RT via @one http://t.co/a", "RT via @two http://t.co/b"),
        ("Nineteen letters alas", "Nineteen letters alas!"),
        ("真开心", "真开心！"),
    ],
)
def test_templates_with_other_digits_other_words_and_short_texts_differ(one, other):
    first, second = text_keys([one, other])
    assert first != second


def test_short_texts_are_equal_when_exact_and_empty_ones_have_no_key():
    assert text_keys(["so  blue ", "so blue", "", "😀"]) == ["so blue", "so blue", "", "😀"]
    assert text_keys(["Twenty letters it shows"]) == text_keys(["TWENTY letters it shows!"])


def test_a_template_does_not_tie_the_data():
    """Half of the texts are of a template, as on a network; no two of them share a key."""
    texts = [f"RT via @user{i} http://t.co/{i:x}" for i in range(500)]
    texts += [f"Photo {i} of 500 in my new album, taken in Beijing" for i in range(500)]
    assert len(set(text_keys(texts))) == 1000


@pytest.mark.parametrize("part", ["h", "rt @a", "1 ", ".", "https://", "h...", "\ufe0f", "rt   "])
def test_a_text_of_a_million_characters_takes_no_time_worth_measuring(part):
    """Patterns that go back and forth would take hours here."""
    assert len(text_keys([part * (1_000_000 // len(part)) + "x"])) == 1
