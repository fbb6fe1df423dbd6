"""Measure if intervals and verdicts keep their promises, on models whose true skill is known.

    python tests/simulate_verdicts.py                           # all rows, hours on one core
    python tests/simulate_verdicts.py --rows copies,seeds --jobs 8
    python tests/simulate_verdicts.py --repetitions 100         # a first look

A row is a case, a cell is a row at one setting. Finished cells are kept (``--results``) and are not
computed again. Each line says what was measured, what must be, and if it holds.

Two models of error make the predictions. ``Latent``: a model sees the true class against normal
noise that it partly shares with the others, and says what looks likest. ``Copula``: being right is
a threshold of a normal variable with exactly known probability per class, and a wrong class is
drawn, partly the same one for all; so the true metrics are known exactly.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.special import ndtri

sys.path.append(str(Path(__file__).resolve().parents[1] / "stage2_compare" / "scripts"))

from common.comparison.best import as_best, gained
from common.comparison.bootstrap import PLACE, Answers, Figures, resample
from common.comparison.draws import Draws
from common.comparison.intervals import doubts, estimates
from common.comparison.ranking import Ranking, rank, too_few
from common.comparison.seeds import over_seeds
from common.comparison.tagged import gained as gained_by_tag
from common.files import write_result
from common.metrics import MAIN, METRICS, scores

FALSE, COVER = 0.06, (0.93, 0.97)  # what is promised
KEYS = [metric.key for metric in METRICS]
SKEWED = {3: [0.6, 0.3, 0.1], 10: [0.2] * 3 + [0.1] * 3 + [0.025] * 4}
RIGHT = {3: [0.75, 0.60, 0.45], 10: [0.75] * 3 + [0.6] * 3 + [0.45] * 4}  # by class
SIGNAL = {3: 1.2, 10: 1.8}


# ------------------------------------------------------------------------------- models of error


@dataclass(frozen=True)
class Population:
    """Classes and their shares, and how alike the errors of models are."""

    classes: int = 3
    skewed: bool = True
    shared: float = 0.5  # correlation between models
    within: float = 0.3  # more, between the seeds or epochs of one model

    @property
    def priors(self) -> np.ndarray:
        even = [1 / self.classes] * self.classes
        return np.array(SKEWED[self.classes] if self.skewed else even)


class Copula:
    """A skill is the probability (C,) of being right in each class."""

    def __init__(self, population: Population):
        self.population = population

    def typical(self) -> np.ndarray:
        return np.array(RIGHT[self.population.classes])

    def truth(self, skill: np.ndarray) -> np.ndarray:
        """Return the metrics (K,) over infinitely many pairs."""
        priors, classes = self.population.priors, self.population.classes
        confusion = np.repeat((priors * (1 - skill) / (classes - 1))[:, None], classes, axis=1)
        np.fill_diagonal(confusion, priors * skill)
        found = scores(confusion)
        return np.array([found[key] for key in KEYS])

    def with_f1(self, f1: float) -> np.ndarray:
        """Return a skill with this true macro-F1."""
        shifts, f1s = _f1_by_shift(self.population)
        return np.clip(self.typical() + np.interp(f1, f1s, shifts), 0.001, 0.999)

    def draw(self, models: list[np.ndarray], pairs: int, random: np.random.Generator):
        """Draw labels (N,), and for each model's skills (E, C) what it says, (E, N)."""
        population = self.population
        labels = random.choice(population.classes, pairs, p=population.priors)
        common = np.sqrt(population.shared) * random.standard_normal(pairs)
        usual = random.integers(1, population.classes, pairs)  # the usual mistake
        return labels, [
            self._says(labels, np.atleast_2d(skills), common, usual, random) for skills in models
        ]

    def _says(self, labels, skills, common, usual, random):
        population, shape = self.population, (len(skills), len(labels))
        own = np.sqrt(population.within) * random.standard_normal(len(labels))
        rest = np.sqrt(1 - population.shared - population.within)
        seen = common + own + rest * random.standard_normal(shape)
        mistake = random.integers(1, population.classes, shape)
        mistake = np.where(random.random(shape) < population.shared, usual, mistake)
        right = seen < ndtri(skills[:, labels])
        return np.where(right, labels, (labels + mistake) % population.classes)


