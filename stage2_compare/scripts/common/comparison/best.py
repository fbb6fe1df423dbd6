"""The best of several learning rates, or models: chosen on the same pairs, so corrected as epochs
are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..metrics import MAIN
from .bootstrap import PLACE, Figures, mean
from .intervals import Estimate, estimates
from .selection import choose


def best_of(candidates: list[list[Figures]]) -> tuple[int, list[Figures]]:
    """Choose the candidate with the highest mean macro-F1 over its seeds, anew in each draw.

    Args:
        candidates: the Figures of each seed, for each of L rates or models.

    Returns:
        The place of the best, and the Figures of its seeds without the selection bias.
    """
    means = [mean(seeds) for seeds in candidates]
    corrected = np.array([each.corrected for each in means])  # (L, K)
    draws = np.array([each.draws for each in means])  # (L, K, B)
    best = int(corrected[:, PLACE].argmax())
    if len(candidates) == 1:
        return best, candidates[best]
    chosen = choose(corrected[:, PLACE], draws[:, PLACE])  # (B,)
    moved = draws - corrected[..., None]  # (L, K, B)
    of_chosen = moved[chosen, :, np.arange(len(chosen))].T  # (K, B)
    more = of_chosen - moved[best]
    gain = more.mean(1)  # (K,)
    return best, [
        replace(
            run,
            corrected=run.corrected - gain,
            draws=run.draws + more - 2 * gain[:, None],  # centred on the corrected figure
        )
        for run in candidates[best]
    ]


def as_best(figures: list[Figures], worse: np.ndarray) -> Estimate:
    """Return macro-F1 of the model that comes first, without the selection bias of coming first.

    The highest of several figures is too high. So the first one is chosen anew in each draw, among
    the models that are not significantly worse. The interval is the hull of that figure's and of
    the model's own.

    Args:
        figures: of M models.
        worse: (M,) which of them are significantly worse than the first.
    """
    candidates = [each for each, is_worse in zip(figures, worse, strict=True) if not is_worse]
    place, (corrected,) = best_of([[each] for each in candidates])
    own = estimates(candidates[place])[MAIN.column]
    found = estimates(corrected)[MAIN.column]
    return Estimate(own.centre, min(own.low, found.low), max(own.high, found.high), found.corrected)
