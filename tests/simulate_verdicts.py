"""Measure if intervals and verdicts keep their promise, on models whose true skill is known.

    python tests/simulate_verdicts.py            # about half an hour on one core
    python tests/simulate_verdicts.py --seeds    # groups of several seeds

For each kind of validation set: how often any of 2, or of 5, equally good models is called worse (at most 6 %), how
often the 95 % interval of each metric holds the true value (93 to 97 %), and how often a model 5 points of macro-F1
below the best is called worse.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1] / "stage2_compare" / "scripts"))

from common.comparison.bootstrap import intervals, over_seeds, resample
from common.comparison.ranking import rank
from common.metrics import confusion_matrix, scores

KEYS = ("acc", "f1_macro", "precision_macro", "recall_macro")
SIGNAL = {3: 1.2, 10: 1.8}
SKEWED = {
    3: [0.6, 0.3, 0.1],
    10: [0.2] * 3 + [0.1] * 3 + [0.025] * 4,
}  # groups of classes with 60, 30 and 10 %
ERRORS = ("independent", "correlated", "of two kinds")


@dataclass(frozen=True)
class Setting:
    pairs: int
    classes: int
    skewed: bool
    errors: (
        str  # of ERRORS; of two kinds: correlated, and every second model favours the first class
    )

    @property
    def priors(self) -> np.ndarray:
        return (
            np.array(SKEWED[self.classes])
            if self.skewed
            else np.full(self.classes, 1 / self.classes)
        )

    @property
    def shared(self) -> float:
        return 0.0 if self.errors == "independent" else 0.5


@dataclass(frozen=True)
class Skill:
    """A model sees the true class by ``signal`` against normal noise, and the first class by ``favour`` too much."""

    signal: float
    favour: float = 0.0


def draw(setting: Setting, skills: list[Skill], pairs: int, random: np.random.Generator):
    """Labels (N,) and what each model predicts (M, N)."""
    labels = random.choice(setting.classes, pairs, p=setting.priors)
    common = np.sqrt(setting.shared) * random.standard_normal((pairs, setting.classes), np.float32)
    predicted = []
    for skill in skills:
        own = random.standard_normal((pairs, setting.classes), np.float32)
        seen = common + np.sqrt(1 - setting.shared) * own
        seen[np.arange(pairs), labels] += skill.signal
        seen[:, 0] += skill.favour
        predicted.append(seen.argmax(1))
    return labels, np.array(predicted)


def truth(setting: Setting, skill: Skill, pairs: int = 500_000) -> dict[str, float]:
    """Metrics over so many pairs, the same ones for every skill, that they pass for the population's."""
    labels, (predicted,) = draw(setting, [skill], pairs, np.random.default_rng(7))
    return scores(confusion_matrix(labels, predicted, setting.classes))


def skill_for(setting: Setting, f1: float, favour: float = 0.0) -> Skill:
    """With this true macro-F1."""
    low, high = 0.0, 6.0
    for _ in range(12):
        middle = (low + high) / 2
        below = truth(setting, Skill(middle, favour), 300_000)["f1_macro"] < f1
        low, high = (middle, high) if below else (low, middle)
    return Skill((low + high) / 2, favour)


def differing(predicted: np.ndarray) -> np.ndarray:
    return (predicted[:, None] != predicted[None]).sum(-1)


def equal_models(setting: Setting, repetitions: int, seed: int = 0) -> dict[str, float]:
    """Shares of repetitions with a false verdict, and of intervals that hold the truth."""
    random = np.random.default_rng(seed)
    skills = [Skill(SIGNAL[setting.classes])] * 5
    if setting.errors == "of two kinds":
        f1 = truth(setting, skills[0], 300_000)["f1_macro"]
        skills[1::2] = [skill_for(setting, f1, favour=0.5)] * 2
    true = {skill: truth(setting, skill) for skill in set(skills)}
    false, held = {2: 0, 5: 0}, dict.fromkeys(KEYS, 0)
    for _ in range(repetitions):
        labels, predicted = draw(setting, skills, setting.pairs, random)
        figures = resample(labels, predicted, setting.classes, seed=int(random.integers(2**31)))
        for models in false:
            false[models] += rank(
                first(figures["f1_macro"], models), differing(predicted[:models])
            ).worse.any()
        for metric in KEYS:
            estimates = intervals(figures[metric])
            held[metric] += np.mean(
                [e.low <= true[s][metric] <= e.high for e, s in zip(estimates, skills, strict=True)]
            )
    shares = {**{f"worse of {models}": count for models, count in false.items()}, **held}
    return {name: float(count / repetitions) for name, count in shares.items()}


