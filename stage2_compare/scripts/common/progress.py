"""How far a long work is: a bar in a terminal, lines in a log."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tqdm import tqdm

_LINE_SEC = 30.0  # at least, between two lines
_THREADS = min(16, os.cpu_count() or 1)  # Pillow and hashlib release the interpreter lock
_WINDOW = 16 * _THREADS  # items in work: memory does not grow with their number


class Progress(tqdm):
    """tqdm's bar. Where standard error is no terminal, a line at most every half minute instead, and
    so none about short work: ``encoding texts: 1,200 of 4,000, about 3 min left``."""

    postfix = ""  # set by ``set_postfix_str``

    def __init__(self, desc: str, total: int | None, unit: str = ""):
        # disable=None: tqdm shows nothing where there is no terminal
        super().__init__(desc=desc, total=total, unit=unit, disable=None, leave=False)
        self._title, self._of = desc, f"of {self.total or 0:,}{unit}"
        self._started = self._told = time.monotonic()

    def update(self, n: int = 1) -> bool | None:
        """Count ``n`` more as done."""
        if not self.disable:
            return super().update(n)
        self.n += n
        now = time.monotonic()
        if now - self._told < _LINE_SEC or self.n >= (self.total or 0):
            return False
        self._told = now
        left = (now - self._started) / self.n * (self.total - self.n)
        about = f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s"
        said = [f"{self._title}: {self.n:,} {self._of}", self.postfix, f"about {about} left"]
        print(", ".join(filter(None, said)), file=sys.stderr, flush=True)
        return True


def in_threads(
    function: Callable[[Any], Any], items: Sequence[Any], desc: str, unit: str
) -> Iterator[Any]:
    """Yield ``function(item)`` of each item, in order, and show the progress."""
    with ThreadPoolExecutor(_THREADS) as pool, Progress(desc, len(items), unit) as bar:
        for start in range(0, len(items), _WINDOW):
            for result in pool.map(function, items[start : start + _WINDOW]):
                yield result
                bar.update()
