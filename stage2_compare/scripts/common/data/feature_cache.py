"""Features that a frozen encoder has made, kept so that no run reads a text or photo again.

One file holds what one encoder made of texts, of photos, or of pairs, each known by a hash of its
content. So the order of a split, its folds and the labels do not matter. The name of the file
depends on all else that decides a feature: another encoder, precision or version has another::

    outputs/cache/features_text_<key>.f32 = header: JSON, padded to 4096 bytes
                                            | features (M, D) float32
                                            | digests (M, 32) uint8
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ..files import alone, error_text, remove_left_overs, replacing_owned
from .checked_file import HEADER_BYTES, CheckedWriter, is_whole

VERSION = 2  # part of the key: change it when the layout of the file changes
_DIGEST_BYTES = 32
_ROWS = 256  # copied at once
_SHARE_OF_THE_DISK = 0.5  # of what is free: the runs need the rest

# Reads what stands at the places (m,). Yields some of them (b,) and their features (b, D) float32,
# until all had their turn.
Make = Callable[[np.ndarray], Iterable[tuple[np.ndarray, np.ndarray]]]


@dataclass(frozen=True)
class FeatureTable:
    """Features by digest."""

    features: np.ndarray  # (M, D) float32, mapped from the file
    rows: dict[bytes, int]  # by digest

    def has(self, digests: Sequence[bytes]) -> bool:
        return all(digest in self.rows for digest in digests)

    def of(self, digests: Sequence[bytes]) -> np.ndarray:
        """Return a copy of the features (N, D) of N things."""
        return self.features[[self.rows[digest] for digest in digests]]


@dataclass(frozen=True)
class FeatureCache:
    """A folder of features. ``stamp`` is what decides every feature of a run, as JSON can hold it."""

    folder: Path
    stamp: dict[str, Any]

    def features(
        self, kind: str, weights: str, digests: Sequence[bytes], width: int, make: Make
    ) -> np.ndarray:
        """Return the features (N, width) float32 of N different things, in memory.

        Where nothing can be written, they serve this run only, and a line says so. The arguments
        are those of ``table``.
        """
        try:
            return self.table(kind, weights, digests, width, make).of(digests)
        except OSError as error:
            print(
                f"warning: features cannot be kept in {self.folder}: {error_text(error)}. This run "
                "goes on with them, the next one makes them again",
                flush=True,
            )
            return in_memory(make, len(digests), width)

    def table(
        self, kind: str, weights: str, digests: Sequence[bytes], width: int, make: Make
    ) -> FeatureTable:
        """Return a table with N different things; make those that no run has made.

        Where two processes want the same, one waits for the other.

        Args:
            kind: text, image or pair, for the name of the file.
            weights: a hash of the weights that make the features.
            digests: a hash of each thing, 32 bytes.
            make: given places in ``digests``.
        Raises:
            OSError: they cannot be kept.
        """
        decided = json.dumps([VERSION, kind, weights, width, self.stamp], sort_keys=True)
        key = hashlib.sha256(decided.encode()).hexdigest()
        file = _FeatureFile(self.folder / f"features_{kind}_{key[:16]}.f32", key, width)
        table = file.table()
        if table.has(digests):
            return table
        del table  # Windows replaces no file that is mapped
        self.folder.mkdir(parents=True, exist_ok=True)
        with alone(file.path):
            file.complete(digests, make)
        table = file.table()
        if not table.has(digests):
            raise OSError(errno.ENOENT, "they were deleted at once")
        return table


def in_memory(make: Make, count: int, width: int) -> np.ndarray:
    """Make the features (count, width) float32 of all things."""
    features = np.empty((count, width), np.float32)
    for places, made in make(np.arange(count)):
        features[places] = made
    return features


@dataclass(frozen=True)
class _FeatureFile:
    """A file of features that exists or is to be made."""

    path: Path
    key: str
    width: int  # D

    def table(self) -> FeatureTable:
        """Map the file; without rows where there is none, or a broken or stale one."""
        empty = FeatureTable(np.empty((0, self.width), "<f4"), {})
        try:
            file = open(self.path, "rb")  # noqa: SIM115 - closed below
        except OSError:
            return empty
        with file:
            size = os.fstat(file.fileno()).st_size - HEADER_BYTES
            count = size // self._row_bytes
            if count < 1 or not is_whole(file, self.key):
                return empty
            features = np.memmap(file, "<f4", "r", HEADER_BYTES, (count, self.width))
            file.seek(HEADER_BYTES + features.nbytes)
            digests = file.read()
        places = range(0, len(digests), _DIGEST_BYTES)
        rows = {digests[place : place + _DIGEST_BYTES]: row for row, place in enumerate(places)}
        return FeatureTable(np.asarray(features), rows)

    @property
    def _row_bytes(self) -> int:
        return 4 * self.width + _DIGEST_BYTES

    def complete(self, digests: Sequence[bytes], make: Make) -> None:
        """Add those of ``digests`` that are missing: replace the file, whole or not at all."""
        table = self.table()
        places = np.array([i for i, d in enumerate(digests) if d not in table.rows], np.int64)
        if not len(places):  # another process has made them meanwhile
            return
        self._need_space(len(table.rows) + len(places))
        remove_left_overs(self.path.parent, "*features_*.tmp")
        blocks = chain(_blocks(table), _named(digests, make(places)))
        del table  # so that it ends with its last block: Windows replaces no file that is mapped
        with replacing_owned(self.path) as file:
            writer, written = CheckedWriter(file), bytearray()
            for of_block, features in blocks:
                writer.write(np.ascontiguousarray(features, "<f4"))
                written += of_block
            writer.write(written)
            writer.finish(self.key)

    def _need_space(self, rows: int) -> None:
        needed, free = rows * self._row_bytes, shutil.disk_usage(self.path.parent).free
        if needed > _SHARE_OF_THE_DISK * free:
            raise OSError(
                errno.ENOSPC,
                f"{needed / 1e9:.2f} GB are needed, {free / 1e9:.2f} GB are free, and the runs "
                "need half of them",
            )


def _blocks(table: FeatureTable) -> Iterator[tuple[bytes, np.ndarray]]:
    """Go through the digests and features of a table, some rows at once."""
    digests = list(table.rows)
    for start in range(0, len(digests), _ROWS):
        end = start + _ROWS
        yield b"".join(digests[start:end]), table.features[start:end]


def _named(
    digests: Sequence[bytes], made: Iterable[tuple[np.ndarray, np.ndarray]]
) -> Iterator[tuple[bytes, np.ndarray]]:
    """Give the digests, one behind the other, instead of their places."""
    for places, features in made:
        yield b"".join(digests[place] for place in places), features
