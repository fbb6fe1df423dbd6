"""One table of models and one of runs, of which csv files, console, page and pictures are views.

Columns are those of the csv files: other programs read them, so new ones go to the end. A model's
figures stand in the group of its protocol, to which its verdict belongs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ..metrics import COLUMNS, MAIN, METRICS, Metric
from ..runs.layout import INFERENCE
from ..runs.reading import Run
from ..words import ENGLISH, Phrase
from .best import Worth, as_best
from .bootstrap import resample
from .decided import KINDS, Decided, who_decided
from .draws import Draws
from .ensembles import ensembles
from .intervals import Estimate, estimates
from .judging import Judged, Judgement, answers_of
from .models import Model, Trial
from .pairs import join
from .tagged import Tagged
from .wording import INCOMPLETE, NO_PREDICTIONS, NOT_COMPARABLE, REFERENCE

YES, NO, UNKNOWN = "yes", "no", "unknown"
RUNS, MODELS = "runs", "models"  # scopes of a verdict
MODEL, TAGGED, ENSEMBLE, FIXED = "model", "tagged", "ensemble", "reference"  # kinds of rows
PROBE = ("f1_drop_images_shuffled", "f1_drop_texts_shuffled", "emap_f1_macro", "emap_pairs")
_COSTS = ("params_million", "trainable_params_million", "train_time_sec", "encode_time_sec")
_COSTS += ("peak_memory_mb", *INFERENCE)
_RECORDED = {  # columns of runs, and where metrics.json has them
    **{key: (key,) for key in ("epochs", *_COSTS, "device")},
    **{key: (key,) for key in ("truncated_rate", "unknown_rate", "tokens_per_character")},
    **{key: ("protocol", key) for key in ("seed", "fold", "effective_batch_size")},
    **{key: ("model", key) for key in ("family", "image_backbone", "fusion", "batch_size")},
    "model_name": ("model", "name"),
    "val_samples": ("samples", "val"),
}
_RUN_COLUMNS = """
run val_acc val_f1_macro val_precision_macro val_recall_macro
f1_low f1_high acc_low acc_high precision_low precision_high recall_low recall_high
p_vs_best verdict comparable differs best_epoch epochs params_million trainable_params_million
train_time_sec peak_memory_mb seed truncated_rate unknown_rate tokens_per_character
last_val_f1_macro family model_name image_backbone fusion batch_size effective_batch_size
val_samples device f1_drop_images_shuffled f1_drop_texts_shuffled emap_f1_macro emap_pairs
lr fold epochs_run f1_corrected doubt
model group encode_time_sec scope acc_corrected precision_corrected recall_corrected
imported tag
inference_ms inference_batch_ms inference_memory_mb
"""
_MODEL_COLUMNS = """
run val_acc val_f1_macro val_precision_macro val_recall_macro
seeds val_acc_sd val_f1_macro_sd val_precision_macro_sd val_recall_macro_sd
f1_low f1_high acc_low acc_high precision_low precision_high recall_low recall_high
p_vs_best verdict comparable differs runs rates lr f1_corrected doubt
test_acc test_f1_macro test_f1_low test_f1_high test_precision_macro test_recall_macro
test_p_vs_best test_verdict
model group folds epochs params_million trainable_params_million train_time_sec encode_time_sec
peak_memory_mb acc_corrected precision_corrected recall_corrected
f1_as_best f1_as_best_low f1_as_best_high scope test_by
imported tag untagged f1_gain f1_gain_low f1_gain_high
inference_ms inference_batch_ms inference_memory_mb
trials trials_sec
"""


@dataclass
class Group:
    """Runs of one protocol, their models and the verdicts on them."""

    models: list[Model]  # highest macro-F1 first
    number: int = 1  # 1 is told first
    differs: list[Phrase] = field(default_factory=list)  # its protocol, from that of group 1
    validation: Judgement | None = None  # None where no run has predictions
    test: Judgement | None = None  # None where no run has predictions for labelled test pairs
    majority_class: str | None = None  # the most frequent one of the training split
    majority: dict[str, float] | None = None  # by COLUMNS, of always predicting it
    worth: list[Worth] = field(default_factory=list)
    notes: list[Phrase] = field(default_factory=list)  # what weakens the comparison, a line each

    @property
    def runs(self) -> list[Run]:
        """Return the runs that are trained here."""
        return [run for model in self.models if not model.imported for run in model.runs]

    @property
    def pairs(self) -> int:
        """Return the number of validation pairs behind the verdicts."""
        return len(self.validation.pairs) if self.validation else 0

    @property
    def imported(self) -> dict[str, Judged]:
        """Return the models of other programs, by name."""
        return self.validation.imported if self.validation else {}

    @cached_property
    def ensembles(self) -> dict[str, Judged]:
        return ensembles(self.validation) if self.validation else {}

    @cached_property
    def as_best(self) -> Estimate | None:
        """Return macro-F1 of the first model, without the selection bias of coming first."""
        judgement = self.validation
        return as_best(judgement.figures, judgement.ranking.worse) if judgement else None

    @cached_property
    def decided(self) -> dict[str, Decided]:
        """Return what decides the answers of each model that was probed, by its name."""
        judged = filter(None, map(self.judged, self.models))
        found = [who_decided(each, self.validation) for each in judged]
        return {each.name: each for each in found if each}

    @property
    def ranked(self) -> list[str]:
        """Return the names of the candidates for the best, the highest macro-F1 first: of the models
        that are judged those that are trained here."""
        judged = self.validation.models if self.validation else {}
        return [model.name for model in self.models if model.name in judged]

    @property
    def scope(self) -> str:
        """Return what verdicts are about: single runs, where no model has two seeds, or models."""
        judged = self.validation.models.values() if self.validation else ()
        return MODELS if any(len(each.trials) > 1 for each in judged) else RUNS

    def judged(self, model: Model) -> Judged | None:
        return self.validation and self.validation.of(model)

    def tested(self, model: Model) -> Judged | None:
        """Return its figures and the verdict on it on the test pairs."""
        return self.test and self.test.of(model)

    def height(self, model: Model) -> tuple:
        """Return what sorts models, the highest macro-F1 first."""
        judged = self.judged(model)
        best = max(run.best[MAIN.column] for run in model.runs)
        return -(judged.estimates[MAIN.column].centre if judged else best), model.folder

    def shares(self, model: Model) -> np.ndarray:
        """Return the probabilities (S, N, C) of each training of a model that is judged, its folds
        joined; nan where they are not known."""
        pairs, trials = self.validation.pairs, self.judged(model).trials
        shares = np.full((len(trials), len(pairs), len(pairs.classes)), np.nan)
        for trial, own in zip(trials, shares, strict=True):
            for part in (run.predictions for run in trial.runs):
                if part.probabilities is not None:
                    own[pairs.rows(part)] = part.probabilities
        return shares

    def answers(self, model: Model) -> tuple[np.ndarray, np.ndarray]:
        """Return the classes (N,) and the mean probabilities (N, C) of a model that is judged, its
        seeds and folds joined."""
        predicted, shares = self.judged(model).predicted, self.shares(model)
        alone = len(predicted) == 1  # ties of rounded probabilities were decided in training
        return predicted[0] if alone else shares.sum(0).argmax(1), shares.mean(0)


@dataclass
class Results:
    """All groups, and their tables: rows with the highest macro-F1 first.

    ``models`` has a row a model, then a row a model with a tag, an ensemble, and the majority class,
    by ``kind``; ``runs`` a row a run. What has a tag is of no group.
    """

    groups: list[Group]
    tagged: list[Tagged]

    @cached_property
    def models(self) -> pd.DataFrame:
        rows = [_model_row(model, group) for group in self.groups for model in group.models]
        # As the verdicts take it, without selection bias.
        rows.sort(key=lambda row: (-_centre(row), row["run"]))
        for each in self.tagged:
            row = _model_row(each.model, each.group) | _tagged(each) | {"kind": TAGGED}
            if each.gain:
                row |= _interval("f1_gain", each.gain.value, each.gain)
                row["untagged"] = each.untagged
            rows.append(row)
        first = self.groups[0]
        for name, judged in first.ensembles.items():
            own = {"run": name, "model": name, "group": 1, "kind": ENSEMBLE}
            rows.append(own | _figures(judged.estimates) | _verdict_of(judged))
        if first.majority:
            name = f"always {first.majority_class}"
            own = {"run": name, "model": name, "group": 1, "kind": FIXED, "verdict": REFERENCE}
            rows.append(own | first.majority)
        return _frame(rows, _MODEL_COLUMNS)

    @cached_property
    def runs(self) -> pd.DataFrame:
        rows = [
            row for group in self.groups for model in group.models for row in _runs(model, group)
        ]
        rows.sort(key=lambda row: (-row[MAIN.column], row["run"]))  # as it was recorded
        for each in self.tagged:
            rows += [row | _tagged(each) for row in _runs(each.model, each.group)]
        return _frame(rows, _RUN_COLUMNS)

    def table(self, group: Group) -> pd.DataFrame:
        """Return the rows of a group's models, by their names."""
        models = self.models
        own = (models["kind"] == MODEL) & (models["group"] == group.number)
        return models[own].set_index("model", drop=False)


