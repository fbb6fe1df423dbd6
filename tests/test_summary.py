"""The table of all runs: its first columns and order are read by other programs, and people open it in Excel."""

import csv
import subprocess
import sys
import time
from pathlib import Path

import compare_summary
import pytest
from common.errors import UserError
from conftest import STAGE2
from run_folders import make_run, make_runs

FIRST = ["run", "val_acc", "val_f1_macro", "val_precision_macro", "val_recall_macro"]


def summarise(root: Path) -> list[dict[str, str]]:
    compare_summary.main(["--project-root", str(root)])
    with open(root / "outputs/compare/compare_summary.csv", encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_columns_and_order(tmp_path):
    make_runs(tmp_path / "outputs/compare", 5)
    rows = summarise(tmp_path)
    assert list(rows[0])[:5] == FIRST
    assert [row["run"].split("_")[-1] for row in rows] == [
        "clip-vit-base-patch32",
        "late",
        "concat",
        "gated",
        "blip-image-captioning-base",
    ]
    first = rows[0]
    assert [first[name] for name in FIRST[1:]] == ["0.6525", "0.578505", "0.703805", "0.554167"]
    assert (first["best_epoch"], first["epochs"], first["seed"], first["train_time_sec"]) == ("4", "5", "42", "930.0")
    assert (first["params_million"], first["peak_memory_mb"], first["unknown_rate"]) == ("151.6", "", "0.02")


def test_it_prints_an_aligned_table_and_the_path(tmp_path, capsys):
    make_runs(tmp_path / "outputs/compare", 10)
    summarise(tmp_path)
    *table, path = capsys.readouterr().out.splitlines()
    assert len(table) == 11
    assert len({compare_summary.console_width(line) for line in table}) == 1
    assert path == str(tmp_path / "outputs/compare/compare_summary.csv")


def test_excel_sees_a_byte_order_mark_and_runs_nothing(tmp_path):
    folder = tmp_path / "outputs/compare"
    make_run(folder, "=HYPERLINK(1)", model={"name": "@SUM(A1)", "fusion": "-1+1", "family": "天气"}, device="+cmd")
    row = summarise(tmp_path)[0]
    assert (folder / "compare_summary.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert [row[key] for key in ("run", "model_name", "fusion", "device")] == [
        "'=HYPERLINK(1)",
        "'@SUM(A1)",
        "'-1+1",
        "'+cmd",
    ]
    assert row["family"] == "天气"


def test_an_empty_folder_writes_nothing(tmp_path):
    folder = tmp_path / "outputs/compare"
    folder.mkdir(parents=True)
    with pytest.raises(UserError):
        summarise(tmp_path)
    assert not list(folder.iterdir())


def test_another_folder_can_be_named_and_the_summary_written_twice(tmp_path):
    make_runs(tmp_path / "elsewhere", 5)
    for _ in range(2):
        compare_summary.main(["--project-root", str(tmp_path), "--compare-dir", "elsewhere"])
    assert len((tmp_path / "elsewhere/compare_summary.csv").read_text(encoding="utf-8").splitlines()) == 6


def test_it_answers_within_two_seconds_and_without_torch(tmp_path):
    make_runs(tmp_path / "outputs/compare", 10)
    script = STAGE2 / "scripts" / "compare_summary.py"
    start = time.perf_counter()
    command = [sys.executable, "-X", "importtime", str(script), "--project-root", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True)
    assert time.perf_counter() - start < 2
    assert "torch" not in done.stderr


def test_a_user_meets_one_line_and_status_2(tmp_path):
    command = [sys.executable, str(STAGE2 / "scripts/compare_summary.py"), "--project-root", str(tmp_path / "缺 少")]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace")
    assert done.returncode == 2
    assert done.stderr.startswith("error: no folder")
    assert done.stderr.count("\n") == 1
