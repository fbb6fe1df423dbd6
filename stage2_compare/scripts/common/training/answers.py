"""Tables of what a model says of pairs, as they are written for people and for other programs."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..data.splits import Split
from ..runs import layout


def answers_table(
    split: Split, predicted: np.ndarray, probabilities: np.ndarray, classes: list[str]
) -> pd.DataFrame:
    """Return guid, label where all are known, predicted class and the probability of each class.

    Args:
        predicted: (N,) places in ``classes``.
        probabilities: (N, C).
    """
    labels = {} if "" in split.labels else {"label": split.labels}
    chosen = np.array(classes, dtype=object)[predicted]
    table = pd.DataFrame({"guid": split.guids, **labels, "pred": chosen})
    shares = pd.DataFrame(probabilities, columns=layout.probability_columns(classes))
    return pd.concat([table, shares.map("{:.6g}".format)], axis=1)


def submission_table(split: Split, predicted: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Return guid and predicted class, in the form of the list of labelled pairs."""
    chosen = np.array(classes, dtype=object)[predicted]
    return pd.DataFrame({"guid": split.guids, "tag": chosen})
