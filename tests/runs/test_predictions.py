"""Predictions of every epoch, groups of copies and test predictions are read as written, or named."""

import csv
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from common.errors import UserError
from common.runs.reader import load_runs, read_runs
from helpers.run_folders import CLASSES, edit, make_run, write_csv
from sklearn.metrics import precision_recall_fscore_support

LABELS = np.array([0, 1, 2, 2, 1, 0])
EPOCHS = np.array([[0, 1, 2, 0, 0, 0], [0, 1, 2, 2, 1, 1], [0, 1, 2, 2, 0, 1]])  # (3, 6)


def make(parent: Path, **more) -> Path:
    return make_run(parent, "a", labels=LABELS, epochs=EPOCHS, **more)


def problem(parent: Path) -> str:
    runs, (line,) = read_runs(parent)
    assert not runs
    return line


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    changed, count = re.subn(old, new, text, count=1)
    assert count
    path.write_text(changed, encoding="utf-8")


def test_what_a_run_said_at_every_epoch_comes_back(tmp_path):
    make(tmp_path)
    (run,) = load_runs(tmp_path)
    assert run.epochs.tolist() == EPOCHS.tolist()
    assert run.best["epoch"] == 2
    assert run.predictions.predicted == EPOCHS[1].tolist()
    probabilities = run.epoch_probabilities()
    assert probabilities.shape == (3, 6, 3)
    assert (probabilities.argmax(2) == EPOCHS).all()
    assert probabilities[1] == pytest.approx(np.array(run.predictions.probabilities), abs=1e-3)


def test_groups_and_test_predictions_come_back(tmp_path):
    make(tmp_path, groups=[0, 1, 1, 3, 0, 5], test=(np.array([2, 1, 0]), np.array([2, 1, 1])))
    (run,) = load_runs(tmp_path)
    assert run.predictions.groups == ["pair0", "pair1", "pair1", "pair3", "pair0", "pair5"]
    assert (run.test.labels, run.test.predicted) == ([2, 1, 0], [2, 1, 1])


def test_which_texts_were_cut_comes_back_and_is_not_known_of_earlier_versions(tmp_path):
    folder = make(tmp_path, groups=[0, 1, 2, 3, 4, 5], cut=[0, 1, 0, 0, 0, 1])
    assert load_runs(tmp_path)[0].predictions.cut == [False, True, False, False, False, True]
    change(folder / "predictions.csv", ",pair1,1", ",pair1,2")
    assert problem(tmp_path) == "a: predictions.csv row 3: cut '2' is neither 0 nor 1"
    make(tmp_path / "earlier", groups=[0, 1, 2, 3, 4, 5])
    assert load_runs(tmp_path / "earlier")[0].predictions.cut is None


def test_a_folder_of_an_earlier_version_has_neither(tmp_path):
    make_run(tmp_path, "a")
    (run,) = load_runs(tmp_path)
    assert (run.predictions.groups, run.epochs, run.test) == (None, None, None)
    assert run.epoch_probabilities() is None


def test_test_pairs_without_labels_are_no_test(tmp_path):
    folder = make(tmp_path)
    lines = [["guid", "pred", *(f"p_{name}" for name in CLASSES)], ["x", "neutral", 0, 1, 0]]
    write_csv(folder / "test_predictions.csv", lines)
    assert load_runs(tmp_path)[0].test is None


def test_classes_that_look_like_formulas_or_numbers_come_back(tmp_path):
    folder = make_run(tmp_path, "a", labels=np.array([0, 1]), epochs=np.array([[0, 1], [1, 1]]))
    for name in ("predictions.csv", "epoch_predictions.csv"):
        text = (folder / name).read_text(encoding="utf-8")
        text = re.sub(r"(?<=,)negative", "'=1", text).replace("p_negative", "p_=1")
        (folder / name).write_text(text.replace("neutral", "007"), encoding="utf-8-sig")
    (run,) = load_runs(tmp_path)
    assert run.predictions.classes == ["=1", "007", "positive"]
    assert run.epochs.tolist() == [[0, 1], [1, 1]]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (",epoch_3", "", "begins with 'guid,label,epoch_1,epoch_2', not with guid,label,epoch_1,"),
        ("epoch_1,epoch_2", "epoch_2,epoch_1", "begins with 'guid,label,epoch_2,epoch_1,epoch_3'"),
        ("pair5.*\n", "", "has 5 pairs, predictions.csv 6"),
        ("pair4", "pair9", "row 6 is another pair than that of predictions.csv"),
        ("pair0,negative", "pair0,neutral", "row 2 is another pair than that of predictions.csv"),
        ("pair0,negative,negative", "pair0,negative,sad", "row 2: 'sad' is none of the classes"),
        ("(pair0.*)", r"\1,neutral", "row 2 has more cells than the header"),
        (
            "pair5,negative,negative,neutral",
            "pair5,negative,negative,negative",
            "row 7: epoch_2 is not the class that predictions.csv has",
        ),
        (
            "pair5,negative,negative",
            "pair5,negative,neutral",
            "gives for epoch 1 val_acc 0.5, history.csv says 0.666667",
        ),
    ],
)
def test_damaged_epoch_predictions_are_named_with_their_row(tmp_path, old, new, reason):
    change(make(tmp_path) / "epoch_predictions.csv", old, new)
    assert problem(tmp_path).startswith(f"a: epoch_predictions.csv {reason}")


