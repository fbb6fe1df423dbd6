"""All pairs that runs were validated on, what each run said of them, and sets of them to look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..comparison.compare import Comparison
from ..runs.reading import Run

SURE = 0.9  # the probability from which an error counts as confident
AGREED = 0.7  # the mean probability from which runs that agree cast doubt on a label
NONE = -1  # instead of a class, where a run has no prediction for a pair


@dataclass(frozen=True)
class PairTable:
    """N pairs and what R runs said of them. A run of a fold has predictions for some of them."""

    classes: list[str]  # (C,) of all runs
    guids: list[str]  # (N,)
    labels: np.ndarray  # (N,) places in classes
    runs: list[Run]  # (R,) with predictions, best first
    chosen: np.ndarray  # (R, N) places in classes, or NONE
    shares: np.ndarray  # (R, N, C) float32 probabilities, 0 where there is no prediction
    copies: np.ndarray | None  # (N,) has a copy among the pairs; None where no run recorded it
    cut: np.ndarray  # (N,) has a text that is too long for at least one run

    def __len__(self) -> int:
        return len(self.guids)

    @property
    def keys(self) -> list[tuple[str, str]]:
        """(N,) guid and true class of each pair, by which its source is found."""
        classes = [self.classes[label] for label in self.labels]
        return list(zip(self.guids, classes, strict=True))

    @property
    def known(self) -> np.ndarray:
        """(R, N) where a run has a prediction."""
        return self.chosen != NONE

    @property
    def right(self) -> np.ndarray:
        return self.chosen == self.labels

    @property
    def wrong(self) -> np.ndarray:
        return self.known & ~self.right

    def confusion(self, place: int) -> np.ndarray:
        """Return the counts (C, C) of true by predicted classes of the run at a place."""
        known, count = self.known[place], len(self.classes)
        cells = self.labels[known] * count + self.chosen[place, known]
        return np.bincount(cells, minlength=count * count).reshape(count, count)


def gather(comparison: Comparison) -> PairTable | None:
    """Join the pairs of all runs; None where no run has predictions.

    A guid that has another true class in another run is another pair.
    """
    runs = [entry.runs[0] for entry in comparison.runs if entry.runs[0].predictions]
    if not runs:
        return None
    classes = list(dict.fromkeys(name for run in runs for name in run.predictions.classes))
    place_of = {name: place for place, name in enumerate(classes)}
    rows: dict[tuple[str, int], int] = {}
    for run in runs:
        for pair in _pairs(run, place_of):
            rows.setdefault(pair, len(rows))
    shape = (len(runs), len(rows))
    chosen, shares = np.full(shape, NONE, np.int16), np.zeros((*shape, len(classes)), np.float32)
    for place, run in enumerate(runs):
        own = np.array([rows[pair] for pair in _pairs(run, place_of)])
        columns = np.array([place_of[name] for name in run.predictions.classes])
        chosen[place, own] = columns[run.predictions.predicted]
        shares[place, own[:, None], columns] = run.predictions.probabilities
    guids, labels = [guid for guid, _ in rows], np.array([label for _, label in rows])
    copies, cut = _copies(runs, guids), _cut(runs, guids)
    return PairTable(classes, guids, labels, runs, chosen, shares, copies, cut)


def _pairs(run: Run, place_of: dict[str, int]) -> list[tuple[str, int]]:
    predictions = run.predictions
    places = [place_of[name] for name in predictions.classes]
    labels = (places[label] for label in predictions.labels)
    return list(zip(predictions.guids, labels, strict=True))


def _copies(runs: list[Run], guids: list[str]) -> np.ndarray | None:
    """Return which pairs are in a group of several, by the records of all runs."""
    recorded = [run.predictions for run in runs if run.predictions.groups is not None]
    if not recorded:
        return None
    found = set()
    for predictions in recorded:
        for guid, first in zip(predictions.guids, predictions.groups, strict=True):
            if guid != first:
                found |= {guid, first}
    return np.array([guid in found for guid in guids])


def _cut(runs: list[Run], guids: list[str]) -> np.ndarray:
    found = set()
    for predictions in (run.predictions for run in runs):
        known = predictions.cut or [False] * len(predictions.guids)
        found |= {guid for guid, cut in zip(predictions.guids, known, strict=True) if cut}
    return np.array([guid in found for guid in guids])


def presets(table: PairTable) -> dict[str, np.ndarray]:
    """Return sets of pairs that are worth a look, (N,) each, without those that make no sense here.

    Where all runs surely say the same other class, the label may be the error (after Northcutt,
    Jiang and Chuang 2021, Confident Learning).
    """
    known, right, wrong = table.known, table.right, table.wrong
    first = table.chosen[known.argmax(0), np.arange(len(table))]  # what one of the runs said
    disagree = (known & (table.chosen != first)).any(0)
    strength = table.shares.max(-1)  # (R, N)
    mean = (strength * known).sum(0) / known.sum(0)
    several = known.sum(0) > 1  # a pair of a fold may have one run alone
    found = {"all_wrong": ~right.any(0), "sure": (wrong & (strength >= SURE)).any(0)}
    if len(table.runs) > 1:
        found |= {"one_right": several & (right.sum(0) == 1), "disagree": disagree}
        found["label"] = ~right.any(0) & ~disagree & (mean >= AGREED) & several
    fusions = [run.recorded("model", "fusion") for run in table.runs]
    if "text" in fusions and "image" in fusions:  # the best run that sees only the one
        text, image = fusions.index("text"), fusions.index("image")
        both = known[text] & known[image]
        found["modalities"] = both & (table.chosen[text] != table.chosen[image])
    if table.copies is not None:
        found["copies"] = table.copies
    return found
