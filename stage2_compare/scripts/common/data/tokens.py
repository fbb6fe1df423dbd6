"""Texts -> token ids, once for the whole run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import chain
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
    words, ids = [], []  # words: the tokens of the whole texts, without special ones
    for start in range(0, len(texts), _PORTION):
        portion = texts[start : start + _PORTION]
        words += tokenizer(portion, add_special_tokens=False, verbose=False)["input_ids"]
        ids += tokenizer(portion, truncation=True, max_length=max_length)["input_ids"]
    room = max_length - tokenizer.num_special_tokens_to_add()
    kept = list(chain.from_iterable(row[:room] for row in words))
    lengths = np.array([len(row) for row in words])  # (N,)
    return Tokens(
        ids=np.array(list(chain.from_iterable(ids)), np.int32),
        starts=np.cumsum([0, *map(len, ids)]),
        pad_id=tokenizer.pad_token_id,
        cut=(lengths > room) | too_long,
        unknown_rate=kept.count(tokenizer.unk_token_id) / max(len(kept), 1),
        per_character=int(lengths.sum()) / max(sum(map(len, texts)), 1),
    )


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
