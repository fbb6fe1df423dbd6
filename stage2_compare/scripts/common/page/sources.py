"""Texts and photos of pairs, where they are still what the runs were trained on.

A list is opened below the project root, or in a folder that the user named: a stranger's run folder
names any file. Its texts and photos may lie anywhere, since only what agrees with the fingerprint
that the run recorded is shown, which nobody knows without them.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data.photos import decode, upright_size
from ..data.report import read_quality
from ..data.splits import LINE_ENDS, UNLABELLED, fingerprint, read_training_splits
from ..errors import UserError
from ..files import cannot_write, open_file, remove_left_overs, replacing, sha256_of
from ..progress import in_threads
from ..runs.reading import Run
from ..words import Phrase, phrase

SIDE = 256  # of a thumbnail, in pixels
# Runs of earlier versions did not record where their pairs were.
USUAL = {f"{name}_csv": f"outputs/splits/{name}.csv" for name in ("train", "val", "test")}
_QUALITY = 80


@dataclass(frozen=True)
class Source:
    """Where a pair comes from."""

    text: str
    encoding: str  # of the file of the text
    photo: str  # path
    shown: str  # the same below the project root, where it lies there
    digest: str  # SHA-256 of the photo file
    size: tuple[int, int]  # of the upright photo, width and height

    @property
    def thumbnail(self) -> str:
        return f"{self.digest[:20]}.jpg"


@dataclass
class Sources:
    """The sources of pairs by guid, and why some are not there."""

    of_pair: dict[str, Source] = field(default_factory=dict)
    reasons: list[Phrase] = field(default_factory=list)
    quality: list[dict[str, Any]] = field(default_factory=list)  # of quality.json, each split's


def find_sources(runs: list[Run], roots: Collection[Path]) -> Sources:
    """Read the validation pairs of runs again; a split counts only if its fingerprint agrees.

    Args:
        roots: the project root, where relative paths start, and other folders whose lists may be
            opened.
    """
    found, seen = Sources(), set()
    for run in runs:
        wanted, paths = run.recorded("protocol", "val_sha256"), USUAL
        recorded = run.recorded("data")
        if isinstance(recorded, dict) and isinstance(recorded.get("val_csv"), str):
            paths = {key: path for key, path in sorted(recorded.items()) if isinstance(path, str)}
        if not isinstance(wanted, str):
            found.reasons.append(phrase("reason_unrecorded"))
        elif (wanted, *paths.items()) not in seen:
            seen.add((wanted, *paths.items()))
            _add_split(found, paths, wanted, list(roots))
    found.reasons = list(dict.fromkeys(found.reasons))
    return found


def _add_split(found: Sources, paths: dict[str, str], wanted: str, roots: list[Path]) -> None:
    # A test list has another name in the record where it has no labels.
    lists = {
        "test" if key == f"{UNLABELLED}_csv" else key.removesuffix("_csv"): path
        for key, path in paths.items()
        if key.endswith("_csv")
    }
    try:
        for path in lists.values():
            if not _is_inside(roots[0] / path, roots):
                found.reasons.append(phrase("reason_outside", what=path))
                return
        encoding = paths.get("text_encoding", "auto")
        splits, _ = read_training_splits(
            lists, roots[0], test_is_optional="test" in lists, text_encoding=encoding
        )
        split = splits["val"]
        photos = list(in_threads(_photo_facts, split.image_paths, "reading photos", " images"))
    except (UserError, OSError, LookupError, ValueError, RuntimeError):
        # What is wrong may quote a file that the run's owner cannot read, so it is not told.
        found.reasons.append(phrase("reason_unreadable", what=lists["val"]))
        return
    digests = [digest for digest, _ in photos]
    if wanted not in [fingerprint(split, digests, line_end=end) for end in LINE_ENDS]:
        found.reasons.append(phrase("reason_changed", what=lists["val"]))
        return
    texts = zip(split.texts, split.text_encodings, split.image_paths, photos, strict=True)
    for guid, (text, encoding, path, (digest, size)) in zip(split.guids, texts, strict=True):
        inside = Path(path).is_relative_to(roots[0])
        shown = Path(path).relative_to(roots[0]) if inside else Path(path).absolute()
        found.of_pair[guid] = Source(text, encoding, path, shown.as_posix(), digest, size)
    quality = read_quality(split.path)
    if quality is not None and quality not in found.quality:
        found.quality.append(quality)


def _is_inside(path: Path, folders: list[Path]) -> bool:
    """Tell if a path lies in one of the folders: by its name, and then where its links lead. Windows
    logs in on another machine to follow a path there."""
    return all(
        any(Path(form(path)).is_relative_to(form(folder)) for folder in folders)
        for form in (os.path.abspath, os.path.realpath)
    )


def _photo_facts(path: str) -> tuple[str, tuple[int, int]]:
    """Return SHA-256 and upright size of a photo; no size where it is broken."""
    with open_file(path) as file:
        digest = sha256_of(file)
        try:
            size = upright_size(file)
        except Exception:  # of almost any class, see decode
            size = (0, 0)
    return digest, size


def write_thumbnails(sources: Sources, folder: Path) -> set[str]:
    """Write a small picture of each distinct photo, unless it is there; return the file names.

    Raises:
        UserError: they cannot be written.
    """
    photos = {source.thumbnail: source.photo for source in sources.of_pair.values()}
    missing = [
        (folder / name, path) for name, path in photos.items() if not (folder / name).exists()
    ]
    if missing:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            remove_left_overs(folder, ".*.tmp")
            list(in_threads(_write_thumbnail, missing, "thumbnails", " images"))
        except OSError as error:
            raise cannot_write(folder, error) from error
    return {name for name in photos if (folder / name).exists()}


def _write_thumbnail(task: tuple[Path, str]) -> None:
    """Write the centre square of a photo, as models see it; none of a photo that is broken."""
    path, photo = task
    try:
        with open_file(photo) as file:
            picture = decode(file, SIDE).square
    except Exception:  # of almost any class, see decode
        return
    with replacing(path) as file:
        picture.save(file, "JPEG", quality=_QUALITY)
