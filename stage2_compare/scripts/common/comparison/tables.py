"""The two csv files: compare_summary.csv, a row per run, and compare_families.csv, per family.

Other programs read their columns: those of a new metric go to the end.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from ..files import escaped, write_result
from ..metrics import MAIN, METRICS, Metric
from ..words import ENGLISH, Phrase
from .compare import Compared, Comparison
from .intervals import Estimate
from .judging import Judged
from .wording import REFERENCE

_REQUIRED = [metric for metric in METRICS if metric.required]
_OPTIONAL = [metric for metric in METRICS if not metric.required]
PROBE = ("f1_drop_images_shuffled", "f1_drop_texts_shuffled", "emap_f1_macro", "emap_pairs")


def write_summary(path: Path, comparison: Comparison) -> None:
    """Write compare_summary.csv.

    Raises:
        UserError: the file cannot be written.
    """
    _write(path, [_summary_row(entry) for entry in comparison.runs])


def write_families(path: Path, comparison: Comparison) -> None:
    """Write compare_families.csv; its last row is always predicting the most frequent class.

    Raises:
        UserError: the file cannot be written.
    """
    rows = [_group_row(group) for group in comparison.families]
    rows += [_ensemble_row(name, judged) for name, judged in comparison.ensembles.items()]
    if comparison.majority:
        name = f"always {comparison.majority_class}"
        rows.append({"run": name, **comparison.majority, "verdict": REFERENCE})
    _write(path, rows)


def _summary_row(entry: Compared) -> dict[str, Any]:
    """Return one row of compare_summary.csv; None where the run has not recorded a value."""
    (run,) = entry.runs

    def recorded(*keys: str) -> dict[str, Any]:
        return {key: run.recorded(key) for key in keys}

    row = {
        "run": run.name,
        **{metric.column: run.best[metric.column] for metric in _REQUIRED},
        **_comparison_cells(entry),
        "mcnemar_p": entry.mcnemar_p,
        "best_epoch": int(run.best["epoch"]),
        **recorded("epochs", "params_million", "trainable_params_million"),
        **recorded("train_time_sec", "peak_memory_mb"),
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
        **_corrected_cells(entry),
    }
    for metric in _OPTIONAL:
        row |= {metric.column: run.best[metric.column], **_interval_cells(entry.scores, metric)}
    return row


def _group_row(group: Compared) -> dict[str, Any]:
    """Return one row of compare_families.csv."""
    row = {
        "run": group.name,
        **{metric.column: group.scores[metric.column].value for metric in _REQUIRED},
        "seeds": group.seeds,
        **{f"{metric.column}_sd": group.spread[metric.column] for metric in _REQUIRED},
        **_comparison_cells(group),
        "runs": " ".join(run.name for run in group.runs),
        "rates": group.rates,
        "lr": group.rate,
        **_corrected_cells(group),
        **_test_cells(group),
    }
    for metric in _OPTIONAL:
        column = metric.column
        row |= {column: group.scores[column].value, f"{column}_sd": group.spread[column]}
        row |= _interval_cells(group.scores, metric)
        row[f"test_{metric.key}"] = group.test.estimates[column].value if group.test else None
    return row


def _ensemble_row(name: str, ensemble: Judged) -> dict[str, Any]:
    """Return one row of compare_families.csv."""
    row = {"run": name, "verdict": ensemble.verdict, "p_vs_best": ensemble.p}
    for metric in METRICS:
        row[metric.column] = ensemble.estimates[metric.column].value
        row |= _interval_cells(ensemble.estimates, metric)
    row["f1_corrected"] = ensemble.estimates[MAIN.column].corrected
    return row | {"doubt": _doubt(ensemble.doubt)}


def _comparison_cells(entry: Compared) -> dict[str, Any]:
    """Return the intervals, that of macro-F1 first, and the verdict."""
    cells = {}
    for metric in sorted(_REQUIRED, key=lambda metric: metric != MAIN):
        cells |= _interval_cells(entry.scores, metric)
    return cells | {
        "p_vs_best": entry.p_vs_best,
        "verdict": entry.verdict,
        "comparable": entry.comparable,
        "differs": "; ".join(map(ENGLISH, entry.differs)),
    }


def _corrected_cells(entry: Compared) -> dict[str, Any]:
    """Return macro-F1 less what choosing gains by luck, and why not to trust its interval."""
    return {"f1_corrected": entry.scores[MAIN.column].corrected, "doubt": _doubt(entry.doubt)}


def _doubt(doubt: Phrase | None) -> str:
    return ENGLISH(doubt) if doubt else ""


def _test_cells(entry: Compared) -> dict[str, Any]:
    """Return what was measured on labelled test pairs; None where there are none."""
    test, cells = entry.test, {}
    for metric in _REQUIRED:
        estimate = test.estimates[metric.column] if test else None
        cells[f"test_{metric.key}"] = estimate.value if estimate else None
        if metric == MAIN:
            cells["test_f1_low"] = estimate.low if estimate else None
            cells["test_f1_high"] = estimate.high if estimate else None
    cells["test_p_vs_best"] = test.p if test else None
    cells["test_verdict"] = test.verdict if test else None
    return cells


def _interval_cells(scores: dict[str, Estimate], metric: Metric) -> dict[str, float | None]:
    estimate = scores[metric.column]
    return {f"{metric.prefix}_low": estimate.low, f"{metric.prefix}_high": estimate.high}


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write UTF-8 with a byte order mark, without which Excel on a Chinese Windows reads GBK."""
    cells = [dict(zip(row, map(_spreadsheet_cell, row.values()), strict=True)) for row in rows]
    # With dtype=object, whole numbers beside an empty cell stay whole.
    table = pd.DataFrame(cells, columns=list(rows[0]), dtype=object)
    text = table.to_csv(index=False, lineterminator="\r\n")
    write_result(path, text.encode("utf-8-sig", "backslashreplace"))


def _spreadsheet_cell(value: Any) -> Any:
    """Round numbers to six places, and protect text that a spreadsheet would run as a formula."""
    if isinstance(value, float):
        return round(value, 6)
    # The csv writer of Python 3.10 fails on NUL, which a record may hold and no table needs.
    return escaped(value.replace("\0", "")) if isinstance(value, str) else value
