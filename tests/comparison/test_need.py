"""The number of pairs that is said to show a difference really shows it."""

import numpy as np
import pytest
from common.comparison.need import needed
from common.comparison.ranking import Ranking, rank
from helpers.figures import f1_of, made_figures

ERROR = 0.5  # of the difference of two models on one pair
NAMES = ["best", "other"]


def two_models(gap: float, of_pairs: float, of_seeds: float = 0.0, seed: int = 0):
    """Two models of which only the first moves, by normal luck with these standard errors.

    Returns:
        The figures with what other seeds would change, and those without it.
    """
    luck = np.random.default_rng(seed).standard_normal((2, 2000))
    luck = (luck - luck.mean(1)[:, None]) / luck.std(1)[:, None]
    still = made_figures(0.5, np.full(2000, 0.5))
    value = 0.5 + gap
    means = [made_figures(value, value + of_pairs * luck[0]), still]
    both = value + np.hypot(of_pairs, of_seeds) * luck[1]
    return [made_figures(value, both), still], means


def ranking_of(figures) -> Ranking:
    return rank(*f1_of(figures), np.full(len(figures), 400))


def test_the_stated_number_of_pairs_shows_the_difference_in_80_percent_of_cases():
    gap, pairs = 0.03, 400
    figures, means = two_models(gap, ERROR / np.sqrt(pairs))
    need = needed(NAMES, ranking_of(figures), figures, means, 1, pairs)
    assert (need.name, need.seeds) == ("other", None)
    assert need.gap == pytest.approx(gap)
    # 1. The formula of every textbook, for two models.
    assert need.pairs == pytest.approx((1.96 + 0.84) ** 2 * ERROR**2 / gap**2, rel=0.1)
    # 2. So many pairs, 500 times: each time another difference is seen. The standard error of
    # a share of .8 is .018.
    random, shown = np.random.default_rng(1), 0
    for seed in range(500):
        seen = gap + ERROR / np.sqrt(need.pairs) * random.standard_normal()
        figures, _ = two_models(seen, ERROR / np.sqrt(need.pairs), seed=seed)
        ranking = ranking_of(figures)
        shown += ranking.best == 0 and bool(ranking.worse[1])
    assert 0.75 <= shown / 500 <= 0.86


def test_of_the_differences_that_are_not_proved_the_smallest_that_can_be_read_is_taken():
    values = (0.60, 0.58, 0.59, 0.2, 0.5996)
    figures = [made_figures(value, np.full(2000, value)) for value in values]
    luck = np.random.default_rng(0).normal(0, 0.02, 2000)
    figures[0] = made_figures(0.60, 0.60 + luck)
    ranking = ranking_of(figures)
    assert ranking.worse.tolist() == [False, False, False, True, False]
    need = needed(["a", "b", "c", "d", "e"], ranking, figures, figures, 1, 400)
    assert (need.name, round(need.gap, 9)) == ("c", 0.01)


def test_nothing_is_needed_where_all_is_shown_or_nothing_is_seen():
    shown, means = two_models(0.3, 0.02)
    assert needed(NAMES, ranking_of(shown), shown, means, 1, 400) is None
    equal, means = two_models(0.0, 0.02)
    assert needed(NAMES, ranking_of(equal), equal, means, 1, 400) is None


@pytest.mark.parametrize(
    ("of_pairs", "pairs"),
    [(0.005, None), (0.02, 3100)],  # the pairs are enough; or they too leave more than half
)
def test_where_pairs_alone_are_not_enough_the_stated_seeds_and_pairs_together_are(of_pairs, pairs):
    gap, of_seeds = 0.03, 0.025
    figures, means = two_models(gap, of_pairs, of_seeds)
    ranking = ranking_of(figures)
    need = needed(NAMES, ranking, figures, means, 3, 400)
    allowed = gap / (ranking.critical + 0.84)
    assert of_seeds > allowed  # so that even infinitely many pairs would not do
    assert need.pairs == (pairs if pairs is None else pytest.approx(pairs, rel=0.1))
    left = of_seeds**2 * 3 / need.seeds + of_pairs**2 * 400 / (need.pairs or 400)
    assert left <= 1.01 * allowed**2