@lru_cache
def _f1_by_shift(population: Population) -> tuple[np.ndarray, np.ndarray]:
    copula, shifts = Copula(population), np.linspace(-0.4, 0.5, 400)
    skills = np.clip(copula.typical() + shifts[:, None], 0.001, 0.999)
    return shifts, np.array([copula.truth(skill)[PLACE] for skill in skills])


class Latent:
    """A skill is the signal of the true class. The truth is that of half a million pairs."""

    tails = 0.0  # of the difficulty of pairs, which all models share

    def __init__(self, population: Population):
        self.population = population

    def typical(self) -> float:
        return SIGNAL[self.population.classes]

    def truth(self, skill: float, pairs: int = 500_000) -> np.ndarray:
        return _truth_of_signal(type(self), self.population, float(skill), pairs)

    def with_f1(self, f1: float) -> float:
        low, high = 0.0, 6.0
        for _ in range(14):
            middle = (low + high) / 2
            below = self.truth(middle, 300_000)[PLACE] < f1
            low, high = (middle, high) if below else (low, middle)
        return (low + high) / 2

    def draw(self, models: list, pairs: int, random: np.random.Generator):
        population, size = self.population, (pairs, self.population.classes)
        labels = random.choice(population.classes, pairs, p=population.priors)
        common = np.sqrt(population.shared) * random.standard_normal(size, np.float32)
        if self.tails:
            common[np.arange(pairs), labels] -= self.tails * random.standard_t(2, pairs)
        said = []
        for signals in models:
            rest = np.sqrt(1 - population.shared)
            seen = [common + rest * random.standard_normal(size, np.float32) for _ in signals]
            for noise, signal in zip(seen, signals, strict=True):
                noise[np.arange(pairs), labels] += signal
            said.append(np.array([noise.argmax(1) for noise in seen]))
        return labels, said


class Heavy(Latent):
    """Latent difficulty with heavy tails: some pairs are beyond all models."""

    tails = 0.7


@lru_cache(maxsize=4096)
def _truth_of_signal(world: type, population: Population, signal: float, pairs: int) -> np.ndarray:
    labels, ((said,),) = world(population).draw([[signal]], pairs, np.random.default_rng(7))
    counts = np.bincount(labels * population.classes + said, minlength=population.classes**2)
    found = scores(counts.reshape(population.classes, -1))
    return np.array([found[key] for key in KEYS])


ERRORS = {"copula": Copula, "latent": Latent, "heavy": Heavy}


# ------------------------------------------------------------------------------- what is measured


def judged(labels, said, classes: int, random, groups=None, resamples: int = 2000):
    """Return the Figures of each model's predictions (E, N), on the same draws."""
    return measured(labels, said, classes, some_draws(labels, random, groups, resamples))


def some_draws(labels, random, groups=None, resamples: int | None = 2000) -> Draws:
    groups = np.arange(len(labels)) if groups is None else groups
    return Draws(groups, resamples, int(random.integers(2**31)))


def measured(labels, said, classes: int, draws: Draws) -> list[Figures]:
    rows = np.arange(len(labels))
    return [resample([Answers(rows, epochs)], labels, classes, draws) for epochs in said]


def settled(rank_on: Callable[[Draws], Ranking], draws: Draws, answers: int) -> Ranking:
    """Rank with more draws where a verdict depends on their luck, as the summary does."""
    ranking = rank_on(draws)
    more = draws.more(answers) if ranking.close else None
    return rank_on(more) if more else ranking


