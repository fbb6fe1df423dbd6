"""Is fusion worth it: the best fusion of two encoders against the better one of them alone."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from .bootstrap import PLACE
from .intervals import CONFIDENCE
from .judging import Judgement
from .models import Model
from .selection import choose

SINGLE = ("text", "image")  # fusions that use one modality


@dataclass(frozen=True)
class Worth:
    """What the best fusion of a pair of encoders gains over the better single modality."""

    fusion: int  # places among the models of a judgement
    single: int
    gain: float  # of macro-F1, without what choosing both on the same pairs adds
    low: float  # its 95 % interval
    high: float


def worth_of_fusion(models: list[Model], judgement: Judgement) -> list[Worth]:
    """Return the gain for each pair of encoders of which both single modalities were trained.

    The highest of five is higher than the highest of two even where all are equal. So the fusion
    and the single modality are chosen anew in each draw, as the epoch is.

    Args:
        models: those of the judgement, in its order.
    """
    of_encoders = defaultdict(list)
    for place, model in enumerate(models):
        recorded = model.runs[0].recorded("model") or {}
        encoders = tuple(recorded.get(key) for key in ("family", "name", "image_backbone"))
        of_encoders[encoders].append((place, recorded.get("fusion")))
    observed = np.array([figures.corrected[PLACE] for figures in judgement.figures])  # (M,)
    draws = np.array([figures.draws[PLACE] for figures in judgement.figures])  # (M, B)
    found = []
    for members in of_encoders.values():
        fusions = [place for place, fusion in members if fusion and fusion not in SINGLE]
        singles = [place for place, fusion in members if fusion in SINGLE]
        if not fusions or {fusion for _, fusion in members}.intersection(SINGLE) != set(SINGLE):
            continue
        found.append(gained(observed, draws, fusions, singles))
    return found


def gained(
    observed: np.ndarray, draws: np.ndarray, fusions: list[int], singles: list[int]
) -> Worth:
    """Compare the best fusion with the best single modality.

    Args:
        observed: (M,) macro-F1 of models.
        draws: (M, B) the same in the draws.
        fusions, singles: places of both kinds among the models.
    """
    fusion, of_fusion = best_of(observed[fusions], draws[fusions])
    single, of_single = best_of(observed[singles], draws[singles])
    gains = of_fusion - of_single  # (B,)
    tail = (1 - CONFIDENCE) / 2
    low, high = map(float, np.quantile(gains, (tail, 1 - tail)))
    return Worth(fusions[fusion], singles[single], float(gains.mean()), low, high)


def best_of(observed: np.ndarray, draws: np.ndarray) -> tuple[int, np.ndarray]:
    """Choose the highest of M figures, anew in each draw.

    Args:
        observed: (M,) the figures.
        draws: (M, B) the same in the draws.

    Returns:
        The place of the highest figure, and its draws (B,) without the selection bias.
    """
    best = int(observed.argmax())
    moved = draws - observed[:, None]  # (M, B)
    chosen = choose(observed, draws)  # (B,)
    more = moved[chosen, np.arange(len(chosen))] - moved[best]  # (B,)
    return best, draws[best] + more - 2 * more.mean()
