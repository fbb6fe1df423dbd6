"""Reliability bins and expected calibration error, against cases worked out by hand."""

import json

import numpy as np
import pytest
from common.calibration import reliability


def test_a_case_worked_by_hand():
    """Four bins: two samples at .30 and .40 with one right, none in (.5, .75], three at .8 .9 1.0 with two right.

    Errors |.5 - .35| = .15 over 2 samples and |2/3 - .9| = .2333 over 3: (2 * .15 + 3 * .2333) / 5 = .2.
    """
    bins, error = reliability(np.array([0.3, 0.9, 0.4, 0.8, 1.0]), np.array([1, 1, 0, 0, 1]), bins=4)
    assert [row["count"] for row in bins] == [0, 2, 0, 3]
    assert (bins[0]["confidence"], bins[0]["accuracy"], bins[2]["accuracy"]) == (None, None, None)
    assert (bins[1]["confidence"], bins[1]["accuracy"]) == pytest.approx((0.35, 0.5))
    assert (bins[3]["confidence"], bins[3]["accuracy"]) == pytest.approx((0.9, 2 / 3))
    assert error == pytest.approx(0.2)


def test_an_edge_belongs_to_the_bin_below_it_as_in_the_paper():
    for place in range(1, 16):
        bins, _ = reliability(np.array([place / 15]), np.array([True]))
        assert [row["count"] for row in bins].index(1) == place - 1


def test_the_error_is_0_for_honest_and_1_for_certain_and_wrong_models():
    assert reliability(np.full(4, 0.75), np.array([1, 1, 0, 1]))[1] == pytest.approx(0)
    assert reliability(np.ones(3), np.zeros(3))[1] == pytest.approx(1)


def test_a_simulated_model_with_known_overconfidence():
    """Right with probability confidence - .1: the error is .1, but for chance."""
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.4, 1, 200_000)
    _, error = reliability(confidence, rng.random(confidence.size) < confidence - 0.1)
    assert error == pytest.approx(0.1, abs=0.005)


def test_the_answer_fits_json_and_a_float32_softmax():
    bins, error = reliability(np.array([1 + 1e-7, 0.5], np.float32), np.array([True, False]))
    assert len(json.loads(json.dumps([bins, error], allow_nan=False))[0]) == 15


@pytest.mark.parametrize("confidence", [[], [0.5, float("nan")], [-0.1], [1.5]])
def test_what_is_no_confidence_is_refused(confidence):
    with pytest.raises(ValueError):
        reliability(np.array(confidence), np.ones(len(confidence)))
