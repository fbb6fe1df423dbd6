"""The best learning rate of a model: chosen on the same pairs, so corrected as epochs are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .bootstrap import PLACE, Figures, mean
from .selection import choose


def over_rates(rates: list[list[Figures]]) -> tuple[int, list[Figures]]:
    """Choose the rate with the highest mean macro-F1 over its seeds, anew in each draw.

    Args:
        rates: the Figures of each seed, for each of L rates.

    Returns:
        The place of the rate, and the Figures of its seeds less what the choice gains by luck.
    """
    means = [mean(seeds) for seeds in rates]
    corrected = np.array([at_rate.corrected for at_rate in means])  # (L, K)
    draws = np.array([at_rate.draws for at_rate in means])  # (L, K, B)
    best = int(corrected[:, PLACE].argmax())
    if len(rates) == 1:
        return best, rates[best]
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
        for run in rates[best]
    ]
