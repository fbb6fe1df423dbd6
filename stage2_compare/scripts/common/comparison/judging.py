"""Models on one set of pairs: their figures, and which of them are worse than the best."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from ..metrics import MAIN
from ..runs.reading import Predictions, Run
from ..words import Phrase
from .best import best_of
from .bootstrap import PLACE, Answers, Figures, mean, resample
from .draws import Draws
from .intervals import Estimate, doubts, estimates
from .models import Model, Trial
from .pairs import Pairs
from .ranking import Ranking, rank, too_few
from .seeds import over_seeds
from .wording import BEST, BETTER, NO_DIFFERENCE, TOO_FEW, WORSE


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A model on N pairs, trained with S seeds at its best learning rate, and the verdict on it."""

    name: str
    figures: list[Figures]  # of each seed
    predicted: np.ndarray  # (S, N) places in the classes
    rate: float | None = None
    trials: list[Trial] = field(default_factory=list)  # of each seed; none of an ensemble
    by_rate: dict[float | None, Estimate] = field(default_factory=dict)  # macro-F1
    of_run: dict[str, Figures] = field(default_factory=dict)  # of single runs, by folder
    # Known when it is judged:
    estimates: dict[str, Estimate] = field(default_factory=dict)  # by COLUMNS; over the seeds
    verdict: str = ""
    p: float | None = None  # macro-F1 against the best, adjusted; None where there is no test
    doubt: Phrase | None = None  # why its intervals are not to be trusted


@dataclass(frozen=True)
class Judgement:
    """The verdicts on all models that are compared on a set of pairs."""

    pairs: Pairs
    draws: Draws
    models: dict[str, Judged]  # by name
    figures: list[Figures]  # of each model, over its seeds
    ranking: Ranking
    too_few: bool  # pairs for a verdict on so many models
    # By name: those that were made elsewhere, held against the best of the others.
    imported: dict[str, Judged] = field(default_factory=dict)

    @property
    def smallest_difference(self) -> float | None:
        """Return the macro-F1 that these pairs would show of every model in 80 % of cases."""
        return None if self.too_few else self.ranking.smallest_difference

    def of(self, model: Model) -> Judged | None:
        return self.models.get(model.name) or self.imported.get(model.name)


def judge(pairs: Pairs, measure: Callable[[Draws], list[Judged]], answers: int) -> Judgement:
    """Compare models on the same pairs with the best of them.

    Where a verdict may be another one with other draws, it is that of more draws. The figures stay
    those of the usual ones: an interval does not depend on how close another model's verdict is.

    Args:
        measure: returns the models, measured in draws.
        answers: see ``Draws.more``.
    """
    draws = Draws(pairs.groups)
    judgement = _judge(pairs, draws, measure(draws))
    close = judgement.ranking.close and not judgement.too_few
    more = draws.more(answers) if close else None
    if not more:
        return judgement
    again = _judge(pairs, more, measure(more))
    models = {
        name: replace(judgement.models[name], verdict=judged.verdict, p=judged.p)
        for name, judged in again.models.items()
    }
    return replace(judgement, models=models, ranking=again.ranking)


def _judge(pairs: Pairs, draws: Draws, models: list[Judged]) -> Judgement:
    figures = over_seeds([model.figures for model in models])
    few = too_few(pairs.independent, len(models))
    ranking, judged = _verdicts(models, figures, pairs, few)
    return Judgement(pairs, draws, judged, figures, ranking, few)


def beside(judgement: Judgement, others: list[Judged], figures: list[Figures]) -> dict[str, Judged]:
    """Judge others together with the models of a judgement, by name, against the best of those.

    They are no candidates for the best, and change no verdict on a model.

    Args:
        figures: of the others, over their seeds.
    """
    pairs, everyone = judgement.pairs, [*judgement.models.values(), *others]
    few = judgement.too_few or too_few(pairs.independent, len(everyone))
    best = judgement.ranking.best
    _, judged = _verdicts(everyone, [*judgement.figures, *figures], pairs, few, best)
    return {other.name: judged[other.name] for other in others}


