"""A run folder is read as it was written, or left out with the reason: never dropped in silence."""

import json
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from common import files
from common.errors import UserError
from common.runs import layout, reading
from common.runs.folder import spreadsheet_bytes
from common.runs.reading import load_runs, read_runs
from helpers.run_folders import CLASSES, edit, make_run, make_runs, prediction_rows
from helpers.tables import read_rows, read_table, write_rows
from sklearn.metrics import precision_recall_fscore_support

SIX = np.array([0, 1, 2, 2, 1, 0])
EPOCHS = np.array([[0, 1, 2, 0, 0, 0], [0, 1, 2, 2, 1, 1], [0, 1, 2, 2, 0, 1]])  # (3, 6)
TEST = (np.array([2, 1, 0]), np.array([2, 1, 1]))
GUIDS = ["007", "=1+1", "'=1", "''-x", "-5", "@a", "it's", "中文", "None", 'a"b,c', "two\nlines"]


def make(parent: Path, name: str = "a", **more) -> Path:
    """A run folder with every file that a run may have."""
    first_copies = [0, 1, 1, 3, 4, 5]
    options = {"groups": first_copies, "cut": [0, 1, 0, 0, 0, 1], "test": TEST, **more}
    return make_run(parent, name, labels=SIX, epochs=EPOCHS, **options)


def change(path: Path, old: str, new: str) -> None:
    text, count = re.subn(old, new, path.read_text(encoding="utf-8"), count=1)
    assert count, old
    path.write_text(text, encoding="utf-8")


def reason(parent: Path) -> str:
    """Return why the only folder is left out."""
    runs, (line,) = read_runs(parent)
    assert not runs
    return line.removeprefix("a: ")


def test_all_that_a_run_folder_holds_comes_back(tmp_path):
    folder = make(tmp_path)
    (run,) = load_runs(tmp_path)
    assert run.metrics["params_million"] == 114.1 and run.seed == 42
    assert (len(run.history), run.best["epoch"]) == (3, 2)
    assert run.predictions.classes == CLASSES
    assert run.predictions.labels == SIX.tolist()
    assert run.predictions.predicted == EPOCHS[1].tolist()
    assert run.predictions.groups == ["pair0", "pair1", "pair1", "pair3", "pair4", "pair5"]
    assert run.predictions.cut == [False, True, False, False, False, True]
    assert (run.test.labels, run.test.predicted) == ([2, 1, 0], [2, 1, 1])
    assert run.epochs.tolist() == EPOCHS.tolist()
    shares = run.shares
    assert shares.shape == (3, 6, 3) and (shares.argmax(2) == EPOCHS).all()
    assert shares[1] == pytest.approx(np.array(run.predictions.probabilities), abs=1e-3)
    losses = [float(row["train_loss"]) for row in read_table(folder / "history.csv")]  # all digits
    assert [row["train_loss"] for row in run.history] == losses


def test_runs_of_earlier_versions_lack_what_those_did_not_write(tmp_path):
    folder = make(tmp_path, test=None)
    unlabelled = [["guid", "pred", *(f"p_{name}" for name in CLASSES)], ["x", "neutral", 0, 1, 0]]
    write_rows(folder / "test_predictions.csv", unlabelled)
    assert load_runs(tmp_path)[0].test is None
    for name in ("test_predictions.csv", "epoch_predictions.csv", "epoch_probabilities.npz"):
        (folder / name).unlink()
    write_rows(folder / "predictions.csv", prediction_rows(SIX, EPOCHS[1], CLASSES))
    (run,) = load_runs(tmp_path)
    assert (run.predictions.groups, run.predictions.cut, run.epochs) == (None, None, None)
    assert run.shares is None
    (folder / "predictions.csv").unlink()
    header = "epoch,train_loss,val_acc,val_f1_macro,val_precision_macro,val_recall_macro"
    (folder / "history.csv").write_text(f"{header}\n1,1,0.5,0.4,0.4,0.4\n", encoding="utf-8-sig")
    record = {key: 1 for key in reading._NUMBERS} | {"best_val_f1_macro": 0.4}
    (folder / "metrics.json").write_text(json.dumps(record), encoding="utf-8")
    (run,) = load_runs(tmp_path)
    assert (run.predictions, run.best["val_loss"], run.seed) == (None, None, None)


