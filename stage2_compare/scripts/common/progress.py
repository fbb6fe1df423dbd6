"""How far a long work is: a bar in a terminal, lines in a log."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

_LINE_SEC = 30.0  # at least, between two lines


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
