"""Writing a run folder: it grows in a dot folder beside its final name, and takes that name in one rename."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from .errors import UserError


class RunFolder:
    """``<parent>/<name>``, made in ``<parent>/.<name>.partial``."""

    def __init__(self, parent: Path, name: str):
        self.final = parent / name
        self.partial = parent / f".{name}.partial"
        self._old = parent / f".{name}.old"
        try:
            self._settle()
            shutil.rmtree(self.partial, ignore_errors=True)
            self.partial.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"cannot write in {parent}: {error.strerror or error}. Give another --output-dir"
            ) from error

    def write_tensors(self, name: str, content: dict[str, Any]) -> None:
        """A file of tensors and plain types, loadable with ``weights_only=True``."""
        self._write(name, lambda path: torch.save(content, path))

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        text = json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False)
        self._write(name, lambda path: path.write_text(text + "\n", encoding="utf-8"))

    def write_rows(self, name: str, header: list[str], rows: list[list]) -> None:
        def write(path: Path) -> None:
            with open(path, "w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(header)
                writer.writerows(rows)

        self._write(name, write)

    def finish(self) -> None:
        """The run is whole: it takes its name, and an earlier run of that name goes only now."""
        if self.final.exists():
            os.replace(self.final, self._old)
        os.replace(self.partial, self.final)
        shutil.rmtree(self._old, ignore_errors=True)

    def _settle(self) -> None:
        """After a stop between the two renames of ``finish`` the earlier run gets its name back."""
        if self._old.exists() and not self.final.exists():
            os.replace(self._old, self.final)
        shutil.rmtree(self._old, ignore_errors=True)

    def _write(self, name: str, write: Callable[[Path], Any]) -> None:
        """All of a file or nothing: under a temporary name first, then moved in place."""
        path = self.partial / name
        temporary = path.with_name(name + ".tmp")
        try:
            write(temporary)
            os.replace(temporary, path)
        except (OSError, RuntimeError) as error:  # torch.save reports a full disk as a RuntimeError
            temporary.unlink(missing_ok=True)
            raise UserError(f"cannot write {path}: {' '.join(str(error).split())[:200]}. Is the disk full?") from error
