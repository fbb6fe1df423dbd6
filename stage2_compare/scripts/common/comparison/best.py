"""The best of several learning rates, or models: chosen on the same pairs, so corrected as epochs
are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .bootstrap import PLACE, Figures, mean
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
