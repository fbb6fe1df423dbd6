"""The pairs that a group of models was validated on, what each model said of them, and sets of them
to look at."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..comparison.doubtful import label_scores, of_label
from ..comparison.models import Model
from ..comparison.results import Group
from ..settings import BASELINES

SURE = 0.9  # the probability from which an error counts as confident


@dataclass(frozen=True)
class PairTable:
    """N pairs and what M models said of them, their seeds and folds joined."""

    classes: list[str]  # (C,)
    guids: list[str]  # (N,)
    labels: np.ndarray  # (N,) places in classes
    models: list[Model]  # (M,) with an answer for every pair, best first
    predicted: np.ndarray  # (M, N) places in classes
    shares: np.ndarray  # (M, N, C) probabilities; nan where an imported model has told none
    copies: np.ndarray | None  # (N,) has a copy among the pairs; None where no run recorded it
    cut: np.ndarray  # (N,) has a text that is too long for at least one model
    decided: np.ndarray  # (M, N) comparison.decided.KINDS, "" where it was not measured

    def __len__(self) -> int:
        return len(self.guids)

    @property
    def key(self) -> str:
        """What a browser keeps the marks of these pairs under: pages from the disk share it."""
        told = json.dumps([self.classes, self.guids, self.labels.tolist()])
        return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @property
    def right(self) -> np.ndarray:
        return self.predicted == self.labels  # (M, N)

    @cached_property
    def of_label(self) -> np.ndarray:
        """(N,) mean probability of the given label."""
        return of_label(self.shares, self.labels)

    @cached_property
    def doubt(self) -> np.ndarray:
        """(N,) places from 0, the most doubtful label first, as in doubtful.csv."""
        scores = label_scores(self.shares, self.labels)
        return np.lexsort((self.guids, scores)).argsort()

    @property
    def disagreement(self) -> np.ndarray:
        """(N,) chance that two votes, drawn at random, are for different classes."""
        votes = (self.predicted[..., None] == np.arange(len(self.classes))).mean(0)  # (N, C)
        return 1 - (votes**2).sum(-1)

    @property
    def confidence(self) -> np.ndarray:
        """(N,) mean probability of what each model says."""
        return np.nanmean(self.shares.max(-1), 0)

    @property
    def only_right(self) -> np.ndarray:
        """(M,) on how many pairs a model is the only one that is right."""
        return (self.right & (self.right.sum(0) == 1)).sum(1)

    def confusion(self, place: int) -> np.ndarray:
        """Return the counts (C, C) of true by predicted classes of the model at a place."""
        count = len(self.classes)
        cells = self.labels * count + self.predicted[place]
        return np.bincount(cells, minlength=count * count).reshape(count, count)

    def confused(self, place: int, most: int) -> list[tuple[str, str, int]]:
        """Return true class, predicted class and count of a model's most frequent errors."""
        counts = self.confusion(place)
        np.fill_diagonal(counts, 0)
        order = np.argsort(-counts, axis=None, kind="stable")[:most]
        cells = zip(*np.unravel_index(order, counts.shape), strict=True)
        names = self.classes
        return [(names[i], names[j], int(counts[i, j])) for i, j in cells if counts[i, j]]

    @cached_property
    def modalities(self) -> dict[str, int]:
        """The places of the best model that reads the "text" alone, of the best that reads the
        "image" alone, and of the best that reads "both"; empty where one of them is missing."""
        found: dict[str, int] = {}
        for place, model in enumerate(self.models):
            fusion = model.runs[0].recorded("model", "fusion")
            if not model.imported:
                found.setdefault(fusion if fusion in BASELINES else "both", place)
        return {name: found[name] for name in (*BASELINES, "both")} if len(found) == 3 else {}


def gather(group: Group) -> PairTable | None:
    """Return the pairs of a group; None where no run has predictions."""
    if group.validation is None:
        return None
    pairs = group.validation.pairs
    found = [(model, group.answers(model)) for model in group.models]
    models, answers = zip(*((model, one) for model, one in found if one), strict=True)
    predicted, shares = map(np.stack, zip(*answers, strict=True))
    copies = np.bincount(pairs.groups)[pairs.groups] > 1 if pairs.groups_known else None
    cut = np.zeros(len(pairs), bool)
    for run in group.runs:
        if run.predictions and run.predictions.cut:
            cut[pairs.rows(run.predictions)] |= run.predictions.cut
    own = [group.decided.get(model.name) for model in models]
    decided = np.array([one.of_pairs if one else np.full(len(pairs), "") for one in own])
    of_pairs = pairs.classes, pairs.guids, pairs.labels
    return PairTable(*of_pairs, list(models), predicted, shares, copies, cut, decided)


def presets(table: PairTable) -> dict[str, np.ndarray]:
    """Return sets of pairs that are worth a look, (N,) each, without those that make no sense here."""
    right, predicted = table.right, table.predicted
    sure = table.shares.max(-1) >= SURE
    found = {
        "label": table.of_label < 1 / len(table.classes),  # less than a guess would give it
        "all_wrong": ~right.any(0),
        "sure": (~right & sure).any(0),
    }
    if len(table.models) > 1:
        found["one_right"] = right.sum(0) == 1
        found["disagree"] = (predicted != predicted[0]).any(0)
    if table.modalities:
        text, image, both = predicted[list(table.modalities.values())]
        found["image_decides"] = (text != image) & (both == image)
        found["text_decides"] = (text != image) & (both == text)
    if table.copies is not None:
        found["copies"] = table.copies
    return found