def shown(table: pd.DataFrame, metric: Metric) -> pd.Series:
    """Return the figure that is shown of a metric: without selection bias, where that is known."""
    corrected, recorded = table[f"{metric.prefix}_corrected"], table[metric.column]
    return corrected.where(corrected.notna(), recorded)


def spent(table: pd.DataFrame) -> pd.Series:
    """Return the seconds that training took, with the reading of pairs by a frozen encoder; nan
    where neither is known."""
    return table[["train_time_sec", "encode_time_sec"]].astype(float).sum(axis=1, min_count=1)


def _frame(rows: list[dict[str, Any]], columns: str) -> pd.DataFrame:
    """Return a table with these columns, then all others; None where a row has no value."""
    names = dict.fromkeys([*columns.split(), *itertools.chain.from_iterable(rows)])
    cells = [{name: row.get(name) for name in names} for row in rows]
    return pd.DataFrame(cells, dtype=object)  # whole numbers beside None stay whole


def _centre(row: dict[str, Any]) -> float:
    corrected = row[f"{MAIN.prefix}_corrected"]
    return row[MAIN.column] if corrected is None else corrected


def _model_row(model: Model, group: Group) -> dict[str, Any]:
    judged, test, runs = group.judged(model), group.tested(model), model.runs
    trials = judged.trials if judged else model.trials
    folds = runs[0].recorded("protocol", "folds")
    row = {
        "run": model.folder,
        "model": model.name,
        "kind": MODEL,
        **_figures(judged.estimates if judged else _own_scores(runs)),
        **{f"{column}_sd": value for column, value in _spread(trials).items()},
        **_verdict(runs, group, judged),
        "runs": " ".join(run.name for run in runs),
        "folds": folds if isinstance(folds, int) else None,
        "lr": judged.rate if judged and len(model.by_rate) > 1 else None,
        "epochs": runs[0].recorded("protocol", "epochs") or runs[0].recorded("epochs"),
        **{key: _mean(run.number(key) for run in runs) for key in _COSTS},
        "imported": YES if model.imported else NO,
        "tag": runs[0].tag or None,
        "trials": runs[0].trials and runs[0].trials.count,
        "trials_sec": runs[0].trials and runs[0].trials.seconds,
        **dict.fromkeys(f"test_{metric.key}" for metric in METRICS),
        **_decided(group.decided.get(model.name)),
    }
    if not model.imported:
        row["seeds"] = len(trials) if judged else len(model.seeds)
        row["rates"] = len(model.by_rate) or 1
    if len(group.ranked) > 1 and group.ranked[0] == model.name:
        row |= _interval("f1_as_best", group.as_best.corrected, group.as_best)
    if test:
        f1 = test.estimates[MAIN.column]
        row |= {f"test_{each.key}": test.estimates[each.column].value for each in METRICS}
        row |= {"test_f1_low": f1.low, "test_f1_high": f1.high, "test_p_vs_best": test.p}
        row |= {"test_verdict": test.verdict}
        row["test_by"] = f"ensemble of {row['folds']} folds" if row["folds"] else None
    return row