def test_epoch_predictions_cut_off_are_named(tmp_path):
    path = make(tmp_path) / "epoch_predictions.csv"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text(lines[0], encoding="utf-8")
    assert problem(tmp_path) == "a: epoch_predictions.csv has 0 pairs, predictions.csv 6"
    path.write_text("", encoding="utf-8")
    assert problem(tmp_path).startswith("a: epoch_predictions.csv begins with ''")


@pytest.mark.parametrize("kind", [np.float32, np.int16])
def test_probabilities_of_another_kind_are_named(tmp_path, kind):
    path = make(tmp_path) / "epoch_probabilities.npz"
    np.savez_compressed(path, probabilities=np.zeros((3, 6, 3), kind))
    reason = f"holds (3, 6, 3) {np.dtype(kind)}, not (3, 6, 3) float16"
    assert problem(tmp_path) == f"a: epoch_probabilities.npz {reason}"


@pytest.mark.parametrize("damage", ["text", "truncated", "other array", "pickle", "other shape"])
def test_damaged_probabilities_are_named_before_they_are_asked_for(tmp_path, damage):
    path = make(tmp_path) / "epoch_probabilities.npz"
    if damage == "text":
        path.write_text("no archive")
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-40])
    elif damage == "other array":
        np.savez_compressed(path, logits=np.zeros((3, 6, 3), np.float16))
    elif damage == "pickle":
        np.savez_compressed(path, probabilities=np.array([{}], dtype=object))
    else:
        np.savez_compressed(path, probabilities=np.zeros((2, 6, 3), np.float16))
    assert problem(tmp_path).startswith("a: epoch_probabilities.npz ")


def test_probabilities_damaged_in_the_middle_are_an_error_that_names_the_file(tmp_path):
    path = make(tmp_path) / "epoch_probabilities.npz"
    with zipfile.ZipFile(path) as archive:
        content = bytearray(archive.read("probabilities.npy"))
    content[-2:] = np.float16(np.nan).tobytes()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("probabilities.npy", bytes(content))
    (run,) = load_runs(tmp_path)
    with pytest.raises(UserError, match="probabilities.npz is damaged .* train the run again"):
        run.epoch_probabilities()


def test_a_group_that_is_no_pair_is_named(tmp_path):
    folder = make(tmp_path, groups=[0, 1, 2, 3, 4, 5])
    change(folder / "predictions.csv", ",pair3\n", ",pair9\n")
    assert problem(tmp_path) == ("a: predictions.csv row 5: group 'pair9' is no guid of this file")


def test_test_predictions_must_give_the_recorded_figures_of_the_same_classes(tmp_path):
    folder = make(tmp_path, test=(np.array([2, 1, 0]), np.array([2, 1, 1])))
    edit(folder, test_acc=0.5)
    assert problem(tmp_path) == (
        "a: test_predictions.csv gives test_acc 0.666667, metrics.json says 0.5"
    )
    change(folder / "test_predictions.csv", "p_neutral", "p_other")
    assert "test_predictions.csv" in problem(tmp_path)


def test_the_number_of_epochs_run_must_be_that_of_the_history(tmp_path):
    edit(make(tmp_path), epochs_run=7)
    assert problem(tmp_path) == "a: metrics.json counts 7 epochs_run, history.csv has 3 rows"


@pytest.mark.parametrize("classes", [None, [0, 1]])
def test_means_over_classes_without_a_true_pair_are_taken_in_both_ways(tmp_path, classes):
    """Earlier versions averaged over the classes with a true or predicted pair, today's over those
    with a true one."""
    labels, chosen = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1])
    folder = make_run(tmp_path, "a", labels=labels, predictions=chosen, epochs=1, best=1)
    macro = precision_recall_fscore_support(
        labels, chosen, labels=classes, average="macro", zero_division=0
    )
    values = dict(zip(("precision", "recall", "f1"), macro, strict=False))
    path = folder / "history.csv"
    with path.open(encoding="utf-8") as file:
        header, row = csv.reader(file)
    for name, value in values.items():
        row[header.index(f"val_{name}_macro")] = value
    write_csv(path, [header, row])
    edit(folder, best_val_f1_macro=values["f1"])
    (run,) = load_runs(tmp_path)
    assert run.best["val_f1_macro"] == values["f1"]
