"""Intervals hold the truth, equal models do not differ, and the order of the folders changes nothing."""

import json
import math

import numpy as np
import pytest
from common.comparison.bootstrap import intervals, over_seeds, resample
from common.comparison.compare import (
    BEST,
    NO_DIFFERENCE,
    NO_PREDICTIONS,
    NOT_COMPARABLE,
    WORSE,
    compare,
)
from common.comparison.ranking import mcnemar, rank
from common.comparison.wording import conclusion
from common.metrics import confusion_matrix, run_scores, scores
from common.runs.reader import load_runs, read_runs
from helpers.run_folders import COUNTS, LABELS, bert, edit, make_run, make_runs
from scipy import stats
from simulate_verdicts import KEYS, Setting, differing, equal_models, power, seed_groups


def some_predictions(runs: int, right: float, seed: int = 0) -> np.ndarray:
    """(runs, 400) for LABELS, right in about this share."""
    random = np.random.default_rng(seed)
    return np.where(random.random((runs, 400)) < right, LABELS, random.integers(0, 3, (runs, 400)))


def test_equally_good_models_rarely_differ_significantly_and_intervals_hold_the_truth():
    """The small version of simulate_verdicts.py: its seeds are fixed, its limits those of chance at 150 repetitions."""
    result = equal_models(Setting(400, 3, True, "correlated"), 150)
    assert result["worse of 2"] <= 0.09
    assert result["worse of 5"] <= 0.09
    for metric in KEYS:
        assert 0.92 <= result[metric] <= 0.98


def test_a_large_difference_is_found():
    assert power(Setting(400, 3, False, "correlated"), 20, points=0.15)["power of 5"] > 0.9


def test_groups_that_seeds_move_more_than_samples_rarely_differ_significantly():
    result = seed_groups(seeds=3, spread=0.25, repetitions=60)
    assert result["worse of 4"] <= 0.12
    assert result["f1_macro"] >= 0.85


def test_intervals_are_those_of_scipy():
    predicted = some_predictions(1, 0.5)[0]
    figures = resample(LABELS, predicted[None], 3, resamples=8000)
    for metric, values in figures.items():

        def of_sample(places, metric=metric):
            return scores(confusion_matrix(LABELS[places], predicted[places], 3))[metric]

        theirs = stats.bootstrap(
            (np.arange(400),),
            of_sample,
            vectorized=False,
            n_resamples=4000,
            method="BCa",
            random_state=1,
        ).confidence_interval
        (ours,) = intervals(values)
        assert (ours.low, ours.high) == pytest.approx(tuple(theirs), abs=0.004)
        assert ours.value == of_sample(np.arange(400))


def test_a_draw_has_the_scores_that_scikit_learn_gives_its_samples():
    labels, predicted = np.array([0, 0, 1, 2]), np.array([[0, 1, 1, 0], [0, 0, 1, 2]])
    figures = resample(labels, predicted, 3, resamples=200)
    rows = np.random.default_rng(20_000).integers(0, 4, (200, 4))
    for model in range(2):
        for draw, rows_drawn in enumerate(rows):
            expected = run_scores(labels[rows_drawn], predicted[model][rows_drawn])
            for metric, values in figures.items():
                assert values.draws[model, draw] == pytest.approx(expected[metric], abs=1e-12)
        for left in range(4):
            kept = np.arange(4) != left
            expected = run_scores(labels[kept], predicted[model][kept])
            for metric, values in figures.items():
                assert values.left_out[model, left] == pytest.approx(expected[metric], abs=1e-12)


def test_an_interval_does_not_depend_on_the_other_runs():
    predicted = some_predictions(4, 0.6)
    together = intervals(resample(LABELS, predicted, 3)["f1_macro"])
    alone = [intervals(resample(LABELS, row[None], 3)["f1_macro"])[0] for row in predicted]
    assert together == alone


@pytest.mark.parametrize(
    ("right", "low", "high"), [(1, 0.025 ** (1 / 400), 1), (0, 0, 1 - 0.025 ** (1 / 400))]
)
def test_a_model_without_errors_or_hits_is_not_known_for_certain(right, low, high):
    predicted = LABELS if right else (LABELS + 1) % 3
    for values in resample(LABELS, predicted[None], 3).values():
        assert intervals(values)[0] == pytest.approx((right, low, high))


def test_mcnemar_is_the_binomial_worked_by_hand():
    right = np.array([True] * 9 + [False] * 1 + [True] * 20)
    other = np.array([False] * 9 + [True] * 1 + [True] * 20)
    assert mcnemar(right, other) == pytest.approx(
        2 * (1 + 10) / 2**10
    )  # 9 against 1 of 10 discordant pairs
    assert mcnemar(other, right) == mcnemar(right, other)
    assert mcnemar(right, right) == 1
    half = np.array([True, False] * 3)
    assert mcnemar(half, ~half) == 1
    for ahead, behind in ((37, 20), (300, 251), (5, 0)):
        first = np.array([True] * ahead + [False] * behind)
        assert mcnemar(first, ~first) == pytest.approx(
            stats.binomtest(ahead, ahead + behind).pvalue
        )