def _tagged(each: Tagged) -> dict[str, Any]:
    """Return the cells of a model with a tag, and of its runs, in place of those within a group."""
    differs = "; ".join(map(ENGLISH, each.differs))
    scope = MODELS if each.seeds > 1 else RUNS
    own = {"group": None, "comparable": NO, "differs": differs, "scope": scope}
    return {**own, "verdict": each.verdict, "p_vs_best": None}


def _decided(found: Decided | None) -> dict[str, float | None]:
    """Return how many pairs were probed and the share of each kind, with its interval."""
    cells: dict[str, float | None] = {"decided_pairs": found and found.pairs}
    for kind in KINDS:
        share = found.shares[kind] if found else Estimate(None)
        cells |= _interval(f"decided_{kind}", share.value, share)
    return cells


def _interval(column: str, value: float | None, ends: Estimate) -> dict[str, float | None]:
    return {column: value, f"{column}_low": ends.low, f"{column}_high": ends.high}


def _runs(model: Model, group: Group) -> list[dict[str, Any]]:
    """Return the rows of a model's runs."""
    used = {run.name for trials in model.by_rate.values() for one in trials for run in one.runs}
    rows = []
    for run in model.runs:
        judged = group.judged(model) if run.name in used else None
        found = judged.of_run.get(run.name) if judged else None
        row = {
            "run": run.name,
            "model": model.run_names[run.name],
            **_figures(estimates(found) if found else _own_scores([run])),
            **{column: run.best[column] for column in COLUMNS},
            **_verdict(model.runs if judged else [run], group, judged),
            **{column: run.recorded(*keys) for column, keys in _RECORDED.items()},
            "lr": run.number("protocol", "lr"),
            **{key: run.number("probe", key) for key in PROBE},
            "imported": YES if run.imported else NO,
            "tag": run.tag or None,
        }
        if run.history:
            row["best_epoch"] = int(run.best["epoch"])
            row["last_val_f1_macro"] = run.history[-1][MAIN.column]
            row["epochs_run"] = len(run.history)
        rows.append(row)
    return rows


