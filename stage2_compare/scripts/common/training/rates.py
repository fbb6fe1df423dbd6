"""The learning rate as a function of the number of the optimizer step. Imports no torch.

torch's LambdaLR would do the same, but has a state of its own, and replaces the optimizer's step.
"""

from __future__ import annotations

import math

from ..settings import Protocol


def learning_rate(protocol: Protocol, step: int, steps: int) -> float:
    """Return the learning rate of a step, counted from 0, of a run that plans ``steps`` of them.

    It rises from 0 in a straight line over the share ``warmup_ratio`` of the steps, rounded up, and
    then follows the schedule. The rates are those of transformers' schedules with warmup. The
    cosine is half of one, as in Loshchilov and Hutter 2017 (SGDR), without restarts.
    """
    warmup = math.ceil(protocol.warmup_ratio * steps)
    if step < warmup:
        return protocol.lr * step / warmup
    done = (step - warmup) / max(1, steps - warmup)  # share of the steps after the warmup, 0 to 1
    if protocol.schedule == "linear":
        return protocol.lr * (1 - done)
    if protocol.schedule == "cosine":
        return protocol.lr * 0.5 * (1 + math.cos(math.pi * done))
    return protocol.lr
