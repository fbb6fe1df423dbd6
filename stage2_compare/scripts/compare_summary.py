"""Put all finished runs into one table, best macro-F1 first.

    python stage2_compare/scripts/compare_summary.py --project-root .

Leaves outputs/compare/compare_summary.csv, each metric taken at the run's best epoch. Imports no torch.
"""

from __future__ import annotations

import argparse
import csv
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from common.cli import run_command
from common.results import METRICS, Run, load_runs, replacing

FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # what Excel, a Chinese one too, may take for the start of a formula


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Put all finished runs into one table.", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--project-root", type=Path, default=Path("."), help="folder that holds outputs/")
    parser.add_argument("--compare-dir", type=Path, default=Path("outputs/compare"), help="folder of the run folders")
    args = parser.parse_args(argv)

    compare_dir = args.project_root / args.compare_dir
    runs = load_runs(compare_dir)
    path = compare_dir / "compare_summary.csv"
    write_summary(path, [summary_row(run) for run in runs])
    print(aligned([console_row(run) for run in runs]))
    print(path)


def summary_row(run: Run) -> dict[str, Any]:
    """One line of compare_summary.csv; None where the run has not recorded it."""
    return {
        "run": run.name,
        **{name: run.best[name] for name in METRICS},
        "best_epoch": int(run.best["epoch"]),
        **{key: run.recorded(key) for key in ("epochs", "params_million", "trainable_params_million")},
        **{key: run.recorded(key) for key in ("train_time_sec", "peak_memory_mb")},
        "seed": run.seed,
        **{key: run.recorded(key) for key in ("truncated_rate", "unknown_rate", "tokens_per_character")},
        "last_val_f1_macro": run.history[-1]["val_f1_macro"],
        "family": run.recorded("model", "family"),
        "model_name": run.recorded("model", "name"),
        "image_backbone": run.recorded("model", "image_backbone"),
        "fusion": run.recorded("model", "fusion"),
        "batch_size": run.recorded("model", "batch_size"),
        "effective_batch_size": run.recorded("protocol", "effective_batch_size"),
        "val_samples": run.recorded("samples", "val"),
        "device": run.recorded("device"),
    }


def write_summary(path: Path, rows: list[dict[str, Any]]) -> None:
    """UTF-8 with a byte order mark, without which Excel on a Chinese Windows reads GBK."""
    with replacing(path) as temporary:
        with open(temporary, "w", encoding="utf-8-sig", errors="backslashreplace", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(rows[0])
            writer.writerows([[spreadsheet_cell(value) for value in row.values()] for row in rows])


def spreadsheet_cell(value: Any) -> Any:
    """Numbers to six places; text that a spreadsheet would run as a formula begins with an apostrophe."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, str) and value.startswith(FORMULA):
        return "'" + value
    return value


def console_row(run: Run) -> dict[str, str]:
    def share(key: str) -> str:
        return "" if run.recorded(key) is None else f"{run.recorded(key):.1%}"

    return {
        "run": "".join(c if c.isprintable() else "?" for c in run.name),
        "acc": f"{run.best['val_acc']:.4f}",
        "macro-F1": f"{run.best['val_f1_macro']:.4f}",
        "precision": f"{run.best['val_precision_macro']:.4f}",
        "recall": f"{run.best['val_recall_macro']:.4f}",
        "best epoch": f"{run.best['epoch']:.0f}/{run.recorded('epochs')}",
        "params (M)": f"{run.recorded('params_million'):.1f}",
        "time (s)": f"{run.recorded('train_time_sec'):.0f}",
        "cut texts": share("truncated_rate"),
        "unknown tokens": share("unknown_rate"),
    }


def aligned(rows: list[dict[str, str]]) -> str:
    """The rows under their keys: the first column to the left, the others to the right."""
    table = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(map(console_width, column)) for column in zip(*table)]
    return "\n".join("  ".join(_padded(line, widths)).rstrip() for line in table)


def _padded(line: list[str], widths: list[int]) -> Iterable[str]:
    for place, (text, width) in enumerate(zip(line, widths)):
        space = " " * (width - console_width(text))
        yield space + text if place else text + space


def console_width(text: str) -> int:
    """Columns on a console: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


if __name__ == "__main__":
    run_command(main)
