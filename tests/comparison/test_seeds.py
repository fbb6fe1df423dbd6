"""What other seeds would change is estimated from the seeds there are, shrunk towards what all have."""

import numpy as np
import pytest
from common.comparison.bootstrap import Figures
from common.comparison.seeds import over_seeds
from common.metrics import METRICS
from helpers.figures import figures_of, made_figures, some_predictions
from scipy import stats
from simulate_verdicts import seeds

DRAWS = 100_000


def without_luck_of_pairs(*values: float) -> list[Figures]:
    """The seeds of a family whose figures are the same in every draw of pairs."""
    return [made_figures(value, np.full(DRAWS, value)) for value in values]


def spread(figures: Figures) -> float:
    """Half the width of the middle 68 % of the draws of accuracy, around the mean."""
    low, high = np.quantile(figures.draws[0] - figures.corrected[0], stats.norm.cdf([-1, 1]))
    return (high - low) / 2


def t(variance: float, degrees: int) -> float:
    """The same of a t distribution with this scale."""
    return np.sqrt(variance) * stats.t.ppf(stats.norm.cdf(1), degrees)


def test_the_variance_of_a_family_and_of_a_lone_seed_worked_by_hand():
    """One family has .5, .6, .7, a variance of .01, which the lone one is lent.

    The family knows it by two degrees of freedom of its seeds and two more, and has it divided by
    three seeds; the lone one likewise by two and two, undivided.
    """
    lone, family = over_seeds([without_luck_of_pairs(0.6), without_luck_of_pairs(0.5, 0.6, 0.7)])
    assert (lone.corrected == 0.6).all()
    assert family.corrected == pytest.approx(np.full(len(METRICS), 0.6))
    assert spread(lone) == pytest.approx(t(0.01, 4), rel=0.02)
    assert spread(family) == pytest.approx(t(0.01 / 3, 4), rel=0.02)


def test_a_spread_is_shrunk_towards_that_of_all_families():
    """Variances .02 (two seeds) and .04 (four): together (1 * .02 + 3 * .04) / 4 = .035, and with
    the four of the prior (4 * .035 + .02) / 5 = .032 and (4 * .035 + 3 * .04) / 7 = .0371."""
    four = 0.5 + np.sqrt(0.04 * 3 / 4) * np.array([-1, -1, 1, 1])
    found = over_seeds([without_luck_of_pairs(0.4, 0.6), without_luck_of_pairs(*four)])
    assert spread(found[0]) == pytest.approx(t(0.032 / 2, 6), rel=0.02)
    assert spread(found[1]) == pytest.approx(t(0.26 / 7 / 4, 6), rel=0.02)


def test_only_what_pairs_do_not_explain_is_added():
    """Seeds that are as far apart as other pairs would make them: then luck is added only because
    the variance is not known for sure, and less than the pairs'."""
    luck = np.random.default_rng(0).normal(0, 0.02, (2, DRAWS))
    apart = 0.02 / np.sqrt(2)  # half the distance of two values with a variance of .02 ** 2
    family = [made_figures(0.5 - apart, luck[0] + 0.5 - apart)]
    family += [made_figures(0.5 + apart, luck[1] + 0.5 + apart)]
    (found,) = over_seeds([family])
    of_pairs = 0.02 / np.sqrt(2)
    assert of_pairs < spread(found) < 1.4 * of_pairs


def test_equal_seeds_add_nothing_to_the_pairs():
    predicted = np.repeat(some_predictions(1, 0.6), 3, axis=0)
    figures = figures_of(predicted)
    (found,) = over_seeds([figures])
    assert found.draws == pytest.approx(figures[0].draws, abs=1e-9)


def test_where_no_family_has_two_seeds_nothing_is_known_and_nothing_added():
    figures = figures_of(some_predictions(2, 0.6))
    for found, alone in zip(over_seeds([[one] for one in figures]), figures, strict=True):
        assert (found.draws == alone.draws).all()
        assert (found.left_out == alone.left_out).all()


def test_the_luck_of_a_seed_moves_all_metrics_together_and_each_family_by_itself():
    found = over_seeds([without_luck_of_pairs(0.4, 0.6), without_luck_of_pairs(0.4, 0.6)])
    one, other = (family.draws - family.corrected[:, None] for family in found)
    assert one == pytest.approx(np.tile(one[0], (len(METRICS), 1)))
    assert abs(np.corrcoef(np.sign(one[0]), np.sign(other[0]))[0, 1]) < 0.02


@pytest.mark.parametrize("sizes", [[3, 3, 3], [1, 4, 4]])
def test_equal_families_rarely_differ_and_intervals_hold_their_means(sizes):
    """The small version of simulate_verdicts.py: its seed is fixed, its limits are those of chance
    at 30 repetitions."""
    found = seeds(sizes, [1.5] * 3, 0, 30)
    assert found["false"] <= 0.17
    assert found["cover"] >= 0.85
