"""Processes to which a test sends Ctrl-C."""

import signal


def heed_ctrl_c() -> None:
    """Undo what a background job and nohup hand down: that Ctrl-C is ignored. For ``preexec_fn``."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
