"""A run folder is read as written, or named with the reason: never dropped in silence."""

import csv
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from common.errors import UserError
from common.files import replacing, write_result
from common.runs.reader import load_runs, read_runs
from helpers.run_folders import (
    CLASSES,
    LABELS,
    edit,
    make_run,
    make_runs,
    predicted,
    prediction_rows,
    write_csv,
)


def only_problem(parent: Path) -> str:
    runs, problems = read_runs(parent)
    assert not runs
    assert len(problems) == 1
    return problems[0]


def test_best_f1_first_ties_by_name(tmp_path):
    for name, f1 in (("b", 0.5), ("c", 0.6), ("a", 0.5)):
        make_run(tmp_path, name, f1)
    assert [run.name for run in load_runs(tmp_path)] == ["c", "a", "b"]


def test_metrics_are_those_of_the_best_epoch_and_the_earliest_of_ties(tmp_path):
    folder = make_run(tmp_path, "a", f1=0.5, acc=0.6, epochs=4, best=2)
    lines = list(csv.reader((folder / "history.csv").open(encoding="utf-8")))
    lines[4] = ["4", *lines[2][1:]]
    with (folder / "history.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(lines)
    best = load_runs(tmp_path)[0].best
    assert (best["epoch"], best["val_acc"]) == (2, 0.6)
    assert best["val_f1_macro"] == pytest.approx(0.5, abs=0.005)


def test_a_run_with_only_the_promised_keys_and_columns_is_read(tmp_path):
    folder = tmp_path / "old"
    folder.mkdir()
    header = "epoch,train_loss,val_acc,val_f1_macro,val_precision_macro,val_recall_macro"
    (folder / "history.csv").write_text(f"{header}\n1,1.0,0.5,0.4,0.4,0.4\n", encoding="utf-8-sig")
    keys = (
        "best_val_f1_macro",
        "epochs",
        "train_time_sec",
        "params_million",
        "trainable_params_million",
    )
    (folder / "metrics.json").write_text(
        json.dumps(dict(zip(keys, (0.4, 1, 9.5, 114.0, 114.0), strict=True)))
    )
    run = load_runs(tmp_path)[0]
    assert run.best["epoch"] == 1
    assert run.best["val_loss"] is None
    assert run.seed is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"params_million": ...}, "metrics.json has no params_million"),
        ({"train_time_sec": "fast"}, "metrics.json: train_time_sec is 'fast', not a number"),
        ({"train_time_sec": True}, "metrics.json: train_time_sec is True, not a number"),
        ({"train_time_sec": float("nan")}, "metrics.json: train_time_sec is nan"),
        ({"params_million": float("inf")}, "metrics.json: params_million is inf"),
        ({"params_million": -1}, "metrics.json: params_million is -1"),
        ({"peak_memory_mb": []}, "metrics.json: peak_memory_mb is [], not a number"),
        ({"protocol": [1]}, "metrics.json: protocol is no object"),
        ({"epochs": 4}, "metrics.json counts 4 epochs, history.csv has 5 rows"),
        ({"best_epoch": 2}, "metrics.json says best_epoch 2, history.csv 3"),
        ({"best_val_f1_macro": 0.9}, "metrics.json says best_val_f1_macro 0.9, history.csv 0.49"),
    ],
)
def test_metrics_that_cannot_be_trusted_are_named(tmp_path, changes, reason):
    edit(make_run(tmp_path, "a"), **changes)
    assert only_problem(tmp_path).startswith(f"a: {reason}")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "metrics.json is not JSON"),
        ('{"epochs": 5,', "metrics.json is not JSON"),
        ("[" * 100_000, "metrics.json is not JSON"),
        ("[1]", "metrics.json holds no object"),
    ],
)
def test_broken_json_is_named(tmp_path, text, reason):
    (make_run(tmp_path, "a") / "metrics.json").write_text(text, encoding="utf-8")
    assert only_problem(tmp_path).startswith(f"a: {reason}")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("train_loss", "loss", "history.csv has no column train_loss"),
        ("\n1,", "\nx,", "history.csv row 2: epoch is 'x', not a number"),
        (r",0.6,[^,]+,", ",0.6,nan,", "history.csv row 4: val_f1_macro is nan"),
        (r",0.6,([^,]+,)", r",60,\1", "history.csv row 4: val_acc is 60, not between 0 and 1"),
        (r",0.6,[^,]+,", ",0.6,,", "history.csv row 4: val_f1_macro is '', not a number"),
    ],
)
def test_a_broken_history_is_named_with_its_row(tmp_path, old, new, reason):
    path = make_run(tmp_path, "a") / "history.csv"
    text, changes = re.subn(old, new, path.read_text(encoding="utf-8"))
    assert changes
    path.write_text(text, encoding="utf-8")
    assert only_problem(tmp_path) == f"a: {reason}"


