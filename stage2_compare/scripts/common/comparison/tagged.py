"""Models with a --tag, outside the common protocol: each held against the same model without one.

They belong to no group and change no verdict. The model without a tag is held as it was chosen: its
epoch anew in each draw, and where it is the best of its group, corrected for the selection bias of
coming first. All that were tagged and judged on the same pairs are one family (Bonferroni).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..words import Phrase
from .bootstrap import PLACE, Figures
from .intervals import CONFIDENCE
from .judging import Contender, differing, on_validation
from .models import Model, model_record
from .pairs import key
from .protocol import changes
from .ranking import FEWEST_DIFFERING
from .seeds import over_seeds
from .wording import BETTER_UNTAGGED, NO_DIFFERENCE, NO_UNTAGGED, TOO_FEW, WORSE_UNTAGGED

if TYPE_CHECKING:
    from .results import Group


@dataclass(frozen=True)
class Gain:
    """What a tag gained over the same model without one, in macro-F1."""

    value: float
    low: float  # of an interval that holds with 95 % confidence for all tags together
    high: float


@dataclass(frozen=True)
class Tagged:
    """A model with a tag, and the verdict on it against the same model without one."""

    model: Model
    group: Group  # of this model alone, for its own figures
    verdict: str
    differs: list[Phrase]  # from the model without a tag
    untagged: str = ""  # its name; "" where none has the same pairs and a seed in common
    seeds: int = 0  # in common
    tags: int = 1  # that are judged on these pairs together
    gain: Gain | None = None


def held_against_untagged(tagged: list[Group], groups: list[Group]) -> list[Tagged]:
    """Hold each model with a tag, given as a group of its own, against the same one without."""
    matches = [_untagged(group.models[0], groups) for group in tagged]
    family = Counter(match[0].number for match in matches if match)
    found = []
    for own, match in zip(tagged, matches, strict=True):
        model = own.models[0]
        if match is None:
            found.append(Tagged(model, own, NO_UNTAGGED, []))
            continue
        group, untagged, seeds = match
        sides = [_with_seeds(each, seeds) for each in (untagged, model)]
        gain, verdict = _judged(group, untagged, sides, family[group.number])
        found.append(
            Tagged(
                model=model,
                group=own,
                verdict=verdict,
                differs=changes(model.runs, untagged.runs),
                untagged=untagged.name,
                seeds=len(seeds),
                tags=family[group.number],
                gain=gain,
            )
        )
    return found


def gained(untagged: Figures, tagged: Figures, bias: float = 0.0, tags: int = 1) -> Gain:
    """Return what a tag gained, with an interval: as in ``best.as_best``, the hull of those with and
    without the correction for ``bias``, which is an estimate too.

    Args:
        bias: by how much the model without a tag is too high, because it was chosen as the best.
        tags: that are judged on the same pairs together.
    """
    gain = float(tagged.corrected[PLACE] - untagged.corrected[PLACE])
    moved = tagged.draws[PLACE] - untagged.draws[PLACE]  # (B,)
    tail = (1 - CONFIDENCE) / 2 / tags
    low, high = gain + np.quantile(moved - moved.mean(), (tail, 1 - tail))
    return Gain(gain + bias, float(low + min(bias, 0)), float(high + max(bias, 0)))


def _untagged(model: Model, groups: list[Group]) -> tuple[Group, Model, set] | None:
    """Return the same model without a tag, its group, and the seeds that both have: of several that
    which has most of the seeds, then the fewest differences."""
    found, record = [], model_record(model.runs[0])
    trials = model.runs[0].trials
    if trials and trials.fusion:
        record["fusion"] = trials.fusion
    own_pairs, own_seeds = _pairs_and_seeds(model)
    for group in filter(lambda group: group.validation, groups):
        for other in group.models:
            if other.imported or model_record(other.runs[0]) != record:
                continue
            pairs, seeds = _pairs_and_seeds(other)
            seeds &= own_seeds
            if pairs & own_pairs and seeds:
                differences = len(changes(model.runs, other.runs))
                found.append(((-len(seeds), differences, group.number), (group, other, seeds)))
    return min(found, key=lambda each: each[0])[1] if found else None


def _pairs_and_seeds(model: Model) -> tuple[set[tuple], set[int | None]]:
    trials = [trial for of_rate in model.by_rate.values() for trial in of_rate]
    pairs = {key(run.predictions for run in trial.runs) for trial in trials}
    return pairs, {trial.seed for trial in trials}


def _with_seeds(model: Model, seeds: set) -> Model:
    return replace(model, runs=[run for run in model.runs if run.seed in seeds])


def _judged(group: Group, untagged: Model, sides: list[Model], tags: int) -> tuple[Gain, str]:
    """Return what a tag gained, and the verdict; ``sides``: without it and with it."""
    judgement = group.validation
    pairs, draws = judgement.pairs, judgement.draws
    contenders: list[Contender] = [on_validation(side, pairs, draws) for side in sides]
    # The others tell how much seeds vary.
    others = [each.figures for name, each in judgement.models.items() if name != untagged.name]
    figures = over_seeds([*(each.figures for each in contenders), *others])
    bias = 0.0
    if list(judgement.models)[judgement.ranking.best] == untagged.name:
        bias = group.as_best.value - group.as_best.corrected
    gain = gained(*figures[:2], bias, tags)
    if judgement.too_few:
        return gain, TOO_FEW
    if differing(contenders, pairs)[0, 1] < FEWEST_DIFFERING or gain.low <= 0 <= gain.high:
        return gain, NO_DIFFERENCE
    return gain, BETTER_UNTAGGED if gain.low > 0 else WORSE_UNTAGGED
