"""Classification metrics: arrays in, dict out. The confusion matrix is the one statistic that all of them need."""

from __future__ import annotations

import numpy as np


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Counts (C, C): rows are true classes, columns predicted ones."""
    return np.bincount(labels * classes + predictions, minlength=classes * classes).reshape(classes, classes)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """0 where there is nothing to divide by, as scikit-learn's ``zero_division=0``."""
    return np.divide(numerator, denominator, out=np.zeros(numerator.shape), where=denominator > 0)


def per_class(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall, F1 and support of each class, (..., C), from confusion matrices (..., C, C)."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(float)
    support, predicted = confusion.sum(-1), confusion.sum(-2)
    return {
        "precision": _ratio(hits, predicted),
        "recall": _ratio(hits, support),
        "f1": _ratio(2 * hits, support + predicted),
        "support": support,
    }


def scores(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Accuracy and macro F1, precision and recall, each (...), from confusion matrices (..., C, C).

    A class counts towards a macro mean where it has a true or a predicted sample, as in scikit-learn.
    """
    table = per_class(confusion)
    present = (confusion.sum(-1) + confusion.sum(-2)) > 0
    macro = {name: _ratio((table[name] * present).sum(-1), present.sum(-1)) for name in ("f1", "precision", "recall")}
    hits = np.trace(confusion, axis1=-2, axis2=-1).astype(float)
    return {
        "acc": _ratio(hits, confusion.sum((-2, -1))),
        "f1_macro": macro["f1"],
        "precision_macro": macro["precision"],
        "recall_macro": macro["recall"],
    }
