"""From run folders to results: who is compared, with what figures, and who is left out."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from common.comparison import judging
from common.comparison.compare import compare
from common.comparison.draws import Draws
from common.comparison.wording import (
    BEST,
    NO_DIFFERENCE,
    NO_PREDICTIONS,
    NOT_ABOVE,
    NOT_COMPARABLE,
    WORSE,
    conclusion,
)
from common.runs.reading import load_runs, read_runs
from common.words import ENGLISH
from helpers.figures import some_predictions
from helpers.made_runs import made_run
from helpers.run_folders import COUNTS, LABELS, edit, make_run

GOOD, POOR = (some_predictions(1, right)[0] for right in (0.75, 0.2))
NEAR = some_predictions(2, 0.72)[1]


ESTIMATE = ["val_f1_macro", "f1_low", "f1_high", "f1_corrected"]


def rows_of(folder) -> pd.DataFrame:
    return compare(load_runs(folder)).runs.set_index("run")


def test_an_interval_does_not_depend_on_the_other_runs():
    runs = [made_run(name, row) for name, row in zip("abcd", some_predictions(4, 0.6), strict=True)]
    together = compare(runs).runs.set_index("run")[ESTIMATE]
    alone = pd.concat(compare([run]).runs for run in runs).set_index("run")[ESTIMATE]
    assert together.sort_index().equals(alone.sort_index())


def test_verdicts_of_clear_cases(tmp_path):
    for name, said in {"a": GOOD, "b_same": GOOD, "c_near": NEAR, "d_bad": POOR}.items():
        make_run(tmp_path, name, predictions=said)
    found = rows_of(tmp_path)["verdict"].to_dict()
    assert found == {"a": BEST, "b_same": NO_DIFFERENCE, "c_near": NO_DIFFERENCE, "d_bad": WORSE}


def test_a_verdict_does_not_depend_on_the_seed_of_the_draws(monkeypatch):
    """p of the third model is .0481 with 10,000 draws of one seed, and .0538 with those of another."""
    said = [some_predictions(1, right, i)[0] for i, right in ((15, 0.66), (16, 0.58), (21, 0.56))]
    runs = [made_run(name, row) for name, row in zip("abc", said, strict=True)]
    found = [_models_with_seed(seed, runs, monkeypatch) for seed in (1, 2)]
    for models in found:
        assert list(models["verdict"]) == [BEST, NO_DIFFERENCE, WORSE]
    monkeypatch.setattr(Draws, "more", lambda draws, answers: None)
    of_few = [_models_with_seed(seed, runs, monkeypatch) for seed in (1, 2)]
    assert [models["verdict"][2] for models in of_few] == [WORSE, NO_DIFFERENCE]
    for few, many in zip(of_few, found, strict=True):  # the intervals are the same
        assert few[ESTIMATE].equals(many[ESTIMATE])


def _models_with_seed(seed: int, runs: list, monkeypatch) -> pd.DataFrame:
    monkeypatch.setattr(judging, "Draws", partial(Draws, seed=seed))
    return compare(runs).models[:3]


def test_what_each_epoch_said_is_read_and_the_choice_corrected(tmp_path):
    epochs = some_predictions(5, 0.6)
    make_run(tmp_path, "kept", epochs=epochs)
    make_run(tmp_path, "lost", epochs=epochs)
    (tmp_path / "lost" / "epoch_predictions.csv").unlink()
    rows = rows_of(tmp_path)
    kept, lost = rows.loc["kept"], rows.loc["lost"]
    assert kept.val_f1_macro == lost.val_f1_macro == lost.f1_corrected
    assert kept.f1_corrected < kept.val_f1_macro
    assert kept.f1_low < lost.f1_low and kept.f1_high < lost.f1_high


def test_runs_of_one_protocol_form_a_group_and_nothing_of_another_touches_it(tmp_path):
    protocol = {"seed": 42, "epochs": 5, "classes": ["x", "y"], "val_sha256": "0" * 64}
    for name in ("a", "b", "c"):
        make_run(tmp_path, name, f1=0.5, protocol=protocol)
    expected = rows_of(tmp_path)
    other = {**protocol, "epochs": 9, "val_sha256": "1" * 64}
    for name in ("d", "e"):
        make_run(tmp_path, name, f1=0.6, protocol=other)
    rows = rows_of(tmp_path)
    assert rows.loc[list("abc")].equals(expected.loc[list("abc")])
    assert list(rows.loc["d"][["comparable", "group"]]) == ["no", 2]
    assert rows["differs"]["d"] == "epochs 9 instead of 5; other validation pairs or labels"
    assert sorted(rows["verdict"][["d", "e"]]) == [BEST, NO_DIFFERENCE]  # within their own group
    told = compare(load_runs(tmp_path), first=2)
    assert [model.name for model in told.groups[0].models] == ["d", "e"]


def test_the_group_with_most_evidence_is_told_first(tmp_path):
    """Several models before one, then pairs before models: not the number of runs."""
    for epochs, (names, count) in enumerate((("pqr", 100), ("st", 200), ("u", 400)), 1):
        for name in names:
            block = {"labels": LABELS[:count], "predictions": GOOD[:count]}
            make_run(tmp_path, name, protocol={"epochs": epochs}, **block)
    groups = compare(load_runs(tmp_path)).groups
    assert ["".join(sorted(model.name for model in group.models)) for group in groups] == [
        "st",
        "pqr",
        "u",
    ]
    lone = compare(load_runs(tmp_path)).runs.set_index("run").loc["u"]
    assert (lone.verdict, lone.p_vs_best) == (NOT_COMPARABLE, None)


def test_a_copy_of_a_run_folder_counts_once_and_is_said():
    runs = [made_run("a", GOOD), made_run("b", NEAR), made_run("a - copy", GOOD, model="a")]
    found, alone = compare(runs), compare(runs[:2])
    assert found.models.equals(alone.models)
    assert [note for note in map(ENGLISH, found.groups[0].notes) if "copy" in note] == [
        "a - copy: a copy of a (equal predictions, model and random seed), counted once"
    ]
    twin = made_run("b2", NEAR, model="b2")  # another model may say the same
    assert len(compare([*runs[:2], twin]).groups[0].models) == 3


def test_runs_of_an_older_version_are_shown_without_interval_or_verdict(tmp_path):
    for name in ("a", "old"):
        make_run(tmp_path, name)
    (tmp_path / "old" / "predictions.csv").unlink()
    edit(tmp_path / "old", protocol=..., class_counts=...)
    old = rows_of(tmp_path).loc["old"]
    assert (old.verdict, old.comparable) == (NO_PREDICTIONS, "unknown")
    assert old.f1_low is None
    (tmp_path / "a" / "predictions.csv").unlink()
    none = compare(load_runs(tmp_path))
    group = none.groups[0]
    assert (group.pairs, group.validation, group.majority) == (0, None, None)
    assert conclusion(none, ENGLISH) == [ENGLISH("nothing_comparable")]


def test_no_first_model_is_the_best_where_always_guessing_is_as_good():
    guess = np.full(400, 2)
    counts = {"class_counts": {"train": {"negative": 1, "neutral": 1, "positive": 9}}}
    runs = [
        made_run("guess", guess, recorded=counts),
        made_run("bad", (LABELS + 1) % 3, recorded=counts),
    ]
    assert compare(runs).models["verdict"][0] == NOT_ABOVE


def test_a_verdict_says_whether_it_is_about_runs_or_models():
    runs = [made_run("a", GOOD, model="a"), made_run("b", POOR)]
    second = made_run("a_seed43", NEAR, model="a", seed=43)
    for members, scope in ((runs, "runs"), ([*runs, second], "models")):
        found = compare(members)
        assert set(found.models["scope"]) == set(found.runs["scope"]) == {scope}


def test_the_majority_is_that_of_training_scored_on_validation(tmp_path):
    make_run(tmp_path, "a", class_counts={"train": {"negative": 9, "neutral": 10, "positive": 9}})
    result = compare(load_runs(tmp_path)).groups[0]
    assert result.majority_class == "neutral"
    share = COUNTS[1] / 400
    assert result.majority["val_acc"] == pytest.approx(share)
    assert result.majority["val_f1_macro"] == pytest.approx(2 * share / (1 + share) / 3)
    for counts in (
        {"train": {"negative": 9}},
        {"train": [1]},
        {"train": {c: "x" for c in ("negative", "neutral")}},
    ):
        edit(tmp_path / "a", class_counts=counts)
        assert compare(load_runs(tmp_path)).groups[0].majority is None


def test_runs_of_another_version_of_the_program_are_compared_with_a_remark(tmp_path):
    for name, code in (("a", "x"), ("b", "x"), ("c", "y"), ("d", None)):
        make_run(tmp_path, name, **({"content": {"code_sha256": code}} if code else {}))
    found = compare(read_runs(tmp_path)[0])
    assert list(found.runs["comparable"]) == ["yes"] * 4
    assert [note for note in map(ENGLISH, found.groups[0].notes) if "version" in note] == [
        "another version of this program than that of most runs has made c"
    ]
