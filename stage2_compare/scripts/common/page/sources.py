"""Texts and photos of pairs, where they are still what the runs were trained on."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..data.photos import decode, open_file, upright_size
from ..data.report import read_quality
from ..data.splits import fingerprint, read_training_splits
from ..errors import UserError, reason_of
from ..files import remedy, remove_left_overs, replacing
from ..runs.reading import Run
from ..words import Phrase, phrase

SIDE = 256  # of a thumbnail, in pixels
# Runs of earlier versions did not record where their pairs were.
USUAL = {name: f"outputs/splits/{name[:-4]}.csv" for name in ("train_csv", "val_csv", "test_csv")}
_THREADS = min(16, os.cpu_count() or 1)
_QUALITY = 80


@dataclass(frozen=True)
class Source:
    """Where a pair comes from."""

    text: str
    encoding: str  # of the file of the text
    photo: str  # path
    digest: str  # SHA-256 of the photo file
    size: tuple[int, int]  # of the upright photo, width and height


@dataclass
class Sources:
    """The sources of pairs by guid and true class, and why some are not there."""

    of_pair: dict[tuple[str, str], Source] = field(default_factory=dict)
    reasons: list[Phrase] = field(default_factory=list)
    quality: list[dict[str, Any]] = field(default_factory=list)  # of quality.json, each split's


def find_sources(runs: list[Run], project_root: Path) -> Sources:
    """Read the validation pairs of runs again; a split counts only if its fingerprint agrees."""
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
            _add_split(found, paths, wanted, project_root)
    found.reasons = list(dict.fromkeys(found.reasons))
    return found


def _add_split(found: Sources, paths: dict[str, str], wanted: str, root: Path) -> None:
    csv_paths = {name[:-4]: path for name, path in paths.items() if name.endswith("_csv")}
    encoding = paths.get("text_encoding", "auto")
    try:
        splits, _ = read_training_splits(
            csv_paths, root, test_is_optional="test" in csv_paths, text_encoding=encoding
        )
        split = splits["val"]
        photos = _in_threads(_photo_facts, split.image_paths, "Reading photos")
    except (UserError, OSError, LookupError, ValueError) as error:
        found.reasons.append(phrase("reason_unreadable", what=reason_of(error)))
        return
    if fingerprint(split, [digest for digest, _ in photos]) != wanted:
        found.reasons.append(phrase("reason_changed", what=csv_paths["val"]))
        return
    texts = zip(split.texts, split.text_encodings, split.image_paths, photos, strict=True)
    rows = zip(split.guids, split.labels, texts, strict=True)
    for guid, label, (text, encoding, path, (digest, size)) in rows:
        found.of_pair[guid, label] = Source(text, encoding, path, digest, size)
    quality = read_quality(split.path)
    if quality is not None and quality not in found.quality:
        found.quality.append(quality)


def _photo_facts(path: str) -> tuple[str, tuple[int, int]]:
    """Return SHA-256 and upright size of a photo; no size where it is broken."""
    with open_file(path) as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
        file.seek(0)
        try:
            size = upright_size(file)
        except Exception:  # of almost any class, see decode
            size = (0, 0)
    return digest.hexdigest(), size


def write_thumbnails(sources: Sources, folder: Path) -> set[str]:
    """Write a small picture of each distinct photo, unless it is there; return the file names.

    Raises:
        UserError: they cannot be written.
    """
    photos = {thumbnail_name(source): source.photo for source in sources.of_pair.values()}
    missing = [
        (folder / name, path) for name, path in photos.items() if not (folder / name).exists()
    ]
    if missing:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            remove_left_overs(folder, ".*.tmp")
            _in_threads(_write_thumbnail, missing, "Thumbnails")
        except OSError as error:
            reason = f"{reason_of(error)}. {remedy(error)}"
            raise UserError(f"cannot write into {folder}: {reason}") from error
    return {name for name in photos if (folder / name).exists()}


def thumbnail_name(source: Source) -> str:
    return f"{source.digest[:20]}.jpg"


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


def _in_threads(function, items: list, title: str) -> list:
    """Return ``function(item)`` of each item, in order; Pillow and hashlib work side by side."""
    with ThreadPoolExecutor(_THREADS) as pool:
        results = pool.map(function, items)
        return list(tqdm(results, title, len(items), disable=None, leave=False))
