"""The progress of an epoch: a bar on a terminal, elsewhere a plain line now and then."""

from __future__ import annotations

import time

from tqdm import tqdm

LOOK_EVERY_SEC = 1.0
LINE_EVERY_SEC = 30.0


class Progress:
    """Counts samples, and shows the loss about once a second: reading it makes a GPU wait."""

    def __init__(self, title: str, samples: int):
        self.bar = tqdm(total=samples, desc=title, unit=" samples", disable=None, leave=False)
        self.title, self.samples, self.done = title, samples, 0
        self.started = self.looked = self.lined = time.perf_counter()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def advance(self, count: int) -> bool:
        """Count samples; return True when it is time to call ``show``."""
        self.done += count
        self.bar.update(count)
        return time.perf_counter() - self.looked > LOOK_EVERY_SEC

    def show(self, loss: float) -> None:
        self.looked = now = time.perf_counter()
        if not self.bar.disable:
            self.bar.set_postfix_str(f"loss {loss:.4f}")
        elif now - self.lined > LINE_EVERY_SEC:
            self.lined = now
            rate = self.done / (now - self.started)
            print(
                f"{self.title}: {self.done}/{self.samples} samples, loss {loss:.4f}, {rate:.1f} "
                "samples/s",
                flush=True,
            )