def ranked(predicted: np.ndarray, labels: np.ndarray = LABELS):
    return rank(resample(labels, predicted, 3)["f1_macro"], differing(predicted))


def test_identical_predictions_are_never_worse():
    row = some_predictions(1, 0.6)
    ranking = ranked(np.repeat(row, 3, axis=0))
    assert ranking.p.tolist() == [1, 1, 1]
    assert not ranking.worse.any()


def test_a_seed_group_of_three_equal_runs_is_as_good_as_one_of_them():
    predicted = np.repeat(some_predictions(1, 0.6), 4, axis=0)
    groups = over_seeds(resample(LABELS, predicted, 3)["f1_macro"], [[0, 1, 2], [3]])
    ranking = rank(groups, np.zeros((2, 2)))
    assert ranking.p.tolist() == [1, 1]
    assert ranking.critical == pytest.approx(0, abs=1e-9)


def test_always_right_against_always_wrong_is_worse_but_not_on_five_samples():
    assert ranked(np.array([LABELS, (LABELS + 1) % 3])).worse.tolist() == [False, True]
    few = np.array([0, 1, 2, 0, 1])
    ranking = ranked(np.array([few, (few + 1) % 3]), few)
    assert ranking.p[1] == 1 / 16
    assert not ranking.worse.any()


def test_the_adjusted_p_the_critical_value_and_the_verdict_agree():
    for seed in range(20):
        predicted = np.concatenate(
            [some_predictions(1, right, seed) for right in (0.7, 0.66, 0.62, 0.58, 0.5)]
        )
        figures = resample(LABELS, predicted, 3)["f1_macro"]
        ranking = rank(figures, differing(predicted))
        errors = (figures.draws[ranking.best] - figures.draws).std(1)
        beyond = figures.observed[ranking.best] - figures.observed >= ranking.critical * errors
        beyond[ranking.best] = False
        assert (ranking.p <= 0.05 + 1e-9).tolist() == ranking.worse.tolist() == beyond.tolist()


def test_more_models_need_a_larger_difference():
    predicted = some_predictions(8, 0.6)
    critical = [ranked(predicted[:models]).critical for models in (2, 4, 8)]
    assert 1.9 < critical[0] < critical[1] < critical[2]
    assert critical[2] == pytest.approx(
        stats.studentized_range.ppf(0.955, 8, np.inf) / math.sqrt(2), abs=0.15
    )


def test_one_model_is_the_best_and_has_no_test():
    ranking = ranked(some_predictions(1, 0.6))
    assert (ranking.best, ranking.p.tolist(), ranking.worse.tolist()) == (0, [1], [False])
    assert math.isnan(ranking.critical)


def test_seeds_without_spread_add_nothing_to_the_samples():
    predicted = np.repeat(some_predictions(1, 0.6), 3, axis=0)
    figures = resample(LABELS, predicted, 3)["f1_macro"]
    group = over_seeds(figures, [[0, 1, 2]])
    assert np.allclose(group.draws[0], figures.draws[0])


def test_the_order_of_the_folders_changes_nothing(tmp_path):
    make_runs(tmp_path, 10)
    runs = read_runs(tmp_path)[0]
    expected = compare(runs)
    for seed in range(3):
        assert compare([runs[i] for i in np.random.default_rng(seed).permutation(10)]) == expected


def verdicts(tmp_path) -> dict[str, str]:
    return {entry.name: entry.verdict for entry in compare(load_runs(tmp_path)).runs}


def test_verdicts_of_clear_cases(tmp_path):
    good, fair, same, bad = some_predictions(4, 0.75)
    same = good.copy()
    bad = some_predictions(1, 0.2)[0]
    for name, predictions in {"a_good": good, "b_same": same, "c_fair": fair, "d_bad": bad}.items():
        make_run(tmp_path, name, predictions=predictions)
    found = verdicts(tmp_path)
    assert sorted((found["a_good"], found["b_same"], found["c_fair"])) == [
        BEST,
        NO_DIFFERENCE,
        NO_DIFFERENCE,
    ]
    assert found["d_bad"] == WORSE


def test_a_run_of_another_protocol_is_named_with_its_difference_and_left_out(tmp_path):
    for name in ("a", "b", "c"):
        protocol = {"seed": 42, "lr": 2e-5, "classes": ["x", "y"], "val_sha256": "0" * 64}
        make_run(tmp_path, name, f1=0.5, protocol=protocol)
    edit(tmp_path / "b", protocol={**protocol, "lr": 0.001, "val_sha256": "1" * 64})
    entries = {entry.name: entry for entry in compare(load_runs(tmp_path)).runs}
    assert entries["b"].differs == [
        "lr 0.001 instead of 2e-05",
        "val_sha256 111111111111... instead of 000000000000...",
    ]
    assert (entries["b"].comparable, entries["b"].verdict) == ("no", NOT_COMPARABLE)
    assert [entries[name].differs for name in "ac"] == [[], []]
    assert entries["b"].scores["val_f1_macro"].low < entries["b"].scores["val_f1_macro"].value


