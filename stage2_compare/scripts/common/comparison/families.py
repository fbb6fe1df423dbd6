"""Which runs are of one model: its folds are joined, its seeds averaged, its best rate chosen."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from ..runs.reading import Run


@dataclass(frozen=True)
class Trial:
    """One training of a model: one run, or one run per fold."""

    runs: list[Run]  # by fold
    missing: list[int]  # folds without a run

    @property
    def rate(self) -> float | None:
        return self.runs[0].number("protocol", "lr")

    @property
    def seed(self) -> int | None:
        return self.runs[0].seed


@dataclass(frozen=True)
class Family:
    """All runs of one model."""

    name: str  # of the run; of several, without what tells them apart
    runs: list[Run]

    @cached_property
    def trials(self) -> list[Trial]:
        """Return the runs by rate and seed; their folds together."""
        by_trial = defaultdict(list)
        for run in self.runs:
            by_trial[run.number("protocol", "lr"), run.seed, _folds(run) is None].append(run)
        return [_trial(by_trial[key]) for key in sorted(by_trial, key=str)]

    @cached_property
    def by_rate(self) -> dict[float | None, list[Trial]]:
        """Return the trials that lack no fold."""
        found = defaultdict(list)
        for trial in self.trials:
            if not trial.missing:
                found[trial.rate].append(trial)
        return dict(found)

    @property
    def complete(self) -> list[Run]:
        """Return the runs of the trials that lack no fold."""
        return [run for trials in self.by_rate.values() for trial in trials for run in trial.runs]

    @property
    def incomplete(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.missing]

    @property
    def seeds(self) -> tuple:
        return tuple(sorted({run.seed for run in self.runs}, key=str))


def families(runs: Iterable[Run]) -> list[Family]:
    """Group runs of the same model under the same name but for fold, seed and learning rate."""
    groups = defaultdict(list)
    for run in runs:
        model = dict(run.recorded("model") or {})
        model.pop("batch_size", None)  # it depends on the memory that was free
        groups[_plain_name(run), json.dumps(model, sort_keys=True)].append(run)
    named = []
    for members in groups.values():
        of_one_rate = len({_rate(run) for run in members}) == 1
        name = _without_fold_and_seed(members[0]) if of_one_rate else _plain_name(members[0])
        named.append((name if len(members) > 1 else members[0].name, members))
    times = Counter(name for name, _ in named)
    return [Family(name if times[name] == 1 else runs[0].name, runs) for name, runs in named]


def _plain_name(run: Run) -> str:
    """Return the name of a run without the endings that ``settings.run_name`` adds."""
    return _without_fold_and_seed(run).removesuffix(f"_lr{_rate(run):g}")


def _without_fold_and_seed(run: Run) -> str:
    name = run.name.removesuffix(f"_fold{run.recorded('protocol', 'fold')}")
    return name.removesuffix(f"_seed{run.seed}")


def _rate(run: Run) -> float:
    return run.number("protocol", "lr") or 0.0


def _folds(run: Run) -> int | None:
    """Return how many folds a run is one of, None for a run on the plain split."""
    fold, folds = run.recorded("protocol", "fold"), run.recorded("protocol", "folds")
    known = isinstance(fold, int) and isinstance(folds, int) and 1 <= fold <= folds <= 1000
    return folds if known else None


def _trial(runs: list[Run]) -> Trial:
    folds = _folds(runs[0])
    if folds is None:
        return Trial(runs[:1], [])
    by_fold = {run.recorded("protocol", "fold"): run for run in runs}
    missing = [fold for fold in range(1, folds + 1) if fold not in by_fold]
    return Trial([by_fold[fold] for fold in sorted(by_fold)], missing)
