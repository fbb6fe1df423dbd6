"""Put all finished runs into one table, best macro-F1 first, and say which differences are more than chance.

    python stage2_compare/scripts/compare_summary.py --project-root .

Leaves in outputs/compare/
    compare_summary.csv    a row per run, each metric taken at the run's best epoch, with its 95 % interval, and what
                           the comparison with the best says: the verdict on a run is that on its family
    compare_families.csv   a row per family, the runs that differ in their seed alone: mean, standard deviation (sd) and
                           number of seeds; the last row is what always predicting the most frequent class would reach

``--strict`` stops before writing where a run did not keep the protocol of the others. Imports no torch.
"""

from __future__ import annotations

import argparse
import csv
import io
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from common.cli import run_command
from common.comparison.bootstrap import Estimate
from common.comparison.compare import NO, YES, Compared, Comparison, compare
from common.comparison.wording import conclusion
from common.errors import UserError
from common.files import printable, write_result
from common.metrics import COLUMNS
from common.runs.reader import Run, load_runs

FORMULA = tuple(
    "=+-@\t\r\n＝＋－＠"
)  # what Excel, a Chinese one too, may take for the start of a formula
PROBE = ("f1_drop_images_shuffled", "f1_drop_texts_shuffled", "emap_f1_macro", "emap_pairs")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Put all finished runs into one table.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--project-root", type=Path, default=Path("."), help="folder that holds outputs/"
    )
    parser.add_argument(
        "--compare-dir",
        type=Path,
        default=Path("outputs/compare"),
        help="folder of the run folders",
    )
    parser.add_argument(
        "--strict", action="store_true", help="runs of different protocols are an error"
    )
    args = parser.parse_args(argv)

    compare_dir = args.project_root / args.compare_dir
    comparison = compare(load_runs(compare_dir))
    if args.strict:
        require_one_protocol(comparison)
    summary, families = compare_dir / "compare_summary.csv", compare_dir / "compare_families.csv"
    write_table(summary, [summary_row(entry) for entry in comparison.runs])
    write_table(families, [*map(family_row, comparison.families), *majority_row(comparison)])
    print(report(comparison))
    print(summary)


def require_one_protocol(comparison: Comparison) -> None:
    """Raises UserError naming every run that did not keep the protocol of the others, or recorded none."""
    problems = [
        f"{entry.name}: {', '.join(entry.differs) or 'no protocol recorded'}"
        for entry in comparison.runs
        if entry.comparable != YES
    ]
    if problems:
        raise UserError(
            printable(
                f"not one protocol, so nothing written: {'; '.join(problems)}. Train these again"
            )
        )


def summary_row(entry: Compared) -> dict[str, Any]:
    """One line of compare_summary.csv; None where the run has not recorded it."""
    (run,) = entry.runs
    return {
        "run": run.name,
        **{name: run.best[name] for name in COLUMNS},
        **interval_cells(entry),
        **verdict_cells(entry),
        "mcnemar_p": entry.mcnemar_p,
        "best_epoch": int(run.best["epoch"]),
        **{
            key: run.recorded(key)
            for key in ("epochs", "params_million", "trainable_params_million")
        },
        **{key: run.recorded(key) for key in ("train_time_sec", "peak_memory_mb")},
        "seed": run.seed,
        **{
            key: run.recorded(key)
            for key in ("truncated_rate", "unknown_rate", "tokens_per_character")
        },
        "last_val_f1_macro": run.history[-1]["val_f1_macro"],
        "family": run.recorded("model", "family"),
        "model_name": run.recorded("model", "name"),
        "image_backbone": run.recorded("model", "image_backbone"),
        "fusion": run.recorded("model", "fusion"),
        "batch_size": run.recorded("model", "batch_size"),
        "effective_batch_size": run.recorded("protocol", "effective_batch_size"),
        "val_samples": run.recorded("samples", "val"),
        "device": run.recorded("device"),
        **{key: run.number("probe", key) for key in PROBE},
    }


def family_row(family: Compared) -> dict[str, Any]:
    """One line of compare_families.csv."""
    return {
        "run": family.name,
        **{name: family.scores[name].value for name in COLUMNS},
        "seeds": len(family.runs),
        **{f"{name}_sd": family.spread[name] for name in COLUMNS},
        **interval_cells(family),
        **verdict_cells(family),
        "runs": " ".join(run.name for run in family.runs),
    }


def majority_row(comparison: Comparison) -> list[dict[str, Any]]:
    """The last line of compare_families.csv, where the training classes are recorded."""
    if not comparison.majority:
        return []
    return [
        {
            "run": f"always {comparison.majority_class}",
            **comparison.majority,
            "verdict": "reference",
        }
    ]


def interval_cells(entry: Compared) -> dict[str, float | None]:
    short = zip(
        ("f1", "acc", "precision", "recall"),
        sorted(COLUMNS, key="val_f1_macro".__ne__),
        strict=True,
    )
    ends = [(name, entry.scores[metric]) for name, metric in short]
    return {
        f"{name}_{end}": getattr(estimate, end)
        for name, estimate in ends
        for end in ("low", "high")
    }


