"""One table of models and one of runs, of which csv files, console, page and pictures are views.

Columns are those of the csv files. A model's figures stand in the group of its protocol, to which
its verdict belongs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ..metrics import COLUMNS, MAIN, METRICS, Metric
from ..runs.labels import run_names
from ..runs.layout import INFERENCE
from ..runs.reading import Run
from ..words import ENGLISH, Phrase
from .best import as_best
from .decided import KINDS, Decided, who_decided
from .draws import Draws
from .intervals import Estimate, estimates
from .judging import Judged, Judgement, of_one_run, said
from .models import Model, Trial
from .pairs import join
from .tagged import Tagged
from .wording import INCOMPLETE, NO_PREDICTIONS, NOT_COMPARABLE, REFERENCE
from .worth import Worth

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


@dataclass(frozen=True)
class Group:
    """Runs of one protocol, their models and the verdicts on them."""

    number: int  # 1 is told first
    models: list[Model]  # highest macro-F1 first
    differs: list[Phrase]  # what its protocol has otherwise than that of group 1
    validation: Judgement | None  # None where no run has predictions
    test: Judgement | None  # None where no run has predictions for labelled test pairs
    ensembles: dict[str, Judged]  # on the validation pairs, by name
    worth: list[Worth]
    majority_class: str | None  # the most frequent one of the training split
    majority: dict[str, float] | None  # by COLUMNS, of always predicting it
    notes: list[Phrase]  # what weakens the comparison, a line each
    # By name: models of other programs, held against the best of those that are trained here.
    imported: dict[str, Judged] = field(default_factory=dict)
    imported_test: dict[str, Judged] = field(default_factory=dict)

    @property
    def runs(self) -> list[Run]:
        """Return the runs that are trained here."""
        return [run for model in self.models if not model.imported for run in model.runs]

    @property
    def pairs(self) -> int:
        """Return the number of validation pairs behind the verdicts."""
        return len(self.validation.pairs) if self.validation else 0

    @cached_property
    def as_best(self) -> Estimate | None:
        """Return macro-F1 of the first model, without the selection bias of coming first."""
        judgement = self.validation
        return as_best(judgement.figures, judgement.ranking.worse) if judgement else None

    @cached_property
    def decided(self) -> dict[str, Decided]:
        """Return what decides the answers of each model that was probed, by its name."""
        found = [who_decided(each.name, self.trials(each), self.validation) for each in self.models]
        return {each.name: each for each in found if each}

    @property
    def smallest_difference(self) -> float | None:
        """Return the macro-F1 that these pairs would show of every model in 80 % of cases."""
        judgement = self.validation
        return None if not judgement or judgement.too_few else judgement.ranking.smallest_difference

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
        judged = self.validation.models if self.validation else {}
        return judged.get(model.name) or self.imported.get(model.name)

    def tested(self, model: Model) -> Judged | None:
        """Return its figures and the verdict on it on the test pairs."""
        judged = self.test.models if self.test else {}
        return judged.get(model.name) or self.imported_test.get(model.name)

    def height(self, model: Model) -> tuple:
        """Return what sorts models, the highest macro-F1 first."""
        judged = self.judged(model)
        best = max(run.best[MAIN.column] for run in model.runs)
        return -(judged.estimates[MAIN.column].centre if judged else best), model.folder

    def trials(self, model: Model) -> list[Trial]:
        """Return the trials behind a model's figures, at its best rate; [] where it is not judged."""
        judged = self.judged(model)
        return judged.trials if judged else []

    def answers(self, model: Model) -> tuple[np.ndarray, np.ndarray] | None:
        """Return what a model says of the validation pairs, its seeds and folds joined.

        Returns:
            The predicted classes (N,), and the mean probabilities (N, C), nan where they are not
            known; None where it is not judged.
        """
        of_trials = self.of_trials(model)
        if not of_trials:
            return None
        shares = sum(own for _, own in of_trials)
        alone = len(of_trials) == 1  # ties of rounded probabilities were decided in training
        return (of_trials[0][0] if alone else shares.argmax(1)), shares / len(of_trials)

    def of_trials(self, model: Model) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the same of each training of a model, its folds joined; [] where it is not judged."""
        found = []
        for trial in self.trials(model):
            pairs, parts = self.validation.pairs, [run.predictions for run in trial.runs]
            shares = np.zeros((len(pairs), len(pairs.classes)))
            for part in parts:
                known = part.probabilities
                shares[pairs.rows(part)] = np.nan if known is None else known
            found.append((said(parts, pairs), shares))
        return found


@dataclass(frozen=True)
class Results:
    """All groups, and their tables: rows with the highest macro-F1 first.

    ``models`` has a row a model, then a row a model with a tag, an ensemble, and the majority class,
    by ``kind``; ``runs`` a row a run. What has a tag is of no group.
    """

    groups: list[Group]
    tagged: list[Tagged]
    models: pd.DataFrame
    runs: pd.DataFrame

    @classmethod
    def of(cls, groups: list[Group], tagged: list[Tagged]) -> Results:
        models = [_model_row(model, group) for group in groups for model in group.models]
        runs = [row for group in groups for model in group.models for row in _runs(model, group)]
        # Of models as the verdicts take it, without selection bias; of runs as it was recorded.
        models.sort(key=lambda row: (-_centre(row), row["run"]))
        runs.sort(key=lambda row: (-row[MAIN.column], row["run"]))
        for each in tagged:
            own = _tagged(each)
            models.append({**_model_row(each.model, each.group), **own, **_gain(each)})
            runs += [{**row, **own} for row in _runs(each.model, each.group)]
        first = groups[0]
        for name, judged in first.ensembles.items():
            own = {"run": name, "model": name, "group": 1, "kind": ENSEMBLE}
            models.append({**own, **_figures(judged.estimates), **_verdict_of(judged)})
        if first.majority:
            name = f"always {first.majority_class}"
            own = {"run": name, "model": name, "group": 1, "kind": FIXED, "verdict": REFERENCE}
            models.append({**own, **first.majority})
        return cls(groups, tagged, _frame(models), _frame(runs))

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


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return a table with the columns of the first row; None where a row has no value."""
    cells = [{column: row.get(column) for column in rows[0]} for row in rows]
    return pd.DataFrame(cells, dtype=object)  # whole numbers beside None stay whole


