"""Classification metrics: one list of them, arrays in, plain numbers out, equal to scikit-learn's. They
come from stacks of confusion matrices, because the bootstrap needs ten thousands of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Metric(NamedTuple):
    """A figure of a run that every table, picture and comparison shows."""

    key: str  # in the results of ``scores``
    title: str
    short: str
    required: bool = True  # False: a run folder of an earlier version may lack it
    bounds: tuple[float, float] = (0.0, 1.0)  # lowest and highest value

    @property
    def column(self) -> str:
        """Column of history.csv and of the tables."""
        return f"val_{self.key}"

    @property
    def prefix(self) -> str:
        """Start of the columns of its interval: ``f1_low``, ``f1_high``."""
        return self.key.removesuffix("_macro")


# To add a metric: a line at the end, with required=False, and its value in ``scores``.
METRICS = (
    Metric("acc", "Accuracy", "Acc"),
    Metric("f1_macro", "Macro-F1", "F1"),
    Metric("precision_macro", "Macro precision", "Prec"),
    Metric("recall_macro", "Macro recall", "Rec"),
    Metric("f1_weighted", "Weighted F1", "wF1", required=False),
)
MAIN = METRICS[1]  # runs are ranked by it, and the best epoch is chosen by it
COLUMNS = tuple(metric.column for metric in METRICS)
# Those that tables of little width show beside macro-F1.
BESIDE = tuple(metric for metric in METRICS if metric.key == "acc" or not metric.required)


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Count the samples per cell (C, C): rows are true classes, columns predicted ones."""
    cells = np.bincount(labels * classes + predictions, minlength=classes * classes)
    return cells.reshape(classes, classes)


def scores(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Compute every metric of METRICS, each (...), from confusion matrices (..., C, C). The macro means
    are over the classes that have a true sample, the same for every model (scikit-learn by itself
    adds the classes that the model at hand predicts)."""
    # Classes first: to add up a few long rows is quicker than to add up many short ones.
    cells = np.ascontiguousarray(np.moveaxis(confusion, (-2, -1), (0, 1)))  # (C, C, ...)
    hits = np.einsum("ii...->i...", cells).astype(float)  # (C, ...)
    support, predicted = cells.sum(1), cells.sum(0)  # (C, ...)
    present = support > 0  # (C, ...)

    def macro(values: np.ndarray) -> np.ndarray:
        return _ratio((values * present).sum(0), present.sum(0))

    f1 = _ratio(2 * hits, support + predicted)  # (C, ...)
    return {
        "acc": _ratio(hits.sum(0), support.sum(0)),
        "f1_macro": macro(f1),
        "precision_macro": macro(_ratio(hits, predicted)),
        "recall_macro": macro(_ratio(hits, support)),
        "f1_weighted": _ratio((f1 * support).sum(0), support.sum(0)),
    }


def run_scores(labels: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Compute every metric of METRICS from the true and the predicted classes (N,) of one run."""
    classes = max(labels.max(), predicted.max()) + 1
    found = scores(confusion_matrix(labels, predicted, classes))
    return {key: float(value) for key, value in found.items()}


def per_class(labels: np.ndarray, predicted: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    """Compute precision, recall, F1 and support of each class, (C,) each; 0 where there is nothing
    to divide by."""
    # Imported here: commands that only read results must answer at once.
    from sklearn.metrics import precision_recall_fscore_support

    names = ("precision", "recall", "f1", "support")
    values = precision_recall_fscore_support(
        labels, predicted, labels=np.arange(classes), average=None, zero_division=0
    )
    return dict(zip(names, values, strict=True))


def reliability(
    confidence: np.ndarray, correct: np.ndarray, bins: int = 15
) -> tuple[list[dict[str, Any]], float]:
    """Compare confidence, the probability (N,) of the class that was chosen, with accuracy, true (N,)
    where it was the right one, in bins of equal width over 0 to 1.

    A bin holds its upper edge and not its lower one. The expected calibration error is the distance
    of accuracy from confidence, a mean over all samples (Guo et al. 2017, On Calibration of Modern
    Neural Networks). Return ``[{"confidence", "accuracy", "count"}, ...]``, both means of an empty
    bin None, all fit for JSON; and the error, 0 to 1."""
    place = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence)  # (N,)
    counts = np.bincount(place, minlength=bins)  # (bins,)
    sums = [np.bincount(place, values, bins) for values in (confidence, correct)]
    rows = [
        {"confidence": mean / n, "accuracy": right / n, "count": n}
        if n
        else {"confidence": None, "accuracy": None, "count": 0}
        for mean, right, n in zip(*(each.tolist() for each in (*sums, counts)), strict=True)
    ]
    return rows, float(abs(sums[1] - sums[0]).sum() / len(confidence))


def wilson(share: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends of the 95% interval of a share of so many samples (Wilson 1927), which has a
    width even where the share is 0 or 1."""
    z2 = 1.96**2
    middle = share + z2 / (2 * count)
    half = np.sqrt(z2 * (share * (1 - share) / count + z2 / (4 * count**2)))
    return (middle - half) / (1 + z2 / count), (middle + half) / (1 + z2 / count)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide; 0 where there is nothing to divide by, as scikit-learn's ``zero_division=0``."""
    return np.divide(numerator, denominator, out=np.zeros(numerator.shape), where=denominator > 0)