def _figures(scores: dict[str, Estimate]) -> dict[str, float | None]:
    """Return each metric, its interval and its value without selection bias."""
    cells = {}
    for metric in METRICS:
        value, low, high, corrected = scores[metric.column]
        cells |= {metric.column: value, f"{metric.prefix}_low": low, f"{metric.prefix}_high": high}
        cells[f"{metric.prefix}_corrected"] = corrected
    return cells


def _verdict(runs: list[Run], group: Group, judged: Judged | None) -> dict[str, Any]:
    """Return the verdict within the group, and whether it is the group that is told first."""
    recorded = any(run.recorded("protocol") for run in runs)
    cells = {
        "group": group.number,
        "comparable": NO if group.number > 1 else YES if recorded else UNKNOWN,
        "differs": "; ".join(map(ENGLISH, group.differs)),
    }
    if judged is None:
        predicted = any(run.predictions for run in runs)
        return {**cells, "verdict": INCOMPLETE if predicted else NO_PREDICTIONS, "doubt": ""}
    cells |= {**_verdict_of(judged), "scope": group.scope}
    if group.number > 1 and len(group.validation.models) == 1:
        cells |= {"verdict": NOT_COMPARABLE, "p_vs_best": None}
    return cells


def _verdict_of(judged: Judged) -> dict[str, Any]:
    doubt = ENGLISH(judged.doubt) if judged.doubt else ""
    return {"verdict": judged.verdict, "p_vs_best": judged.p, "doubt": doubt}


def _own_scores(runs: list[Run]) -> dict[str, Estimate]:
    """Return the scores of runs that are compared with no others, by COLUMNS."""
    if len(runs) == 1 and runs[0].predictions:
        pairs = join([runs[0].predictions])
        answers, draws = [answers_of(runs[0], pairs)], Draws(pairs.groups)
        return estimates(resample(answers, pairs.labels, len(pairs.classes), draws))
    return {column: Estimate(_mean(run.best[column] for run in runs)) for column in COLUMNS}


def _spread(trials: list[Trial]) -> dict[str, float | None]:
    """Return the standard deviation over seeds, each the mean of its folds, by COLUMNS."""
    spreads = {}
    for column in COLUMNS:
        means = [_mean(run.best[column] for run in trial.runs) for trial in trials]
        known = [mean for mean in means if mean is not None]
        spreads[column] = float(np.std(known, ddof=1)) if len(known) > 1 else None
    return spreads


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
