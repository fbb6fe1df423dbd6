"""The metrics are scikit-learn's, and hold for a stack of confusion matrices as for one."""

import numpy as np
import pytest
from common.metrics import confusion_matrix, per_class, scores
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

    options = {"labels": range(classes), "zero_division": 0}
    found = scores(confusion)
    assert found["acc"] == pytest.approx(reference.accuracy_score(labels, predictions))
    for name in ("f1", "precision", "recall"):
        function = getattr(reference, f"{name}_score")
        assert found[f"{name}_macro"] == pytest.approx(function(labels, predictions, average="macro", **options))
        np.testing.assert_allclose(per_class(confusion)[name], function(labels, predictions, average=None, **options))


def test_a_class_without_samples_and_predictions_does_not_lower_the_mean():
    labels, predictions = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    found = scores(confusion_matrix(labels, predictions, 3))
    assert found["f1_macro"] == pytest.approx(reference.f1_score(labels, predictions, average="macro"))


def test_scores_of_a_stack_are_the_scores_of_its_parts():
    stack = np.random.default_rng(0).integers(0, 9, (4, 3, 3))
    together = scores(stack)
    for i, confusion in enumerate(stack):
        for name, value in scores(confusion).items():
            assert together[name][i] == pytest.approx(value)