def test_of_two_protocols_one_is_taken_and_the_other_left_out(tmp_path):
    make_run(tmp_path, "a", protocol={"lr": 1, "epochs": 9})
    make_run(tmp_path, "b", protocol={"lr": 2, "epochs": 8})
    entries = compare(load_runs(tmp_path)).runs
    assert sorted((entry.name, len(entry.differs)) for entry in entries) == [("a", 0), ("b", 2)]


def test_a_run_on_other_pairs_cannot_be_paired(tmp_path):
    for name in ("a", "b", "c"):
        make_run(tmp_path, name)
    path = tmp_path / "b" / "predictions.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("pair7,", "other7,"), encoding="utf-8")
    entries = {entry.name: entry for entry in compare(load_runs(tmp_path)).runs}
    assert entries["b"].differs == ["other validation pairs or labels"]
    assert entries["b"].verdict == NOT_COMPARABLE


def test_runs_of_an_older_version_are_shown_without_interval_or_verdict(tmp_path):
    for name in ("a", "old"):
        make_run(tmp_path, name)
    (tmp_path / "old" / "predictions.csv").unlink()
    edit(tmp_path / "old", protocol=..., class_counts=...)
    entries = {entry.name: entry for entry in compare(load_runs(tmp_path)).runs}
    assert (entries["old"].verdict, entries["old"].comparable) == (NO_PREDICTIONS, "unknown")
    assert entries["old"].scores["val_f1_macro"].low is None
    (tmp_path / "a" / "predictions.csv").unlink()
    none = compare(load_runs(tmp_path))
    assert (none.pairs, none.critical, none.majority) == (0, None, None)
    assert "No run has predictions" in conclusion(none)


def test_runs_that_differ_in_their_seed_alone_are_one_group(tmp_path):
    f1 = {}
    for seed in (42, 43, 44):
        name = "m_late" if seed == 42 else f"m_late_seed{seed}"
        block = {**bert("late"), "batch_size": seed}  # what fitted in memory is no other model
        make_run(tmp_path, name, 0.5 + (seed - 42) / 50, protocol={"seed": seed}, model=block)
        f1[seed] = json.loads((tmp_path / name / "metrics.json").read_text())["best_val_f1_macro"]
    make_run(tmp_path, "m_concat", 0.55, model=bert("concat"))
    make_run(tmp_path, "x_seed9", 0.5, model=bert("gated"))  # a name, not a seed: its seed is 42
    result = compare(load_runs(tmp_path))
    sizes = {group.name: len(group.runs) for group in result.families}
    assert sizes == {"m_late": 3, "m_concat": 1, "x_seed9": 1}
    late = next(group for group in result.families if group.name == "m_late")
    assert late.seeds == [42, 43, 44]
    assert late.scores["val_f1_macro"].value == pytest.approx(np.mean(list(f1.values())))
    assert late.spread["val_f1_macro"] == pytest.approx(np.std(list(f1.values()), ddof=1))
    assert result.notes == [
        "m_late has seeds 42, 43, 44, most have 42: its figures are of other draws"
    ]
    assert len({entry.verdict for entry in result.runs if entry.name.startswith("m_late")}) == 1


def test_the_majority_is_that_of_training_scored_on_validation(tmp_path):
    make_run(tmp_path, "a", class_counts={"train": {"negative": 9, "neutral": 10, "positive": 9}})
    result = compare(load_runs(tmp_path))
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
        assert compare(load_runs(tmp_path)).majority is None


def test_the_conclusion_can_be_quoted(tmp_path):
    make_run(tmp_path, "good", predictions=some_predictions(1, 0.75)[0])
    assert "no other run to compare it with" in conclusion(compare(load_runs(tmp_path)))
    make_run(tmp_path, "near", predictions=some_predictions(2, 0.75)[1])
    make_run(tmp_path, "bad", predictions=some_predictions(1, 0.2)[0])
    make_run(tmp_path, "worst", predictions=some_predictions(1, 0.1)[0])
    make_run(tmp_path, "other", protocol={"seed": 42, "effective_batch_size": 1})
    result = compare(load_runs(tmp_path))
    text = conclusion(result)
    best, equal = (entry.name for entry in result.runs[:2])
    assert f"On 400 validation pairs {best} has the highest macro-F1: 0." in text
    assert (
        f"At 95% confidence {equal} shows no significant difference from it; bad and worst are worse"
        in text
    )
    assert f"{100 * result.smallest_difference:.1f} points" in text
    assert "corrected for 4 models" in text
    assert text.endswith("Not part of this: other.")