def verdict_cells(entry: Compared) -> dict[str, Any]:
    return {
        "p_vs_best": entry.p_vs_best,
        "verdict": entry.verdict,
        "comparable": entry.comparable,
        "differs": "; ".join(entry.differs),
    }


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    """UTF-8 with a byte order mark, without which Excel on a Chinese Windows reads GBK."""
    lines = io.StringIO()
    writer = csv.writer(lines)
    writer.writerow(rows[0])
    writer.writerows([[spreadsheet_cell(row.get(key)) for key in rows[0]] for row in rows])
    write_result(path, lines.getvalue().encode("utf-8-sig", "backslashreplace"))


def spreadsheet_cell(value: Any) -> Any:
    """Numbers to six places; text that a spreadsheet would run as a formula begins with an apostrophe."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, str) and value.startswith(FORMULA):
        return "'" + value
    return value


def report(comparison: Comparison) -> str:
    """What the console shows: tables, what weakens the comparison, and the sentence that sums it up."""
    reference = (
        {"run": f"(always {comparison.majority_class})"}
        | {
            column: figure(comparison.majority[name])
            for column, name in (("macro-F1", COLUMNS[1]), ("acc", COLUMNS[0]))
        }
        if comparison.majority
        else None
    )
    parts = [aligned([*map(console_row, comparison.runs), *([reference] if reference else [])])]
    if comparison.several_seeds:
        parts.append(aligned([family_console_row(family) for family in comparison.families]))
    probed = [
        probe_console_row(entry.runs[0])
        for entry in comparison.runs
        if entry.runs[0].recorded("probe")
    ]
    if probed:
        parts.append(aligned(probed))
    differs = [
        f"not comparable: {e.name}: {', '.join(e.differs)}"
        for e in comparison.runs
        if e.comparable == NO
    ]
    remarks = [*differs, *(f"warning: {note}" for note in comparison.notes)]
    if remarks:
        parts.append("\n".join(map(printable, remarks)))
    return "\n\n".join([*parts, printable(conclusion(comparison))])


def console_row(entry: Compared) -> dict[str, str]:
    (run,) = entry.runs

    def share(key: str) -> str:
        return "" if run.recorded(key) is None else f"{run.recorded(key):.1%}"

    return {
        "run": run.name,
        "macro-F1": figure(run.best["val_f1_macro"]),
        "95% interval": bounds(entry.scores["val_f1_macro"]),
        "against the best": entry.verdict,
        "p": "" if entry.p_vs_best is None else probability(entry.p_vs_best),
        "acc": figure(run.best["val_acc"]),
        "epoch": f"{run.best['epoch']:.0f}/{run.recorded('epochs')}",
        "params (M)": f"{run.recorded('params_million'):.1f}",
        "time (s)": f"{run.recorded('train_time_sec'):.0f}",
        "cut texts": share("truncated_rate"),
        "unknown": share("unknown_rate"),
    }


def family_console_row(family: Compared) -> dict[str, str]:
    def mean(metric: str) -> str:
        spread = family.spread[metric]
        return figure(family.scores[metric].value) + (
            "" if spread is None else f" ± {figure(spread)}"
        )

    return {
        "mean over seeds": family.name,
        "seeds": str(len(family.runs)),
        "macro-F1 ± sd": mean("val_f1_macro"),
        "95% interval": bounds(family.scores["val_f1_macro"]),
        "against the best": family.verdict,
        "p": "" if family.p_vs_best is None else probability(family.p_vs_best),
        "acc ± sd": mean("val_acc"),
    }


def probe_console_row(run: Run) -> dict[str, str]:
    images, texts, additive, pairs = (run.number("probe", key) for key in PROBE)
    return {
        "what it rests on": run.name,
        "F1 lost with images shuffled": figure(images),
        "with texts shuffled": figure(texts),
        "F1 of the best additive model": figure(additive),
        "on pairs": "" if pairs is None else f"{pairs:.0f}",
    }


def figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def probability(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def bounds(estimate: Estimate) -> str:
    """[.519, .631]"""
    if estimate.low is None:
        return ""
    return (
        "["
        + ", ".join(f"{end:.3f}".removeprefix("0") for end in (estimate.low, estimate.high))
        + "]"
    )


def aligned(rows: list[dict[str, str]]) -> str:
    """The rows under the keys of the first: the first column to the left, the others to the right."""
    table = [list(rows[0]), *([printable(row.get(key, "")) for key in rows[0]] for row in rows)]
    widths = [max(map(console_width, column)) for column in zip(*table, strict=True)]
    return "\n".join("  ".join(_padded(line, widths)).rstrip() for line in table)


def _padded(line: list[str], widths: list[int]) -> Iterable[str]:
    for place, (text, width) in enumerate(zip(line, widths, strict=True)):
        space = " " * (width - console_width(text))
        yield space + text if place else text + space


def console_width(text: str) -> int:
    """Columns on a console: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


if __name__ == "__main__":
    run_command(main)