def verdicts(labels, said, classes: int, random, groups=None):
    """Return the Ranking of models of one epoch, and their Figures on the usual draws."""
    draws = some_draws(labels, random, groups)
    figures = measured(labels, said, classes, draws)
    differing = differences(said) if groups is None else None

    def rank_on(these: Draws) -> Ranking:
        again = figures if these is draws else measured(labels, said, classes, these)
        return ranked(again, differing)

    return settled(rank_on, draws, len(said) * len(labels)), figures


def ranked(figures: list[Figures], differing: np.ndarray | None = None) -> Ranking:
    """Rank models by macro-F1; ``differing``: (M, M) numbers of different predictions."""
    observed = np.array([of_model.corrected[PLACE] for of_model in figures])
    draws = np.array([of_model.draws[PLACE] for of_model in figures])
    some = np.full((len(figures),) * 2, 400) if differing is None else differing
    left_out = np.array([of_model.left_out[PLACE] for of_model in figures])
    return rank(observed, draws, left_out, some)


def differences(said: list[np.ndarray]) -> np.ndarray:
    first = np.array([epochs[0] for epochs in said])
    return (first[:, None] != first[None]).sum(-1)


def covered(figures: Figures, truth: np.ndarray) -> np.ndarray:
    """Say for each metric (K,) if its interval holds the truth."""
    found = estimates(figures).values()
    return np.array([e.low <= true <= e.high for e, true in zip(found, truth, strict=True)])


def equal(errors: str, pairs: int, models: int, classes: int, skewed: bool, repetitions: int):
    """Equally good models: false verdicts and cover, or no verdict where pairs are too few."""
    world, random = ERRORS[errors](Population(classes, skewed)), np.random.default_rng(1)
    truth, false, held = world.truth(world.typical()), 0, np.zeros(len(KEYS))
    for _ in range(repetitions):
        labels, said = world.draw([[world.typical()]] * models, pairs, random)
        ranking, figures = verdicts(labels, said, classes, random)
        false += ranking.worse.any()
        held += covered(figures[0], truth)
    found = {"false": false / repetitions, "no verdict": too_few(pairs, models)}
    return found | {f"cover {key}": h / repetitions for key, h in zip(KEYS, held, strict=True)}


def selection(errors: str, pairs: int, epochs: int, spread: float, repetitions: int):
    """The best of several epochs: how far its figure is from its truth, and cover."""
    population = Population(shared=0.5, within=0.35)
    world, random = Copula(population), np.random.default_rng(2)
    apparent, corrected, held = [], [], 0
    for _ in range(repetitions):
        skills = world.typical() + spread * random.standard_normal((epochs, 1))
        labels, (said,) = world.draw([np.clip(skills, 0.01, 0.99)], pairs, random)
        (figures,) = judged(labels, [said], 3, random)
        f1s = [_f1(labels, row) for row in said]
        truth = world.truth(skills[int(np.argmax(f1s))])
        apparent.append(figures.apparent[PLACE] - truth[PLACE])
        corrected.append(figures.corrected[PLACE] - truth[PLACE])
        held += covered(figures, truth)[PLACE]
    return {
        "bias apparent": 100 * np.mean(apparent),
        "bias": 100 * np.mean(corrected),
        "cover": held / repetitions,
    }


def worth(errors: str, fusions: int, gain: float, repetitions: int, pairs: int = 400):
    """Equal fusions against two equal single modalities, ``gain`` points worse: what the gain is
    off by, how often a gain or a loss is claimed that is not there, and cover."""
    world, random = ERRORS[errors](Population()), np.random.default_rng(10)
    better = world.typical()
    worse = world.with_f1(world.truth(better)[PLACE] - gain / 100) if gain else better
    found, false, held = [], 0, 0
    for _ in range(repetitions):
        labels, said = world.draw([[better]] * fusions + [[worse]] * 2, pairs, random)
        figures = judged(labels, said, 3, random)
        *_, estimate = gained(figures[:fusions], figures[fusions:])
        found.append(100 * estimate.value - gain)
        false += estimate.low > gain / 100 or estimate.high < min(gain, 0) / 100
        held += 100 * estimate.low <= gain <= 100 * estimate.high
    return {"bias": np.mean(found), "false": false / repetitions, "cover": held / repetitions}