def first(figures, models: int):
    return type(figures)(
        figures.observed[:models], figures.draws[:models], figures.left_out[:models]
    )


def power(
    setting: Setting, repetitions: int, points: float = 0.05, seed: int = 1
) -> dict[str, float]:
    """Return the share of cases in which a model so far below the best is called worse, alone with it and as one of
    four; and the average of the smallest difference that could be shown."""
    random = np.random.default_rng(seed)
    lower = Skill(SIGNAL[setting.classes])
    higher = skill_for(setting, truth(setting, lower, 300_000)["f1_macro"] + points)
    called, smallest = {2: 0.0, 5: 0.0}, 0.0
    for _ in range(repetitions):
        labels, predicted = draw(setting, [higher, *[lower] * 4], setting.pairs, random)
        figures = resample(labels, predicted, setting.classes, seed=int(random.integers(2**31)))
        for models in called:
            ranking = rank(first(figures["f1_macro"], models), differing(predicted[:models]))
            called[models] += ranking.worse[1:].mean() if ranking.best == 0 else 0
        smallest += ranking.smallest_difference
    shares = {
        **{f"power of {models}": count for models, count in called.items()},
        "smallest of 5": smallest,
    }
    return {name: float(value / repetitions) for name, value in shares.items()}


def seed_groups(seeds: int, spread: float, repetitions: int, seed: int = 2) -> dict[str, float]:
    """Four equally good groups of several seeds on 400 pairs, 3 skewed classes: false verdicts, and intervals of
    macro-F1 that hold the mean over all seeds. ``spread`` of the signal over seeds: 0.1 is about 2.5 points of F1."""
    setting, random = Setting(400, 3, True, "correlated"), np.random.default_rng(seed)
    levels = np.linspace(-2, 2, 9)
    density = np.exp(-(levels**2) / 2)
    level_f1 = [
        truth(setting, Skill(SIGNAL[3] + spread * level), 300_000)["f1_macro"] for level in levels
    ]
    true = np.average(level_f1, weights=density)
    places = [list(range(seeds * i, seeds * (i + 1))) for i in range(4)]
    false = held = 0
    for _ in range(repetitions):
        skills = [Skill(SIGNAL[3] + spread * random.standard_normal()) for _ in range(4 * seeds)]
        labels, predicted = draw(setting, skills, setting.pairs, random)
        now = int(random.integers(2**31))
        figures = over_seeds(resample(labels, predicted, 3, seed=now)["f1_macro"], places, now)
        false += rank(figures, np.full((4, 4), 400)).worse.any()
        held += np.mean([e.low <= true <= e.high for e in intervals(figures)])
    return {"worse of 4": float(false / repetitions), "f1_macro": float(held / repetitions)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Simulate intervals and verdicts on models of known skill."
    )
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--seeds", action="store_true", help="groups of several seeds instead")
    args = parser.parse_args()
    if args.seeds:
        print("seeds  spread of the signal  worse of 4  macro-F1 covered")
        for seeds, spread in itertools.product((2, 3, 5), (0.0, 0.1, 0.25)):
            result = seed_groups(seeds, spread, args.repetitions)
            print(
                f"{seeds:5}  {spread:20}  {result['worse of 4']:10.1%}  {result['f1_macro']:16.1%}",
                flush=True,
            )
        return
    print(
        "                                   called worse   interval holds the truth    5 points found   smallest"
    )
    print(
        "pairs classes         errors        of 2   of 5    acc    F1   prec   rec        of 2   of 5      of 5"
    )
    for pairs, classes, skewed, errors in itertools.product(
        (400, 2000), (3, 10), (False, True), ERRORS
    ):
        setting = Setting(pairs, classes, skewed, errors)
        result = equal_models(setting, args.repetitions) | power(
            setting, max(1, args.repetitions // 4)
        )
        balance = "60/30/10" if skewed else "balanced"
        shares = [
            result[key] for key in ("worse of 2", "worse of 5", *KEYS, "power of 2", "power of 5")
        ]
        print(
            f"{pairs:5} {classes:3} {balance}  {errors:12} "
            + " ".join(f"{share:6.1%}" for share in shares)
            + f"  {result['smallest of 5']:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
