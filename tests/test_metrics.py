"""The metrics are scikit-learn's, and hold for a stack of confusion matrices as for one."""

import json

import numpy as np
import pytest
from common.metrics import METRICS, confusion_matrix, per_class, reliability, run_scores, scores
from sklearn import metrics as reference


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("never_predicted", [False, True])
def test_metrics_agree_with_scikit_learn(classes: int, never_predicted: bool):
    random = np.random.default_rng(classes)
    labels = random.integers(0, classes, 200)
    predictions = np.where(random.random(200) < 0.6, labels, random.integers(0, classes, 200))
    if never_predicted:
        predictions[predictions == classes - 1] = 0
    confusion = confusion_matrix(labels, predictions, classes)
    np.testing.assert_array_equal(confusion, reference.confusion_matrix(labels, predictions))

    found = scores(confusion)
    assert run_scores(labels, predictions) == found
    assert list(found) == [metric.key for metric in METRICS]
    assert found["acc"] == pytest.approx(reference.accuracy_score(labels, predictions))
    for name in ("f1", "precision", "recall"):
        function = getattr(reference, f"{name}_score")
        of_classes = function(labels, predictions, average=None, zero_division=0)
        np.testing.assert_allclose(per_class(labels, predictions, classes)[name], of_classes)
        assert found[f"{name}_macro"] == pytest.approx(of_classes.mean())
    weighted = reference.f1_score(labels, predictions, average="weighted", zero_division=0)
    assert found["f1_weighted"] == pytest.approx(weighted)


def test_scores_of_a_stack_are_the_scores_of_its_parts():
    stack = np.random.default_rng(0).integers(0, 9, (4, 3, 3))
    together = scores(stack)
    for i, confusion in enumerate(stack):
        for name, value in scores(confusion).items():
            assert together[name][i] == pytest.approx(value)


# Calibration


def test_a_case_worked_by_hand():
    """Four bins: two samples at .30 and .40 with one right, none in (.5, .75], three at .8 .9 1.0 with
    two right. |.5 - .35| = .15 over 2 samples, |2/3 - .9| = .2333 over 3: (.3 + .7) / 5 = .2."""
    confidence, correct = np.array([0.3, 0.9, 0.4, 0.8, 1.0]), np.array([1, 1, 0, 0, 1])
    bins, error = reliability(confidence, correct, bins=4)
    assert [row["count"] for row in bins] == [0, 2, 0, 3] and error == pytest.approx(0.2)
    empty, two, _, three = ((row["confidence"], row["accuracy"]) for row in bins)
    assert empty == (None, None) and two == pytest.approx((0.35, 0.5))
    assert three == pytest.approx((0.9, 2 / 3))


def test_an_edge_belongs_to_the_bin_below_it_as_in_the_paper():
    for place in range(1, 16):
        bins, _ = reliability(np.array([place / 15]), np.array([True]))
        assert [row["count"] for row in bins].index(1) == place - 1


def test_the_answer_fits_json_and_a_float32_softmax():
    bins, error = reliability(np.array([1 + 1e-7, 0.5], np.float32), np.array([True, False]))
    assert len(json.loads(json.dumps([bins, error], allow_nan=False))[0]) == 15
