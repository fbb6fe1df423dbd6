"""Which runs are of one model: its folds are joined, its seeds averaged, its best rate chosen."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..files import folder_name
from ..runs.labels import plain_name, run_names, without_fold_and_seed
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


@dataclass(eq=False)
class Model:
    """All runs of one model under one protocol."""

    folder: str  # name of its run folder; of several, without what tells them apart
    runs: list[Run]
    name: str = ""  # see runs.labels

    @cached_property
    def trials(self) -> list[Trial]:
        """Return the runs by rate and seed; their folds together."""
        by_trial = defaultdict(dict)
        for run in self.runs:
            fold, folds = _fold(run)
            by_trial[run.number("protocol", "lr"), run.seed, folds].setdefault(fold, run)
        found = []
        for (*_, folds), runs in sorted(by_trial.items(), key=lambda item: str(item[0])):
            missing = [fold for fold in range(1, folds + 1) if fold not in runs]
            found.append(Trial([runs[fold] for fold in sorted(runs)], missing))
        return found

    @cached_property
    def by_rate(self) -> dict[float | None, list[Trial]]:
        """Return the trials that can be judged: no fold is missing, and all predictions are kept."""
        found = defaultdict(list)
        for trial in self.trials:
            if not trial.missing and all(run.predictions for run in trial.runs):
                found[trial.rate].append(trial)
        return dict(found)

    @property
    def imported(self) -> bool:
        """Say if its predictions were made elsewhere: nothing is known of its training."""
        return self.runs[0].imported

    @property
    def has_probabilities(self) -> bool:
        """Say if its probabilities are known; imported predictions may lack them."""
        return not self.imported or self.runs[0].predictions.probabilities is not None

    @property
    def seeds(self) -> tuple:
        return tuple(sorted({run.seed for run in self.runs}, key=str))

    @cached_property
    def run_names(self) -> dict[str, str]:
        """Return the name of each run by that of its folder."""
        folders = [run.name for run in self.runs]
        return dict(zip(folders, run_names(self.name, self.runs), strict=True))


def model_record(run: Run) -> dict[str, Any]:
    """Return what tells the model of a run from others; its micro-batch depends on the memory that was
    free."""
    recorded = run.recorded("model") or {}
    return {name: value for name, value in recorded.items() if name != "batch_size"}


def models(runs: Iterable[Run]) -> list[Model]:
    """Group runs of the same model in folders of the same name but for fold, seed and rate."""
    groups = defaultdict(list)
    for run in sorted(runs, key=lambda run: run.name):
        recorded = model_record(run)
        # One of the hub may also have been given as a folder, whose name has no owner before it.
        name = str(recorded.get("name"))
        folder = plain_name(run).replace(folder_name(name), folder_name(name.rpartition("/")[2]))
        groups[folder, json.dumps(recorded, sort_keys=True), run.tag].append(run)
    named = []
    for (*_, tag), members in groups.items():
        of_one_rate = len({run.number("protocol", "lr") for run in members}) == 1
        folder = without_fold_and_seed(members[0]) if of_one_rate else plain_name(members[0])
        folder += f"_{tag}" if tag else ""
        named.append((folder if len(members) > 1 else members[0].name, members))
    times = Counter(folder for folder, _ in named)
    found = [Model(name if times[name] == 1 else runs[0].name, runs) for name, runs in named]
    return sorted(found, key=lambda model: model.folder)


def _fold(run: Run) -> tuple[int, int]:
    """Return which fold a run is on, of how many; 0 and 0 where it is on the plain split."""
    fold, folds = run.recorded("protocol", "fold"), run.recorded("protocol", "folds")
    known = isinstance(fold, int) and isinstance(folds, int) and 1 <= fold <= folds <= 1000
    return (fold, folds) if known else (0, 0)
