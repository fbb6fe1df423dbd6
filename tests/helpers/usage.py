"""What a test costs, in figures that other load on the machine does not stretch."""

import os


def cpu_seconds() -> float:
    """Return the processor time of this process and of those that it started and waited for.

    Windows counts this process only.
    """
    return sum(os.times()[:4])


def peak_megabytes() -> float:
    """Return the most memory that this process has had; 0 on Windows, where Python does not tell."""
    try:
        import resource
    except ImportError:
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
