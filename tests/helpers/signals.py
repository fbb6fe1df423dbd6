"""Processes that a test stops: by Ctrl-C, by a kill, or as if they hung."""

import ctypes
import os
import signal


def _heed_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# For ``preexec_fn``: undo what a background job and nohup hand down, that Ctrl-C is ignored.
heed_ctrl_c = None if os.name == "nt" else _heed_ctrl_c


def freeze(pid: int) -> None:
    """Let a process hang until it is killed."""
    if os.name == "nt":
        suspend_and_resume = 0x0800  # the right that is asked for
        handle = ctypes.windll.kernel32.OpenProcess(suspend_and_resume, False, pid)
        ctypes.windll.ntdll.NtSuspendProcess(handle)
    else:
        os.kill(pid, signal.SIGSTOP)
