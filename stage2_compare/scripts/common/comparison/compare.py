"""From run folders to a comparison: the value of each run, and which runs are worse than the best.

Runs that differ in their seed alone form a seed group, and verdicts are on seed groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UserError
from ..files import printable
from ..metrics import COLUMNS, MAIN, METRICS, scores
from ..runs.reader import Run
from .bootstrap import CONFIDENCE, Estimate, Resampled, intervals, over_seeds, resample
from .protocol import differences, group_name, seed_groups
from .ranking import Ranking, mcnemar, rank
from .wording import BEST, NO_DIFFERENCE, NO_PREDICTIONS, NOT_COMPARABLE, WORSE, remarks

YES, NO, UNKNOWN = "yes", "no", "unknown"


@dataclass(frozen=True)
class Compared:
    """A run, or a seed group, with all that the comparison says of it."""

    name: str  # of the run; of a seed group, that of its runs without their seed
    runs: list[Run]
    scores: dict[str, Estimate]  # by COLUMNS; of a seed group, the means over its seeds
    spread: dict[str, float | None]  # by COLUMNS: standard deviation over seeds, None for one seed
    comparable: str  # YES if the protocol is that of most runs; UNKNOWN if none is recorded
    differs: list[str]  # "lr 0.001 instead of 2e-05"
    verdict: str
    p_vs_best: float | None  # macro-F1; adjusted for the number of models and for the choice
    mcnemar_p: float | None  # accuracy against the best run; times the number of pairs of runs

    @property
    def seeds(self) -> list[Any]:
        return [run.seed for run in self.runs]


@dataclass(frozen=True)
class Comparison:
    """Runs and seed groups, best macro-F1 first. A run has the verdict and the p of its group."""

    runs: list[Compared]
    families: list[Compared]  # the seed groups
    pairs: int  # validation pairs behind the verdicts, 0 where no run has predictions
    confidence: float
    critical: float | None  # standard errors of a significant difference; None for under two groups
    smallest_difference: float | None  # in macro-F1, that these pairs would show in 80 % of cases
    majority_class: str | None  # the most frequent one of the training split
    majority: dict[str, float] | None  # by COLUMNS, of always predicting it
    notes: list[str]  # what weakens the comparison, a line each

    @property
    def several_seeds(self) -> bool:
        return any(len(group.runs) > 1 for group in self.families)


def compare(runs: list[Run]) -> Comparison:
    """Compare runs by the predictions they kept. The order of ``runs`` changes nothing."""
    runs = sorted(runs, key=lambda run: run.name)
    # 1. Which runs are compared, and which of them differ in their seed alone.
    differs = differences(runs)
    paired = [run for run in runs if run.predictions and not differs[run.name]]
    others = [run for run in runs if not run.predictions or differs[run.name]]
    groups = seed_groups(paired)
    # 2. Their scores on many draws of the same validation pairs.
    of_runs = _resampled(paired)
    of_groups = _over_seeds(of_runs, paired, groups)
    # 3. Which of them are worse than the best.
    ranking = rank(of_groups[MAIN.column], _differing(groups)) if groups else None
    tests = _Tests(differs, _verdicts(groups, ranking), _mcnemar(paired, of_runs))
    # 4. All runs and groups, those that are not compared with their own scores.
    estimates = _estimates(paired, of_runs)
    for run in others:
        estimates |= _estimates([run], _resampled([run]))
    of_group = _estimates([group[0] for group in groups], of_groups)
    compared = [_entry(group, of_group[group[0].name], tests) for group in groups]
    for group in seed_groups(others):
        own = estimates[group[0].name] if len(group) == 1 else _means(group)
        compared.append(_entry(group, own, tests))
    majority_class, majority = _majority(paired)
    several = len(groups) > 1
    return Comparison(
        runs=_best_first([_entry([run], estimates[run.name], tests) for run in runs]),
        families=_best_first(compared),
        pairs=len(paired[0].predictions.labels) if paired else 0,
        confidence=CONFIDENCE,
        critical=ranking.critical if several else None,
        smallest_difference=ranking.smallest_difference if several else None,
        majority_class=majority_class,
        majority=majority,
        notes=remarks(runs, groups),
    )


def require_one_protocol(comparison: Comparison) -> None:
    """Require that all runs recorded the same protocol.

    Raises:
        UserError: it names every run that did not keep it, or recorded none.
    """
    problems = [
        f"{entry.name}: {', '.join(entry.differs) or 'no protocol recorded'}"
        for entry in comparison.runs
        if entry.comparable != YES
    ]
    if problems:
        listed = printable("; ".join(problems))
        raise UserError(f"not one protocol, so nothing written: {listed}. Train these again")


@dataclass(frozen=True)
class _Tests:
    """The outcome of all tests, by the name of the run."""

    differs: dict[str, list[str]]
    verdicts: dict[str, tuple[str, float | None]]  # verdict and p against the best
    mcnemar: dict[str, float]


def _entry(members: list[Run], estimates: dict[str, Estimate], tests: _Tests) -> Compared:
    """Put together what is known of a run, or of a seed group."""
    first = members[0]
    differs = tests.differs[first.name]
    not_tested = NOT_COMPARABLE if differs else NO_PREDICTIONS
    verdict, p = tests.verdicts.get(first.name, (not_tested, None))
    values = {column: _values(members, column) for column in COLUMNS}
    return Compared(
        name=first.name if len(members) == 1 else group_name(first),
        runs=members,
        scores={key: estimates[key] if values[key] else Estimate(None) for key in COLUMNS},
        spread={key: _spread(values[key]) for key in COLUMNS},
        comparable=NO if differs else YES if first.recorded("protocol") else UNKNOWN,
        differs=differs,
        verdict=verdict,
        p_vs_best=p,
        mcnemar_p=tests.mcnemar.get(first.name) if len(members) == 1 else None,
    )


def _values(runs: list[Run], column: str) -> list[float]:
    """Return a metric of each run, or nothing where one of them has not recorded it."""
    values = [run.best[column] for run in runs]
    return [] if None in values else values


def _spread(values: list[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _means(runs: list[Run]) -> dict[str, Estimate]:
    """Average the recorded metrics, without intervals."""
    values = {column: _values(runs, column) for column in COLUMNS}
    return {key: Estimate(float(np.mean(values[key]))) for key in COLUMNS if values[key]}


def _resampled(runs: list[Run]) -> dict[str, Resampled]:
    """Resample runs on the same pairs, by COLUMNS; nothing where there are no predictions."""
    if not runs or not runs[0].predictions:
        return {}
    first = runs[0].predictions
    found = resample(np.array(first.labels), _predicted(runs), len(first.classes))
    return {metric.column: found[metric.key] for metric in METRICS}


def _predicted(runs: list[Run]) -> np.ndarray:
    """Return the predicted classes of runs on the same pairs, (M, N)."""
    return np.array([run.predictions.predicted for run in runs])


def _over_seeds(
    of_runs: dict[str, Resampled], runs: list[Run], groups: list[list[Run]]
) -> dict[str, Resampled]:
    """Average the resampled runs over the seeds of each group, by COLUMNS."""
    places = []
    for group in groups:
        places.append([runs.index(run) for run in group])
    return {
        metric.column: over_seeds(of_runs[metric.column], places, bounds=metric.bounds)
        for metric in METRICS
        if of_runs
    }


def _estimates(runs: list[Run], resampled: dict[str, Resampled]) -> dict[str, dict[str, Estimate]]:
    """Return the metrics of each run by its name and by COLUMNS, with intervals if resampled."""
    if not resampled:
        return {run.name: _means([run]) for run in runs}
    by_metric = {column: intervals(values) for column, values in resampled.items()}
    by_run = zip(*by_metric.values(), strict=True)
    return {
        run.name: dict(zip(by_metric, estimates, strict=True))
        for run, estimates in zip(runs, by_run, strict=True)
    }


def _differing(groups: list[list[Run]]) -> np.ndarray:
    """Count the pairs on which any runs of two groups predict different classes, (G, G)."""
    predicted = [_predicted(group) for group in groups]
    table = np.zeros((len(groups), len(groups)), int)
    for i, first in enumerate(predicted):  # (seeds, N)
        for j, second in enumerate(predicted):
            table[i, j] = (first[:, None] != second[None]).any((0, 1)).sum()
    return table


def _verdicts(
    groups: list[list[Run]], ranking: Ranking | None
) -> dict[str, tuple[str, float | None]]:
    """Return the verdict and p of each run's group, by the name of the run."""
    found = {}
    for place, group in enumerate(groups):
        verdict, p = (WORSE if ranking.worse[place] else NO_DIFFERENCE), float(ranking.p[place])
        if place == ranking.best:
            verdict, p = BEST, None
        found |= {run.name: (verdict, p) for run in group}
    return found