@pytest.mark.parametrize("name", layout.WHOLE)
def test_a_run_is_finished_where_what_readers_need_is_there(tmp_path, name):
    folder = make(tmp_path, content={})
    (folder / name).rename(tmp_path / name)
    assert reason(tmp_path).startswith(f"no {name}")
    (tmp_path / name).rename(folder / name)
    assert len(load_runs(tmp_path)) == 1  # without best.pt, which people delete for its size


def test_the_best_run_comes_first_and_of_equal_epochs_the_earliest_is_best(tmp_path):
    for name, f1 in (("b", 0.5), ("c", 0.6), ("a", 0.5)):
        path = make_run(tmp_path, name, f1, epochs=4, best=2) / "history.csv"
        lines = path.read_text(encoding="utf-8").splitlines()
        lines[4] = "4" + lines[2][1:]
        path.write_text("\n".join(lines), encoding="utf-8")
    runs = load_runs(tmp_path)
    assert [(run.name, run.best["epoch"]) for run in runs] == [("c", 2), ("a", 2), ("b", 2)]


@pytest.mark.parametrize("for_spreadsheets", [True, False])
def test_a_guid_or_a_class_may_look_like_a_formula_a_number_or_nothing(tmp_path, for_spreadsheets):
    """Spreadsheets run no text of a table; the first version wrote texts as they were."""
    folder, classes = make_run(tmp_path, "a", epochs=1, best=1), ["-a", "007", "None", "", "负,"]
    labels = np.arange(len(GUIDS)) % 5
    header, *rows = prediction_rows(labels, labels, classes)
    rows = [[guid, *row[1:]] for guid, row in zip(GUIDS, rows, strict=True)]
    (folder / "predictions.csv").unlink()
    change(folder / "history.csv", r"(?s)\n.*", "\n1,1,1,1,1,1,1,1\n")
    edit(folder, best_val_f1_macro=1)
    if for_spreadsheets:
        table = pd.DataFrame(rows, columns=header)
        (folder / "predictions.csv").write_bytes(spreadsheet_bytes(table))
        cells = [cell for row in read_rows(folder / "predictions.csv") for cell in row]
        assert not any(cell.startswith(files._FORMULA) for cell in cells)
    else:
        write_rows(folder / "predictions.csv", [header, *rows])
    found = load_runs(tmp_path)[0].predictions
    assert (found.guids, found.classes) == (GUIDS, classes)
    assert found.labels == found.predicted == labels.tolist()


# Files that disagree, or are damaged

DAMAGES = [
    ("metrics.json", '"params_million"', '"params"', "params_million is None, not a number"),
    ("metrics.json", "180.0", "NaN", "train_time_sec is nan, not a number"),
    ("metrics.json", '"samples": ', '"samples": [], "x": ', "samples is no object"),
    ("metrics.json", '"epochs": 3', '"epochs": 4', "it gives epochs 3, and the run says 4"),
    ("metrics.json", "macro.: 0", 'macro": 0.1, "x": 0', ", and the run says 0.1"),
    ("metrics.json", '"test_acc": 0', '"test_acc": 1, "x": 0', "it gives test_acc 0.666667"),
    ("history.csv", "train_loss", "loss", "it has no column train_loss"),
    ("history.csv", "\n1,", "\nx,", "could not convert string to float: 'x'"),
    ("history.csv", "(\n3,)[^,]+", r"\1nan", "row 4: train_loss is 'nan'"),
    ("history.csv", "\n3,", "\n4,", "its epochs are not 1, 2, 3"),
    ("predictions.csv", "label,pred", "pred,label", "its columns are not guid,label,pred"),
    ("predictions.csv", "pair0,negative", "pair0,sad", "row 2: 'sad' is none of negative, neut"),
    ("predictions.csv", "pair3,", "pair3,x,", "row 5 has 9 cells, the header 8"),
    ("predictions.csv", ",0[.]", ",7.", "are no probabilities"),
    ("predictions.csv", ",pair3,", ",pair9,", "group 'pair9' is no guid of this file"),
    ("predictions.csv", ",pair3,0", ",pair3,2", "row 5: '2' is none of 0, 1"),
    ("predictions.csv", "pair3,positive,pos[a-z]*", "pair3,positive,neutral", "gives val_acc 0.6"),
    ("epoch_predictions.csv", ",epoch_3", ",epoch_4", "its columns are not guid, label and 3 ep"),
    ("epoch_predictions.csv", "pair4", "pair9", "its best epoch is not that of predictions.csv"),
    ("epoch_predictions.csv", "(pair5,.*),.*\n", r"\1,negative\n", "it gives val_acc 0.833333"),
    ("test_predictions.csv", "p_neutral", "p_other", "row 3: 'neutral' is none of negative, other"),
]