def _centre(row: dict[str, Any]) -> float:
    corrected = row[f"{MAIN.prefix}_corrected"]
    return row[MAIN.column] if corrected is None else corrected


def _model_row(model: Model, group: Group) -> dict[str, Any]:
    """Return the row of a model; None where something is not known."""
    judged, runs = group.judged(model), model.runs
    trials = judged.trials if judged else model.trials
    test = group.tested(model)
    folds = runs[0].recorded("protocol", "folds")
    folds = folds if isinstance(folds, int) else None
    first = len(group.ranked) > 1 and group.ranked[0] == model.name
    as_best = group.as_best if first else Estimate(None)
    return {
        "run": model.folder,
        "model": model.name,
        "kind": MODEL,
        **_figures(judged.estimates if judged else _own_scores(runs)),
        **{f"{column}_sd": value for column, value in _spread(trials).items()},
        **_verdict(model, group, judged),
        "f1_as_best": as_best.corrected,
        "f1_as_best_low": as_best.low,
        "f1_as_best_high": as_best.high,
        **{f"test_{each.key}": test and test.estimates[each.column].value for each in METRICS},
        "test_f1_low": test and test.estimates[MAIN.column].low,
        "test_f1_high": test and test.estimates[MAIN.column].high,
        "test_p_vs_best": test and test.p,
        "test_verdict": test and test.verdict,
        "test_by": f"ensemble of {folds} folds" if test and folds else None,
        "runs": " ".join(run.name for run in runs),
        "seeds": None if model.imported else len(trials) if judged else len(model.seeds),
        "folds": folds,
        "rates": None if model.imported else len(model.by_rate) or 1,
        "lr": judged.rate if judged and len(model.by_rate) > 1 else None,
        "epochs": runs[0].recorded("protocol", "epochs") or runs[0].recorded("epochs"),
        **{key: _mean(run.number(key) for run in runs) for key in _COSTS},
        "imported": YES if model.imported else NO,
        **_decided(group.decided.get(model.name)),
        "tag": runs[0].tag or None,
        **dict.fromkeys(("untagged", "f1_gain", "f1_gain_low", "f1_gain_high")),
        "trials": runs[0].trials and runs[0].trials.count,
        "trials_sec": runs[0].trials and runs[0].trials.seconds,
    }


def _tagged(each: Tagged) -> dict[str, Any]:
    """Return the cells of a model with a tag, and of its runs, in place of those within a group."""
    differs = "; ".join(map(ENGLISH, each.differs))
    scope = MODELS if each.seeds > 1 else RUNS
    own = {"kind": TAGGED, "group": None, "comparable": NO, "differs": differs, "scope": scope}
    return {**own, "verdict": each.verdict, "p_vs_best": None}


def _gain(each: Tagged) -> dict[str, Any]:
    if each.gain is None:
        return {}
    low, high = each.gain.low, each.gain.high
    found = {"f1_gain": each.gain.value, "f1_gain_low": low, "f1_gain_high": high}
    return {"untagged": each.untagged, **found}


def _decided(found: Decided | None) -> dict[str, float | None]:
    """Return how many pairs were probed and the share of each kind, with its interval."""
    cells: dict[str, float | None] = {"decided_pairs": found and found.pairs}
    for kind in KINDS:
        value, low, high, _ = found.shares[kind] if found else Estimate(None)
        cells |= {f"decided_{kind}": value}
        cells |= {f"decided_{kind}_low": low, f"decided_{kind}_high": high}
    return cells


def _runs(model: Model, group: Group) -> list[dict[str, Any]]:
    """Return the rows of a model's runs; None where something is not recorded."""
    used = {run.name for trials in model.by_rate.values() for one in trials for run in one.runs}
    rows = []
    for run, name in zip(model.runs, run_names(model.name, model.runs), strict=True):
        judged = group.judged(model) if run.name in used else None
        found = judged.of_run.get(run.name) if judged else None
        row = {
            "run": run.name,
            "model": name,
            **_figures(estimates(found) if found else _own_scores([run])),
            **{column: run.best[column] for column in COLUMNS},
            **_verdict(model if judged else Model("", [run]), group, judged),
            **{column: run.recorded(*keys) for column, keys in _RECORDED.items()},
            "lr": run.number("protocol", "lr"),
            **{key: run.number("probe", key) for key in PROBE},
            **dict.fromkeys(("best_epoch", "last_val_f1_macro", "epochs_run")),
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


def _verdict(model: Model, group: Group, judged: Judged | None) -> dict[str, Any]:
    """Return the verdict within the group, and whether it is the group that is told first."""
    recorded = any(run.recorded("protocol") for run in model.runs)
    cells = {
        "group": group.number,
        "comparable": NO if group.number > 1 else YES if recorded else UNKNOWN,
        "differs": "; ".join(map(ENGLISH, group.differs)),
    }
    if judged is None:
        predicted = any(run.predictions for run in model.runs)
        verdict = INCOMPLETE if predicted else NO_PREDICTIONS
        return {**cells, "verdict": verdict, "p_vs_best": None, "doubt": "", "scope": None}
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
        return estimates(of_one_run(runs[0], pairs, Draws(pairs.groups)))
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
