"""The command line, once: shared flags and their defaults, run folder names, and how a command ends."""

from __future__ import annotations

import sys
from collections.abc import Callable

from .errors import UserError


def run_command(main: Callable[[], None]) -> None:
    """Run a command the way users meet it: mendable errors are one line and status 2, Ctrl-C is status 130."""
    for stream in (sys.stdout, sys.stderr):
        # A redirected Windows console is not UTF-8: a label it cannot show must not end a run of an hour.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped by Ctrl-C", file=sys.stderr)
        sys.exit(130)