def test_files_that_disagree_are_named_with_row_and_value(tmp_path):
    for number, (name, old, new, says) in enumerate(DAMAGES):
        change(make(tmp_path / str(number)) / name, old, new)
        found = reason(tmp_path / str(number))
        assert name in found or name == "metrics.json", found
        assert says in found, found


def test_absent_foreign_and_cut_off_files_are_named(tmp_path):
    contents = [b"", b"[" * 10**5, b'"' * 99_999, b"," * 10**6, bytes(10**5)]
    contents += ["epoch,guid".encode("utf-16"), b"PK\x03\x04" + bytes(range(256))]
    folder = make(tmp_path)
    names = {path.name for path in folder.iterdir()}
    assert len(names) == 6
    for name in names:
        whole = (folder / name).read_bytes()
        for content in [*contents, whole[:40], whole[: len(whole) // 2], whole[:-40]]:
            (folder / name).write_bytes(content)
            found = reason(tmp_path)
            assert name in found and len(found) < 400
        (folder / name).unlink()
        if name in ("metrics.json", "history.csv"):
            assert reason(tmp_path) == f"no {name}"
        (folder / name).write_bytes(whole)
    assert len(read_runs(tmp_path)[0]) == 1


def test_probabilities_of_another_kind_are_named_and_no_pickle_is_loaded(tmp_path):
    path, right = make(tmp_path) / "epoch_probabilities.npz", np.full((3, 6, 3), 1 / 3, np.float16)
    np.savez_compressed(path, probabilities=right)
    assert len(read_runs(tmp_path)[0]) == 1
    for wrong in (right.astype(float), right[1:], right - 1, np.array([{}], dtype=object)):
        np.savez_compressed(path, probabilities=wrong)
        assert reason(tmp_path).startswith("epoch_probabilities.npz: ")
    assert reason(tmp_path).endswith("it holds (1,) object, not (3, 6, 3) float16")


def test_the_array_that_is_checked_is_the_one_that_is_read(tmp_path):
    """numpy takes a member without ``.npy`` first, whatever the other one is."""
    path = make(tmp_path) / "epoch_probabilities.npz"
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("probabilities", bytes(10**7))
    assert load_runs(tmp_path)[0].shares.shape == (3, 6, 3)


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps its pipes elsewhere")
def test_a_pipe_leaves_out_its_run(tmp_path):
    folder = make(tmp_path)
    for name in [path.name for path in folder.iterdir()]:
        (folder / name).rename(tmp_path / "kept")
        os.mkfifo(folder / name)
        assert reason(tmp_path) == f"{name}: not a file"
        (folder / name).unlink()
        (tmp_path / "kept").rename(folder / name)


def test_files_too_large_for_memory_are_not_read(tmp_path, monkeypatch):
    folder = make(tmp_path)
    monkeypatch.setattr(reading, "_MOST", dict.fromkeys(reading._MOST, 10**6))
    np.savez_compressed(folder / "epoch_probabilities.npz", probabilities=np.zeros(10**6))
    assert (
        reason(tmp_path)
        == "epoch_probabilities.npz: it holds (1000000,) float64, not (3, 6, 3) float16"
    )
    for name in ("epoch_predictions.csv", "predictions.csv", "history.csv", "metrics.json"):
        with open(folder / name, "ab") as file:
            file.write(b" " * 2_000_000)
        assert reason(tmp_path) == f"{name}: larger than 1 MB"


def test_more_classes_than_resampling_has_memory_for_are_refused(tmp_path, monkeypatch):
    make(tmp_path)
    monkeypatch.setattr(layout, "MOST_CLASSES", 2)
    assert reason(tmp_path) == "predictions.csv: it has 3 classes, not 1 to 2"


@pytest.mark.parametrize("classes", [None, [0, 1]])
def test_means_over_classes_without_a_true_pair_are_taken_in_both_ways(tmp_path, classes):
    """Earlier versions averaged over the classes with a true or predicted pair, today's over those
    with a true one."""
    labels, chosen = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1])
    folder = make_run(tmp_path, "a", labels=labels, predictions=chosen, epochs=1, best=1)
    macro = precision_recall_fscore_support(
        labels, chosen, labels=classes, average="macro", zero_division=0
    )
    path = folder / "history.csv"
    table = pd.read_csv(path)
    for name, value in zip(("precision", "recall", "f1"), macro, strict=False):
        table[f"val_{name}_macro"] = value
    table.to_csv(path, index=False)
    edit(folder, best_val_f1_macro=macro[2])
    assert load_runs(tmp_path)[0].best["val_f1_macro"] == macro[2]