def test_a_history_cut_off_after_its_header_is_named(tmp_path):
    path = make_run(tmp_path, "a") / "history.csv"
    path.write_text(path.read_text(encoding="utf-8").splitlines()[0], encoding="utf-8")
    assert only_problem(tmp_path) == "a: history.csv has no epoch"


@pytest.mark.parametrize("name", ["metrics.json", "history.csv"])
def test_missing_and_undecodable_files_are_named(tmp_path, name):
    path = make_run(tmp_path, "a") / name
    path.write_bytes(b"\xff\xfe\x00")
    assert only_problem(tmp_path) == f"a: {name} is not UTF-8"
    path.unlink()
    assert only_problem(tmp_path) == f"a: no {name}"


@pytest.mark.parametrize("name", ["history.csv", "predictions.csv"])
@pytest.mark.parametrize("line", [0, 1])
def test_a_million_columns_are_refused_at_once(tmp_path, name, line):
    path = make_run(tmp_path, "a") / name
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[line] += "," * 10**6
    path.write_text("\n".join(lines), encoding="utf-8")
    assert only_problem(tmp_path) == f"a: {name} has more than 5,000 columns"


def test_predictions_are_read_in_the_order_of_the_split(tmp_path):
    folder = make_run(tmp_path, "a", labels=np.array([2, 0, 1]), predictions=np.array([2, 1, 1]))
    lines = [["guid", "label", "pred", "p_负", "p_=1", "p_a,b"]]
    lines += [
        ['g"1', "a,b", "a,b", ".1", ".2", ".7"],
        ["二\n", "负", "=1", "0", "1e0", "0"],
        ["", "=1", "=1", 0.3, 0.4, 0.3],
    ]
    write_csv(folder / "predictions.csv", lines)
    read = load_runs(tmp_path)[0].predictions
    assert read.classes == ["负", "=1", "a,b"]
    assert read.guids == ['g"1', "二\n", ""]
    assert (read.labels, read.predicted) == ([2, 0, 1], [2, 1, 1])
    assert read.probabilities == [[0.1, 0.2, 0.7], [0, 1, 0], [0.3, 0.4, 0.3]]


def test_cells_stay_the_text_that_they_are(tmp_path):
    """Neither a guid nor a class is a number or missing, whatever it looks like."""
    classes = ["None", "NA", "", "1.0"]
    labels = np.array([0, 1, 2, 3])
    folder = make_run(tmp_path, "a", labels=labels, predictions=labels)
    lines = prediction_rows(labels, labels, classes)
    for line, guid in zip(lines[1:], ("007", "nan", "", " 1e5 "), strict=True):
        line[0] = guid
    write_csv(folder / "predictions.csv", lines)
    read = load_runs(tmp_path)[0].predictions
    assert read.classes == classes
    assert read.guids == ["007", "nan", "", " 1e5 "]
    assert read.labels == read.predicted == [0, 1, 2, 3]


def test_numbers_are_read_to_their_last_digit(tmp_path):
    path = make_run(tmp_path, "a") / "history.csv"
    with path.open(encoding="utf-8") as file:
        written = [row["train_loss"] for row in csv.DictReader(file)]
    assert [row["train_loss"] for row in load_runs(tmp_path)[0].history] == list(
        map(float, written)
    )


def test_a_run_of_an_older_version_has_no_predictions(tmp_path):
    (make_run(tmp_path, "a") / "predictions.csv").unlink()
    assert load_runs(tmp_path)[0].predictions is None


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (
            "guid,label,pred",
            "guid,pred,label",
            "predictions.csv begins with 'guid,pred,label,p_negative",
        ),
        ("p_neutral", "neutral", "predictions.csv begins with 'guid,label,pred,p_negative,neutral"),
        (
            ",p_negative,p_neutral,p_positive",
            "",
            "predictions.csv begins with 'guid,label,pred', not with",
        ),
        ("\npair0,", "\npair0,sad ", "predictions.csv row 2: 'sad "),
        (
            "\npair3,",
            "\n\npair3,",
            "predictions.csv row 5 is not guid, label, class and 3 probabilities",
        ),
        (
            "\npair7,",
            "\npair7,x,",
            "predictions.csv row 9 is not guid, label, class and 3 probabilities",
        ),
        (
            "\npair7,",
            "\npair7,x,y,z,",
            "predictions.csv is no CSV (Error tokenizing data. C error: Expected 7 fields in line 9",
        ),
        (",0.", ",7.", "predictions.csv row 2 is not guid, label, class and 3 probabilities"),
        (",0.", ",nan", "predictions.csv row 2 is not guid, label, class and 3 probabilities"),
    ],
)
def test_damaged_predictions_are_named_with_their_row(tmp_path, old, new, reason):
    path = make_run(tmp_path, "a") / "predictions.csv"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    assert only_problem(tmp_path).startswith(f"a: {reason}")


