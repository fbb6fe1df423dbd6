"""Features that a frozen encoder has made, kept so that no run reads a text or photo again.

One file holds what one encoder made of texts, of photos, or of pairs, each known by a hash of its
content. So the order of a split, its folds and the labels do not matter. The name of the file
depends on all else that decides a feature: another encoder, precision or version has another::

    outputs/cache/features_text_<key>.f32 = header: JSON, padded to 4096 bytes
                                            | digests (M, 32) uint8
                                            | features (M, D) float32
"""

from __future__ import annotations

import hashlib
import json
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..files import error_text, lock, owned, remove_left_overs, replacing, temporary_name, unlock
from .cache_limit import mark_as_used

VERSION = 1  # part of the key: change it when the layout of the file changes
HEADER_BYTES = 4096
_DIGEST_BYTES = 32
_PAUSE = 0.2  # seconds between two looks at a lock

# Makes the features (m, D) float32 of what stands at the places (m,).
Make = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class FeatureCache:
    """A folder of features. ``stamp`` is what decides every feature of a run, as JSON can hold it."""

    folder: Path
    stamp: dict[str, Any]

    def features(
        self, kind: str, weights: str, digests: Sequence[bytes], width: int, make: Make
    ) -> np.ndarray:
        """Return the features (N, width) float32 of N different things; make those that are new.

        Where two processes want the same, one waits for the other. Where nothing can be written,
        the features serve this run only, and a line says so.

        Args:
            kind: text, image or pair, for the name of the file.
            weights: a hash of the weights that make them.
            digests: a hash of each thing, 32 bytes.
            make: given places in ``digests``.
        """
        decided = json.dumps([VERSION, kind, weights, width, self.stamp], sort_keys=True)
        key = hashlib.sha256(decided.encode()).hexdigest()
        file = _FeatureFile(self.folder / f"features_{kind}_{key[:16]}.f32", key, width)
        table = file.read()
        if not table.missing(digests).size:
            mark_as_used(file.path)
            return table.features_of(digests)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with _alone(file.path):
                table = file.read()  # another process may have made them meanwhile
                table = _completed(table, digests, make)
                file.write(table)
        except OSError as error:
            print(
                f"warning: features cannot be kept in {file.path}: {error_text(error)}. This run "
                "goes on with them, the next one makes them again",
                flush=True,
            )
            table = _completed(table, digests, make)
        return table.features_of(digests)


@dataclass(frozen=True)
class _Table:
    """Features by digest."""

    digests: np.ndarray  # (M, 32) uint8
    features: np.ndarray  # (M, D) float32

    @cached_property
    def rows(self) -> dict[bytes, int]:
        """The row of each digest."""
        return {digest.tobytes(): row for row, digest in enumerate(self.digests)}

    def missing(self, digests: Sequence[bytes]) -> np.ndarray:
        """Return the places in ``digests`` of those that are not here."""
        absent = [i for i, digest in enumerate(digests) if digest not in self.rows]
        return np.array(absent, np.int64)

    def features_of(self, digests: Sequence[bytes]) -> np.ndarray:
        return self.features[[self.rows[digest] for digest in digests]]


def _completed(table: _Table, digests: Sequence[bytes], make: Make) -> _Table:
    """Return the table with all of ``digests``, which are made where it lacks them."""
    places = table.missing(digests)
    if not places.size:
        return table
    new = np.frombuffer(b"".join(digests[place] for place in places), np.uint8)
    return _Table(
        np.concatenate([table.digests, new.reshape(-1, _DIGEST_BYTES)]),
        np.concatenate([table.features, make(places)]),
    )


@dataclass(frozen=True)
class _FeatureFile:
    """A file of features that exists or is to be made."""

    path: Path
    key: str
    width: int  # D

    def read(self) -> _Table:
        """Return the features; none where there is no file, or a broken or stale one."""
        try:
            with open(self.path, "rb") as file:
                header = json.loads(file.read(HEADER_BYTES))
                content = file.read()
            count = header["count"]
            size = count * (_DIGEST_BYTES + 4 * self.width)
            valid = header["key"] == self.key and len(content) == size
            if not valid or zlib.crc32(content) != header["checksum"]:
                return self._empty()
        except (OSError, ValueError, KeyError, TypeError, RecursionError):  # a header of brackets
            return self._empty()
        digests = np.frombuffer(content, np.uint8, count * _DIGEST_BYTES)
        features = np.frombuffer(content, "<f4", offset=count * _DIGEST_BYTES)
        return _Table(digests.reshape(count, _DIGEST_BYTES), features.reshape(count, self.width))

    def _empty(self) -> _Table:
        return _Table(np.empty((0, _DIGEST_BYTES), np.uint8), np.empty((0, self.width), "<f4"))

    def write(self, table: _Table) -> None:
        """Replace the file, whole or not at all."""
        remove_left_overs(self.path.parent, "*features_*.tmp")
        temporary = temporary_name(self.path)
        digests, features = table.digests.tobytes(), table.features.astype("<f4").tobytes()
        checksum = zlib.crc32(features, zlib.crc32(digests))
        header = {"key": self.key, "count": len(table.digests), "checksum": checksum}
        with owned(temporary), replacing(self.path, temporary) as file:
            file.write(json.dumps(header).encode().ljust(HEADER_BYTES))
            file.write(digests)
            file.write(features)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one process at a time make the features of a file; the others wait, and say so."""
    marker = path.with_name(path.name + ".lock")
    held = lock(marker)
    if held is None:
        print(f"waiting for another command, which makes {path.name}", flush=True)
    while held is None:
        time.sleep(_PAUSE)
        held = lock(marker)
    try:
        yield
    finally:
        unlock(marker, held)
