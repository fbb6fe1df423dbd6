"""The table of all runs: its first columns and order are read by other programs, and people open it in Excel."""

import csv
import os
import re
import shutil
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
from helpers.run_folders import LABELS, edit, make_run, make_runs, predicted
from helpers.usage import cpu_seconds
from sklearn.metrics import cohen_kappa_score

FIRST = ["run", "val_acc", "val_f1_macro", "val_precision_macro", "val_recall_macro"]


def summarise(root: Path) -> list[dict[str, str]]:
    compare_summary.main(["--project-root", str(root)])
    return read_csv(root / "outputs/compare/compare_summary.csv")


def read_csv(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8-sig", newline="") as file:
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
    at_best = scores(confusion_matrix(LABELS, predicted(0.5785, 0.6525, first["run"]), 3))
    assert [float(first[name]) for name in FIRST[1:]] == pytest.approx(
        [float(x) for x in at_best.values()], abs=1e-6
    )
    assert (first["best_epoch"], first["epochs"], first["seed"], first["train_time_sec"]) == (
        "4",
        "5",
        "42",
        "930.0",
    )
    assert (first["params_million"], first["peak_memory_mb"], first["unknown_rate"]) == (
        "151.6",
        "",
        "0.02",
    )


def test_every_metric_has_its_interval_and_every_run_its_verdict(tmp_path):
    make_runs(tmp_path / "outputs/compare", 5)
    rows = summarise(tmp_path)
    for row in rows:
        for short, metric in zip(("acc", "f1", "precision", "recall"), FIRST[1:], strict=True):
            assert float(row[f"{short}_low"]) < float(row[metric]) < float(row[f"{short}_high"])
        assert row["comparable"] == "yes"
    assert [row["verdict"] for row in rows] == ["best", *["no significant difference"] * 3, "worse"]
    assert [row["p_vs_best"] == "" for row in rows] == [True, False, False, False, False]
    assert [float(row["p_vs_best"]) <= 0.05 for row in rows[1:]] == [False, False, False, True]
    assert all(0 <= float(row["mcnemar_p"]) <= 1 for row in rows[1:])


def test_families_have_a_file_of_their_own_that_ends_with_the_majority(tmp_path):
    folder = tmp_path / "outputs/compare"
    make_runs(folder, 9)
    runs = summarise(tmp_path)
    *families, majority = read_csv(folder / "compare_families.csv")
    assert len(runs) == 9
    assert len(families) == 7
    assert list(families[0])[:6] == [*FIRST, "seeds"]
    clip = next(row for row in families if row["run"].startswith("clip"))
    values = [float(row["val_f1_macro"]) for row in runs if row["run"].startswith("clip")]
    assert clip["seeds"] == "2"
    assert float(clip["val_f1_macro"]) == pytest.approx(np.mean(values), abs=1e-6)
    assert float(clip["val_f1_macro_sd"]) == pytest.approx(np.std(values, ddof=1), abs=1e-6)
    assert (majority["run"], majority["val_acc"], majority["val_f1_macro"]) == (
        "always positive",
        "0.6",
        "0.25",
    )


def test_what_the_choice_of_the_epoch_gains_and_the_test_pairs_have_columns_and_a_table(
    tmp_path, capsys
):
    """The better one on validation is the worse one on the test pairs."""
    folder, said = tmp_path / "outputs/compare", some_predictions(4, 0.6)
    wrong = (LABELS + 1) % 3
    make_run(folder, "a", epochs=said, test=(LABELS[:100], wrong[:100]))
    make_run(folder, "b", epochs=some_predictions(2, 0.3), test=(LABELS[:100], LABELS[:100]))
    rows = summarise(tmp_path)
    a, b, *others = read_csv(folder / "compare_families.csv")
    assert [row["run"] for row in others] == ["ensemble of all models", "always positive"]
    for row in (rows[0], a):
        assert float(row["f1_corrected"]) < float(row["val_f1_macro"])
        assert float(row["f1_low"]) < float(row["f1_corrected"]) < float(row["f1_high"])
    assert (rows[0]["epochs_run"], rows[0]["lr"], rows[0]["fold"]) == ("4", "", "")
    assert (a["test_f1_macro"], a["test_verdict"]) == ("0.0", "worse")
    assert (b["test_f1_macro"], b["test_verdict"], b["test_p_vs_best"]) == ("1.0", "best", "")
    assert (b["verdict"], b["doubt"]) == ("worse", "")
    printed = capsys.readouterr().out
    assert "corrected" in printed.splitlines()[0]
    assert "\non the test pairs " in printed
    assert "there b is significantly better." in printed


def test_it_speaks_chinese_and_writes_the_same_files(tmp_path, capsys):
    make_runs(tmp_path / "outputs/compare", 10)
    files = [tmp_path / f"outputs/compare/compare_{name}.csv" for name in ("summary", "families")]
    compare_summary.main(["--project-root", str(tmp_path), "--lang", "en"])
    written = [path.read_bytes() for path in files]
    capsys.readouterr()
    compare_summary.main(["--project-root", str(tmp_path), "--lang", "zh"])
    runs, families, notes, sentence = capsys.readouterr().out.split("\n\n")
    assert [path.read_bytes() for path in files] == written
    assert runs.split()[:3] == ["运行", "宏平均", "F1"]
    assert len({console_width(line) for line in runs.splitlines()[:-1]}) == 1
    assert "无显著差异" in families and notes.startswith("注意：blip_")
    assert sentence.startswith("在 400 对验证样本上，clip_openai_clip-vit-base-patch32 的宏平均 F1")
    for text in (runs, families, sentence.splitlines()[0]):
        assert not re.search("best|interval|macro|seed(?!4)|pairs", text)


def test_it_names_ensembles_in_chinese_and_in_the_files_in_english(tmp_path, capsys):
    for seed, name in enumerate("abc"):
        make_run(tmp_path / "outputs/compare", name, epochs=some_predictions(2, 0.3 + seed / 10))
    compare_summary.main(["--project-root", str(tmp_path), "--lang", "zh"])
    rows = read_csv(tmp_path / "outputs/compare/compare_families.csv")
    names = {"全部模型的集成": "ensemble of all models", "前两名的集成": "ensemble of the best two"}
    assert set(names.values()) < {row["run"] for row in rows}
    printed = capsys.readouterr().out
    assert all(name in printed for name in names) and "ensemble of" not in printed


def test_it_prints_aligned_tables_a_sentence_and_the_path(tmp_path, capsys):
    make_runs(tmp_path / "outputs/compare", 10)
    summarise(tmp_path)
    runs, families, notes, sentence = capsys.readouterr().out.split("\n\n")
    runs = runs.splitlines()
    assert len({console_width(line) for line in runs[:-1]}) == 1
    assert len(runs) == 12
    assert runs[-1].split() == ["(always", "positive)", "0.2500", "0.6000"]
    assert len(families.splitlines()) == 9
    assert "0.5747 ± 0.0054" in families
    begins = (
        "blip_",
        "clip_",
        "bert-base-chinese_resnet18_concat, ",
        "copies among the validation",
    )
    for note, begin in zip(notes.splitlines(), begins, strict=True):
        assert note.startswith(f"warning: {begin}")
    assert sentence.startswith(
        "On 400 validation pairs clip_openai_clip-vit-base-patch32 has the highest macro-F1"
    )
    assert sentence.splitlines()[-1] == str(tmp_path / "outputs/compare/compare_summary.csv")


def test_the_console_tables_fit_120_columns_and_say_nothing_twice(tmp_path, capsys):
    folder = tmp_path / "outputs/compare"
    make_runs(folder, 5)
    make_run(folder, "天气很好_中文模型_" * 6, train_time_sec=1e300, params_million=1e300)
    make_run(folder, "m" * 200, probe={"emap_f1_macro": 0.5, "emap_pairs": 64})
    summarise(tmp_path)
    one_seed = capsys.readouterr().out.split("\n\n")
    protocol = {"seed": 43, "effective_batch_size": 16}
    make_run(folder, "m" * 200 + "_seed43", protocol=protocol)
    summarise(tmp_path)
    several_seeds = capsys.readouterr().out.split("\n\n")
    for printed, with_verdict in ((one_seed, [True, False]), (several_seeds, [False, True])):
        tables = [part.splitlines() for part in printed[:3]]
        assert ["against the best" in table[0] for table in tables[:2]] == with_verdict
        assert tables[2][0].startswith("what it relies on ")
        assert max(console_width(line) for table in tables for line in table) == 120
        assert "天气很好_中文" in printed[0] and "mmm...mmm" in printed[0]


def test_differences_of_protocol_are_printed_and_with_strict_an_error_that_writes_nothing(
    tmp_path, capsys
):
    folder = tmp_path / "outputs/compare"
    make_runs(folder, 5)
    edit(
        folder / "bert-base-chinese_resnet18_late", protocol={"seed": 42, "effective_batch_size": 8}
    )
    command = ["--project-root", str(tmp_path), "--strict"]
    with pytest.raises(
        UserError, match="bert-base-chinese_resnet18_late: effective_batch_size 8 instead of 16"
    ):
        compare_summary.main(command)
    assert not list(folder.glob("*.csv"))
    row = next(row for row in summarise(tmp_path) if row["run"].endswith("late"))
    assert (row["comparable"], row["verdict"], row["p_vs_best"]) == ("no", "not comparable", "")
    assert row["differs"] == "effective_batch_size 8 instead of 16"
    assert (
        "not comparable: bert-base-chinese_resnet18_late: effective_batch_size 8 ins"
        in capsys.readouterr().out
    )
    edit(
        folder / "bert-base-chinese_resnet18_late",
        protocol={"seed": 43, "effective_batch_size": 16},
    )
    compare_summary.main(command)  # a seed is no other protocol
    edit(folder / "bert-base-chinese_resnet18_late", protocol=...)
    with pytest.raises(UserError, match="no protocol recorded"):
        compare_summary.main(command)


def test_probes_are_shown_and_duplicates_warned_of(tmp_path, capsys):
    folder = tmp_path / "outputs/compare"
    probe = {
        "f1_drop_images_shuffled": 0.125,
        "f1_drop_texts_shuffled": -0.01,
        "emap_f1_macro": 0.5,
        "emap_pairs": 64,
    }
    make_run(
        folder,
        "a",
        probe=probe,
        duplicates={"text": 3, "image": 0, "near_image": 1, "label_conflicts": 2},
    )
    make_run(
        folder,
        "b",
        probe={"emap_pairs": "\x1b[2J"},
        duplicates={"text": 0, "image": 0, "near_image": 0},
    )
    rows = {row["run"]: row for row in summarise(tmp_path)}
    assert [float(rows["a"][key]) for key in probe] == list(probe.values())
    assert [rows["b"][key] for key in probe] == [""] * 4
    printed = capsys.readouterr().out
    assert "0.1250" in printed
    # EMAP is no best model: other additive ones of the same decisions can do better.
    assert "F1 of additive projection" in printed and "best additive" not in printed
    assert "\x1b" not in printed
    assert (
        "warning: validation pairs that training has met: 3 by their text, 0 by their photo, 1 by nearly their photo "
        "(2 with another label): figures look better than they are (in a)"
    ) in printed


def test_nothing_from_a_run_folder_reaches_the_terminal_as_a_command(tmp_path, capsys):
    folder = tmp_path / "outputs/compare"
    odd = "c" if sys.platform == "win32" else "\x1b[31mc"  # Windows allows no such name
    for name in ("a", "b", odd):
        make_run(
            folder, name, protocol={"seed": "\x1b[2J" if name == "a" else 1, "lr\x1b[0m": name}
        )
    summarise(tmp_path)
    assert "\x1b" not in "".join(capsys.readouterr())


def test_excel_sees_a_byte_order_mark_and_runs_nothing(tmp_path):
    folder = tmp_path / "outputs/compare"
    make_run(
        folder,
        "=HYPERLINK(1)",
        model={"name": "@SUM(A1)", "fusion": "-1+1", "family": "天气"},
        device="+cmd",
    )
    row = summarise(tmp_path)[0]
    assert (folder / "compare_summary.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert [row[key] for key in ("run", "model_name", "fusion", "device")] == [
        "'=HYPERLINK(1)",
        "'@SUM(A1)",
        "'-1+1",
        "'+cmd",
    ]
    assert row["family"] == "天气"


ADDED_METRIC = [  # what a metric more needs: three changes in one file
    (
        '    Metric("recall_macro", "Macro recall", "Rec"),\n',
        '    Metric("kappa", "Cohen\'s kappa", "Kappa", required=False),\n',
    ),
    (
        '        "recall_macro": macro(_ratio(hits, support)),\n',
        '        "kappa": _kappa(confusion),\n',
    ),
    (
        '        "recall_macro": float(macro[1]),\n',
        '        "kappa": float(cohen_kappa_score(labels, predicted)),\n',
    ),
]
KAPPA = """

def _kappa(confusion):
    total = confusion.sum((-2, -1))
    right = np.trace(confusion, axis1=-2, axis2=-1) / total
    chance = (confusion.sum(-1) * confusion.sum(-2)).sum(-1) / total**2
    return _ratio(right - chance, 1 - chance)
"""


def test_a_metric_is_added_in_one_file_and_older_runs_stay_readable(tmp_path):
    """In a copy of the code: a metric that may be negative, for runs that have it and for runs that lack it."""
    scripts, folder = tmp_path / "scripts", tmp_path / "outputs/compare"
    shutil.copytree(STAGE2 / "scripts", scripts, ignore=shutil.ignore_patterns("__pycache__"))
    path = scripts / "common/metrics.py"
    content = path.read_text(encoding="utf-8")
    for line, added in ADDED_METRIC:
        assert content.count(line) == 1
        content = content.replace(line, line + added)
    path.write_text(content + KAPPA, encoding="utf-8")

    make_runs(folder, 1)
    make_run(folder, "m")
    before = summarise(tmp_path)
    (late, lacks) = (row["run"] for row in before)
    write_runs = (
        "from pathlib import Path; from helpers.run_folders import LABELS, edit, make_run; import sys;"
        "folder = Path(sys.argv[1]); make_run(folder, 'new');"
        "make_run(folder, 'm_seed43', protocol={'seed': 43, 'effective_batch_size': 16});"
        "make_run(folder, 'wrong', best=1, predictions=(LABELS + 1) % 3);"
        "path = make_run(folder, 'broken') / 'history.csv';"
        "lines = path.read_text().splitlines(); lines[1] = lines[1].rsplit(',', 1)[0] + ',x';"
        "path.write_text('\\n'.join(lines))"
    )
    paths = os.pathsep.join(map(str, (scripts, STAGE2.parent / "tests")))
    options = {"capture_output": True, "text": True, "encoding": "utf-8", "check": True}
    python = [sys.executable, "-X", "utf8"]
    environment = {**os.environ, "PYTHONPATH": paths}
    subprocess.run([*python, "-c", write_runs, str(folder)], env=environment, **options)
    command = [*python, str(scripts / "compare_summary.py"), "--project-root", str(tmp_path)]
    done = subprocess.run(command, **options)

    says = "left out: broken: history.csv: could not convert string to float: 'x'\n"
    assert done.stderr == says
    remark = f"warning: Cohen's kappa is not recorded by {late} and {lacks}: it is empty there\n"
    assert done.stdout.count(remark) == 1 and "Kappa" in done.stdout.splitlines()[0]
    rows = {row["run"]: row for row in read_csv(folder / "compare_summary.csv")}
    added = ["val_kappa", "kappa_low", "kappa_high"]
    assert list(rows["new"]) == [*before[0], *added]
    assert [rows[name][column] for name in (late, lacks) for column in added] == [""] * 6
    for row in before:  # what does not depend on the other runs is as before
        assert [rows[row["run"]][column] for column in FIRST] == [row[column] for column in FIRST]
    expected = cohen_kappa_score(LABELS, predicted(0.5, 0.6, "new"))
    low, value, high = (float(rows["new"][column]) for column in (added[1], added[0], added[2]))
    assert value == pytest.approx(expected, abs=1e-6) and low < value < high
    assert float(rows["wrong"]["kappa_low"]) < float(rows["wrong"]["val_kappa"]) < 0
    groups = {row["run"]: row for row in read_csv(folder / "compare_families.csv")}
    columns = ["val_kappa", "val_kappa_sd", *added[1:], "test_kappa"]
    assert list(groups["new"])[-5:] == columns
    assert (groups["m"]["seeds"], groups["m"]["val_kappa"], groups["m"]["kappa_low"]) == (
        "2",
        "",
        "",
    )
    assert float(groups["always positive"]["val_kappa"]) == 0


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
    assert (
        len((tmp_path / "elsewhere/compare_summary.csv").read_text(encoding="utf-8").splitlines())
        == 6
    )


def test_five_runs_of_ten_thousand_pairs_are_summed_up_without_torch(tmp_path):
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, 10_000)
    for run in range(5):
        guesses = random.integers(0, 10, 10_000)
        chosen = np.where(random.random(10_000) < 0.6, labels, guesses)
        make_run(tmp_path / "outputs/compare", f"run{run}", labels=labels, predictions=chosen)
    command = [sys.executable, "-X", "importtime", str(STAGE2 / "scripts" / "compare_summary.py")]
    start = cpu_seconds()
    done = subprocess.run(
        [*command, "--project-root", str(tmp_path)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    assert cpu_seconds() - start < 30  # 5 as a rule
    assert "torch" not in done.stderr
    assert "On 10,000 validation pairs" in done.stdout


def test_it_imports_no_torch(tmp_path):
    make_runs(tmp_path / "outputs/compare", 10)
    script = STAGE2 / "scripts" / "compare_summary.py"
    command = [sys.executable, "-X", "importtime", str(script), "--project-root", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, check=True)
    assert b"pandas" in done.stderr and b"torch" not in done.stderr


def test_a_user_meets_one_line_and_status_2(tmp_path):
    command = [
        sys.executable,
        str(STAGE2 / "scripts/compare_summary.py"),
        "--project-root",
        str(tmp_path / "缺 少"),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", errors="replace"
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and "缺 少" in done.stderr
    assert done.stderr.count("\n") == 1