def _mcnemar(runs: list[Run], resampled: dict[str, Resampled]) -> dict[str, float]:
    """Return the p of each run but the best, by name, corrected by Bonferroni."""
    if not runs:
        return {}
    right = [np.equal(run.predictions.predicted, run.predictions.labels) for run in runs]
    best = int(resampled[MAIN.column].observed.argmax())
    pairs = len(runs) * (len(runs) - 1) / 2
    return {
        run.name: min(1.0, pairs * mcnemar(right[best], right[place]))
        for place, run in enumerate(runs)
        if place != best
    }


def _best_first(entries: list[Compared]) -> list[Compared]:
    return sorted(entries, key=lambda entry: (-entry.scores[MAIN.column].value, entry.name))


def _majority(runs: list[Run]) -> tuple[str | None, dict[str, float] | None]:
    """Return the most frequent training class, and the metrics of always predicting it."""
    counts = runs[0].recorded("class_counts", "train") if runs else None
    classes = runs[0].predictions.classes if runs else []
    if not isinstance(counts, dict) or not all(isinstance(counts.get(c), int) for c in classes):
        return None, None
    place = max(range(len(classes)), key=lambda i: counts[classes[i]])
    confusion = np.zeros((len(classes), len(classes)))
    confusion[:, place] = np.bincount(runs[0].predictions.labels, minlength=len(classes))
    found = scores(confusion)
    return classes[place], {metric.column: float(found[metric.key]) for metric in METRICS}