def first(errors: str, models: int, bad: int, ahead: float, repetitions: int, pairs: int = 400):
    """The figure of the model that comes first: how far it is from that model's truth, and cover.

    ``bad`` models are 15 points worse, one is ``ahead`` points better than the others."""
    world, random = ERRORS[errors](Population()), np.random.default_rng(11)
    usual = world.typical()
    f1 = world.truth(usual)[PLACE]
    skills = [world.with_f1(f1 + ahead / 100) if ahead else usual, *[usual] * (models - 1 - bad)]
    skills += [world.with_f1(f1 - 0.15)] * bad
    truths = [world.truth(skill)[PLACE] for skill in skills]
    own, bias, held = [], [], 0
    for _ in range(repetitions):
        labels, said = world.draw([[skill] for skill in skills], pairs, random)
        ranking, figures = verdicts(labels, said, 3, random)
        estimate = as_best(figures, ranking.worse)
        truth = truths[ranking.best]
        own.append(100 * (estimate.value - truth))
        bias.append(100 * (estimate.corrected - truth))
        held += estimate.low <= truth <= estimate.high
    found = {"bias of its own figure": np.mean(own), "bias": np.mean(bias)}
    return found | {"cover": held / repetitions}


def tagged(errors: str, epochs: int, ahead: float, gain: float, repetitions: int, pairs: int = 400):
    """The winner of five models against the same model with a tag, which is ``gain`` points better
    and chose no epoch: how far the gain is from that, false verdicts and cover.

    The first model is ``ahead`` points better than the others."""
    world, random = ERRORS[errors](Population()), np.random.default_rng(13)
    f1 = world.truth(world.typical())[PLACE]
    skills = [world.with_f1(f1 + points / 100) for points in (ahead, 0, 0, 0, 0)]
    tuned = [world.with_f1(world.truth(skill)[PLACE] + gain / 100) for skill in skills]
    bias, false, held = [], 0, 0
    for _ in range(repetitions):
        models = [[skill] * epochs for skill in skills] + [[skill] for skill in tuned]
        labels, said = world.draw([np.array(each) for each in models], pairs, random)
        figures = judged(labels, said, 3, random)
        ranking = ranked(figures[:5])
        best = as_best(figures[:5], ranking.worse)
        winner, twin = figures[ranking.best], figures[5 + ranking.best]
        found = gained_by_tag(winner, twin, best.value - best.corrected)
        bias.append(100 * found.value - gain)
        false += 100 * found.low > gain
        held += 100 * found.low <= gain <= 100 * found.high
    return {"bias": np.mean(bias), "false": false / repetitions, "cover": held / repetitions}


def twins(errors: str, repetitions: int, pairs: int = 400):
    """Two equal models and six near twins of the first, which differ from it on a few pairs."""
    world, random, false = ERRORS[errors](Population()), np.random.default_rng(12), 0
    for _ in range(repetitions):
        labels, said = world.draw([[world.typical()]] * 2, pairs, random)
        for changed in random.integers(1, 15, 6):
            twin, places = said[0].copy(), random.choice(pairs, changed, replace=False)
            twin[0, places] = random.permutation(twin[0, places])
            said.append(twin)
        ranking, _ = verdicts(labels, said, 3, random)
        false += ranking.worse.any()
    return {"false": false / repetitions}


def _f1(labels: np.ndarray, said: np.ndarray) -> float:
    counts = np.bincount(labels * 3 + said, minlength=9).reshape(3, 3)
    return float(scores(counts)[MAIN.key])