def test_predictions_cut_off_or_of_another_epoch_are_named(tmp_path):
    path = make_run(tmp_path, "a", acc=0.6) / "predictions.csv"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    for kept in ("", "\n\n\n", lines[0]):
        path.write_text(kept, encoding="utf-8")
        assert only_problem(tmp_path) == "a: predictions.csv has no row"
    write_csv(path, prediction_rows(LABELS, LABELS, CLASSES))
    assert only_problem(tmp_path) == "a: predictions.csv gives val_acc 1, history.csv says 0.6"
    other = predicted(0.5, 0.6, "a").copy()
    wrong = np.flatnonzero(other != LABELS)
    other[wrong] = 3 - LABELS[wrong] - other[wrong]  # as many errors, of the other kind
    write_csv(path, prediction_rows(LABELS, other, CLASSES))
    assert only_problem(tmp_path).startswith("a: predictions.csv gives val_f1_macro 0.")


def test_after_a_stop_between_two_renames_the_earlier_run_keeps_its_name(tmp_path):
    make_run(tmp_path, ".a.old", acc=0.6)
    assert [run.name for run in load_runs(tmp_path)] == ["a"]
    make_run(tmp_path, "a", acc=0.55)
    runs, problems = read_runs(tmp_path)
    assert [run.best["val_acc"] for run in runs] == [0.55]
    assert problems == [".a.old: an earlier run, set aside while a newer one takes its name"]


def test_a_run_somebody_works_on_is_told_from_one_that_stopped(tmp_path, capsys):
    odd = [] if os.name == "nt" else [".\x1b[2J.partial"]  # Windows allows no such name
    for name in (".busy.partial", ".stopped.partial", *odd):
        (tmp_path / name).mkdir()
    owner = {"pid": 4242, "started": "2026-11-24 18:30:00", "host": "desk\x1b[2J"}
    (tmp_path / ".busy.partial" / "owner.json").write_text(json.dumps(owner), encoding="utf-8")
    make_run(tmp_path, "good")
    load_runs(tmp_path)
    lines = capsys.readouterr().err.splitlines()
    if odd:
        stopped = "stopped before its end: run the same command again to go on"
        assert lines.pop(0) == f"left out: .?[2J.partial: {stopped}"
    assert lines == [
        "left out: .busy.partial: in progress since 2026-11-24 18:30:00 (process 4242 on desk?[2J); "
        "if that process is gone, run the same command again to go on",
        "left out: .stopped.partial: stopped before its end: run the same command again to go on",
    ]


def test_runs_in_progress_are_named_and_pictures_and_files_are_no_runs(tmp_path, capsys):
    make_run(tmp_path, "good")
    for name in (".next.partial", "visuals", ".git"):
        (tmp_path / name).mkdir()
    (tmp_path / "compare_summary.csv").write_text("run\n")
    assert [run.name for run in load_runs(tmp_path)] == ["good"]
    assert capsys.readouterr().err.startswith("left out: .next.partial: ")


def test_one_unreadable_folder_hides_no_other(tmp_path):
    make_runs(tmp_path, 5)
    (tmp_path / "empty").mkdir()
    runs, problems = read_runs(tmp_path)
    assert len(runs) == 5
    assert problems == ["empty: no metrics.json"]


def test_nothing_to_read_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="no finished run in .* it is empty"):
        load_runs(tmp_path)
    with pytest.raises(UserError, match="no folder .*nowhere"):
        load_runs(tmp_path / "nowhere")
    (tmp_path / "a").mkdir()
    with pytest.raises(UserError, match="none of its folders can be read"):
        load_runs(tmp_path)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "file.txt"
    write_result(path, b"old")
    with pytest.raises(ZeroDivisionError), replacing(path) as file:
        file.write(b"half")
        raise ZeroDivisionError
    with pytest.raises(UserError, match="cannot write .*new: "):
        write_result(path.parent, b"a folder has that name")
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]
