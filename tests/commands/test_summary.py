"""The table of all runs: its first columns and order are read by other programs, and people open it in Excel."""

import os
import re
import subprocess
import sys
from pathlib import Path

import compare_summary
import numpy as np
import pytest
from common.errors import UserError
from common.files import console_width
from common.metrics import confusion_matrix, scores
from helpers.figures import some_predictions
from helpers.hub import STAGE2
from helpers.run_folders import LABELS, bert, edit, make_run, make_runs, predicted
from helpers.tables import read_table

FIRST = ["run", "val_acc", "val_f1_macro", "val_precision_macro", "val_recall_macro"]


def summarise(root: Path) -> list[dict[str, str]]:
    compare_summary.main(["--project-root", str(root)])
    return read_table(root / "outputs/compare/compare_summary.csv")


def test_columns_order_intervals_and_verdicts(tmp_path):
    make_runs(tmp_path / "outputs/compare", 5)
    rows = summarise(tmp_path)
    assert list(rows[0])[:5] == FIRST
    encoders = ["clip-vit-base-patch32", "late", "concat", "gated", "blip-image-captioning-base"]
    assert [row["run"].split("_")[-1] for row in rows] == encoders
    first = rows[0]
    at_best = scores(confusion_matrix(LABELS, predicted(0.5785, 0.6525, first["run"]), 3))
    for metric, value in at_best.items():
        assert float(first[f"val_{metric}"]) == pytest.approx(float(value), abs=1e-6)
    expected = {"best_epoch": "4", "epochs": "5", "seed": "42", "train_time_sec": "930.0"}
    expected |= {"params_million": "151.6", "peak_memory_mb": "", "unknown_rate": "0.02"}
    expected |= {"inference_ms": "15.25", "inference_batch_ms": "9.5", "inference_memory_mb": ""}
    assert expected.items() <= first.items()
    for row in rows:
        for short, metric in zip(("acc", "f1", "precision", "recall"), FIRST[1:], strict=True):
            assert float(row[f"{short}_low"]) < float(row[metric]) < float(row[f"{short}_high"])
        assert row["comparable"] == "yes"
    late = rows[1]
    assert (late["model"], late["group"]) == ("BERT + ResNet18 · late", "1")
    assert [row["verdict"] for row in rows] == ["best", *["no significant difference"] * 3, "worse"]
    assert [row["p_vs_best"] == "" for row in rows] == [True, False, False, False, False]
    assert [float(row["p_vs_best"]) <= 0.05 for row in rows[1:]] == [False, False, False, True]


def test_models_have_a_file_of_their_own_that_ends_with_the_majority(tmp_path):
    folder = tmp_path / "outputs/compare"
    make_runs(folder, 9)
    runs = summarise(tmp_path)
    *families, majority = read_table(folder / "compare_families.csv")
    assert len(runs) == 9
    assert len(families) == 7
    assert list(families[0])[:6] == [*FIRST, "seeds"]
    clip = next(row for row in families if row["run"].startswith("clip"))
    values = [float(row["val_f1_macro"]) for row in runs if row["run"].startswith("clip")]
    assert (clip["model"], clip["seeds"]) == ("CLIP", "2")
    assert float(clip["val_f1_macro"]) == pytest.approx(np.mean(values), abs=1e-6)
    assert float(clip["val_f1_macro_sd"]) == pytest.approx(np.std(values, ddof=1), abs=1e-6)
    expected = {"run": "always positive", "val_acc": "0.6", "val_f1_macro": "0.25"}
    assert expected.items() <= majority.items()


def test_the_corrected_figures_and_the_test_pairs_have_columns(tmp_path):
    """The better one on validation is the worse one on the test pairs."""
    folder, said = tmp_path / "outputs/compare", some_predictions(4, 0.6)
    wrong = (LABELS + 1) % 3
    make_run(folder, "a", epochs=said, test=(LABELS[:100], wrong[:100]))
    make_run(folder, "b", epochs=some_predictions(2, 0.3), test=(LABELS[:100], LABELS[:100]))
    rows = summarise(tmp_path)
    a, b, *others = read_table(folder / "compare_families.csv")
    assert [row["run"] for row in others] == ["ensemble of all models", "always positive"]
    for row in (rows[0], a):
        assert float(row["f1_corrected"]) < float(row["val_f1_macro"])
        assert float(row["f1_low"]) < float(row["f1_corrected"]) < float(row["f1_high"])
    assert (rows[0]["epochs_run"], rows[0]["lr"], rows[0]["fold"]) == ("4", "", "")
    assert (a["test_f1_macro"], a["test_verdict"]) == ("0.0", "worse")
    assert (b["test_f1_macro"], b["test_verdict"], b["test_p_vs_best"]) == ("1.0", "best", "")
    assert (b["verdict"], b["doubt"]) == ("worse", "")


