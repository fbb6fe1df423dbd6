"""The folds, seeds and learning rates of a model are one family, and judged as one."""

import itertools
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from common.comparison.compare import Compared, Comparison, compare
from common.comparison.families import families
from common.comparison.wording import (
    BEST,
    INCOMPLETE,
    NO_DIFFERENCE,
    NOT_COMPARABLE,
    WORSE,
    conclusion,
)
from common.metrics import run_scores
from common.runs.reading import Run
from common.words import ENGLISH, Phrase
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


def by_name(entries: list[Compared]) -> dict[str, Compared]:
    return {entry.name: entry for entry in entries}


def told(phrases: Iterable[Phrase]) -> list[str]:
    return list(map(ENGLISH, phrases))


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
    found = {family.name: len(family.runs) for family in families(runs)}
    assert found == {"m": 4, "other_seed43": 1, "n_lr0.001": 2}


def test_another_model_is_another_family_under_another_name():
    """Two models whose runs have the same names but for the seed, as a new version can make them."""
    cases = [("m_seed1", 1, "a"), ("m_seed2", 2, "a"), ("m_seed3", 3, "b"), ("m_seed4", 4, "b")]
    found = compare([made_run(name, GOOD, model=m, seed=seed) for name, seed, m in cases])
    assert len({family.name for family in found.families}) == 2
    assert sorted(family.verdict for family in found.families) == [BEST, NO_DIFFERENCE]


# ------------------------------------------------------------------------------------------ seeds


def test_seeds_are_averaged_and_their_spread_is_shown():
    predicted = [*some_predictions(3, 0.6)]
    runs = [
        made_run(f"m_seed{seed}", row, model="m", seed=seed) for seed, row in enumerate(predicted)
    ]
    found = compare([*runs, made_run("lone", FAIR)])
    family = by_name(found.families)["m"]
    values = [f1(row) for row in predicted]
    assert (family.seeds, found.several_runs) == (3, True)
    assert family.scores[F1].value == pytest.approx(np.mean(values))
    assert family.spread[F1] == pytest.approx(np.std(values, ddof=1))
    assert by_name(found.families)["lone"].spread[F1] is None
    assert len({entry.verdict for entry in found.runs if entry.name != "lone"}) == 1


def test_a_run_of_a_family_that_has_another_protocol_is_left_out_by_itself():
    runs = [
        made_run("m", POOR, model="m", effective_batch_size=1),
        made_run("m_seed43", GOOD, model="m", seed=43),
        made_run("n", FAIR),
    ]
    found = compare(runs)
    entries = by_name(found.runs)
    assert told(entries["m"].differs) == ["effective_batch_size 1 instead of 16"]
    assert (entries["m"].comparable, entries["m"].verdict) == ("no", NOT_COMPARABLE)
    assert (entries["m_seed43"].comparable, told(entries["m_seed43"].differs)) == ("yes", [])
    assert entries["m_seed43"].verdict == BEST
    family = by_name(found.families)["m"]
    assert (family.verdict, family.seeds) == (BEST, 1)
    assert family.scores[F1].value == pytest.approx(f1(GOOD))


# ------------------------------------------------------------------------------------------ folds


def test_the_folds_of_a_model_are_one_prediction_for_every_pair():
    found = compare([*folds("good", GOOD), *folds("fair", FAIR), *folds("poor", POOR)])
    families = by_name(found.families)
    assert found.pairs == 400
    for name, predicted in (("good", GOOD), ("fair", FAIR), ("poor", POOR)):
        assert families[name].scores[F1].value == pytest.approx(f1(predicted))
        assert families[name].comparable == "yes"
    assert [families[name].verdict for name in ("good", "poor")] == [BEST, WORSE]
    # They are what one run on all pairs would be.
    whole = by_name(compare([made_run("good", GOOD), made_run("poor", POOR)]).families)
    assert families["good"].scores[F1] == pytest.approx(whole["good"].scores[F1], abs=1e-9)


def test_a_run_of_one_fold_is_shown_with_the_figures_of_its_own_pairs():
    found = by_name(compare([*folds("good", GOOD), *folds("fair", FAIR)]).runs)
    pairs = np.arange(1, 400, 4)
    entry = found["good_fold2"]
    assert entry.scores[F1].value == pytest.approx(f1(GOOD[pairs], LABELS[pairs]))
    assert entry.scores[F1].low < entry.scores[F1].value < entry.scores[F1].high
    assert entry.verdict == BEST


