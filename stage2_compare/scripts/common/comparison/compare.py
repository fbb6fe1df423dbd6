"""From run folders to a comparison: the value of each run, and which models are worse than the best.

The runs of a model form a family: its folds are joined, its seeds averaged, and its best learning
rate is chosen. Verdicts are on families.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import UserError
from ..files import printable
from ..metrics import COLUMNS, MAIN, METRICS, scores
from ..runs.reading import Run
from ..words import ENGLISH, Phrase
from .bootstrap import PLACE, Figures
from .draws import Draws
from .ensembles import ensembles
from .families import Family, Trial, families
from .intervals import Estimate, estimates
from .judging import (
    Contender,
    Judged,
    Judgement,
    judge,
    of_one_run,
    on_test,
    on_validation,
    said,
    settled,
)
from .pairs import Pairs, join, key
from .protocol import differences
from .ranking import mcnemar
from .wording import INCOMPLETE, NO_PREDICTIONS, NOT_COMPARABLE, remarks

YES, NO, UNKNOWN = "yes", "no", "unknown"


@dataclass(frozen=True)
class Compared:
    """A run, or a family, with all that the comparison says of it."""

    name: str
    runs: list[Run]
    scores: dict[str, Estimate]  # by COLUMNS; of a family, over its folds and seeds
    spread: dict[str, float | None]  # by COLUMNS: standard deviation over seeds, None for one seed
    comparable: str  # YES if the protocol is that of most runs; UNKNOWN if none is recorded
    differs: list[Phrase]  # "epochs 9 instead of 5"
    verdict: str
    p_vs_best: float | None  # macro-F1; adjusted for the number of models and for the choice
    mcnemar_p: float | None = None  # accuracy against the best run; times the pairs of runs
    rate: float | None = None  # the learning rate that was chosen from several
    rates: int = 1
    by_rate: dict[float | None, Estimate] = field(default_factory=dict)  # macro-F1 at each
    seeds: int = 1
    doubt: Phrase | None = None  # why the intervals are not to be trusted
    test: Judged | None = None  # on labelled test pairs


@dataclass(frozen=True)
class Comparison:
    """Runs and families, highest macro-F1 first: of runs as it was recorded, of families as the
    verdicts take it, less what choosing gains by luck. A run has the verdict and the p of its
    family."""

    runs: list[Compared]
    families: list[Compared]
    ensembles: dict[str, Judged]  # on the validation pairs, by name
    validation: Judgement | None  # None where no run has predictions
    test: Judgement | None  # None where no run has predictions for labelled test pairs
    majority_class: str | None  # the most frequent one of the training split
    majority: dict[str, float] | None  # by COLUMNS, of always predicting it
    notes: list[Phrase]  # what weakens the comparison, a line each

    @property
    def pairs(self) -> int:
        """Return the number of validation pairs behind the verdicts."""
        return len(self.validation.pairs) if self.validation else 0

    @property
    def smallest_difference(self) -> float | None:
        """Return the macro-F1 that these pairs would show of every model in 80 % of cases."""
        judgement = self.validation
        return None if not judgement or judgement.too_few else judgement.ranking.smallest_difference

    @property
    def several_runs(self) -> bool:
        return any(len(family.runs) > 1 for family in self.families)


def compare(runs: list[Run]) -> Comparison:
    """Compare runs by the predictions they kept. The order of ``runs`` changes nothing."""
    runs = sorted(runs, key=lambda run: run.name)
    # 1. Which runs are compared, on which pairs.
    everyone = sorted(families(runs), key=lambda family: family.name)
    differs = differences(runs, everyone)
    used = {}  # the families that are compared, each with the runs that can be
    for family in everyone:
        own = [run for run in family.runs if run.predictions and not differs[run.name]]
        if own and Family(family.name, own).by_rate:
            used[family.name] = Family(family.name, own)
    ranked = list(used.values())
    # 2. The families on the validation pairs, and on the test pairs.
    validation, of_run, joint = _on_validation(ranked)
    test = _on_test(ranked, validation)
    # 3. All runs and families, those that are not compared with their own scores.
    compared = [
        _family_entry(family, used[family.name], validation, test)
        if family.name in used
        else _left_out(family, differs)
        for family in everyone
    ]
    judged = {run.name for family in ranked for run in family.complete}
    entries = _run_entries(compared, judged, of_run, differs)
    majority_class, majority = _majority(ranked, validation)
    return Comparison(
        runs=sorted(entries, key=lambda run: (-run.scores[MAIN.column].value, run.name)),
        families=sorted(compared, key=lambda one: (-one.scores[MAIN.column].centre, one.name)),
        ensembles=joint,
        validation=validation,
        test=test,
        majority_class=majority_class,
        majority=majority,
        notes=remarks(runs, everyone, validation),
    )


def require_one_protocol(comparison: Comparison) -> None:
    """Require that all runs recorded the same protocol.

    Raises:
        UserError: it names every run that did not keep it, or recorded none.
    """
    problems = [
        f"{entry.name}: {', '.join(map(ENGLISH, entry.differs)) or 'no protocol recorded'}"
        for entry in comparison.runs
        if entry.comparable != YES
    ]
    if problems:
        listed = printable("; ".join(problems))
        raise UserError(f"not one protocol, so nothing written: {listed}. Train these again")


def _on_validation(
    ranked: list[Family],
) -> tuple[Judgement | None, dict[str, Figures], dict[str, Judged]]:
    """Judge the families; return the Figures of single runs too, by their names, and ensembles."""
    if not ranked:
        return None, {}, {}
    (first, *_), *_ = ranked[0].by_rate.values()
    others = [run.predictions for family in ranked for run in family.runs]
    pairs = join([run.predictions for run in first.runs], others)
    draws = Draws(pairs.groups)
    contenders, of_run = _measured(ranked, pairs, draws)
    judgement = judge(contenders, pairs)
    joint = ensembles(contenders, judgement, draws)

    def judged(more: Draws) -> Judgement:
        return judge(_measured(ranked, pairs, more)[0], pairs)

    runs = [run for family in ranked for run in family.runs]
    answers = sum(len(run.predictions.predicted) * len(run.history) for run in runs)
    return _settled(judgement, draws, answers, judged), of_run, joint


def _settled(
    judgement: Judgement, draws: Draws, answers: int, judged: Callable[[Draws], Judgement]
) -> Judgement:
    """Return the judgement; where a verdict is close, with that of more draws.

    ``answers``: see ``Draws.more``."""
    more = draws.more(answers) if judgement.close else None
    return settled(judgement, judged(more)) if more else judgement


def _measured(
    ranked: list[Family], pairs: Pairs, draws: Draws
) -> tuple[list[Contender], dict[str, Figures]]:
    """Measure the families, and their single runs by their names, on the validation pairs."""
    contenders, of_run = [], {}
    for family in ranked:
        contender, figures = on_validation(family, pairs, draws)
        contenders.append(contender)
        of_run |= figures
    return contenders, of_run


def _on_test(ranked: list[Family], validation: Judgement | None) -> Judgement | None:
    """Judge the families that all have predictions for the same labelled test pairs."""
    chosen = [(family, validation.models[family.name].rate) for family in ranked]
    sets = [list(map(_test_pairs, family.by_rate[rate])) for family, rate in chosen]
    usual = Counter(filter(None, itertools.chain(*sets))).most_common(1)
    if not usual:
        return None
    taking_part = [one for one, own in zip(chosen, sets, strict=True) if set(own) == {usual[0][0]}]
    if not taking_part:
        return None
    family, rate = taking_part[0]
    others = [run.test for family, _ in taking_part for run in family.runs if run.test]
    pairs = join([family.by_rate[rate][0].runs[0].test], others)

    def judged(draws: Draws) -> Judgement:
        return judge([on_test(family, rate, pairs, draws) for family, rate in taking_part], pairs)

    draws = Draws(pairs.groups)
    answers = len(pairs) * sum(len(family.by_rate[rate]) for family, rate in taking_part)
    return _settled(judged(draws), draws, answers, judged)


def _test_pairs(trial: Trial) -> tuple | None:
    """Return what is equal for the same test pairs; None where a fold has none, or others."""
    keys = {key([run.test]) if run.test else None for run in trial.runs}
    return keys.pop() if len(keys) == 1 else None


def _family_entry(
    family: Family, used: Family, validation: Judgement, test: Judgement | None
) -> Compared:
    """Return the entry of a family; ``used`` has those of its runs that are compared."""
    judged = validation.models[family.name]
    trials = used.by_rate[judged.rate]
    return Compared(
        name=family.name,
        runs=family.runs,
        scores=_recorded(used.runs, judged.estimates),
        spread=_spreads(trials),
        comparable=_comparable(used.runs[0], []),
        differs=[],
        verdict=judged.verdict,
        p_vs_best=judged.p,
        rate=judged.rate if len(used.by_rate) > 1 else None,
        rates=len(used.by_rate),
        by_rate=judged.by_rate,
        seeds=len(trials),
        doubt=judged.doubt,
        test=test.models.get(family.name) if test else None,
    )


def _left_out(family: Family, differs: dict[str, list[Phrase]]) -> Compared:
    """Return the entry of a family, or of a run by itself, that is not judged."""
    first = max(family.runs, key=lambda run: bool(differs[run.name]))
    verdict = NOT_COMPARABLE
    if not differs[first.name] and not any(run.predictions for run in family.runs):
        verdict = NO_PREDICTIONS
    elif not differs[first.name] and family.incomplete:
        verdict = INCOMPLETE
    return Compared(
        name=family.name,
        runs=family.runs,
        scores=_own_scores(family.runs),
        spread=_spreads(family.trials),
        comparable=_comparable(first, differs[first.name]),
        differs=differs[first.name],
        verdict=verdict,
        p_vs_best=None,
        seeds=len(family.seeds),
    )


def _comparable(run: Run, differs: list[Phrase]) -> str:
    return NO if differs else YES if run.recorded("protocol") else UNKNOWN


def _own_scores(runs: list[Run]) -> dict[str, Estimate]:
    """Return the scores of runs that are compared with no others, by COLUMNS."""
    if len(runs) == 1 and runs[0].predictions:
        pairs = join([runs[0].predictions])
        return _recorded(runs, estimates(of_one_run(runs[0], pairs, Draws(pairs.groups))))
    return {column: Estimate(_mean(_values(runs, column))) for column in COLUMNS}


def _recorded(runs: list[Run], found: dict[str, Estimate]) -> dict[str, Estimate]:
    """Leave out the optional metrics that a run of an earlier version has not recorded."""
    return {
        column: estimate if len(_values(runs, column)) == len(runs) else Estimate(None)
        for column, estimate in found.items()
    }


def _values(runs: list[Run], column: str) -> list[float]:
    return [run.best[column] for run in runs if run.best[column] is not None]


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _spreads(seeds: list[Trial]) -> dict[str, float | None]:
    """Return the standard deviation over seeds, each the mean of its folds, by COLUMNS."""
    spreads = {}
    for column in COLUMNS:
        means = [_mean(_values(trial.runs, column)) for trial in seeds]
        known = [mean for mean in means if mean is not None]
        spreads[column] = float(np.std(known, ddof=1)) if len(known) > 1 else None
    return spreads


def _run_entries(
    compared: list[Compared],
    judged: set[str],
    of_run: dict[str, Figures],
    differs: dict[str, list[Phrase]],
) -> list[Compared]:
    """Return an entry for each run, with the verdict of its family where it took part in it."""
    p = _mcnemar([run for entry in compared for run in entry.runs if run.name in of_run], of_run)
    entries = []
    for family in compared:
        for run in family.runs:
            if run.name not in judged:
                entries.append(_left_out(Family(run.name, [run]), differs))
                continue
            found = of_run.get(run.name)
            own = {
                "scores": _recorded([run], estimates(found)) if found else _own_scores([run]),
                "spread": dict.fromkeys(COLUMNS),
                "mcnemar_p": p.get(run.name),
            }
            entries.append(replace(family, name=run.name, runs=[run], **own))
    return entries


def _mcnemar(runs: list[Run], of_run: dict[str, Figures]) -> dict[str, float]:
    """Return the p of each run but the best, by name, corrected by Bonferroni."""
    if not runs:
        return {}
    pairs = join([runs[0].predictions], [run.predictions for run in runs])
    right = {run.name: said([run.predictions], pairs) == pairs.labels for run in runs}
    best = max(sorted(right), key=lambda name: of_run[name].corrected[PLACE])
    comparisons = len(runs) * (len(runs) - 1) / 2
    return {
        name: min(1.0, comparisons * mcnemar(right[best], right[name], pairs.groups))
        for name in right
        if name != best
    }


def _majority(
    ranked: list[Family], validation: Judgement | None
) -> tuple[str | None, dict[str, float] | None]:
    """Return the most frequent training class, and the metrics of always predicting it."""
    if not validation:
        return None, None
    pairs = validation.pairs
    counts = ranked[0].runs[0].recorded("class_counts", "train")
    if not isinstance(counts, dict) or not all(
        isinstance(counts.get(name), int) for name in pairs.classes
    ):
        return None, None
    place = max(range(len(pairs.classes)), key=lambda i: counts[pairs.classes[i]])
    confusion = np.zeros((len(pairs.classes), len(pairs.classes)))
    confusion[:, place] = np.bincount(pairs.labels, minlength=len(pairs.classes))
    found = scores(confusion)
    return pairs.classes[place], {m.column: float(found[m.key]) for m in METRICS}