def test_it_speaks_chinese_and_writes_the_same_files(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "outputs/compare"
    monkeypatch.setattr("common.comparison.ensembles._MOST_WORK", 0)  # it takes seconds
    for seed, name in enumerate("abc"):
        protocol = {"seed": 42, "effective_batch_size": 16}
        make_run(folder, name, epochs=some_predictions(2, 0.3 + seed / 10), protocol=protocol)
    protocol = {"seed": 43, "effective_batch_size": 16}
    make_run(folder, "a_seed43", epochs=some_predictions(2, 0.4), protocol=protocol)
    files = [folder / f"compare_{name}.csv" for name in ("summary", "families")]
    written, printed = [], []
    for code in ("en", "zh"):
        compare_summary.main(["--project-root", str(tmp_path), "--lang", code])
        written.append([path.read_bytes() for path in files])
        printed.append(capsys.readouterr().out)
    english, chinese = printed
    assert written[0] == written[1] and english.splitlines()[-1] == str(files[0])
    assert "On 400 validation pairs " in english and "在 400 对验证样本上，" in chinese
    names = {"全部模型的集成": "ensemble of all models", "前两名的集成": "ensemble of the best two"}
    assert set(names.values()) < {row["run"] for row in read_table(files[1])}
    assert all(name in chinese for name in names)
    assert not re.search("best|interval|macro|seed(?!4)|pairs|ensemble of", chinese)


def test_the_table_fits_100_columns_and_cuts_no_name(tmp_path, capsys):
    folder = tmp_path / "outputs/compare"
    make_runs(folder, 5)
    long = "中文模型很长" * 8
    make_run(folder, long, train_time_sec=1e300)
    make_run(folder, "m" * 75, model=bert("late", "weibo/" + "m" * 70))
    summarise(tmp_path)
    table, _, _ = capsys.readouterr().out.split("\n\n", 2)
    assert max(map(console_width, table.splitlines())) <= 100
    assert all(f"\n{name}\n" in table for name in (long, "m" * 70 + " + ResNet18 · late"))


def test_what_all_long_names_share_stands_in_the_heading(tmp_path, capsys):
    folder, name = tmp_path / "outputs/compare", "a-very-long-name-of-a-checkpoint"
    for fusion in ("late", "gated"):
        make_run(folder, fusion, model=bert(fusion, name))
    summarise(tmp_path)
    heading, *rows = capsys.readouterr().out.split("\n\n")[0].splitlines()
    assert f"({name} + ResNet18)" in heading
    assert {row.split()[0] for row in rows} >= {"late", "gated"}


def test_differences_of_protocol_are_printed_and_with_strict_an_error_that_writes_nothing(
    tmp_path, capsys
):
    folder = tmp_path / "outputs/compare"
    make_runs(folder, 5)
    late = folder / "bert-base-chinese_resnet18_late"
    edit(late, protocol={"seed": 42, "effective_batch_size": 8})
    command = ["--project-root", str(tmp_path), "--strict"]
    told = "effective_batch_size 8 instead of 16"
    with pytest.raises(UserError, match=f"late: {told}"):
        compare_summary.main(command)
    assert not list(folder.glob("*.csv"))
    row = next(row for row in summarise(tmp_path) if row["run"].endswith("late"))
    assert (row["comparable"], row["verdict"], row["p_vs_best"]) == ("no", "not comparable", "")
    assert (row["differs"], row["group"]) == (told, "2")
    assert f"Group 2 of runs ({told})" in capsys.readouterr().out
    edit(late, protocol={"seed": 43, "effective_batch_size": 16})
    compare_summary.main(command)  # a seed is no other protocol
    edit(late, protocol=...)
    with pytest.raises(UserError, match="no protocol recorded"):
        compare_summary.main(command)


def test_probes_have_columns_and_duplicates_are_warned_of(tmp_path, capsys):
    folder = tmp_path / "outputs/compare"
    probe = {"f1_drop_images_shuffled": 0.125, "f1_drop_texts_shuffled": -0.01}
    probe |= {"emap_f1_macro": 0.5, "emap_pairs": 64}
    met = {"text": 3, "image": 0, "near_image": 1, "label_conflicts": 2}
    make_run(folder, "a", probe=probe, duplicates=met)
    none = {"text": 0, "image": 0, "near_image": 0}
    make_run(folder, "b", probe={"emap_pairs": "\x1b[2J"}, duplicates=none)
    rows = {row["run"]: row for row in summarise(tmp_path)}
    assert [float(rows["a"][key]) for key in probe] == list(probe.values())
    assert [rows["b"][key] for key in probe] == [""] * 4
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert re.search(r"warning: .* met: 3 by their text.*1 by nearly.*\(2 with.*\(in a\)", printed)


def test_excel_sees_a_byte_order_mark_and_runs_nothing(tmp_path):
    folder = tmp_path / "outputs/compare"
    model = {"name": "@SUM(A1)", "fusion": "-1+1", "family": "天气"}
    make_run(folder, "=HYPERLINK(1)", model=model, device="+cmd")
    row = summarise(tmp_path)[0]
    assert (folder / "compare_summary.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    escaped = {"run": "'=HYPERLINK(1)", "model_name": "'@SUM(A1)", "fusion": "'-1+1"}
    assert escaped.items() <= row.items() and row["device"] == "'+cmd"
    assert row["family"] == "天气"


def test_another_folder_can_be_named_the_summary_written_twice_and_what_is_no_run_is_said(
    tmp_path, capsys
):
    make_runs(tmp_path / "elsewhere", 5)
    (tmp_path / "elsewhere/no run").mkdir()
    for _ in range(2):
        compare_summary.main(["--project-root", str(tmp_path), "--compare-dir", "elsewhere"])
    assert len(read_table(tmp_path / "elsewhere/compare_summary.csv")) == 5
    assert capsys.readouterr().err == "left out: no run: no metrics.json\n" * 2


def test_five_runs_of_ten_thousand_pairs_are_summed_up_without_torch(tmp_path):
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, 10_000)
    for run in range(5):
        guesses = random.integers(0, 10, 10_000)
        chosen = np.where(random.random(10_000) < 0.6, labels, guesses)
        make_run(tmp_path / "outputs/compare", f"run{run}", labels=labels, predictions=chosen)
    script = STAGE2 / "scripts" / "compare_summary.py"
    command = [sys.executable, "-X", "importtime", str(script), "--project-root", str(tmp_path)]
    before = os.times()
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    after = os.times()  # other load on the machine does not stretch it
    assert after.children_user - before.children_user < 30  # 5 as a rule; 0 on Windows
    assert "pandas" in done.stderr and "torch" not in done.stderr
    assert "On 10,000 validation pairs" in done.stdout
