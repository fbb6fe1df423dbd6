"""A run folder holds what the model said at every epoch, and which pairs are copies."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from common.metrics import run_scores
from common.runs.reading import Run, load_runs
from common.training.engine import TrainingResult
from helpers.small_project import compare_dir, make_small_project, run_small


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    return make_small_project(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def run(project, hub) -> Run:
    run_small(project, hub, "clip")
    (found,) = load_runs(compare_dir(project))
    return found


def test_the_best_logits_are_those_of_the_best_epoch():
    result = TrainingResult()
    logits = [torch.full((2, 3), float(i)) for i in range(3)]
    f1s = (0.2, 0.5, 0.5)
    improved = [
        result.add({"epoch": i + 1, "val_f1_macro": f1}, logits[i]) for i, f1 in enumerate(f1s)
    ]
    assert improved == [True, True, False]
    assert result.best_logits is logits[1]


def test_the_classes_of_every_epoch_give_its_figures(run):
    assert run.epochs.shape == (3, 6)
    labels = np.array(run.predictions.labels)
    for row, predicted in zip(run.history, run.epochs, strict=True):
        for key, value in run_scores(labels, predicted).items():
            assert row[f"val_{key}"] == value


def test_the_probabilities_of_every_epoch_are_those_of_its_classes(run):
    probabilities = run.epoch_probabilities()
    assert (probabilities.argmax(2) == run.epochs).all()
    best = probabilities[int(run.best["epoch"]) - 1]
    assert best == pytest.approx(np.array(run.predictions.probabilities), abs=5e-4)  # float16
    assert (run.path / "epoch_probabilities.npz").stat().st_size < 1000


def test_epochs_run_stand_beside_the_planned_number(run):
    assert (run.metrics["epochs_run"], run.metrics["protocol"]["epochs"]) == (3, 3)


def test_the_texts_that_were_cut_are_recorded_pair_by_pair(hub, tmp_path):
    project = make_small_project(tmp_path)
    path = project / "outputs" / "splits" / "val.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    rows[2][1] = "good " * 500  # the text of val1
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    run_small(project, hub, "clip")
    (run,) = load_runs(compare_dir(project))
    assert run.predictions.cut == [place == 1 for place in range(6)]


def test_copies_name_the_first_of_them_as_their_group(hub, tmp_path):
    project = make_small_project(tmp_path)
    path = project / "outputs" / "splits" / "val.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    rows[3][1] = rows[1][1]  # val2 has the text of val0
    rows[6][2] = rows[3][2]  # and val5 the photo of val2
    for name in ("val", "test"):
        with path.with_name(f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    run_small(project, hub, "clip")
    (run,) = load_runs(compare_dir(project))
    expected = ["val0", "val1", "val0", "val3", "val4", "val0"]
    assert run.predictions.groups == run.test.groups == expected
