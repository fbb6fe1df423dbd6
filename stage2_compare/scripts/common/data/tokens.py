"""Texts -> token ids, once per run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError


@dataclass(frozen=True)
class Tokens:
    """The texts of a split as one run of token ids; text ``i`` is ``ids[starts[i]:starts[i + 1]]``."""

    ids: np.ndarray  # (sum of lengths,) int32
    starts: np.ndarray  # (N + 1,) int64
    pad_id: int
    truncated_rate: float  # share of texts cut at the maximum length
    unknown_rate: float  # share of tokens the vocabulary does not know
    per_character: float  # tokens per character, before cutting

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.starts)

    def pad(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """``input_ids`` and ``attention_mask``, (B, L) int64, L the longest of the batch; padding to the right."""
        lengths = self.starts[indices + 1] - self.starts[indices]
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.full(mask.shape, self.pad_id, dtype=np.int64)
        ids[mask] = np.concatenate([self.ids[self.starts[i] : self.starts[i + 1]] for i in indices])
        return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))


def tokenise(texts: list[str], tokenizer, max_length: int) -> Tokens:
    """Tokenise once per run, with the tokenizer's own special tokens, cut at ``max_length`` tokens."""
    ids, starts, truncated, unknown, words, cut_words = [], [0], 0, 0, 0, 0
    specials, unk = tokenizer.num_special_tokens_to_add(), tokenizer.unk_token_id
    for begin in range(
        0, len(texts), 1000
    ):  # in portions: the tokenizer's own objects are many times larger
        encoded = tokenizer(texts[begin : begin + 1000], truncation=True, max_length=max_length)
        for row, encoding in zip(encoded["input_ids"], encoded.encodings, strict=True):
            ids.append(np.asarray(row, dtype=np.int32))
            starts.append(starts[-1] + len(row))
            truncated += bool(encoding.overflowing)
            unknown += sum(
                1
                for i, special in zip(row, encoding.special_tokens_mask, strict=True)
                if i == unk and not special
            )
            words += len(row) - specials
            cut_words += sum(len(rest.ids) - specials for rest in encoding.overflowing)
    return Tokens(
        ids=np.concatenate(ids),
        starts=np.asarray(starts, dtype=np.int64),
        pad_id=tokenizer.pad_token_id,
        truncated_rate=truncated / len(texts),
        unknown_rate=unknown / max(words, 1),
        per_character=(words + cut_words) / max(sum(map(len, texts)), 1),
    )


def check_tokens(tokens: Tokens, vocabulary: int, name: str) -> None:
    """An id beyond the embedding table surfaces on CUDA as an unrelated error, far from its cause."""
    largest = int(tokens.ids.max())
    if largest >= vocabulary:
        raise UserError(
            f"the tokenizer of {name!r} gives token id {largest}, but the model knows {vocabulary} tokens: "
            "tokenizer and weights are of different checkpoints"
        )
