"""From run folders to a comparison: which runs may be compared, what each is worth, which are worse than the best.

Runs that differ in their seed alone are one family, and where a family has several seeds, families are compared.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..metrics import COLUMNS, scores
from ..runs.reader import Run
from .bootstrap import CONFIDENCE, Estimate, Resampled, intervals, over_seeds, resample
from .protocol import protocol_differences
from .ranking import Ranking, mcnemar, rank

BEST, TIED, WORSE = "best", "not told apart", "worse"
NOT_COMPARABLE, NO_PREDICTIONS = "not comparable", "no predictions"
YES, NO, UNKNOWN = "yes", "no", "unknown"
F1 = "val_f1_macro"


@dataclass(frozen=True)
class Compared:
    """A run, or a family of runs that differ in their seed alone."""

    name: str  # of the run; of a family's runs without their seed
    runs: list[Run]
    scores: dict[str, Estimate]  # by METRICS; of a family, the means over its seeds
    spread: dict[
        str, float | None
    ]  # by METRICS: standard deviation over the seeds, None for one seed
    comparable: str  # whether it kept the protocol of the majority; UNKNOWN where it recorded none
    differs: list[str]  # "lr 0.001 instead of 2e-05"
    verdict: str
    p_vs_best: (
        float | None
    )  # macro-F1; adjusted for the number of models and for the choice of the best
    mcnemar_p: (
        float | None
    )  # accuracy against the best run; times the number of pairs of runs (Bonferroni)

    @property
    def seeds(self) -> list[Any]:
        return [run.seed for run in self.runs]


@dataclass(frozen=True)
class Comparison:
    """``runs`` and ``families``, best macro-F1 first. A run has the verdict and the p of its family."""

    runs: list[Compared]
    families: list[Compared]
    pairs: int  # validation pairs behind the verdicts, 0 where no run has predictions
    confidence: float
    critical: (
        float | None
    )  # standard errors that make a difference; None with fewer than two families to compare
    smallest_difference: (
        float | None
    )  # in macro-F1, that these pairs would have shown in 80 % of cases
    majority_class: str | None  # the most frequent one of the training split
    majority: dict[str, float] | None  # METRICS of always predicting it
    notes: list[str]  # what weakens the comparison, a line each

    @property
    def several_seeds(self) -> bool:
        return any(len(family.runs) > 1 for family in self.families)


def compare(runs: list[Run]) -> Comparison:
    """Compare runs by the predictions they kept. The order of ``runs`` changes nothing."""
    runs = sorted(runs, key=lambda run: run.name)
    differs = dict(zip((run.name for run in runs), protocol_differences(runs), strict=True))
    tested = _paired(runs, differs)
    left = [run for run in runs if run not in tested]
    families, left_families = _families(tested), _families(left)
    places = [[tested.index(run) for run in family] for family in families]

    of_runs = _resample(tested)
    of_families = {metric: over_seeds(values, places) for metric, values in of_runs.items()}
    ranking = rank(of_families[F1], _differing(tested, places)) if tested else None
    accuracy = _mcnemar(tested, of_runs)

    found = {
        name: (NO_PREDICTIONS if not differs[name] else NOT_COMPARABLE, None) for name in differs
    }
    for place, family in enumerate(families):
        found |= dict.fromkeys((run.name for run in family), _verdict(ranking, place))

    def entry(members: list[Run], estimates: dict[str, Estimate]) -> Compared:
        one = members[0]
        return Compared(
            one.name if len(members) == 1 else _stem(one),
            members,
            estimates,
            {metric: _spread([run.best[metric] for run in members]) for metric in COLUMNS},
            NO if differs[one.name] else YES if one.recorded("protocol") else UNKNOWN,
            differs[one.name],
            *found[one.name],
            accuracy.get(one.name) if len(members) == 1 else None,
        )

    single = {
        run.name: estimates for run, estimates in zip(tested, _estimates(of_runs), strict=True)
    }
    single |= {
        run.name: _estimates(_resample([run]))[0] if run.predictions else _means([run])
        for run in left
    }
    grouped = [
        entry(family, estimates)
        for family, estimates in zip(families, _estimates(of_families), strict=True)
    ]
    grouped += [entry(f, single[f[0].name] if len(f) == 1 else _means(f)) for f in left_families]
    majority_class, majority = _majority(tested)
    several = ranking is not None and len(families) > 1
    return Comparison(
        _best_first([entry([run], single[run.name]) for run in runs]),
        _best_first(grouped),
        len(tested[0].predictions.labels) if tested else 0,
        CONFIDENCE,
        ranking.critical if several else None,
        ranking.smallest_difference if several else None,
        majority_class,
        majority,
        [*_seed_notes(families), *_duplicate_notes(runs)],
    )


def _paired(runs: list[Run], differs: dict[str, list[str]]) -> list[Run]:
    """The comparable runs that have predictions, all for the same pairs; ``differs`` learns whose pairs are others."""

    def pairs(run: Run) -> tuple:
        return (
            tuple(run.predictions.classes),
            tuple(run.predictions.guids),
            tuple(run.predictions.labels),
        )

    able = {run.name: pairs(run) for run in runs if run.predictions and not differs[run.name]}
    usual = Counter(able.values()).most_common(1)[0][0] if able else None
    for name in able:
        if able[name] != usual:
            differs[name].append("other validation pairs or labels")
    return [run for run in runs if run.name in able and not differs[run.name]]


def _families(runs: list[Run]) -> list[list[Run]]:
    """Runs of the same model under the same name, apart from what ``cli.run_name`` adds for a seed."""
    families = defaultdict(list)
    for run in runs:
        model = dict(run.recorded("model") or {})
        model.pop("batch_size", None)  # what fitted in memory: it may differ from seed to seed
        families[_stem(run), json.dumps(model, sort_keys=True)].append(run)
    return list(families.values())


def _stem(run: Run) -> str:
    return run.name.removesuffix(f"_seed{run.seed}")


def _resample(runs: list[Run]) -> dict[str, Resampled]:
    """By METRICS; the runs have the same pairs."""
    if not runs:
        return {}
    first = runs[0].predictions
    predicted = np.array([run.predictions.predicted for run in runs])
    figures = resample(np.array(first.labels), predicted, len(first.classes))
    return {f"val_{metric}": values for metric, values in figures.items()}


def _estimates(figures: dict[str, Resampled]) -> list[dict[str, Estimate]]:
    """Per model, its metrics with their intervals."""
    by_metric = {metric: intervals(values) for metric, values in figures.items()}
    return [
        dict(zip(by_metric, values, strict=True))
        for values in zip(*by_metric.values(), strict=True)
    ]


def _means(runs: list[Run]) -> dict[str, Estimate]:
    return {
        metric: Estimate(float(np.mean([run.best[metric] for run in runs]))) for metric in COLUMNS
    }


def _spread(values: list[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _differing(runs: list[Run], families: list[list[int]]) -> np.ndarray:
    """On how many pairs two families do not say the same, (M, M)."""
    said = np.array([run.predictions.predicted for run in runs])
    table = np.zeros((len(families), len(families)), int)
    for i, first in enumerate(families):
        for j, second in enumerate(families):
            table[i, j] = (said[first][:, None] != said[second][None]).any((0, 1)).sum()
    return table


def _mcnemar(runs: list[Run], figures: dict[str, Resampled]) -> dict[str, float]:
    """Adjusted p of each run but the best, by name."""
    if not runs:
        return {}
    right = [np.equal(run.predictions.predicted, run.predictions.labels) for run in runs]
    best = int(figures[F1].observed.argmax())
    pairs = len(runs) * (len(runs) - 1) / 2
    others = (i for i in range(len(runs)) if i != best)
    return {runs[i].name: min(1.0, pairs * mcnemar(right[best], right[i])) for i in others}


def _verdict(ranking: Ranking, place: int) -> tuple[str, float | None]:
    if place == ranking.best:
        return BEST, None
    return (WORSE if ranking.worse[place] else TIED), float(ranking.p[place])


def _best_first(entries: list[Compared]) -> list[Compared]:
    return sorted(entries, key=lambda entry: (-entry.scores[F1].value, entry.name))


def _majority(runs: list[Run]) -> tuple[str | None, dict[str, float] | None]:
    """The most frequent training class, and the metrics of predicting nothing else."""
    counts = runs[0].recorded("class_counts", "train") if runs else None
    classes = runs[0].predictions.classes if runs else []
    if not isinstance(counts, dict) or not all(
        isinstance(counts.get(name), int) for name in classes
    ):
        return None, None
    place = max(range(len(classes)), key=lambda i: counts[classes[i]])
    confusion = np.zeros((len(classes), len(classes)))
    confusion[:, place] = np.bincount(runs[0].predictions.labels, minlength=len(classes))
    return classes[place], {
        f"val_{metric}": float(value) for metric, value in scores(confusion).items()
    }


def _seed_notes(families: list[list[Run]]) -> list[str]:
    def listed(seeds: tuple) -> str:
        return ", ".join(map(str, seeds)) or "none"

    seeds = [tuple(sorted((run.seed for run in family), key=str)) for family in families]
    usual = max(sorted(set(seeds), key=str), key=seeds.count, default=())
    return [
        f"{_stem(family[0])} has seeds {listed(own)}, most have {listed(usual)}: its figures are of other draws"
        for family, own in zip(families, seeds, strict=True)
        if own != usual
    ]


def _duplicate_notes(runs: list[Run]) -> list[str]:
    """One line for each way in which the validation pairs of some runs were met in training."""
    kinds = ("text", "image", "near_image", "label_conflicts")
    holders = defaultdict(list)
    for run in runs:
        counts = tuple(run.recorded("duplicates", kind) for kind in kinds)
        if all(isinstance(count, int) for count in counts) and any(counts):
            holders[counts].append(run.name)
    return [
        f"validation pairs that training has met: {text} by their text, {image} by their photo, {near} by nearly their "
        f"photo ({conflicts} with another label): figures look better than they are"
        + ("" if len(names) == len(runs) else f" (in {', '.join(names)})")
        for (text, image, near, conflicts), names in holders.items()
    ]
