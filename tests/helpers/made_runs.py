"""Runs as the reader returns them, without files."""

from pathlib import Path

import numpy as np
from common.runs.reading import Predictions, Run

from helpers.run_folders import CLASSES, LABELS, figures_of_predictions, some_probabilities

PROTOCOL = {"seed": 42, "lr": 2e-5, "effective_batch_size": 16}


def made_run(
    name: str,
    said: np.ndarray,
    labels: np.ndarray = LABELS,
    pairs: np.ndarray | None = None,
    copies: np.ndarray | None = None,
    test: Predictions | None = None,
    model: str = "",
    recorded: dict | None = None,
    **protocol,
) -> Run:
    """A run of three classes.

    Args:
        said: (E, N) predicted classes of every epoch; or (N,), and then those of one epoch.
        labels: of all pairs there are.
        pairs: (N,) those of them that the run was validated on; all, where not given.
        copies: (N,) number of the first copy of each pair; None: not recorded.
        model: its name; that of the run, where not given.
        recorded: more of metrics.json.
        protocol: what is not as in PROTOCOL.
    """
    epochs = np.atleast_2d(said)
    pairs = np.arange(len(labels)) if pairs is None else pairs
    history = [
        {
            "epoch": epoch,
            "train_loss": 1.0,
            "val_loss": 1.0,
            **figures_of_predictions(labels[pairs], row),
        }
        for epoch, row in enumerate(epochs, 1)
    ]
    best = max(history, key=lambda row: row["val_f1_macro"])
    metrics = {
        "protocol": {**PROTOCOL, **protocol},
        "model": {"name": model or name},
        **(recorded or {}),
    }
    chosen = made_predictions(labels[pairs], epochs[history.index(best)], pairs, copies)
    return Run(name, Path(name), metrics, history, best, chosen, epochs, test)


def made_predictions(
    labels: np.ndarray,
    said: np.ndarray,
    pairs: np.ndarray | None = None,
    copies: np.ndarray | None = None,
    shares: np.ndarray | None = None,
) -> Predictions:
    """Predictions for pairs by their numbers; ``shares`` (N, C) where they matter."""
    pairs = np.arange(len(labels)) if pairs is None else pairs
    shares = some_probabilities(said, 3) if shares is None else shares
    groups = None if copies is None else [f"pair{number}" for number in copies]
    guids = [f"pair{number}" for number in pairs]
    return Predictions(CLASSES, guids, labels.tolist(), said.tolist(), shares.tolist(), groups)
