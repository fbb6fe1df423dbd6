"""Texts -> token ids, once for the whole run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from ..files import quoted
from .language import suits, usual_tokens

_PORTION = 256  # texts at once: the tokenizer's own objects take some hundred bytes a character
# A token has at most some twenty characters; what follows so many is cut before tokenising, since
# a text of a million characters would take 20 seconds and 1 GB.
_CHARACTERS_PER_TOKEN = 200


@dataclass(frozen=True)
class Tokens:
    """The texts of a split as one run of ids; text ``i`` is ``ids[starts[i]:starts[i + 1]]``."""

    ids: np.ndarray  # (sum of lengths,) int32
    starts: np.ndarray  # (N + 1,) int64
    pad_id: int
    cut: np.ndarray  # (N,) bool: at the maximum length
    unknown_rate: float  # share of tokens that the vocabulary does not know
    per_character: float  # tokens per character, before cutting

    @property
    def truncated_rate(self) -> float:
        return float(self.cut.mean())

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.starts)  # (N,)

    @property
    def digests(self) -> list[bytes]:
        """SHA-256 of the token ids of each text, (N,)."""
        parts = np.split(self.ids.astype("<i4"), self.starts[1:-1])
        return [hashlib.sha256(part.tobytes()).digest() for part in parts]

    def pad(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return ``input_ids`` and ``attention_mask``, (B, L) int64, L the longest of the batch,
        padded to the right."""
        lengths = self.lengths[indices]  # (B,)
        # At least 1: texts may be empty, and not every model marks their ends. Batches may be too.
        longest = max(1, lengths.max(initial=0))
        mask = np.arange(longest) < lengths[:, None]  # (B, L)
        ids = np.full(mask.shape, self.pad_id, dtype=np.int64)  # (B, L)
        texts = [self.ids[self.starts[i] : self.starts[i + 1]] for i in indices]
        ids[mask] = np.concatenate([self.ids[:0], *texts])
        return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))


def tokenise(texts: list[str], tokenizer: Any, max_length: int) -> Tokens:
    """Tokenise with the tokenizer's own special tokens, and cut at ``max_length`` tokens. CRLF is
    read as LF."""
    texts = [text.replace("\r\n", "\n") for text in texts]
    longest = _CHARACTERS_PER_TOKEN * max(max_length, 64)
    too_long = np.array([len(text) > longest for text in texts])
    texts = [text[:longest] for text in texts]
    specials = tokenizer.num_special_tokens_to_add()
    ids, were_cut = [], []
    unknown, words, cut_words = 0, 0, 0
    for row, special, cut in _encoded(texts, tokenizer, max_length, specials):
        row = np.asarray(row, dtype=np.int32)
        ids.append(row)
        were_cut.append(cut > 0)
        unknown += int((row[np.asarray(special) == 0] == tokenizer.unk_token_id).sum())
        words += len(row) - specials
        cut_words += cut
    return Tokens(
        ids=np.concatenate(ids),
        starts=np.cumsum([0, *map(len, ids)]),
        pad_id=tokenizer.pad_token_id,
        cut=np.array(were_cut) | too_long,
        unknown_rate=unknown / max(words, 1),
        per_character=(words + cut_words) / max(sum(map(len, texts)), 1),
    )


def _encoded(
    texts: list[str], tokenizer: Any, max_length: int, specials: int
) -> Iterator[tuple[list[int], list[int], int]]:
    """Yield of each text its ids, 1 for each that marks its ends, and the number of those cut."""
    if tokenizer.is_fast:
        for start in range(0, len(texts), _PORTION):
            portion = texts[start : start + _PORTION]
            encoded = tokenizer(portion, truncation=True, max_length=max_length)
            for ids, encoding in zip(encoded["input_ids"], encoded.encodings, strict=True):
                cut = sum(len(rest.ids) - specials for rest in encoding.overflowing)
                yield ids, encoding.special_tokens_mask, cut
        return
    asked = {"return_special_tokens_mask": True, "return_overflowing_tokens": True}
    for text in texts:  # of several at once, a slow tokenizer does not say what it cut
        encoding = tokenizer(text, truncation=True, max_length=max_length, **asked)
        cut = len(encoding.get("overflowing_tokens", ()))
        yield encoding["input_ids"], encoding["special_tokens_mask"], cut


def check_tokens(tokens: Tokens, vocabulary: int, name: str) -> None:
    """Refuse an id beyond the embedding table, which on CUDA surfaces as an unrelated error."""
    largest = max(int(tokens.ids.max(initial=0)), tokens.pad_id)
    if largest >= vocabulary:
        raise UserError(
            f"the tokenizer of {quoted(name)} gives token id {largest}, but the model knows "
            f"{vocabulary} tokens: tokenizer and weights are of different checkpoints"
        )


def language_warning(texts: list[str], tokens: Tokens, name: str) -> str:
    """Return a warning, or "" where the vocabulary suits the language of the texts."""
    usual = usual_tokens(texts)
    if suits(tokens.per_character, tokens.unknown_rate, usual):
        return ""
    return (
        f"warning: the vocabulary of {quoted(name)} does not suit these texts "
        f"({tokens.per_character:.2f} tokens per character where {usual:.2f} are usual, "
        f"{tokens.unknown_rate:.1%} of the tokens unknown): its text side is at a disadvantage; "
        "take a model of the language of the texts"
    )
