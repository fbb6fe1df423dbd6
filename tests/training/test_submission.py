"""A training command predicts the test pairs that have no labels, in the form that is handed in."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from common.runs.reading import load_runs
from helpers.small_project import compare_dir, make_small_project, record, run_small


def write_test_list(project: Path, line_end: str = "\n", changed: dict[int, list] | None = None):
    """The validation pairs without their labels, the last one first; some rows ``changed``."""
    splits = project / "outputs" / "splits"
    with (splits / "val.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    rows = [[*row[:3], "null"] for row in reversed(rows)]
    for place, row in (changed or {}).items():
        rows[place] = row
    with (splits / "test.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator=line_end).writerows([header, *rows])


@pytest.fixture
def project(tmp_path) -> Path:
    return make_small_project(tmp_path)


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_the_submission_says_what_the_best_epoch_says_in_order_and_line_ends_of_the_list(
    hub, project, capsys, line_end
):
    write_test_list(project, line_end)
    folder = run_small(project, hub, "clip", "--epochs", "1")
    (run,) = load_runs(compare_dir(project))
    said = [run.predictions.classes[place] for place in run.predictions.predicted]
    pairs = reversed(list(zip(run.predictions.guids, said, strict=True)))
    expected = ["guid,tag", *(f"{guid},{tag}" for guid, tag in pairs), ""]
    path = folder / "test_with_label.txt"
    assert path.read_bytes() == line_end.join(expected).encode("utf-8")
    assert f"6 pairs without labels: {path}" in capsys.readouterr().out

    text = (folder / "test_predictions.csv").read_text(encoding="utf-8-sig")
    header, *rows = csv.reader(text.splitlines())
    assert header == ["guid", "pred", "p_negative", "p_neutral", "p_positive"]
    assert run.test is None  # the reader leaves them
    shares = np.array([row[2:] for row in rows], float)
    np.testing.assert_allclose(shares, run.predictions.probabilities[::-1], atol=1e-5)
    assert [row[1] for row in rows] == [run.predictions.classes[i] for i in shares.argmax(1)]
    found = record(folder)
    assert found["samples"]["unlabelled"] == 6 and "test_f1_macro" not in found
    assert found["class_counts"].keys() == {"train", "val"}


def test_a_list_without_labels_leaves_all_else_as_it_is(hub, project):
    alone = run_small(project, hub, "bert", "--output-dir", "outputs/alone")
    write_test_list(project)
    beside = run_small(project, hub, "bert")
    for name in ("predictions.csv", "epoch_predictions.csv", "epoch_probabilities.npz"):
        assert (alone / name).read_bytes() == (beside / name).read_bytes()


def test_guids_are_handed_in_as_they_are(hub, project):
    """Escaped for a spreadsheet only in test_predictions.csv."""
    write_test_list(project, changed={0: ["=1+1", "好", "data/val0.png", ""]})
    folder = run_small(project, hub, "clip", "--epochs", "1")
    first = (folder / "test_with_label.txt").read_text(encoding="utf-8").splitlines()[1]
    assert first.startswith("=1+1,")
    text = (folder / "test_predictions.csv").read_text(encoding="utf-8-sig")
    assert text.splitlines()[1].startswith("'=1+1,")


def test_copies_of_training_pairs_among_them_are_counted(hub, project, capsys):
    write_test_list(project, changed={1: ["x", "新的一句", "data/train3.png", ""]})
    run_small(project, hub, "clip", "--epochs", "1")
    told = [line for line in capsys.readouterr().out.splitlines() if "of the test pairs" in line]
    assert len(told) == 1 and "1 their photo" in told[0]


def test_a_labelled_test_list_is_measured_and_not_handed_in(hub, project):
    splits = project / "outputs" / "splits"
    shutil.copy(splits / "val.csv", splits / "test.csv")
    folder = run_small(project, hub, "clip", "--epochs", "1")
    assert not (folder / "test_with_label.txt").exists()
    assert "test_f1_macro" in record(folder)
