"""Is fusion worth it: the best fusion of two encoders against the better one of them alone."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from ..settings import BASELINES
from .best import best_of
from .bootstrap import PLACE, Figures
from .intervals import Estimate, of_difference
from .judging import Judgement
from .models import Model


class Worth(NamedTuple):
    """What the best fusion of a pair of encoders gains over the better single modality."""

    fusion: str  # names of models
    single: str
    gain: Estimate  # of macro-F1, without what choosing both on the same pairs adds


def worth_of_fusion(models: list[Model], judgement: Judgement) -> list[Worth]:
    """Return the gain for each pair of encoders of which both single modalities were trained, beside
    whatever encoder of the other modality.

    The highest of five is higher than the highest of two even where all are equal. So the fusion
    and the single modality are chosen anew in each draw, as the epoch is.

    Args:
        models: those of the judgement, in its order.
    """
    fusions_of, single_of = defaultdict(list), defaultdict(list)
    for model in models:
        recorded = model.runs[0].recorded("model") or {}
        # As texts: a stranger's record may hold anything there.
        family, text, image = (str(recorded.get(k)) for k in ("family", "name", "image_backbone"))
        encoders = {"text": (family, text), "image": (family, text if image == "None" else image)}
        fusion = str(recorded.get("fusion") or "")
        if fusion in BASELINES:
            single_of[fusion, encoders[fusion]].append(model.name)
        elif fusion:
            fusions_of[tuple(encoders.items())].append(model.name)
    found, figures = [], dict(zip(judgement.models, judgement.figures, strict=True))
    for encoders, fusions in fusions_of.items():
        if all(single_of[each] for each in encoders):
            singles = [name for each in encoders for name in single_of[each]]
            of_both = ([figures[name] for name in side] for side in (fusions, singles))
            fusion, single, gain = gained(*of_both)
            found.append(Worth(fusions[fusion], singles[single], gain))
    return found


def gained(fusions: list[Figures], singles: list[Figures]) -> tuple[int, int, Estimate]:
    """Compare the best fusion with the best single modality; return the places of both too.

    The interval is as wide as that of these two models: in simulations with equal models, the draws
    in which both are chosen are too narrow by a seventh, and claim a gain or loss in up to 9 %.
    """
    fusion, (of_fusion,) = best_of([[each] for each in fusions])
    single, (of_single,) = best_of([[each] for each in singles])
    gain = float((of_fusion.draws[PLACE] - of_single.draws[PLACE]).mean())
    between = fusions[fusion].draws[PLACE] - singles[single].draws[PLACE]  # (B,)
    return fusion, single, of_difference(gain, between)