def seeds(sizes: list[int], spreads: list[float], gap: float, repetitions: int, pairs: int = 400):
    """Families of several seeds, the first one better by ``gap`` points, all spreads in points."""
    population = Population(shared=0.7, within=0.15)
    world, random = Copula(population), np.random.default_rng(3)
    middle = world.truth(world.typical())[PLACE]
    means = np.full(len(sizes), middle - gap / 200)
    means[0] += gap / 100
    false, found, held = 0, 0.0, np.zeros(len(sizes))
    for _ in range(repetitions):
        families = [
            [world.with_f1(m + s / 100 * random.standard_normal()) for _ in range(size)]
            for m, s, size in zip(means, spreads, sizes, strict=True)
        ]
        # The seeds of a family share its errors: they are drawn as if they were its epochs.
        labels, said = world.draw([np.array(skills) for skills in families], pairs, random)
        draws = some_draws(labels, random)
        of_families, ranking = families_ranked(labels, said, draws, int(random.integers(2**31)))
        false += ranking.worse.any()
        found += ranking.worse[1:].mean() if ranking.best == 0 else 0
        column = MAIN.column
        for place, figures in enumerate(of_families):
            estimate = estimates(figures)[column]
            held[place] += estimate.low <= means[place] <= estimate.high
    cover = held / repetitions
    return {"false": false / repetitions, "power": found / repetitions, "cover": cover.min()}


def families_ranked(labels, said, draws: Draws, seed: int) -> tuple[list[Figures], Ranking]:
    """Return the Figures of families, whose seeds say this (S, N), on these draws, and their
    Ranking; ``seed`` is that of the luck of the seeds."""

    def figures(these: Draws) -> list[Figures]:
        return over_seeds([measured(labels, rows[:, None], 3, these) for rows in said], seed)

    usual, answers = figures(draws), sum(rows.size for rows in said)
    ranking = settled(
        lambda these: ranked(usual if these is draws else figures(these)), draws, answers
    )
    return usual, ranking


def one_seed(spread: float, pairs: int, repetitions: int):
    """One run each: how often a run is called worse that is truly at least as good."""
    world, random = Copula(Population()), np.random.default_rng(4)
    middle, false = world.truth(world.typical())[PLACE], 0
    for _ in range(repetitions):
        f1s = middle + spread / 100 * random.standard_normal(5)
        labels, said = world.draw([world.with_f1(f1)[None] for f1 in f1s], pairs, random)
        ranking, _ = verdicts(labels, said, 3, random)
        false += bool((ranking.worse & (f1s >= f1s[ranking.best])).any())
    return {"false": false / repetitions}


