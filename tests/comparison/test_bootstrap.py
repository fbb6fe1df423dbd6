"""The metrics in draws of groups of pairs are those of the drawn pairs, whatever joins them."""

import numpy as np
import pytest
from common.comparison import draws as module
from common.comparison.bootstrap import PLACE, Answers, Figures, resample
from common.comparison.draws import SEED, Draws
from common.metrics import METRICS, run_scores
from helpers.figures import figures_of, some_predictions
from helpers.run_folders import LABELS

ROWS = np.arange(400)
FIVE_EPOCHS = some_predictions(5, 0.5)


def by_scikit_learn(labels: np.ndarray, predicted: np.ndarray) -> list[float]:
    """The metrics as scikit-learn has them, over the classes with a true sample."""
    found = run_scores(labels, predicted)
    return [found[metric.key] for metric in METRICS]


def assert_equal(found: Figures, expected: Figures) -> None:
    for name in ("apparent", "corrected", "draws", "left_out"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-12)


def test_draws_are_a_cluster_bootstrap_with_the_metrics_of_scikit_learn():
    labels, predicted = np.array([0, 0, 1, 2, 2, 1]), np.array([0, 1, 1, 0, 2, 1])
    groups = np.array([0, 1, 1, 2, 3, 3])
    (figures,) = figures_of(predicted[None], labels, groups, resamples=200)
    assert (figures.corrected == figures.apparent).all()  # one epoch leaves nothing to correct
    pairs_of = [np.flatnonzero(groups == group) for group in range(4)]
    for place, drawn in enumerate(np.random.default_rng(SEED).integers(0, 4, (200, 4))):
        pairs = np.concatenate([pairs_of[group] for group in drawn])
        expected = by_scikit_learn(labels[pairs], predicted[pairs])
        assert figures.draws[:, place] == pytest.approx(expected, abs=1e-12)
    for group in range(4):
        kept = groups != group
        expected = by_scikit_learn(labels[kept], predicted[kept])
        assert figures.left_out[:, group] == pytest.approx(expected, abs=1e-12)
    assert figures.apparent == pytest.approx(by_scikit_learn(labels, predicted), abs=1e-12)


def test_copies_tell_no_more_than_one_of_them():
    predicted = some_predictions(1, 0.6)
    (once,) = figures_of(predicted)
    groups = np.repeat(ROWS, 4)
    (four_times,) = figures_of(predicted[:, groups], LABELS[groups], groups)
    assert_equal(four_times, once)
    (as_if_independent,) = figures_of(predicted[:, groups], LABELS[groups])
    assert as_if_independent.draws[PLACE].std() == pytest.approx(
        once.draws[PLACE].std() / 2, rel=0.1
    )


def test_folds_that_are_joined_are_one_run_on_all_pairs():
    predicted, draws = some_predictions(1, 0.6), Draws(ROWS // 2)  # a copy may be in another fold
    folds = [np.flatnonzero(fold == ROWS % 3) for fold in range(3)]
    joined = resample([Answers(rows, predicted[:, rows]) for rows in folds], LABELS, 3, draws)
    assert_equal(joined, resample([Answers(ROWS, predicted)], LABELS, 3, draws))


def test_each_fold_is_shown_at_its_own_best_epoch():
    """Two folds of three pairs: the first is right at its second epoch, the other at its first."""
    labels = np.array([0, 1, 2, 0, 1, 2])
    right, wrong = labels[:3], (labels[:3] + 1) % 3
    folds = [
        Answers(np.arange(3), np.array([wrong, right])),
        Answers(np.arange(3, 6), np.array([right, wrong])),
    ]
    assert resample(folds, labels, 3, Draws(np.arange(6), 50)).apparent.tolist() == [1] * len(
        METRICS
    )


def test_the_best_of_equal_epochs_is_less_good_than_it_looks():
    draws = Draws(ROWS)
    figures = resample([Answers(ROWS, FIVE_EPOCHS)], LABELS, 3, draws)
    best = max(by_scikit_learn(LABELS, row)[PLACE] for row in FIVE_EPOCHS)
    assert figures.apparent[PLACE] == pytest.approx(best, abs=1e-12)
    gain = figures.apparent[PLACE] - figures.corrected[PLACE]
    # The largest of five normal variables is 1.16 standard deviations above their mean; the epochs
    # share a part of their luck.
    assert 0.3 < gain / figures.draws[PLACE].std() < 1.16
    assert figures.draws[PLACE].mean() == pytest.approx(figures.corrected[PLACE], abs=0.002)


def test_epochs_that_are_clearly_worse_change_nothing():
    clear = np.concatenate([some_predictions(1, 0.8), some_predictions(4, 0.1)])
    figures = resample([Answers(ROWS, clear)], LABELS, 3, Draws(ROWS))
    assert_equal(figures, resample([Answers(ROWS, clear[:1])], LABELS, 3, Draws(ROWS)))


def test_there_are_more_draws_only_where_they_take_seconds():
    """Five models of five epochs, and three hundred."""
    assert Draws(ROWS).more(5 * 5 * 400).resamples == 100_000
    assert Draws(ROWS).more(300 * 5 * 400) is None
    assert Draws(np.arange(10_000)).more(50 * 5 * 10_000) is None


def test_memory_does_not_change_the_figures(monkeypatch):
    answers = [Answers(ROWS, FIVE_EPOCHS)]
    expected = resample(answers, LABELS, 3, Draws(ROWS, 300))
    monkeypatch.setattr(module, "_NUMBERS_AT_ONCE", 10_000)  # 25 draws at once
    assert_equal(resample(answers, LABELS, 3, Draws(ROWS, 300)), expected)
