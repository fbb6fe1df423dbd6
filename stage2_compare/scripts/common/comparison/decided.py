"""What decides the answers of a model: the text, the image, or their interaction.

``--probe`` splits the logits of a pair into mean + text + image + rest (``training.probes``; the
additive projection EMAP of Hessel and Lee 2020, arXiv 2010.06572). Its answer is the class of the
highest sum. It is decided by

1. "interaction" if mean + text + image answers otherwise: it takes the rest. Else, if the answer
   changes
2. without the text's part as well as without the image's, by "both";
3. without the text's part only, by "text";
4. without the image's part only, by "image";
5. only without both parts, by "either": one of them is enough;
6. and not even then, by "neither": the mean, which is the same for all pairs, answers so.

"Without the text's part" is mean + image, "without both" is mean. The rest is left out there: in a
model with a strong interaction it holds the whole answer, so nothing would ever change.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..words import Phrase, phrase
from .intervals import Estimate, bca
from .judging import Judged, Judgement

KINDS = ("text", "image", "both", "either", "neither", "interaction")


@dataclass(frozen=True)
class Decided:
    """What decided the answers of the S trainings of a model, their folds joined."""

    name: str  # of the model
    of_trials: np.ndarray  # (S, N) KINDS, "" for pairs that were not probed
    shares: dict[str, Estimate]  # by KINDS, of all answers that were probed; they add up to 1

    @cached_property
    def of_pairs(self) -> np.ndarray:
        """(N,) what most trainings have, of equally many the first of KINDS; "" for no probed pair."""
        votes = (self.of_trials[..., None] == KINDS).sum(0)  # (N, K)
        return np.where(votes.any(-1), np.array(KINDS)[votes.argmax(-1)], "")

    @property
    def pairs(self) -> int:
        """The number of pairs that were probed."""
        return int((self.of_pairs != "").sum())

    @property
    def sentence(self) -> Phrase:
        shares = {kind: estimate.value for kind, estimate in self.shares.items()}
        return phrase("about_decided", name=self.name, n=self.pairs, **shares)


def kinds(parts: np.ndarray) -> np.ndarray:
    """Return which of KINDS decided each pair (N,), "" where its parts are nan.

    Args:
        parts: (4, N, C) of the logits, as in ``layout.PARTS``.
    """
    mean, text, image, rest = parts
    answer = (mean + text + image + rest).argmax(-1)
    with_both, with_image, with_text, with_none = (
        logits.argmax(-1) == answer
        for logits in (mean + text + image, mean + image, mean + text, mean)
    )
    found = {
        "": np.isnan(rest).any(-1),
        "interaction": ~with_both,
        "both": ~with_image & ~with_text,
        "text": ~with_image,
        "image": ~with_text,
        "either": ~with_none,
    }
    return np.select(list(found.values()), list(found), "neither")


def who_decided(model: Judged, judgement: Judgement) -> Decided | None:
    """Return what decided the answers of a model on the pairs of a judgement; None where none of its
    runs was probed.

    The intervals are those of other figures: of the same draws of groups of copies. They do not
    include how much trainings with other seeds differ.
    """
    pairs, draws = judgement.pairs, judgement.draws
    of_trials = np.full((len(model.trials), len(pairs)), "", "U11")
    for trial, row in zip(model.trials, of_trials, strict=True):
        for run in trial.runs:
            if run.parts is not None:
                row[pairs.rows(run.predictions)] = kinds(run.parts)
    if (of_trials == "").all():
        return None
    counts = np.zeros((pairs.independent, len(KINDS)), np.float32)
    np.add.at(counts, pairs.groups, (of_trials[..., None] == KINDS).sum(0))
    probed = counts.any(1)
    counts = counts[probed]  # (G, K)
    shares, in_draws, left_out = (
        each / np.maximum(each.sum(-1, keepdims=True), 1)
        for each in (
            counts.sum(0),
            draws.counts[:, probed].astype(np.float32) @ counts,  # (B, K)
            counts.sum(0) - counts,
        )
    )
    columns = zip(KINDS, shares.tolist(), in_draws.T, left_out.T, strict=True)
    found = {kind: Estimate(share, *bca(share, *rest)) for kind, share, *rest in columns}
    return Decided(model.name, of_trials, found)