# The folders beside each other


def test_one_unreadable_folder_hides_no_other_and_what_is_left_out_is_said(tmp_path, capsys):
    make_runs(tmp_path, 2)
    for name in ("visuals", ".git", "logs", "empty", ".stopped.partial", ".busy.partial"):
        (tmp_path / name).mkdir()
    (tmp_path / "compare_summary.csv").write_text("run\n")
    owner = {"pid": 4242, "started": "2026-11-24 18:30:00", "host": "desk\x1b[2J"}
    (tmp_path / ".busy.partial" / "owner.json").write_text(json.dumps(owner), encoding="utf-8")
    for name in ("one", "two"):
        make_run(tmp_path / "earlier", name)
    assert len(load_runs(tmp_path)) == 2
    assert capsys.readouterr().err.splitlines() == [
        "left out: .busy.partial: in progress: process 4242 on desk?[2J, started 2026-11-24 18:30:00; "
        "if it is gone, run the same command again to go on",
        "left out: .stopped.partial: stopped before its end: run the same command again to go on",
        "left out: empty: no metrics.json",
        "left out: earlier: 2 whose names were taken by newer runs",
    ]


def test_after_a_stop_between_two_renames_the_earlier_run_keeps_its_name(tmp_path):
    make_run(tmp_path, ".a.old", acc=0.6)
    assert [run.name for run in load_runs(tmp_path)] == ["a"]
    make_run(tmp_path, "a", acc=0.55)
    runs, problems = read_runs(tmp_path)
    assert [run.best["val_acc"] for run in runs] == [0.55]
    assert problems == [".a.old: an earlier run, set aside while a newer one takes its name"]


def test_nothing_to_read_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="no finished run in .* it is empty"):
        load_runs(tmp_path)
    with pytest.raises(UserError, match="no finished run in .*nowhere: No such"):
        load_runs(tmp_path / "nowhere")
    (tmp_path / "a").mkdir()
    with pytest.raises(UserError, match="none of its folders can be read"):
        load_runs(tmp_path)
    if os.name != "nt":
        (tmp_path / "a").rename(tmp_path / "two\nlines")
        assert read_runs(tmp_path)[1] == ["two?lines: no metrics.json"]
