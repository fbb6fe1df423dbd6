"""Clocks: seconds by name, and the pace of an input pipeline."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from torch import Tensor


class Stopwatch:
    """Adds up the seconds of blocks, calls and waits in ``seconds``, by name.

    It waits for the device before and after each, because CUDA computes in the background.
    """

    def __init__(self, device: torch.device):
        self.seconds: Counter[str] = Counter()
        self.device = device

    @contextmanager
    def block(self, name: str) -> Iterator[None]:
        """Time a ``with`` block."""
        self._synchronise()
        started = time.perf_counter()
        yield
        self._synchronise()
        self.seconds[name] += time.perf_counter() - started

    @contextmanager
    def calls(self, owner: Any, function: str, name: str = "") -> Iterator[None]:
        """Time every call of a function of ``owner``, a class or a module, within a ``with`` block.

        ``name`` is that of the function, unless given.
        """
        original = getattr(owner, function)

        @wraps(original)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.block(name or function):
                return original(*args, **kwargs)

        setattr(owner, function, timed)
        try:
            yield
        finally:
            setattr(owner, function, original)

    def waits(self, items: Iterable, name: str) -> Iterator:
        """Go through ``items``; time how long each takes to be there."""
        iterator, end = iter(items), object()
        while True:
            with self.block(name):
                item = next(iterator, end)
            if item is end:
                return
            yield item

    def _synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def pipeline_rate(batches: Iterable[dict[str, Tensor]]) -> float:
    """Return the samples per second of going through ``batches``, after the first of them."""
    iterator = iter(batches)
    next(iterator)
    started = time.perf_counter()
    samples = sum(len(batch["labels"]) for batch in iterator)
    return samples / (time.perf_counter() - started)
