"""Models with a --tag, outside the common protocol: each held against the same model without one.

They belong to no group and change no verdict. The model without a tag is held as it was chosen: its
epoch anew in each draw, and where it is the best of its group, corrected for the selection bias of
coming first. All that were tagged and judged on the same pairs are one family (Bonferroni).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..words import Phrase
from .bootstrap import PLACE, Figures
from .intervals import Estimate, of_difference
from .judging import differing, on_validation
from .models import Model, model_record
from .pairs import key
from .protocol import changes
from .ranking import FEWEST_DIFFERING
from .seeds import over_seeds
from .wording import BETTER_UNTAGGED, NO_DIFFERENCE, NO_UNTAGGED, TOO_FEW, WORSE_UNTAGGED

if TYPE_CHECKING:
    from .results import Group


@dataclass(frozen=True)
class Tagged:
    """A model with a tag, and the verdict on it against the same model without one."""

    model: Model
    group: Group  # of this model alone, for its own figures
    verdict: str = NO_UNTAGGED
    differs: list[Phrase] = field(default_factory=list)  # from the model without a tag
    untagged: str = ""  # its name; "" where none has the same pairs and a seed in common
    seeds: int = 0  # in common
    tags: int = 1  # that are judged on these pairs together
    gain: Estimate | None = None  # of macro-F1; its interval holds for all tags together


def held_against_untagged(tagged: list[Group], groups: list[Group]) -> list[Tagged]:
    """Hold each model with a tag, given as a group of its own, against the same one without."""
    found = [Tagged(group.models[0], group) for group in tagged]
    matches = [_untagged(each.model, groups) for each in found]
    family = Counter(match[0].number for match in matches if match)
    return [
        _judged(each, *match, family[match[0].number]) if match else each
        for each, match in zip(found, matches, strict=True)
    ]


def gained(untagged: Figures, tagged: Figures, bias: float = 0.0, tags: int = 1) -> Estimate:
    """Return what a tag gained, with an interval: as in ``best.as_best``, the hull of those with and
    without the correction for ``bias``, which is an estimate too.

    Args:
        bias: by how much the model without a tag is too high, because it was chosen as the best.
        tags: that are judged on the same pairs together.
    """
    gain = float(tagged.corrected[PLACE] - untagged.corrected[PLACE])
    found = of_difference(gain, tagged.draws[PLACE] - untagged.draws[PLACE], tags)
    return Estimate(gain + bias, found.low + min(bias, 0), found.high + max(bias, 0))


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
    pairs = {key([run.predictions for run in trial.runs]) for trial in trials}
    return pairs, {trial.seed for trial in trials}


def _judged(
    each: Tagged, group: Group, untagged: Model, seeds: set[int | None], tags: int
) -> Tagged:
    """Judge a model by the seeds that it and the one without a tag have in common."""
    judgement, sides = group.validation, []
    for model in (untagged, each.model):
        shared = replace(model, runs=[run for run in model.runs if run.seed in seeds])
        sides.append(on_validation(shared, judgement.pairs, judgement.draws))
    # The others tell how much seeds vary.
    others = [own.figures for name, own in judgement.models.items() if name != untagged.name]
    figures = over_seeds([*(side.figures for side in sides), *others])
    bias = 0.0
    if list(judgement.models)[judgement.ranking.best] == untagged.name:
        bias = group.as_best.value - group.as_best.corrected
    gain = gained(*figures[:2], bias, tags)
    few_differ = differing(sides, judgement.pairs)[0, 1] < FEWEST_DIFFERING
    verdict = BETTER_UNTAGGED if gain.low > 0 else WORSE_UNTAGGED
    if judgement.too_few:
        verdict = TOO_FEW
    elif few_differ or gain.low <= 0 <= gain.high:
        verdict = NO_DIFFERENCE
    differs = changes(each.model.runs, untagged.runs)
    known = {"untagged": untagged.name, "seeds": len(seeds), "tags": tags, "gain": gain}
    return replace(each, verdict=verdict, differs=differs, **known)
