"""Does the vocabulary of a model suit the language of the texts? Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Collection

_HAN = re.compile("[\u4e00-\u9fff]")


def usual_tokens(texts: Collection[str]) -> float:
    """Return the tokens per character of a vocabulary of their language: 1.0 for Chinese, and 0.30 to
    0.33 for English tweets. (bert-base-chinese needs 0.42 for the latter, CLIP 2.5 for the former.)"""
    chinese = sum(len(_HAN.findall(text)) for text in texts) / max(sum(map(len, texts)), 1)
    return chinese + 0.3 * (1 - chinese)


def suits(per_character: float, unknown_rate: float, usual: float) -> bool:
    """Tell it by the tokens per character and the share of unknown tokens."""
    return unknown_rate < 0.05 and per_character < 1.25 * usual