def copies(kind: str, repetitions: int, pairs: int = 400):
    """Validation pairs that are copies of each other, in the text and the photo alike."""
    sizes = {
        "half in twos": [2] * (pairs // 4) + [1] * (pairs // 2),
        "half in fives": [5] * (pairs // 10) + [1] * (pairs // 2),
        "all in fours": [4] * (pairs // 4),
    }[kind]
    groups = np.repeat(np.arange(len(sizes)), sizes)
    world, random = Copula(Population()), np.random.default_rng(5)
    truth, false, held = world.truth(world.typical()), 0, 0
    for _ in range(repetitions):
        labels, said = world.draw([[world.typical()]] * 5, len(sizes), random)
        labels, said = labels[groups], [epochs[:, groups] for epochs in said]
        ranking, figures = verdicts(labels, said, 3, random, groups)
        false += ranking.worse.any()
        held += covered(figures[0], truth)[PLACE]
    return {"false": false / repetitions, "cover": held / repetitions}


def doubtful(classes: int, pairs: int, right: float, repetitions: int):
    """Very good models and rare classes: cover of the intervals that are not marked."""
    population = Population(classes, skewed=classes == 10)
    world, random = Copula(population), np.random.default_rng(6)
    skill = np.full(classes, right) if right else world.typical()
    truth, names = world.truth(skill), [f"class {place}" for place in range(classes)]
    held, unmarked = np.zeros(len(KEYS)), 0
    for _ in range(repetitions):
        labels, said = world.draw([[skill]], pairs, random)
        if doubts(labels, said[0][0], names):
            continue
        unmarked += 1
        held += covered(judged(labels, said, classes, random)[0], truth)
    shares = held / unmarked if unmarked >= 100 else np.ones(len(KEYS))
    return {"marked": 1 - unmarked / repetitions} | {
        f"cover {key}": share for key, share in zip(KEYS, shares, strict=True)
    }


def smallest(repetitions: int, pairs: int = 400):
    """Four near clones and one independent model: power at the difference that is stated.

    The stated difference of each repetition is given to the next one as the true difference.
    """
    close = Copula(Population(shared=0.95, within=0.0))
    apart = Copula(Population(shared=0.0, within=0.0))
    random = np.random.default_rng(8)
    middle, difference, found, counted, stated = close.truth(close.typical())[PLACE], 0.1, 0, 0, []
    for repetition in range(repetitions):
        better = close.with_f1(middle + difference / 2)
        labels, clones = close.draw([[better]] * 4, pairs, random)
        worse = apart.with_f1(middle - difference / 2)
        other = _says_of(apart, worse, labels, random)
        ranking, _ = verdicts(labels, [*clones, other], 3, random)
        if repetition >= min(20, repetitions // 2):
            counted += 1
            found += ranking.worse[4]
        stated.append(ranking.smallest_difference)
        difference = float(np.mean(stated[-20:]))
    return {"power": found / counted, "stated": 100 * np.mean(stated)}


def _says_of(world: Copula, skill, labels, random) -> np.ndarray:
    usual, common = random.integers(1, 3, len(labels)), np.zeros(len(labels))
    return world._says(labels, np.atleast_2d(skill), common, usual, random)


def stable(repetitions: int):
    """How many of 36 verdicts change with the seed of the draws (families of one to five seeds)."""
    world, random = Copula(Population(shared=0.7, within=0.15)), np.random.default_rng(9)
    middle, changed = world.truth(world.typical())[PLACE], 0
    for case in range(repetitions):
        size, gap = (1, 2, 3, 5)[case % 4], (0.0, 0.04, 0.08)[case % 3]
        f1s = middle - gap / 2 + gap * (np.arange(3) == 0)[:, None]
        f1s = f1s + 0.01 * random.standard_normal((3, size))
        skills = [np.array([world.with_f1(f1) for f1 in row]) for row in f1s]
        labels, said = world.draw(skills, 400, random)
        found = set()
        for seed in range(5):
            _, ranking = families_ranked(labels, said, Draws(np.arange(400), seed=seed), seed)
            found.add(tuple(ranking.worse))
        changed += len(found) > 1
    return {"changed": changed, "of": repetitions}


def absent(repetitions: int):
    """A class without a validation pair: the model with more pairs right is the better one."""
    labels = np.array([0] * 50 + [1] * 50)
    better = np.where(np.arange(100) % 10, labels, 2)  # .90 right, its errors in the absent class
    worse = np.where(np.arange(100) % 5, labels, 1 - labels)  # .80 right
    figures = judged(labels, [better[None], worse[None]], 3, np.random.default_rng(0))
    return {"better first": float(figures[0].apparent[PLACE] > figures[1].apparent[PLACE])}


# ---------------------------------------------------------------------------------------- the table


@dataclass(frozen=True)
class Cell:
    """One setting of a row: what to measure, and what must hold of it."""

    row: str
    measure: Callable[..., dict[str, float]]
    arguments: dict
    holds: Callable[[dict[str, float]], bool]
    must: str
    repetitions: int | None = None  # where it is not that of the command line

    @property
    def name(self) -> str:
        return f"{self.row}: " + ", ".join(f"{k} {v}" for k, v in self.arguments.items())


def within(share: float) -> bool:
    return COVER[0] <= share <= COVER[1]


def cells() -> Iterable[Cell]:
    yield from _of_equal_models()
    for pairs, epochs, spread in ((100, 5, 0.0), (400, 5, 0.0), (400, 5, 0.01), (400, 20, 0.0)):
        yield Cell(
            "selection",
            selection,
            {"errors": "copula", "pairs": pairs, "epochs": epochs, "spread": spread},
            lambda found: abs(found["bias"]) <= 0.5 and within(found["cover"]),
            "bias within 0.5 points, cover 93 to 97 %",
        )
    for errors, models, bad, ahead in (
        *((errors, 5, 0, 0) for errors in ERRORS),
        *((errors, 20, 0, 0) for errors in ("copula", "heavy")),
        *(("heavy", 5, 2, ahead) for ahead in (0, 2, 5, 10)),
    ):
        limit = 0.7 if models == 5 else 1.5
        yield Cell(
            "first",
            first,
            {"errors": errors, "models": models, "bad": bad, "ahead": ahead},
            lambda found, limit=limit: (
                abs(found["bias"]) <= limit and 0.94 <= found["cover"] <= 0.98
            ),
            f"bias within {limit} points, cover 94 to 98 %",
        )
    for errors, epochs, ahead, gain in (
        *((errors, epochs, 0, 0) for errors in ERRORS for epochs in (1, 5)),
        ("copula", 5, 3, 0),
        ("copula", 5, 0, 4),
    ):
        yield Cell(
            "tagged",
            tagged,
            {"errors": errors, "epochs": epochs, "ahead": ahead, "gain": gain},
            lambda found: found["false"] <= 0.05 and 0.93 <= found["cover"] <= 0.98,
            "called better than it is at most 5 %, cover 93 to 98 %",
        )
    for errors in ERRORS:
        yield Cell(
            "twins",
            twins,
            {"errors": errors},
            lambda found: found["false"] <= FALSE,
            "false at most 6 %",
        )
    for errors, fusions, gain in (
        ("copula", 5, 0),
        ("copula", 10, 0),
        ("latent", 5, 0),
        ("latent", 10, 0),
        ("copula", 5, 5),
    ):
        yield Cell(
            "worth",
            worth,
            {"errors": errors, "fusions": fusions, "gain": gain},
            lambda found: abs(found["bias"]) <= 0.5 and found["false"] <= 0.05,
            "bias within 0.5 points, false claims at most 5 %",
        )
    for spread, pairs in ((0, 400), (1, 400), (2.5, 400), (1, 2000), (2.5, 2000)):
        yield Cell(
            "one-seed",
            one_seed,
            {"spread": spread, "pairs": pairs},
            lambda found: found["false"] <= FALSE,
            "of runs: false at most 6 %",
        )
    yield from _of_seeds()
    for kind in ("half in twos", "half in fives", "all in fours"):
        yield Cell(
            "copies",
            copies,
            {"kind": kind},
            lambda found: found["false"] <= FALSE and within(found["cover"]),
            "false at most 6 %, cover 93 to 97 %",
        )
    for classes, pairs, right in (
        (3, 400, 0.99),
        (3, 400, 0.96),
        (3, 100, 0.9),
        (10, 100, 0),
        (10, 800, 0),
    ):
        yield Cell(
            "doubtful",
            doubtful,
            {"classes": classes, "pairs": pairs, "right": right},
            lambda found: all(share >= 0.93 for key, share in found.items() if "cover" in key),
            "cover of unmarked intervals at least 93 %",
        )
    yield Cell("smallest", smallest, {}, lambda found: found["power"] >= 0.8, "power at least 80 %")
    yield Cell("stable", stable, {}, lambda found: not found["changed"], "none of 36 changes", 36)
    yield Cell("absent", absent, {}, lambda found: found["better first"] == 1, "the better one", 1)


def _of_equal_models() -> Iterable[Cell]:
    settings = [
        ("copula", 30, 5, 3, True),
        ("copula", 60, 2, 3, True),
        ("copula", 60, 5, 3, True),
        ("copula", 30, 20, 3, True),
        ("copula", 100, 20, 3, True),
        ("copula", 100, 5, 3, True),
        ("copula", 240, 5, 3, True),
        ("copula", 240, 20, 3, True),
        ("copula", 400, 2, 3, True),
        ("copula", 400, 5, 3, False),
        ("copula", 2000, 5, 10, True),
        ("latent", 400, 5, 3, True),
        ("latent", 400, 2, 10, False),
        ("latent", 2000, 5, 3, False),
    ]
    for errors, pairs, models, classes, skewed in settings:
        names = ("errors", "pairs", "models", "classes", "skewed")
        values = (errors, pairs, models, classes, skewed)
        yield Cell(
            "equal",
            equal,
            dict(zip(names, values, strict=True)),
            lambda found: found["false"] <= FALSE or found["no verdict"],
            "false at most 6 %, or too few pairs for a verdict",
        )


def _of_seeds() -> Iterable[Cell]:
    least = {(1, 2): 0.5, (1, 3): 0.65, (1, 5): 0.85}
    for spread in (0, 1, 2.5):
        for size in (2, 3, 5):
            floor = least.get((spread, size), 0.0)
            yield Cell(
                "seeds",
                seeds,
                {"sizes": [size] * 5, "spreads": [spread] * 5, "gap": 0},
                lambda found: found["false"] <= FALSE and found["cover"] >= 0.92,
                "false at most 6 %, cover at least 92 %",
            )
            yield Cell(
                "seeds",
                seeds,
                {"sizes": [size] * 5, "spreads": [spread] * 5, "gap": 8},
                lambda found, floor=floor: found["power"] >= floor,
                f"power at least {floor}",
            )
    unequal = (
        ([3] * 5, [0.5, 0.5, 1, 2.5, 2.5]),
        ([5] * 5, [0, 0, 0, 0, 5]),
        ([1, 1, 5, 5], [1] * 4),
        ([1, 1, 5, 5], [2.5] * 4),
        ([1, 5, 5, 5], [5] * 4),
    )
    for sizes, spreads in unequal:
        yield Cell(
            "lone-seeds" if 1 in sizes else "seeds",
            seeds,
            {"sizes": sizes, "spreads": spreads, "gap": 0},
            lambda found: found["false"] <= 0.08 and found["cover"] >= 0.92,
            "false at most 8 %, cover at least 92 %",
        )


def _measure(place: int, repetitions: int) -> tuple[int, dict[str, float]]:
    cell = list(cells())[place]
    found = cell.measure(**cell.arguments, repetitions=cell.repetitions or repetitions)
    return place, {key: float(value) for key, value in found.items()}


def _line(cell: Cell, found: dict[str, float]) -> str:
    figures = ", ".join(f"{key} {value:.3f}" for key, value in found.items())
    return f"{'holds' if cell.holds(found) else 'FAILS'}  {cell.name}: {figures} ({cell.must})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--rows", default="", help="only these, with commas between them")
    parser.add_argument("--results", type=Path, default=Path("simulation.json"))
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    args = parser.parse_args()
    rows = {name.strip() for name in args.rows.split(",") if name.strip()}
    wanted = [(p, cell) for p, cell in enumerate(cells()) if not rows or cell.row in rows]
    kept = json.loads(args.results.read_text("utf-8")) if args.results.exists() else {}
    missing = []
    for place, cell in wanted:
        key = f"{cell.name} x {cell.repetitions or args.repetitions}"
        if key in kept:
            print(_line(cell, kept[key]), flush=True)
        else:
            missing.append((place, cell, key))
    with ProcessPoolExecutor(args.jobs) as pool:
        jobs = [pool.submit(_measure, place, args.repetitions) for place, _, _ in missing]
        by_place = {place: (cell, key) for place, cell, key in missing}
        for job in as_completed(jobs):
            place, found = job.result()
            cell, key = by_place[place]
            kept[key] = found
            write_result(args.results, json.dumps(kept, indent=1).encode())
            print(_line(cell, found), flush=True)


if __name__ == "__main__":
    main()
