"""What a test costs, in figures that other load on the machine does not stretch."""

import os


def cpu_seconds() -> float:
    """Return the processor time of this process and of those that it started and waited for.

    Windows counts this process only.
    """
    return sum(os.times()[:4])
