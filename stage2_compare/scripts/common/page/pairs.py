"""The pairs that a group of models was validated on, what each model said of them, and sets of them
to look at."""

from __future__ import annotations

import hashlib
import json
import re
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..comparison.models import Model
from ..comparison.pairs import Pairs
from ..comparison.results import Group
from ..comparison.tables import label_scores, of_label
from ..metrics import confusion_matrix
from ..settings import BASELINES
from .sources import Source

SURE = 0.9  # the probability from which an error counts as confident
_CHINESE = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")
_KINDS = (
    *("text_empty", "text_short", "text_middle", "text_long", "text_cut"),
    *("chinese", "not_chinese", "encoding_utf8", "encoding_other", "encoding_replaced"),
    *("photo_tall", "photo_square", "photo_wide", "photo_small", "photo_middle", "photo_large"),
)


@dataclass(frozen=True)
class PairTable:
    """N pairs and what M models said of them, their seeds and folds joined."""

    pairs: Pairs
    models: list[Model]  # (M,) with an answer for every pair, best first
    predicted: np.ndarray  # (M, N) places in the classes
    shares: np.ndarray  # (M, N, C) probabilities; nan where an imported model has told none
    cut: np.ndarray  # (N,) has a text that is too long for at least one model
    decided: np.ndarray  # (M, N) comparison.decided.KINDS, "" where it was not measured

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def key(self) -> str:
        """What a browser keeps the marks of these pairs under: pages from the disk share it."""
        told = json.dumps([self.pairs.classes, self.pairs.guids, self.pairs.labels.tolist()])
        return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @property
    def right(self) -> np.ndarray:
        return self.predicted == self.pairs.labels  # (M, N)

    @cached_property
    def of_label(self) -> np.ndarray:
        """(N,) mean probability of the given label."""
        return of_label(self.shares, self.pairs.labels)

    @cached_property
    def doubt(self) -> np.ndarray:
        """(N,) places from 0, the most doubtful label first, as in doubtful.csv."""
        scores = label_scores(self.shares, self.pairs.labels)
        return np.lexsort((self.pairs.guids, scores)).argsort()

    @property
    def disagreement(self) -> np.ndarray:
        """(N,) chance that two votes, drawn at random, are for different classes."""
        classes = np.arange(len(self.pairs.classes))
        votes = (self.predicted[..., None] == classes).mean(0)  # (N, C)
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
        return confusion_matrix(self.pairs.labels, self.predicted[place], len(self.pairs.classes))

    def confused(self, place: int, most: int) -> list[tuple[str, str, int]]:
        """Return true class, predicted class and count of a model's most frequent errors."""
        counts, names = self.confusion(place), self.pairs.classes
        np.fill_diagonal(counts, 0)
        order = np.argsort(-counts, axis=None, kind="stable")[:most]
        cells = zip(*np.unravel_index(order, counts.shape), strict=True)
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
    pairs, models = group.validation.pairs, list(filter(group.judged, group.models))
    predicted, shares = map(np.stack, zip(*map(group.answers, models), strict=True))
    cut = np.zeros(len(pairs), bool)
    for run in group.runs:
        if run.predictions and run.predictions.cut:
            cut[pairs.rows(run.predictions)] |= run.predictions.cut
    own = [group.decided.get(model.name) for model in models]
    decided = np.array([one.of_pairs if one else np.full(len(pairs), "") for one in own])
    return PairTable(pairs, models, predicted, shares, cut, decided)


def presets(table: PairTable) -> dict[str, np.ndarray]:
    """Return sets of pairs that are worth a look, (N,) each, without those that make no sense here."""
    right, predicted, groups = table.right, table.predicted, table.pairs.groups
    sure = table.shares.max(-1) >= SURE
    found = {
        "label": table.of_label < 1 / len(table.pairs.classes),  # less than a guess would give it
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
    if table.pairs.groups_known:
        found["copies"] = np.bincount(groups)[groups] > 1
    return found


def slices(table: PairTable, sources: dict[str, Source]) -> dict[str, np.ndarray]:
    """Return the pairs of each kind by its name, (N,) each, without kinds that have none."""
    of_pair = [kinds(sources[guid]) if guid in sources else () for guid in table.pairs.guids]
    found = {name: np.array([name in own for own in of_pair], bool) for name in _KINDS}
    found["text_cut"] = table.cut
    return {name: members for name, members in found.items() if members.any()}


def kinds(source: Source) -> list[str]:
    """Return the kinds of one pair, at most one of text length, language, encoding, photo shape and
    size."""
    length, (width, height) = len(source.text), source.size
    names = [_by_limit(length, (0, 50, 100), ("empty", "short", "middle", "long"), "text")]
    if length:
        names.append("chinese" if _CHINESE.search(source.text) else "not_chinese")
    encodings = {"utf-8": "encoding_utf8", "replaced": "encoding_replaced"}
    names.append(encodings.get(source.encoding, "encoding_other"))
    if width and height:
        names += [
            _by_limit(width / height, (0.85, 1.18), ("tall", "square", "wide"), "photo"),
            _by_limit(min(width, height), (299, 599), ("small", "middle", "large"), "photo"),
        ]
    return names


def _by_limit(value: float, limits: tuple, names: tuple[str, ...], what: str) -> str:
    """Name the first range that holds a value; each ends with its limit."""
    return f"{what}_{names[bisect_left(limits, value)]}"