def _verdicts(
    models: list[Judged], figures: list[Figures], pairs: Pairs, few: bool, best: int | None = None
) -> tuple[Ranking, dict[str, Judged]]:
    """Rank models by macro-F1, see ``rank``, and judge each; ``figures`` are theirs, over their
    seeds."""
    observed, draws, left_out = (
        np.array([getattr(of_model, name)[PLACE] for of_model in figures])
        for name in ("corrected", "draws", "left_out")
    )
    ranking = rank(observed, draws, left_out, differing(models, pairs), best)
    places, judged = pairs.one_of_each_group, {}
    for place, (model, own) in enumerate(zip(models, figures, strict=True)):
        verdict, p = NO_DIFFERENCE, float(ranking.p[place])
        if few or place == ranking.best:
            verdict, p = TOO_FEW if few else BEST, None
        elif ranking.worse[place] or ranking.better[place]:
            verdict = WORSE if ranking.worse[place] else BETTER
        found = (
            doubts(pairs.labels[places], row[places], pairs.classes) for row in model.predicted
        )
        judged[model.name] = replace(
            model,
            estimates=estimates(own),
            verdict=verdict,
            p=p,
            doubt=next(filter(None, found), None),  # of the first seed that gives one
        )
    return ranking, judged


def on_validation(model: Model, pairs: Pairs, draws: Draws) -> Judged:
    """Measure a model by what its runs said at every epoch; choose its learning rate."""
    of_run, of_rates = {}, {}
    for rate, trials in model.by_rate.items():
        of_rates[rate] = []
        for trial in trials:
            answers = [answers_of(run, pairs) for run in trial.runs]
            figures = resample(answers, pairs.labels, len(pairs.classes), draws)
            of_rates[rate].append(figures)
            if len(trial.runs) == 1:
                of_run[trial.runs[0].name] = figures
    place, of_seeds = best_of(list(of_rates.values()))
    rate = list(of_rates)[place]
    trials = model.by_rate[rate]
    return Judged(
        name=model.name,
        figures=of_seeds,
        predicted=np.array([said([run.predictions for run in one.runs], pairs) for one in trials]),
        rate=rate,
        trials=trials,
        by_rate={each: estimates(mean(seeds))[MAIN.column] for each, seeds in of_rates.items()},
        of_run=of_run,
    )


def on_test(name: str, trials: list[Trial], pairs: Pairs, draws: Draws) -> Judged:
    """Measure a model once on test pairs: epoch and learning rate were chosen on validation.

    The folds of a seed say together what the mean of their probabilities says.
    """
    predicted = []
    for trial in trials:
        if len(trial.runs) == 1:  # ties of rounded probabilities were decided in training
            predicted.append(said([trial.runs[0].test], pairs))
            continue
        shares = np.zeros((len(pairs), len(pairs.classes)))
        for run in trial.runs:
            shares[pairs.rows(run.test)] += run.test.probabilities
        predicted.append(shares.argmax(1))
    rows = np.arange(len(pairs))
    figures = [
        resample([Answers(rows, row[None])], pairs.labels, len(pairs.classes), draws)
        for row in predicted
    ]
    return Judged(name=name, figures=figures, predicted=np.array(predicted))


def answers_of(run: Run, pairs: Pairs) -> Answers:
    """Return what a run said at every epoch, or only at its best where no more is recorded."""
    epochs = run.epochs if run.epochs is not None else np.array([run.predictions.predicted])
    return Answers(pairs.rows(run.predictions), epochs)


def said(parts: list[Predictions], pairs: Pairs) -> np.ndarray:
    """Return the classes (N,) that some predictions say, joined."""
    predicted = np.zeros(len(pairs), int)
    for part in parts:
        predicted[pairs.rows(part)] = part.predicted
    return predicted


def differing(models: list[Judged], pairs: Pairs) -> np.ndarray:
    """Count the groups of pairs on which any seeds of two models differ, (M, M)."""
    counts = np.zeros((len(models), len(models)), int)
    for first, second in itertools.combinations(range(len(models)), 2):
        said_by = models[first].predicted[:, None], models[second].predicted[None]
        differs = (said_by[0] != said_by[1]).any((0, 1))  # (N,)
        counts[first, second] = counts[second, first] = len(np.unique(pairs.groups[differs]))
    return counts
