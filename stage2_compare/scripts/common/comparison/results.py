"""One table of models and one of runs, of which csv files, console, page and pictures are views.

Columns are those of the csv files. A model's figures stand in the group of its protocol, to which
its verdict belongs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ..metrics import COLUMNS, MAIN, METRICS, Metric
from ..runs.labels import run_names
from ..runs.reading import Run
from ..words import ENGLISH, Phrase
from .best import as_best
from .draws import Draws
from .intervals import Estimate, estimates
from .judging import Judged, Judgement, of_one_run, said
from .models import Model, Trial
from .pairs import join
from .wording import INCOMPLETE, NO_PREDICTIONS, NOT_COMPARABLE, REFERENCE
from .worth import Worth

YES, NO, UNKNOWN = "yes", "no", "unknown"
RUNS, MODELS = "runs", "models"  # scopes of a verdict
MODEL, ENSEMBLE, FIXED = "model", "ensemble", "reference"  # kinds of rows
PROBE = ("f1_drop_images_shuffled", "f1_drop_texts_shuffled", "emap_f1_macro", "emap_pairs")
_REQUIRED = [metric for metric in METRICS if metric.required]
_OPTIONAL = [metric for metric in METRICS if not metric.required]
_COSTS = ("params_million", "trainable_params_million", "train_time_sec", "encode_time_sec")
_MEMORY = "peak_memory_mb"


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

    @property
    def runs(self) -> list[Run]:
        return [run for model in self.models for run in model.runs]

    @property
    def pairs(self) -> int:
        """Return the number of validation pairs behind the verdicts."""
        return len(self.validation.pairs) if self.validation else 0

    @cached_property
    def as_best(self) -> Estimate | None:
        """Return macro-F1 of the first model, without the selection bias of coming first."""
        judgement = self.validation
        return as_best(judgement.figures, judgement.ranking.worse) if judgement else None

    @property
    def smallest_difference(self) -> float | None:
        """Return the macro-F1 that these pairs would show of every model in 80 % of cases."""
        judgement = self.validation
        return None if not judgement or judgement.too_few else judgement.ranking.smallest_difference

    @property
    def scope(self) -> str:
        """Return what verdicts are about: single runs, where no model has two seeds, or models."""
        judged = self.validation.models.values() if self.validation else ()
        return MODELS if any(len(each.trials) > 1 for each in judged) else RUNS

    def judged(self, model: Model) -> Judged | None:
        return self.validation.models.get(model.name) if self.validation else None

    def trials(self, model: Model) -> list[Trial]:
        """Return the trials behind a model's figures, at its best rate; [] where it is not judged."""
        judged = self.judged(model)
        return judged.trials if judged else []

    def answers(self, model: Model) -> tuple[np.ndarray, np.ndarray] | None:
        """Return what a model says of the validation pairs, its seeds and folds joined.

        Returns:
            The predicted classes (N,), and the mean probabilities (N, C); None where it is not
            judged.
        """
        trials = self.trials(model)
        if not trials:
            return None
        pairs = self.validation.pairs
        shares = np.zeros((len(pairs), len(pairs.classes)))
        for run in (run for trial in trials for run in trial.runs):
            shares[pairs.rows(run.predictions)] += run.predictions.probabilities
        alone = len(trials) == 1  # ties of rounded probabilities were decided in training
        predicted = said([run.predictions for run in trials[0].runs], pairs)
        return (predicted if alone else shares.argmax(1)), shares / len(trials)


@dataclass(frozen=True)
class Results:
    """All groups, and their tables: rows with the highest macro-F1 first.

    ``models`` has a row a model, then a row an ensemble, then the majority class, by ``kind``;
    ``runs`` a row a run.
    """

    groups: list[Group]
    models: pd.DataFrame
    runs: pd.DataFrame

    @classmethod
    def of(cls, groups: list[Group]) -> Results:
        models = [_model_row(model, group) for group in groups for model in group.models]
        runs = [row for group in groups for model in group.models for row in _runs(model, group)]
        # Of models as the verdicts take it, without selection bias; of runs as it was recorded.
        models.sort(key=lambda row: (-_centre(row), row["run"]))
        runs.sort(key=lambda row: (-row[MAIN.column], row["run"]))
        first = groups[0]
        models += [_ensemble_row(name, judged) for name, judged in first.ensembles.items()]
        if first.majority:
            name = f"always {first.majority_class}"
            row = {"run": name, **first.majority, "verdict": REFERENCE}
            models.append({**row, "model": name, "group": 1, "kind": FIXED})
        return cls(groups, _frame(models), _frame(runs))

    def table(self, group: Group) -> pd.DataFrame:
        """Return the rows of a group's models, by their names."""
        models = self.models
        own = (models["kind"] == MODEL) & (models["group"] == group.number)
        return models[own].set_index("model", drop=False)


