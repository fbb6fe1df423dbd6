"""The best learning rate is chosen anew in every draw, as the best epoch is."""

import numpy as np
import pytest
from common.comparison.best import best_of
from common.metrics import METRICS
from helpers.figures import made_figures


def test_two_rates_worked_by_hand():
    """As in test_selection.py: the second draw chooses the other rate.

    There the chosen one has moved by +.08, the best one by -.08: half of .16 is what the choice
    gains. So .6 becomes .52, and the moves of the chosen rates, -.06 and +.08, are around
    .52 - .08.
    """
    best = made_figures(0.6, np.array([0.54, 0.52]))
    other = made_figures(0.4, np.array([0.46, 0.48]))
    place, (found,) = best_of([[other], [best]])
    assert place == 1
    assert (found.apparent == 0.6).all()
    assert found.corrected == pytest.approx(np.full(len(METRICS), 0.52))
    assert found.draws == pytest.approx(np.tile([0.38, 0.52], (len(METRICS), 1)))


def test_the_mean_over_seeds_chooses_and_each_seed_is_corrected_by_the_same():
    """The seeds of the best rate have .63 and .57: their mean is that of the test above."""
    seeds = [made_figures(0.6 + shift, np.array([0.54, 0.52]) + shift) for shift in (0.03, -0.03)]
    other = made_figures(0.4, np.array([0.46, 0.48]))
    place, found = best_of([seeds, [other]])
    assert place == 0
    assert [of_seed.corrected[0] for of_seed in found] == pytest.approx([0.55, 0.49])
    assert found[1].draws[0] == pytest.approx([0.35, 0.49])
