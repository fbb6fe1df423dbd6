"""Intervals are the published ones, and those that hold the truth too rarely are marked."""

import numpy as np
import pytest
from common.comparison.bootstrap import Figures
from common.comparison.intervals import bca, doubts, estimates
from common.metrics import COLUMNS, METRICS, confusion_matrix, scores
from common.words import ENGLISH
from helpers.figures import figures_of, some_predictions
from helpers.run_folders import LABELS
from scipy import stats
from simulate_verdicts import KEYS, equal

NAMES = ["negative", "neutral", "positive", "d", "e"]


def test_intervals_are_those_of_scipy():
    (predicted,) = some_predictions(1, 0.5)
    (figures,) = figures_of(predicted[None], resamples=8000)
    for metric, estimate in zip(METRICS, estimates(figures).values(), strict=True):

        def of_sample(places, key=metric.key):
            return scores(confusion_matrix(LABELS[places], predicted[places], 3))[key]

        theirs = stats.bootstrap(
            (np.arange(400),),
            of_sample,
            vectorized=False,
            n_resamples=4000,
            method="BCa",
            random_state=1,
        ).confidence_interval
        assert (estimate.low, estimate.high) == pytest.approx(tuple(theirs), abs=0.004)
        assert estimate.value == estimate.corrected == of_sample(np.arange(400))


@pytest.mark.parametrize("errors", ["copula", "latent"])
def test_intervals_of_equal_models_hold_the_truth(errors):
    """The small version of simulate_verdicts.py: its seed is fixed, its limits are those of chance
    at 50 repetitions."""
    found = equal(errors, 400, 3, 3, True, 50)
    assert found["false"] <= 0.12
    for key in KEYS:
        assert found[f"cover {key}"] >= 0.88


@pytest.mark.parametrize(
    ("right", "low", "high"), [(1, 0.025 ** (1 / 400), 1), (0, 0, 1 - 0.025 ** (1 / 400))]
)
def test_a_model_without_errors_or_hits_is_not_known_for_certain(right, low, high):
    """The limit is that of Clopper and Pearson."""
    assert stats.binomtest(400 * right, 400).proportion_ci() == pytest.approx((low, high))
    (figures,) = figures_of((LABELS if right else (LABELS + 1) % 3)[None])
    for estimate in estimates(figures).values():
        assert estimate == pytest.approx((right, low, high, right))


def test_the_limit_counts_groups_of_copies_and_not_pairs():
    groups = np.arange(400) // 4
    labels = np.repeat(np.arange(100) % 3, 4)
    (figures,) = figures_of(labels[None], labels, groups)
    assert estimates(figures)["val_acc"].low == pytest.approx(0.025 ** (1 / 100))


@pytest.mark.parametrize("value", [0.01, 0.99])
def test_no_interval_passes_what_a_metric_can_be(value):
    draws = np.random.default_rng(0).normal(value, 0.1, (len(METRICS), 2000))
    left_out = np.random.default_rng(1).normal(value, 0.01, (len(METRICS), 50))
    values = np.full(len(METRICS), value)
    found = estimates(Figures(values, values, draws, left_out))
    assert list(found) == list(COLUMNS)
    for estimate in found.values():
        assert 0 <= estimate.low < value < estimate.high <= 1


def test_without_bias_and_skew_an_interval_is_that_of_the_percentiles():
    draws = stats.norm.ppf((np.arange(1000) + 0.5) / 1000)
    assert bca(0.0, draws, np.zeros(10)) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])))


def some_errors(labels: np.ndarray, errors: int) -> np.ndarray:
    predicted = labels.copy()
    predicted[:errors] = (predicted[:errors] + 1) % 3
    return predicted


EVEN = np.tile([0, 1, 2], 30)


@pytest.mark.parametrize(
    ("labels", "errors", "reason"),
    [
        (EVEN, 10, None),
        (EVEN, 80, None),
        (EVEN, 9, "only 9 errors"),
        (EVEN, 1, "only 1 error"),
        (EVEN, 0, "only 0 errors"),
        (EVEN, 81, "only 9 hits"),
        (np.repeat([0, 1, 2], [40, 9, 40]), 20, "under 10 pairs of neutral"),
        (np.repeat([0, 1, 2], [5, 9, 40]), 20, "under 10 pairs of negative, neutral"),
        (
            np.repeat(range(5), [3, 3, 3, 3, 60]),
            12,
            "under 10 pairs of negative, neutral, positive, ...",
        ),
        (np.repeat([0, 2], 40), 20, None),  # a class without a pair is not in the figures
    ],
)
def test_why_an_interval_is_not_to_be_trusted(labels, errors, reason):
    found = doubts(labels, some_errors(labels, errors), NAMES)
    assert (found and ENGLISH(found)) == reason
