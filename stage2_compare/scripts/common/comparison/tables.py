"""The csv files: compare_summary.csv, a row per run, compare_families.csv, per model, and
doubtful.csv, per pair.

Other programs read their columns: new ones go to the end.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from ..files import escaped, write_result
from .doubtful import doubtful
from .results import Results

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


def write_tables(folder: Path, results: Results) -> None:
    """Write them into a folder.

    Raises:
        UserError: a file cannot be written.
    """
    models = results.models.drop(columns="kind")
    tables = ("summary", results.runs, _RUN_COLUMNS), ("families", models, _MODEL_COLUMNS)
    for name, table, first in tables:
        columns = dict.fromkeys([*first.split(), *table.columns])
        _write(folder / f"compare_{name}.csv", table[list(columns)])
    _write(folder / "doubtful.csv", doubtful(results.groups[0]))


def _write(path: Path, table: pd.DataFrame) -> None:
    """Write UTF-8 with a byte order mark, without which Excel on a Chinese Windows reads GBK."""
    cells = [list(map(_spreadsheet_cell, row)) for row in table.itertuples(index=False)]
    # With dtype=object, whole numbers beside an empty cell stay whole.
    table = pd.DataFrame(cells, columns=table.columns, dtype=object)
    text = table.to_csv(index=False, lineterminator="\r\n")
    write_result(path, text.encode("utf-8-sig", "backslashreplace"))


def _spreadsheet_cell(value: Any) -> Any:
    """Round numbers to six places, and protect text that a spreadsheet would run as a formula."""
    if isinstance(value, float):
        return round(value, 6)
    # The csv writer of Python 3.10 fails on NUL, which a record may hold and no table needs.
    return escaped(value.replace("\0", "")) if isinstance(value, str) else value