def shown(table: pd.DataFrame, metric: Metric) -> pd.Series:
    """Return the figure that is shown of a metric: without selection bias, where that is known."""
    corrected, recorded = table[f"{metric.prefix}_corrected"], table[metric.column]
    return corrected.where(corrected.notna(), recorded)


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return a table with the columns of the first row; None where a row has no value."""
    cells = [{column: row.get(column) for column in rows[0]} for row in rows]
    return pd.DataFrame(cells, dtype=object)  # whole numbers beside None stay whole


def _centre(row: dict[str, Any]) -> float:
    corrected = row[f"{MAIN.prefix}_corrected"]
    return row[MAIN.column] if corrected is None else corrected


def _model_row(model: Model, group: Group) -> dict[str, Any]:
    """Return one row of compare_families.csv; None where something is not known."""
    judged, runs = group.judged(model), model.runs
    scores = judged.estimates if judged else _own_scores(runs)
    trials = judged.trials if judged else model.trials
    spread = _spread(trials)
    test = group.test.models.get(model.name) if group.test else None
    folds = runs[0].recorded("protocol", "folds")
    row = {
        "run": model.folder,
        **{metric.column: scores[metric.column].value for metric in _REQUIRED},
        "seeds": len(judged.trials) if judged else len(model.seeds),
        **{f"{metric.column}_sd": spread[metric.column] for metric in _REQUIRED},
        **_verdict_cells(scores, _required_first(), *_verdict(model, group), group, runs),
        "runs": " ".join(run.name for run in runs),
        "rates": len(model.by_rate) or 1,
        "lr": judged.rate if judged and len(model.by_rate) > 1 else None,
        **_correction_cells(scores, judged.doubt if judged else None),
        **_test_cells(test),
    }
    row |= {
        "model": model.name,
        "group": group.number,
        "folds": folds if isinstance(folds, int) else None,
        "epochs": runs[0].recorded("protocol", "epochs") or runs[0].recorded("epochs"),
        **{key: _mean(run.number(key) for run in runs) for key in (*_COSTS, _MEMORY)},
        **_other_corrected(scores),
        **_as_best_cells(model, group),
        "scope": group.scope if judged else None,
        "test_by": f"ensemble of {folds} folds" if test and isinstance(folds, int) else None,
        "kind": MODEL,
    }
    for metric in _OPTIONAL:
        column = metric.column
        row |= {column: scores[column].value, f"{column}_sd": spread[column]}
        row |= _optional_cells(scores, metric)
        row[f"test_{metric.key}"] = test.estimates[column].value if test else None
    return row


def _runs(model: Model, group: Group) -> list[dict[str, Any]]:
    """Return the rows of compare_summary.csv of a model; None where something is not recorded."""
    used = {run.name for trials in model.by_rate.values() for one in trials for run in one.runs}
    judged, names = group.judged(model), run_names(model.name, model.runs)
    rows = []
    for run, name in zip(model.runs, names, strict=True):
        found = judged.of_run.get(run.name) if judged else None
        scores = estimates(found) if found else _own_scores([run])
        took_part = run.name in used
        verdict = _verdict(model, group) if took_part else _verdict(Model("", [run]), group)

        def recorded(*keys: str, run: Run = run) -> dict[str, Any]:
            return {key: run.recorded(key) for key in keys}

        row = {
            "run": run.name,
            **{metric.column: run.best[metric.column] for metric in _REQUIRED},
            **_verdict_cells(scores, _required_first(), *verdict, group, [run]),
            "best_epoch": int(run.best["epoch"]),
            **recorded("epochs", "params_million", "trainable_params_million"),
            **recorded("train_time_sec", _MEMORY),
            "seed": run.seed,
            **recorded("truncated_rate", "unknown_rate", "tokens_per_character"),
            "last_val_f1_macro": run.history[-1][MAIN.column],
            "family": run.recorded("model", "family"),
            "model_name": run.recorded("model", "name"),
            "image_backbone": run.recorded("model", "image_backbone"),
            "fusion": run.recorded("model", "fusion"),
            "batch_size": run.recorded("model", "batch_size"),
            "effective_batch_size": run.recorded("protocol", "effective_batch_size"),
            "val_samples": run.recorded("samples", "val"),
            "device": run.recorded("device"),
            **{key: run.number("probe", key) for key in PROBE},
            "lr": run.recorded("protocol", "lr"),
            "fold": run.recorded("protocol", "fold"),
            "epochs_run": len(run.history),
            **_correction_cells(scores, judged.doubt if judged and took_part else None),
        }
        row |= {"model": name, "group": group.number, **recorded("encode_time_sec")}
        row |= {"scope": group.scope if judged and took_part else None}
        row |= _other_corrected(scores)
        for metric in _OPTIONAL:
            row |= {metric.column: run.best[metric.column], **_optional_cells(scores, metric)}
        rows.append(row)
    return rows


def _ensemble_row(name: str, ensemble: Judged) -> dict[str, Any]:
    row = {"run": name, "verdict": ensemble.verdict, "p_vs_best": ensemble.p}
    for metric in METRICS:
        row[metric.column] = ensemble.estimates[metric.column].value
        row |= _interval_cells(ensemble.estimates, metric)
    row |= _correction_cells(ensemble.estimates, ensemble.doubt)
    row |= {
        f"{each.prefix}_corrected": ensemble.estimates[each.column].corrected for each in METRICS
    }
    return row | {"model": name, "group": 1, "kind": ENSEMBLE}


def _as_best_cells(model: Model, group: Group) -> dict[str, float | None]:
    """Return the figure of the model that comes first among several; None for the others."""
    models = group.validation.models if group.validation else {}
    first = len(models) > 1 and list(models)[group.validation.ranking.best] == model.name
    found, name = group.as_best if first else Estimate(None), f"{MAIN.prefix}_as_best"
    return {name: found.corrected, f"{name}_low": found.low, f"{name}_high": found.high}


def _verdict(model: Model, group: Group) -> tuple[str, float | None]:
    """Return the verdict on a model within its group, and the p of its macro-F1."""
    judged = group.judged(model)
    if judged is None:
        lacks_predictions = not any(run.predictions for run in model.runs)
        return (NO_PREDICTIONS if lacks_predictions else INCOMPLETE), None
    if group.number > 1 and len(group.validation.models) == 1:
        return NOT_COMPARABLE, None
    return judged.verdict, judged.p


def _verdict_cells(
    scores: dict[str, Estimate],
    metrics: list[Metric],
    verdict: str,
    p: float | None,
    group: Group,
    runs: list[Run],
) -> dict[str, Any]:
    """Return the intervals, that of macro-F1 first, and the verdict."""
    cells = {}
    for metric in metrics:
        cells |= _interval_cells(scores, metric)
    recorded = any(run.recorded("protocol") for run in runs)
    comparable = NO if group.number > 1 else YES if recorded else UNKNOWN
    differs = "; ".join(map(ENGLISH, group.differs))
    return cells | {
        "p_vs_best": p,
        "verdict": verdict,
        "comparable": comparable,
        "differs": differs,
    }


def _required_first() -> list[Metric]:
    return sorted(_REQUIRED, key=lambda metric: metric != MAIN)


def _interval_cells(scores: dict[str, Estimate], metric: Metric) -> dict[str, float | None]:
    estimate = scores[metric.column]
    return {f"{metric.prefix}_low": estimate.low, f"{metric.prefix}_high": estimate.high}


def _correction_cells(scores: dict[str, Estimate], doubt: Phrase | None) -> dict[str, Any]:
    """Return macro-F1 without selection bias, and why not to trust its interval."""
    corrected = scores[MAIN.column].corrected
    return {f"{MAIN.prefix}_corrected": corrected, "doubt": ENGLISH(doubt) if doubt else ""}


def _other_corrected(scores: dict[str, Estimate]) -> dict[str, Any]:
    others = (metric for metric in _REQUIRED if metric != MAIN)
    return {f"{each.prefix}_corrected": scores[each.column].corrected for each in others}


def _optional_cells(scores: dict[str, Estimate], metric: Metric) -> dict[str, float | None]:
    corrected = scores[metric.column].corrected
    return {**_interval_cells(scores, metric), f"{metric.prefix}_corrected": corrected}


def _test_cells(test: Judged | None) -> dict[str, Any]:
    """Return what was measured on labelled test pairs; None where there are none."""
    cells = {}
    for metric in _REQUIRED:
        estimate = test.estimates[metric.column] if test else Estimate(None)
        cells[f"test_{metric.key}"] = estimate.value
        if metric == MAIN:
            cells |= {"test_f1_low": estimate.low, "test_f1_high": estimate.high}
    cells["test_p_vs_best"] = test.p if test else None
    cells["test_verdict"] = test.verdict if test else None
    return cells


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