def test_a_family_that_lacks_a_fold_is_not_ranked_and_the_fold_is_named():
    found = compare([*folds("good", GOOD)[1:], *folds("fair", FAIR), *folds("poor", POOR)])
    families = by_name(found.families)
    assert families["good"].verdict == INCOMPLETE
    assert (families["good"].p_vs_best, families["good"].scores[F1].low) == (None, None)
    assert [families[name].verdict for name in ("fair", "poor")] == [BEST, WORSE]
    assert [note for note in told(found.notes) if "missing" in note] == [
        "good, seed 42: fold 1 missing, so it is not ranked beside whole ones; train them with "
        "--fold"
    ]
    assert conclusion(found, ENGLISH).endswith("Not part of this: good.")


def test_a_seed_that_lacks_folds_does_not_keep_the_other_seeds_out():
    second = [
        replace(run, name=run.name.replace("_fold", "_seed43_fold"))
        for run in folds("good", GOOD, seed=43)[:2]
    ]
    found = compare([*folds("good", GOOD), *second, *folds("poor", POOR)])
    good = by_name(found.families)["good"]
    assert (good.verdict, good.seeds) == (BEST, 1)
    verdicts = {entry.name: entry.verdict for entry in found.runs}
    assert (verdicts["good_fold1"], verdicts["good_seed43_fold1"]) == (BEST, INCOMPLETE)
    assert any("good, seed 43: folds 3, 4 missing" in note for note in told(found.notes))


def test_folds_of_another_split_are_no_comparable_ones():
    other = folds("other", FAIR, folds_sha256="of others")
    found = compare([*folds("good", GOOD), *folds("fair", FAIR), *other])
    assert by_name(found.families)["other"].verdict == NOT_COMPARABLE
    assert told(by_name(found.runs)["other_fold3"].differs) == ["other folds"]


# ------------------------------------------------------------------------------------------ order


def test_neither_the_order_of_runs_nor_that_of_pairs_changes_anything():
    random = np.random.default_rng(0)
    copies = np.arange(400) // 2 * 2
    cases = {"a": GOOD, "b": FAIR, "c": POOR}
    runs = [
        *(made_run(name, said, copies=copies) for name, said in cases.items()),
        made_run("b_seed43", GOOD, model="b", seed=43, copies=copies),
    ]
    expected = figures(compare(runs))
    assert figures(compare(runs[::-1])) == expected
    shuffled = []
    for run in runs:
        order = random.permutation(400)
        said = run.epochs[:, order]
        block = {"pairs": order, "copies": copies[order], **run.metrics["protocol"]}
        shuffled.append(made_run(run.name, said, model=run.recorded("model", "name"), **block))
    assert figures(compare(shuffled)) == expected


def figures(found: Comparison) -> list:
    """All that is said of runs and families."""
    entries = [
        (e.name, e.scores, e.spread, e.verdict, e.p_vs_best, e.mcnemar_p, told(e.differs))
        for e in (*found.runs, *found.families)
    ]
    notes, ranking = told(found.notes), found.validation.ranking
    return [*entries, notes, ranking.critical, conclusion(found, ENGLISH)]


def test_the_same_pairs_in_another_row_order_are_the_same_pairs():
    order = np.random.default_rng(0).permutation(400)
    hashes = {"val_sha256": "in this order", "val_pairs_sha256": "in any order"}
    runs = [
        made_run("a", GOOD, **hashes),
        made_run("b", GOOD[order], pairs=order, **{**hashes, "val_sha256": "in that order"}),
    ]
    found = compare(runs)
    assert [told(entry.differs) for entry in found.runs] == [[], []]
    assert [entry.scores[F1] for entry in found.runs] == [found.runs[0].scores[F1]] * 2


def test_pairs_with_another_label_are_other_pairs():
    labels = LABELS.copy()
    labels[7] = (labels[7] + 1) % 3
    found = compare([made_run("a", GOOD), made_run("b", GOOD), made_run("c", GOOD, labels)])
    assert told(by_name(found.runs)["c"].differs) == ["other validation pairs or labels"]
    assert by_name(found.runs)["c"].verdict == NOT_COMPARABLE


# ------------------------------------------------------------------------------------------ copies


