"""Writes a run folder. It grows in a dot folder beside its final name, and takes that name in one
rename."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
import torch

from ..errors import UserError
from ..files import lock, replacing, unlock
from . import layout
from .layout import CHECKPOINT, OWNER


class RunFolder:
    """The folder ``<parent>/<name>``, for one process at a time: ``with RunFolder(parent, name) as
    folder``."""

    def __init__(self, parent: Path, name: str):
        self.parent, self.final = parent, parent / name
        self.partial, self._old = layout.partial(parent, name), layout.old(parent, name)
        self._lock = layout.lock(parent, name)

    def __enter__(self) -> RunFolder:
        try:
            self.parent.mkdir(parents=True, exist_ok=True)
            file = lock(self._lock)
        except OSError as error:
            raise self._not_writable(error) from error
        if file is None:
            raise UserError(
                f"{self.final} is being trained by {self._owner()}: wait for it, or end that "
                "process first"
            )
        self._locked = file
        try:
            self._settle()
            self.partial.mkdir(exist_ok=True)
            started = time.strftime("%Y-%m-%d %H:%M:%S")
            self.write_json(
                OWNER, {"pid": os.getpid(), "host": platform.node(), "started": started}
            )
        except OSError as error:
            self.__exit__()
            raise self._not_writable(error) from error
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            (self.partial / OWNER).unlink(missing_ok=True)
            if self.partial.is_dir() and not (self.partial / CHECKPOINT).exists():
                shutil.rmtree(self.partial)  # nothing in it that a later process could go on from
        unlock(self._lock, self._locked)

    def read_checkpoint(self) -> dict[str, Any] | None:
        """Return what ``write_tensors(CHECKPOINT, ...)`` wrote last, or None."""
        path = self.partial / CHECKPOINT
        if not path.exists():
            return None
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a file of another version or a broken disk can fail in any way
            print(
                f"warning: {path} cannot be read ({' '.join(str(error).split())[:150]})", flush=True
            )
            return None

    def clear(self) -> None:
        """Forget an unfinished run."""
        for path in self.partial.iterdir():
            if path.name != OWNER:
                path.unlink()

    def need_space(self, megabytes: float) -> None:
        """Raise UserError unless so much fits on the disk, beside what an unfinished run has there
        already."""
        there = sum(path.stat().st_size for path in self.partial.iterdir()) / 1e6
        free = shutil.disk_usage(self.partial).free / 1e6
        if free + there < megabytes:
            raise UserError(
                f"{self.parent}: {free:,.0f} MB free on this disk, two checkpoints and the best "
                f"weights of this model take {megabytes:,.0f} MB: free some space, or give "
                "another --output-dir"
            )

    def write_tensors(self, name: str, content: dict[str, Any]) -> None:
        """Write a file of tensors and plain types, loadable with ``weights_only=True``."""
        self._write(name, lambda file: torch.save(content, file))

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        text = json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
        self._write(name, lambda file: file.write(text.encode("utf-8", "backslashreplace")))

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        """Write a csv file in UTF-8."""
        text = table.to_csv(index=False, lineterminator="\n")
        self._write(name, lambda file: file.write(text.encode("utf-8", "backslashreplace")))

    def finish(self) -> None:
        """Give the whole run its name; an earlier run of that name is removed only now."""
        try:
            (self.partial / OWNER).unlink(missing_ok=True)
            if self.final.exists():
                os.replace(self.final, self._old)
            os.replace(self.partial, self.final)
        except OSError as error:
            self._settle()
            raise UserError(
                f"cannot give {self.partial} its name {self.final.name}: "
                f"{error.strerror or error}. Close the programs that have files of that run open, "
                "and run the same command again: nothing is trained anew"
            ) from error
        self._settle()

    def _settle(self) -> None:
        """Mend what a stop in the middle of ``finish`` or of a write has left."""
        if self._old.exists() and not self.final.exists():
            os.replace(self._old, self.final)
        shutil.rmtree(self._old, ignore_errors=True)
        (self.final / CHECKPOINT).unlink(missing_ok=True)
        for left_over in self.partial.glob("*.tmp"):
            left_over.unlink()

    def _write(self, name: str, write: Callable[[BinaryIO], Any]) -> None:
        """Write a file of the run in progress whole or not at all."""
        path = self.partial / name
        try:
            with _ctrl_c_delayed(), replacing(path) as file:
                write(file)
        except (OSError, RuntimeError) as error:  # torch.save reports a full disk as a RuntimeError
            raise UserError(
                f"cannot write {path}: {' '.join(str(error).split())[:200]}. Is the disk full? "
                "Finished runs and the last checkpoint are as they were: make room and run the "
                "same command again to go on"
            ) from error

    def _owner(self) -> str:
        try:
            owner = json.loads((self.partial / OWNER).read_text(encoding="utf-8"))
            return f"process {int(owner['pid'])} on {owner['host']}, started {owner['started']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process that has just started or is about to end"

    def _not_writable(self, error: OSError) -> UserError:
        return UserError(
            f"cannot write in {self.parent}: {error.strerror or error}. Give another --output-dir"
        )


@contextmanager
def _ctrl_c_delayed() -> Iterator[None]:
    """Let Ctrl-C wait: torch.save would report it as a write error, and half a second later it does
    no harm."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting = []
    before = signal.signal(signal.SIGINT, lambda *_: waiting.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if waiting:
        raise KeyboardInterrupt
