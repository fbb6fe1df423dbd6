"""Whether a model's confidence can be believed. Arrays in, plain numbers out."""

from __future__ import annotations

from typing import Any

import numpy as np


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> tuple[list[dict[str, Any]], float]:
    """Bins of equal width over 0 to 1, lower edge out and upper edge in, and the expected calibration error.

    The error is the distance of accuracy from mean confidence, averaged over the bins by their share of the samples
    (Guo, Pleiss, Sun and Weinberger 2017, On Calibration of Modern Neural Networks).

    Args:
        confidence: (N,) probability of the class that was chosen, 0 to 1.
        correct: (N,) whether that class was the right one.

    Returns:
        ``[{"confidence", "accuracy", "count"}, ...]`` from the lowest bin to the highest, None for both means of an
        empty bin, all fit for JSON; and the error, 0 to 1.

    Raises:
        ValueError: there is no sample, or a confidence is not between 0 and 1.
    """
    confidence, correct = np.asarray(confidence, float), np.asarray(correct, float)
    if confidence.size == 0:
        raise ValueError("no sample to calibrate")
    if not ((confidence >= 0) & (confidence <= 1 + 1e-6)).all():  # float32 sums of a softmax may pass 1 by a little
        raise ValueError("a confidence is not between 0 and 1")
    edges = np.arange(1, bins) / bins
    place = np.searchsorted(edges, confidence, side="left")  # the first edge that is not below it is its upper one
    counts = np.bincount(place, minlength=bins)
    sums = (np.bincount(place, values, bins) for values in (confidence, correct))
    mean_confidence, accuracy = (total / np.maximum(counts, 1) for total in sums)
    error = float((counts * abs(accuracy - mean_confidence)).sum() / counts.sum())
    rows = [
        {"confidence": float(c) if n else None, "accuracy": float(a) if n else None, "count": int(n)}
        for c, a, n in zip(mean_confidence, accuracy, counts)
    ]
    return rows, error