def test_copies_count_once_and_are_known_from_any_run():
    copies = np.arange(400) // 4 * 4
    found = compare([made_run("a", GOOD), made_run("b", FAIR, copies=copies)])
    assert (found.pairs, found.validation.pairs.independent) == (400, 100)
    assert not any("copies" in note for note in told(found.notes))
    alone = compare([made_run("a", GOOD), made_run("b", FAIR)])
    assert alone.validation.pairs.independent == 400
    assert any("copies among the validation pairs are not recorded" in n for n in told(alone.notes))


def test_copies_in_different_folds_are_one_group():
    copies = np.array([0, 0, 2, 3] + list(range(4, 400)))  # pairs 0 and 1 are in folds 1 and 2
    runs = []
    for (name, row), fold in itertools.product((("a", GOOD), ("b", FAIR)), (1, 2)):
        mine = {"pairs": np.arange(fold - 1, 400, 2), "copies": copies[fold - 1 :: 2]}
        block = {"model": name, "fold": fold, "folds": 2, **mine}
        runs.append(made_run(f"{name}_fold{fold}", row[fold - 1 :: 2], **block))
    assert compare(runs).validation.pairs.independent == 399


# ------------------------------------------------------------------------------------------ rates


def test_a_rate_that_no_run_of_the_family_shares_with_the_others_is_another_protocol():
    runs = [made_run("a", GOOD), made_run("b", FAIR), made_run("c_lr0.001", GOOD, lr=1e-3)]
    entry = by_name(compare(runs).runs)["c_lr0.001"]
    assert (told(entry.differs), entry.verdict) == (["lr 0.001 instead of 2e-05"], NOT_COMPARABLE)


def test_beside_the_usual_rate_another_one_is_tuning_and_the_best_is_chosen():
    runs = [
        made_run("a", FAIR),
        made_run("b", POOR, model="b"),
        made_run("b_lr0.001", GOOD, model="b", lr=1e-3),
    ]
    found = compare(runs)
    tuned = by_name(found.families)["b"]
    assert (tuned.verdict, tuned.rate, tuned.rates) == (BEST, 1e-3, 2)
    assert tuned.scores[F1].value == pytest.approx(f1(GOOD))
    assert all(entry.comparable == "yes" for entry in found.runs)
    assert [note for note in told(found.notes) if "tuning" in note] == [
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
    assert not any("tuning" in note for note in told(found.notes))
    for entry in found.families:
        assert entry.rates == 3
        estimate = entry.scores[F1]
        assert estimate.corrected < estimate.value
        assert estimate.low < estimate.corrected < estimate.high


# ------------------------------------------------------------------------------------------ test


def test_the_model_is_chosen_on_validation_and_judged_once_on_the_test_pairs():
    labels = LABELS[:200]
    runs = [
        made_run("a", GOOD, test=made_predictions(labels, POOR[:200])),
        made_run("b", FAIR, test=made_predictions(labels, GOOD[:200])),
    ]
    found = compare(runs)
    assert by_name(found.families)["a"].verdict == BEST
    a, b = (by_name(found.families)[name].test for name in "ab")
    assert (a.verdict, b.verdict) == (WORSE, BEST)
    assert a.estimates[F1].value == pytest.approx(f1(POOR[:200], labels))
    assert a.estimates[F1].corrected == a.estimates[F1].value  # nothing was chosen on these pairs


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
    judged = compare(runs).families[0].test
    assert judged.estimates["val_acc"].value == 1  # the mean of class 1 is .53


def test_only_models_with_the_same_test_pairs_take_part():
    test, fewer = (made_predictions(LABELS[:n], GOOD[:n]) for n in (100, 50))
    cases = (("a", GOOD, test), ("b", FAIR, test), ("c", FAIR, fewer), ("d", FAIR, None))
    runs = [made_run(name, said, test=of_test) for name, said, of_test in cases]
    found = compare(runs)
    assert sorted(found.test.models) == ["a", "b"]
    assert len(found.test.pairs) == 100


# ---------------------------------------------------------------------------------------- classes


def test_of_a_class_absent_from_validation_no_model_is_asked():
    """.90 right with the errors in the absent class beats .80 right with none in it."""
    labels = np.tile([0, 1], 50)
    better = np.where(np.arange(100) % 10, labels, 2)
    worse = np.where(np.arange(100) % 5, labels, 1 - labels)
    found = compare([made_run("better", better, labels), made_run("worse", worse, labels)])
    assert [entry.name for entry in found.runs] == ["better", "worse"]
    assert found.runs[0].scores["val_recall_macro"].value == pytest.approx(0.9)
