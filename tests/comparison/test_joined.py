"""The folds, seeds and learning rates of a model are joined, and judged as one."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from common.comparison.compare import compare
from common.comparison.models import models
from common.comparison.results import Results
from common.comparison.wording import BEST, INCOMPLETE, NO_DIFFERENCE, WORSE, conclusion
from common.metrics import run_scores
from common.runs.reading import Run
from common.words import ENGLISH
from helpers.figures import some_predictions
from helpers.made_runs import made_predictions, made_run
from helpers.run_folders import LABELS

GOOD, FAIR, POOR = (some_predictions(1, right)[0] for right in (0.75, 0.7, 0.2))
F1 = "val_f1_macro"


def folds(name: str, predicted: np.ndarray, count: int = 4, **more) -> list[Run]:
    """The runs of a model on all folds, that say this (400,) of their pairs."""
    runs = []
    for fold in range(1, count + 1):
        pairs = np.arange(fold - 1, 400, count)
        own = {"val_sha256": f"of fold {fold}", "train_sha256": f"without fold {fold}"}
        own["val_pairs_sha256"] = f"of fold {fold}"
        block = {"model": name, "fold": fold, "folds": count, "folds_sha256": "of all"}
        block |= {"pairs": pairs, **own, **more}
        runs.append(made_run(f"{name}_fold{fold}", predicted[pairs], **block))
    return runs


def notes(found: Results) -> list[str]:
    return list(map(ENGLISH, found.groups[0].notes))


def rows(found: Results) -> pd.DataFrame:
    """The rows of models, by their names."""
    return found.models.set_index("model")


def run_rows(found: Results) -> pd.DataFrame:
    return found.runs.set_index("run")


def f1(predicted: np.ndarray, labels: np.ndarray = LABELS) -> float:
    return run_scores(labels, predicted)["f1_macro"]


# ------------------------------------------------------------------------------------------ names


def test_fold_seed_and_rate_in_that_order_are_what_tells_the_runs_of_a_family_apart():
    runs = [
        made_run("m", GOOD, model="m"),
        made_run("m_seed43", GOOD, model="m", seed=43),
        made_run("m_lr0.001", GOOD, model="m", lr=1e-3),
        made_run("m_lr0.001_seed43_fold2", GOOD, model="m", lr=1e-3, seed=43, fold=2, folds=2),
        made_run("other_seed43", GOOD, seed=42),  # a name, and no seed
        made_run("n_lr0.001", GOOD, model="n", lr=1e-3),  # of one rate, which stays in the name
        made_run("n_lr0.001_seed43", GOOD, model="n", lr=1e-3, seed=43),
    ]
    runs[1].metrics["model"]["batch_size"] = 8  # what fitted in memory is no other model
    found = {model.folder: len(model.runs) for model in models(runs)}
    assert found == {"m": 4, "other_seed43": 1, "n_lr0.001": 2}


def test_another_model_has_another_name():
    """Two models whose runs have the same names but for the seed, as a new version can make them."""
    cases = [("m_seed1", 1, "a"), ("m_seed2", 2, "a"), ("m_seed3", 3, "b"), ("m_seed4", 4, "b")]
    found = compare([made_run(name, GOOD, model=m, seed=seed) for name, seed, m in cases])
    assert found.models["model"].is_unique and len(found.models) == 2
    assert sorted(found.models["verdict"]) == [BEST, NO_DIFFERENCE]


# ------------------------------------------------------------------------------------------ seeds


def test_seeds_are_averaged_and_their_spread_is_shown():
    predicted = [*some_predictions(3, 0.6)]
    runs = [
        made_run(f"m_seed{seed}", row, model="m", seed=seed) for seed, row in enumerate(predicted)
    ]
    found = compare([*runs, made_run("lone", FAIR)])
    model = rows(found).loc["m"]
    values = [f1(row) for row in predicted]
    assert model.seeds == 3
    assert model.val_f1_macro == pytest.approx(np.mean(values))
    assert model.val_f1_macro_sd == pytest.approx(np.std(values, ddof=1))
    assert rows(found)["val_f1_macro_sd"]["lone"] is None
    assert len(set(found.runs["verdict"][found.runs["run"] != "lone"])) == 1


def test_a_run_that_has_another_protocol_is_another_model_under_another_name():
    runs = [
        made_run("m", POOR, model="m", effective_batch_size=1),
        made_run("m_seed43", GOOD, model="m", seed=43),
        made_run("n", FAIR),
    ]
    found = compare(runs)
    first, other = found.groups
    assert [model.folder for model in first.models] == ["m_seed43", "n"]
    assert list(map(ENGLISH, other.differs)) == ["effective_batch_size 1 instead of 16"]
    table = found.table(first)
    assert list(table["verdict"]) == [BEST, WORSE]
    assert table[F1].iloc[0] == pytest.approx(f1(GOOD))
    assert found.models["model"].is_unique


# ------------------------------------------------------------------------------------------ folds


def test_the_folds_of_a_model_are_one_prediction_for_every_pair():
    found = compare([*folds("good", GOOD), *folds("fair", FAIR), *folds("poor", POOR)])
    table = rows(found)
    assert found.groups[0].pairs == 400
    for name, predicted in (("good", GOOD), ("fair", FAIR), ("poor", POOR)):
        assert table[F1][name] == pytest.approx(f1(predicted))
        assert table["comparable"][name] == "yes"
    assert list(table["verdict"][["good", "poor"]]) == [BEST, WORSE]
    # They are what one run on all pairs would be.
    whole = rows(compare([made_run("good", GOOD), made_run("poor", POOR)]))
    interval = [F1, "f1_low", "f1_high"]
    expected = list(whole.loc["good", interval])
    assert list(table.loc["good", interval]) == pytest.approx(expected, abs=1e-9)


def test_a_run_of_one_fold_is_shown_with_the_figures_of_its_own_pairs():
    found = run_rows(compare([*folds("good", GOOD), *folds("fair", FAIR)]))
    pairs = np.arange(1, 400, 4)
    row = found.loc["good_fold2"]
    assert row.val_f1_macro == pytest.approx(f1(GOOD[pairs], LABELS[pairs]))
    assert row.f1_low < row.val_f1_macro < row.f1_high
    assert (row.verdict, row.model) == (BEST, "good · fold 2")


def test_a_model_that_lacks_a_fold_is_not_ranked_and_the_fold_is_named():
    found = compare([*folds("good", GOOD)[1:], *folds("fair", FAIR), *folds("poor", POOR)])
    table = rows(found)
    assert list(table.loc["good", ["verdict", "p_vs_best", "f1_low"]]) == [INCOMPLETE, None, None]
    assert list(table["verdict"][["fair", "poor"]]) == [BEST, WORSE]
    assert [note for note in notes(found) if "missing" in note] == [
        "good, seed 42: fold 1 missing, so it is not ranked beside whole ones; train them with "
        "--fold"
    ]
    assert conclusion(found, ENGLISH)[-1] == "Not compared: good."


def test_a_seed_that_lacks_folds_does_not_keep_the_other_seeds_out():
    second = [
        replace(run, name=run.name.replace("_fold", "_seed43_fold"))
        for run in folds("good", GOOD, seed=43)[:2]
    ]
    found = compare([*folds("good", GOOD), *second, *folds("poor", POOR)])
    assert list(rows(found).loc["good", ["verdict", "seeds"]]) == [BEST, 1]
    verdicts = run_rows(found)["verdict"]
    assert (verdicts["good_fold1"], verdicts["good_seed43_fold1"]) == (BEST, INCOMPLETE)
    assert any("good, seed 43: folds 3, 4 missing" in note for note in notes(found))


def test_folds_of_another_split_are_no_comparable_ones():
    other = folds("other", FAIR, folds_sha256="of others")
    found = compare([*folds("good", GOOD), *folds("fair", FAIR), *other])
    assert run_rows(found)["differs"]["other_fold3"] == "other folds"
    assert rows(found)["group"].to_dict() == {"good": 1, "fair": 1, "other": 2}


# ------------------------------------------------------------------------------------------ order


def test_neither_the_order_of_runs_nor_that_of_pairs_changes_anything():
    random = np.random.default_rng(0)
    copies = np.arange(400) // 2 * 2
    cases = {"a": GOOD, "b": FAIR, "c": POOR}
    runs = [
        *(made_run(name, said, copies=copies) for name, said in cases.items()),
        made_run("b_seed43", GOOD, model="b", seed=43, copies=copies),
    ]
    expected = compare(runs)
    shuffled = []
    for run in runs:
        order = random.permutation(400)
        said = run.epochs[:, order]
        block = {"pairs": order, "copies": copies[order], **run.metrics["protocol"]}
        shuffled.append(made_run(run.name, said, model=run.recorded("model", "name"), **block))
    for found in (compare(runs[::-1]), compare(shuffled)):
        assert found.models.equals(expected.models) and found.runs.equals(expected.runs)
        assert conclusion(found, ENGLISH) == conclusion(expected, ENGLISH)


def test_the_same_pairs_in_another_row_order_are_the_same_pairs():
    order = np.random.default_rng(0).permutation(400)
    hashes = {"val_sha256": "in this order", "val_pairs_sha256": "in any order"}
    runs = [
        made_run("a", GOOD, **hashes),
        made_run("b", GOOD[order], pairs=order, **{**hashes, "val_sha256": "in that order"}),
    ]
    found = compare(runs)
    assert len(found.groups) == 1
    assert found.runs["f1_low"].nunique() == found.runs["f1_high"].nunique() == 1


def test_pairs_with_another_label_are_other_pairs():
    labels = LABELS.copy()
    labels[7] = (labels[7] + 1) % 3
    found = compare([made_run("a", GOOD), made_run("b", GOOD), made_run("c", GOOD, labels)])
    assert run_rows(found)["differs"]["c"] == "other validation pairs or labels"


# ------------------------------------------------------------------------------------------ copies


def test_copies_count_once_and_are_known_from_any_run():
    copies = np.arange(400) // 4 * 4
    found = compare([made_run("a", GOOD), made_run("b", FAIR, copies=copies)])
    (group,) = found.groups
    assert (group.pairs, group.validation.pairs.independent) == (400, 100)
    assert not any("copies" in note for note in notes(found))
    alone = compare([made_run("a", GOOD), made_run("b", FAIR)])
    assert alone.groups[0].validation.pairs.independent == 400
    assert any("copies among the validation pairs are not recorded" in n for n in notes(alone))


def test_copies_in_different_folds_are_one_group():
    copies = np.array([0, 0, 2, 3] + list(range(4, 400)))  # pairs 0 and 1 are in folds 1 and 2
    runs = []
    for (name, row), fold in itertools.product((("a", GOOD), ("b", FAIR)), (1, 2)):
        mine = {"pairs": np.arange(fold - 1, 400, 2), "copies": copies[fold - 1 :: 2]}
        block = {"model": name, "fold": fold, "folds": 2, **mine}
        runs.append(made_run(f"{name}_fold{fold}", row[fold - 1 :: 2], **block))
    assert compare(runs).groups[0].validation.pairs.independent == 399


# ------------------------------------------------------------------------------------------ rates


def test_a_model_of_another_rate_takes_part_and_that_is_said():
    found = compare([made_run("a", GOOD), made_run("b", FAIR), made_run("c", POOR, lr=1e-3)])
    assert list(found.models["comparable"]) == ["yes"] * 3
    assert any("different learning rates (a: 2e-5, b: 2e-5 and c: 1e-3)" in n for n in notes(found))


def test_the_best_of_several_rates_is_chosen_and_unequal_tuning_is_said():
    runs = [
        made_run("a", FAIR),
        made_run("b", POOR, model="b"),
        made_run("b_lr0.001", GOOD, model="b", lr=1e-3),
    ]
    found = compare(runs)
    tuned = rows(found).loc["b"]
    assert (tuned.verdict, tuned.lr, tuned.rates) == (BEST, 1e-3, 2)
    assert tuned.val_f1_macro == pytest.approx(f1(GOOD))
    assert [note for note in notes(found) if "tuning" in note] == [
        "unequal tuning: up to 2 learning rates, but a (1): the comparison favours those with more"
    ]


def test_equal_budgets_are_not_remarked_and_a_choice_among_equals_is_corrected():
    rates = (1e-5, 2e-5, 4e-5)
    runs = [
        made_run(f"{name}_lr{rate:g}", row, model=name, lr=rate)
        for seed, name in enumerate("ab")
        for rate, row in zip(rates, some_predictions(3, 0.6, seed), strict=True)
    ]
    found = compare(runs)
    assert not any("rates" in note for note in notes(found))
    for row in rows(found).itertuples():
        assert row.rates == 3
        assert row.f1_low < row.f1_corrected < min(row.f1_high, row.val_f1_macro)


# ------------------------------------------------------------------------------------------ test


def test_the_model_is_chosen_on_validation_and_judged_once_on_the_test_pairs():
    labels = LABELS[:200]
    runs = [
        made_run("a", GOOD, test=made_predictions(labels, POOR[:200])),
        made_run("b", FAIR, test=made_predictions(labels, GOOD[:200])),
    ]
    found = compare(runs)
    table = rows(found)
    assert list(table.loc["a", ["verdict", "test_verdict"]]) == [BEST, WORSE]
    assert table["test_verdict"]["b"] == BEST
    assert table["test_f1_macro"]["a"] == pytest.approx(f1(POOR[:200], labels))


def test_folds_say_together_what_the_mean_of_their_probabilities_says():
    """One pair that two folds call class 0 without being sure, and one fold is sure is class 1."""
    labels = np.array([1, 2])
    shares = ([0.4, 0.35, 0.25], [0.4, 0.35, 0.25], [0.05, 0.9, 0.05])
    tests = [
        made_predictions(labels, np.array([np.argmax(of_fold), 2]), shares=np.array(rows))
        for of_fold in shares
        for rows in [[of_fold, [0.0, 0.0, 1.0]]]
    ]
    runs = [replace(run, test=test) for run, test in zip(folds("a", GOOD, 3), tests, strict=True)]
    found = compare(runs)
    assert found.models["test_acc"][0] == 1  # the mean of class 1 is .53
    assert found.models["test_by"][0] == "ensemble of 3 folds"


def test_only_models_with_the_same_test_pairs_take_part():
    test, fewer = (made_predictions(LABELS[:n], GOOD[:n]) for n in (100, 50))
    cases = (("a", GOOD, test), ("b", FAIR, test), ("c", FAIR, fewer), ("d", FAIR, None))
    runs = [made_run(name, said, test=of_test) for name, said, of_test in cases]
    found = compare(runs)
    test = found.groups[0].test
    assert (sorted(test.models), len(test.pairs)) == (["a", "b"], 100)


# ---------------------------------------------------------------------------------------- classes


def test_of_a_class_absent_from_validation_no_model_is_asked():
    """.90 right with the errors in the absent class beats .80 right with none in it."""
    labels = np.tile([0, 1], 50)
    better = np.where(np.arange(100) % 10, labels, 2)
    worse = np.where(np.arange(100) % 5, labels, 1 - labels)
    found = compare([made_run("better", better, labels), made_run("worse", worse, labels)])
    assert list(found.runs["run"]) == ["better", "worse"]
    assert found.runs["val_recall_macro"][0] == pytest.approx(0.9)
