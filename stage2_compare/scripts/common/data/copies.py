"""Pairs that are copies of each other: the same or nearly the same text or photo.

A copy of a text on a social network gets an emoji, another short URL, ``RT @user:`` in front, other
capitals or punctuation: keys leave all of these out. Those of photos are made in photo_copies.py.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from .image_store import ImageStore
from .photo_copies import photo_keys
from .splits import UNLABELLED, Split
from .splitting import connected_groups

# Shorter texts agree by chance, or are a template such as "RT via": only exact copies count.
MIN_LETTERS = 20
_NO_LETTERS = ("So", "Sk", "Cf")  # Unicode's categories: emoji, their colours, zero width
_EMOJI = re.compile(".\ufe0f?\u20e3|.\ufe0f", re.DOTALL)  # a digit in a box: not a digit
_URL = re.compile(r"(?:https?://|www\.)[!-~]*")  # Chinese may follow without a blank
_CUT_URL = re.compile(r"\bh(?:t|tt|ttp|ttps|ttps?:/?)?\.{3}")  # "htt…" ends a cut tweet
_REPOST = re.compile(r"^(?:\W*rt\s*@\w+)+")
_BETWEEN_DIGITS = re.compile(r"(?<=\d)[\W_]+(?=\d)")
_NO_WORD = re.compile(r"[^\w\0]+|_+")


class Keys(NamedTuple):
    """What pairs may share, N of each: copies have the same key. An empty text has none ("")."""

    texts: list[str]  # with one blank for each run of white space
    near_texts: list[str]  # the same for near copies too
    photos: Sequence[str]  # SHA-256 of the file
    near_photos: list[str]  # the same for near copies too


def keys_of(*splits: tuple[list[str], Sequence[str], Sequence[np.ndarray]]) -> list[Keys]:
    """Return the keys of the pairs of several splits, comparable between them, from their texts, and
    the digests and fingerprints of their photos."""
    _, digests, fingerprints = (
        list(chain.from_iterable(each)) for each in zip(*splits, strict=True)
    )
    near = iter(photo_keys(digests, fingerprints))
    keys = []
    for texts, photos, _ in splits:
        exact = [" ".join(text.split()) for text in texts]
        keys.append(Keys(exact, text_keys(texts), photos, [next(near) for _ in photos]))
    return keys


def text_keys(texts: list[str]) -> list[str]:
    """Return a key for each text (N,): the same for copies and near copies, "" without a text."""
    keys = []
    for text in texts:
        words = _words(text)
        near = sum(map(str.isalpha, words)) >= MIN_LETTERS
        # A near key has capitals nowhere and one blank only: no text is like it.
        keys.append(f"near {words}" if near else " ".join(text.split()))
    return keys


def _words(text: str) -> str:
    """Return letters and digits alone, full-width ones as usual ones, all in small letters; 1.5 is not
    15: the texts of a template ("23 °C at 7:00") may differ in digits only."""
    text = _EMOJI.sub("", text)
    left_out = [c for c in set(text) if unicodedata.category(c) in _NO_LETTERS]
    text = text.translate(dict.fromkeys(map(ord, left_out)))
    text = unicodedata.normalize("NFKC", text).casefold()
    text = _REPOST.sub("", _CUT_URL.sub("", _URL.sub("", text)))
    return _NO_WORD.sub("", _BETWEEN_DIGITS.sub("\0", text))


class Duplicates(NamedTuple):
    """Numbers of pairs of a split that share something with a training pair."""

    text: int
    near_text: int  # other characters, but nearly the same text
    image: int  # the same bytes
    near_image: int  # other bytes, but nearly the same picture
    label_conflicts: int  # share a text or a photo with a training pair of another class

    def warning(self, split: str = "val") -> str:
        """Return one line on the split of this name, or "" if nothing is shared."""
        if not any(self[:4]):
            return ""
        kind, name = "warning", "validation" if split == "val" else "test"
        follows = f"({self.label_conflicts:,} with another label): scores look better than they are"
        if split == UNLABELLED:  # there are no scores
            kind, follows = "note", "(they are predicted, not measured)"
        return (
            f"{kind}: of the {name} pairs {self.text:,} share their text with a training pair, "
            f"{self.near_text:,} nearly their text, {self.image:,} their photo and "
            f"{self.near_image:,} nearly their photo {follows}"
        )


def find_duplicates(
    train: Split, other: Split, train_images: ImageStore, other_images: ImageStore
) -> Duplicates:
    """Compare each pair of another split with all training pairs; one without a label has no
    conflict."""
    both = keys_of(
        (train.texts, train_images.digests, train_images.fingerprints),
        (other.texts, other_images.digests, other_images.fingerprints),
    )
    shared, conflicts = [], set()  # for each kind of key, the pairs that share one
    for train_keys, other_keys in zip(*both, strict=True):
        labels = defaultdict(set)  # of the training pairs with a key
        for key, label in zip(train_keys, train.labels, strict=True):
            labels[key].add(label)
        met = {i: labels[key] for i, key in enumerate(other_keys) if key and key in labels}
        shared.append(met.keys())
        conflicts |= {i for i in met if other.labels[i] and met[i] != {other.labels[i]}}
    text, near_text, image, near_image = shared
    kinds = text, near_text - text, image, near_image - image, conflicts
    return Duplicates(*map(len, kinds))


def copy_groups(split: Split, images: ImageStore) -> list[int]:
    """Return for each pair (N,) the index of the first pair of its group, which shares texts or
    photos, exactly or nearly, directly or through others."""
    photos = photo_keys(images.digests, images.fingerprints)
    groups = connected_groups(text_keys(split.texts), photos)
    first = {i: min(group) for group in groups for i in group}
    return [first[i] for i in range(len(split))]
