"""Writes a run folder. It grows in a dot folder beside its final name, and takes that name in one
rename."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
import torch
from torch import Tensor

from ..errors import Busy, UserError, reason_of
from ..files import (
    MARK,
    cannot_write,
    escaped,
    folder_name,
    lock,
    move,
    quoted,
    remove_left_overs,
    replacing,
    unlock,
)
from ..tensors import read_tensors
from . import layout
from .identity import differences
from .layout import CHECKPOINT, OWNER
from .reading import owner_of, read_choices


class RunFolder:
    """The folder ``<parent>/<name>``, for one process at a time: ``with RunFolder(parent, name) as
    folder``."""

    def __init__(self, parent: Path, name: str):
        self.parent, self.final = parent, parent / name
        self.partial, self._old = (parent / f".{name}{end}" for end in (layout.PARTIAL, layout.OLD))
        self._lock = None

    def __enter__(self) -> RunFolder:
        self._made = [path for path in (self.parent, *self.parent.parents) if not path.exists()]
        try:
            self.parent.mkdir(parents=True, exist_ok=True)
            self._lock = lock(layout.lock(self.parent, self.final.name))
            if self._lock is None:
                # Nothing is known of one that has just started or is about to end.
                owner = owner_of(self.partial) or "another process"
                raise Busy(
                    f"{self.final} is being trained by {owner}: wait for it, or end that process "
                    "first"
                )
            self._settle()
            self.partial.mkdir(exist_ok=True)
            started = time.strftime("%Y-%m-%d %H:%M:%S")
            owner = {"pid": os.getpid(), "host": platform.node(), "started": started}
            self.write_json(OWNER, owner)
        except BaseException as error:
            self.__exit__()
            if not isinstance(error, OSError):
                raise
            # Windows says of a path that is too long that it does not exist.
            raise UserError(
                f"cannot write in {quoted(str(self.parent))}: {reason_of(error)}. Give another "
                "--output-dir, or move the project to a shorter path"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is None:
            return
        with suppress(OSError):
            (self.partial / OWNER).unlink(missing_ok=True)
            if self.partial.is_dir() and not (self.partial / CHECKPOINT).exists():
                shutil.rmtree(self.partial)  # nothing in it that a later process could go on from
        unlock(self._lock)
        with suppress(OSError):  # they are not empty: a run is there
            for folder in self._made:
                folder.rmdir()

    # The run in progress

    def read_checkpoint(self) -> dict[str, Any] | None:
        """Return what ``write_tensors(CHECKPOINT, ...)`` wrote last, or None."""
        path = self.partial / CHECKPOINT
        if not path.exists():
            return None
        try:
            return read_tensors(path)
        except Exception as error:  # a file of another version or a broken disk can fail in any way
            print(f"warning: {path} cannot be read ({reason_of(error)})", flush=True)
            return None

    def clear(self) -> None:
        """Forget an unfinished run."""
        for path in self.partial.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != OWNER:
                path.unlink()

    def need_space(self, megabytes: float) -> None:
        """Raise UserError unless so much fits on the disk, with what an unfinished run has there."""
        there = sum(path.stat().st_size for path in self.partial.iterdir()) / 1e6
        free = shutil.disk_usage(self.partial).free / 1e6
        if free + there < megabytes:
            raise UserError(
                f"{self.parent}: {free:,.0f} MB free on this disk, and checkpoints of this model take "
                f"{megabytes:,.0f} MB: free some space, or give another --output-dir"
            )

    def write_tensors(self, name: str, content: dict[str, Any]) -> None:
        """Write a file of tensors and plain types, loadable with ``weights_only=True``."""
        self.write(name, lambda file: torch.save(content, file))

    def write_encoder(self, digest: str, state: dict[str, Tensor]) -> None:
        """Write the encoder of this hash beside the runs, unless it is there. Where two runs end at
        once, both write the same."""
        path = layout.encoder(self.parent, digest)
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_left_overs(path.parent, ".*.tmp")
            _write(path, lambda file: torch.save(state, file))

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        text = json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
        self.write(name, text.encode("utf-8", "backslashreplace"))

    def write(self, name: str, content: bytes | Callable[[BinaryIO], Any]) -> None:
        """Write a file whole or not at all: its bytes, or what a function writes."""
        _write(self.partial / name, content)

    # The finished run

    def replaced_run(self, record: dict[str, Any]) -> str:
        """Say what becomes of the finished run that has this name, in words; "" if there is none.
        ``record`` has the blocks of the new one that ``identity.differences`` compares."""
        if not os.path.lexists(self.final):
            return ""
        different = differences(read_choices(self.final), record)
        if not different:
            return f"{self.final.name} was trained before: it is trained anew and then replaced"
        # The hash of other pairs tells a reader nothing.
        each = [
            "other pairs" if key.endswith("sha256") else f"{key} {value}"
            for key, value in different.items()
        ]
        return (
            f"{self.final.name} was trained before with {', '.join(dict.fromkeys(each))}: "
            f"that run moves to {layout.EARLIER}/ when this one has ended"
        )

    def finish(self) -> None:
        """Give the whole run its name; an earlier run of that name is set aside only now."""
        try:
            (self.partial / OWNER).unlink(missing_ok=True)
            if os.path.lexists(self.final):  # were it a link to a disk that is not there
                move(self.final, self._old)
            move(self.partial, self.final)
        except OSError as error:
            self._settle()
            raise UserError(
                f"cannot give {self.partial} its name {self.final.name}: {reason_of(error)}. Close "
                "the programs that have files of that run open, and run the same command again: "
                "nothing is trained anew"
            ) from error
        self._settle()

    def _settle(self) -> None:
        """Mend what a stop in the middle of ``finish`` or of a write has left."""
        if os.path.lexists(self._old):
            if os.path.lexists(self.final):
                self._set_aside()
            else:
                move(self._old, self.final)
        for left_over in (self.final / CHECKPOINT, *self.partial.glob("*.tmp")):
            with suppress(OSError):  # another program has it open; the next training tries again
                left_over.unlink()

    def _set_aside(self) -> None:
        """Remove the earlier run of this name, or keep it where its protocol or model was another.

        Where it cannot move, the next training of this name tries again."""
        different = differences(read_choices(self._old), read_choices(self.final))
        if not different:
            remove = os.unlink if self._old.is_symlink() else shutil.rmtree
            with suppress(OSError):  # a file of it is open; the next training tries again
                remove(self._old)
            return
        labels = [f"{key}-{value}" for key, value in different.items()]
        day = time.strftime("%Y-%m-%d", time.localtime(self._old.lstat().st_mtime))
        name = folder_name(f"{self.final.name}_{day}_{'_'.join(labels[:3])}")
        place, count = self.parent / layout.EARLIER / name, 1
        while os.path.lexists(place):
            count += 1
            place = place.with_name(f"{name}_{count}")
        try:
            place.parent.mkdir(exist_ok=True)
            move(self._old, place)
        except OSError as error:  # Windows moves no folder in which a file is open
            print(
                f"warning: the earlier run of this name cannot move to {place}: "
                f"{reason_of(error)}. It stays in {self._old} until no program has files of it open",
                flush=True,
            )


def _write(path: Path, content: bytes | Callable[[BinaryIO], Any]) -> None:
    try:
        with _signals_delayed(), replacing(path) as file:
            content(file) if callable(content) else file.write(content)
    except (OSError, RuntimeError) as error:  # torch.save may report a full disk as the latter
        raise cannot_write(path, error) from error


def table_bytes(table: pd.DataFrame, line_end: str = "\n") -> bytes:
    """Return a csv file for other programs: UTF-8 without a mark."""
    return table.to_csv(index=False, lineterminator=line_end).encode("utf-8", "backslashreplace")


def spreadsheet_bytes(table: pd.DataFrame) -> bytes:
    """Return a csv file for people: UTF-8 with a mark, and no text that is run as a formula."""
    safe = table.map(lambda value: escaped(value) if isinstance(value, str) else value)
    return MARK + table_bytes(safe)


@contextmanager
def _signals_delayed() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait: torch.save would report them as a write error, and half a second
    later they do no harm."""
    waiting: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {n: signal.signal(n, lambda number, _: waiting.append(number)) for n in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if waiting:
        signal.raise_signal(waiting[0])
