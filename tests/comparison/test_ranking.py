"""Equal models are rarely called worse, and the tests are those that can be worked out otherwise."""

import itertools
import math

import numpy as np
import pytest
from common.comparison.ranking import FEWEST_GROUPS, rank, standard_errors, too_few
from helpers.figures import f1_of, figures_of, ranked, some_predictions
from helpers.run_folders import LABELS
from scipy import stats
from simulate_verdicts import seeds

FIVE = np.concatenate([some_predictions(1, right) for right in (0.7, 0.66, 0.62, 0.58, 0.5)])


def test_a_large_difference_is_found():
    """Fifteen points of macro-F1 on 400 pairs, as simulate_verdicts.py makes them."""
    assert seeds([1] * 5, [0] * 5, 15, 20)["power"] > 0.9


def test_identical_predictions_are_never_worse():
    ranking = ranked(np.repeat(some_predictions(1, 0.6), 3, axis=0))
    assert ranking.p.tolist() == [1, 1, 1]
    assert not ranking.worse.any()
    assert ranking.smallest_difference is None  # no difference can be named that they would show


def test_always_right_against_always_wrong_is_worse_but_not_on_five_pairs():
    assert ranked(np.array([LABELS, (LABELS + 1) % 3])).worse.tolist() == [False, True]
    few = np.array([0, 1, 2, 0, 1])
    ranking = ranked(np.array([few, (few + 1) % 3]), few)
    assert ranking.p[1] == 1 / 16
    assert not ranking.worse.any()


def test_p_is_that_of_the_largest_difference_of_all_pairs_of_models():
    """Pair by pair and draw by draw, as it is defined."""
    observed, draws, left_out = f1_of(figures_of(FIVE, resamples=200))
    moved = draws - observed[:, None]
    pairs = list(itertools.combinations(range(5), 2))
    rare = {pair: rare_difference(moved, *pair) for pair in pairs}
    largest = [
        max(abs(of_draw[i] - of_draw[j]) / rare[i, j] for i, j in pairs) * stats.norm.isf(0.005)
        for of_draw in moved.T
    ]
    ranking = rank(observed, draws, left_out, np.full((5, 5), 400))
    for place in set(range(5)) - {ranking.best}:
        pair = tuple(sorted((place, ranking.best)))
        t = (observed[ranking.best] - observed[place]) / error(moved, *pair)
        reached = deviate(t, left_out[ranking.best] - left_out[place])
        share = (1 + sum(luck >= reached for luck in largest)) / 201
        assert ranking.p[place] == pytest.approx(
            min(1, share + 2 * math.sqrt(share * (1 - share) / 200))
        )


def deviate(t: float, influence: np.ndarray) -> float:
    """The normal deviate as rare as this t. The variance of a sample of G values is known by
    2 G / (kurtosis - 1) degrees of freedom: by G where they are normal."""
    kurtosis = stats.kurtosis(influence, fisher=False)
    return stats.norm.isf(stats.t.sf(t, 2 * len(influence) / (kurtosis - 1)))


def error(moved: np.ndarray, first: int, second: int) -> float:
    low, high = np.quantile(moved[first] - moved[second], stats.norm.cdf([-1, 1]))
    return (high - low) / 2


def rare_difference(moved: np.ndarray, first: int, second: int) -> float:
    """That which one draw in a hundred exceeds, as |z| exceeds the deviate of .005 on each side."""
    return np.quantile(np.abs(moved[first] - moved[second]), 0.99)


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
    assert math.isnan(ranking.critical) and ranking.smallest_difference is None


def test_the_smallest_difference_holds_for_the_model_that_is_hardest_to_tell():
    """Two standard errors: that of a near clone of the best, and that of another model."""
    random = np.random.default_rng(0)
    luck = random.normal(0, 0.02, (3, 2000))
    draws = np.array([luck[0], luck[0] + luck[1] / 10, luck[2]])
    ranking = rank(np.zeros(3), draws, np.zeros((3, 4)), np.full((3, 3), 400))
    of_other = standard_errors(luck[0] - luck[2])
    needed = (ranking.critical + stats.norm.ppf(0.8)) * of_other
    assert ranking.smallest_difference == pytest.approx(needed)


def test_no_smallest_difference_is_named_where_fewer_pairs_differ_than_would_show_it():
    """A model that errs on n more pairs than the best is some n ** 0.5 standard errors away, and
    1.96 + 0.84 of them are shown in 80 % of cases: eight pairs."""
    best = some_predictions(1, 0.7)[0]
    right = np.flatnonzero((best == LABELS) & (LABELS == 2))
    named = []
    for count in range(1, 13):
        other = best.copy()
        other[right[:count]] = 0
        named.append(ranked(np.array([best, other])).smallest_difference is not None)
    assert not any(named[:6]) and all(named[7:])


def test_near_twins_hardly_change_the_p_of_others():
    """Seven models that differ on two to eight pairs, beside a clear difference."""
    good, other = FIVE[0], FIVE[3]
    alone = ranked(np.array([good, other])).p[1]
    twins = np.repeat(good[None], 7, axis=0)
    right = np.flatnonzero(good == LABELS)
    for number, twin in enumerate(twins):
        twin[right[10 * number : 10 * number + 2 + number]] = 1
    together = ranked(np.array([good, other, *twins]))
    assert alone < 0.01 and together.best == 0
    assert together.p[1] <= 5 * alone


def test_a_rare_draw_cannot_move_a_standard_error():
    moved = np.random.default_rng(0).normal(0, 0.02, 10_000)
    assert standard_errors(moved) == pytest.approx(0.02, rel=0.05)
    moved[:20] = 1e6
    assert standard_errors(moved) == pytest.approx(0.02, rel=0.05)
    nearly_all_equal = np.r_[1, np.zeros(99)]  # they have their standard deviation
    assert standard_errors(nearly_all_equal) == pytest.approx(0.0995, abs=1e-4)


def test_a_verdict_needs_sixty_pairs_and_twelve_a_model():
    assert [too_few(groups, 2) for groups in (59, 60)] == [True, False]
    assert [too_few(groups, 20) for groups in (239, 240)] == [True, False]
    assert FEWEST_GROUPS == 60
