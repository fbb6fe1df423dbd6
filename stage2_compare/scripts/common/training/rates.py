"""The learning rate as a function of the number of the optimizer step. Imports no torch.

torch's LambdaLR would do the same, but has a state of its own, and replaces the optimizer's step.
"""

from __future__ import annotations

import math

from .settings import Protocol


def constant(done: float) -> float:
    return 1.0


def linear(done: float) -> float:
    return 1.0 - done


def cosine(done: float) -> float:
    """Half a cosine, as in Loshchilov and Hutter 2017 (SGDR), without restarts."""
    return 0.5 * (1 + math.cos(math.pi * done))


# Share of the highest rate, by the share of the steps after the warmup that are done, 0 to 1.
SCHEDULES = {"constant": constant, "linear": linear, "cosine": cosine}


def learning_rate(protocol: Protocol, step: int, steps: int) -> float:
    """Return the learning rate of a step, counted from 0, of a run that plans ``steps`` of them.

    It rises from 0 in a straight line over the share ``warmup_ratio`` of the steps, rounded up, and
    then follows the schedule. The rates are those of transformers' schedules with warmup.
    """
    warmup = math.ceil(protocol.warmup_ratio * steps)
    if step < warmup:
        return protocol.lr * step / warmup
    return protocol.lr * SCHEDULES[protocol.schedule]((step - warmup) / max(1, steps - warmup))
