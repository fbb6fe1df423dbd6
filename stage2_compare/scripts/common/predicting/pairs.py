"""Reads the pairs to predict. What is missing may be left blank: then it is counted."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from ..data.image_cache import ImageStore, ImagesUnusable, load_images
from ..data.pair_files import describe
from ..data.splits import Split, read_splits
from ..data.tables import without_placeholders
from ..errors import UserError
from ..files import error_text, file_problem, write_result
from .settings import Prediction

_REMEDY = "or give --blank-missing to let them pass"


@dataclass
class Pairs:
    """Pairs to predict, and what of them is blank."""

    split: Split
    cache: Path  # folder for the decoded photos
    blank_texts: int
    blank_photos: int = 0  # known once they are loaded


def read_pairs(settings: Prediction, classes: list[str], text_encoding: str, cache: Path) -> Pairs:
    """Read the pairs of a csv, whose labels count if all have one.

    Args:
        text_encoding: of texts that are not UTF-8.
        cache: folder for the decoded photos.
    Raises:
        UserError: names file, row and value.
    """
    splits, faults = read_splits(
        {"pairs": settings.csv},
        settings.project_root,
        unlabelled=("pairs",),
        text_encoding=text_encoding,
    )
    if faults and not settings.blank_missing:
        raise UserError(f"{describe(faults, settings.project_root)}, {_REMEDY}")
    split = splits["pairs"]
    split = replace(split, labels=without_placeholders(split.labels, classes))
    photos = sum(bool(file_problem(path)) for path in split.image_paths)
    return Pairs(split, cache, len(faults) - photos)


def one_pair(settings: Prediction, cache: Path) -> Pairs:
    """Take the pair of ``--text`` and ``--image``."""
    if not settings.blank_missing and (settings.text is None or settings.image is None):
        raise UserError(f"a pair needs --text and --image: give both, {_REMEDY}")
    image = str(settings.project_root / settings.image) if settings.image else ""
    split = Split(
        path=Path("--text"),
        guids=["pair"],
        texts=[(settings.text or "").replace("\0", "").strip()],
        image_paths=[image],
        labels=[""],
        rows=[1],
        encodings={},
    )
    return Pairs(split, cache, int(settings.text is None))


def load_photos(
    pairs: Pairs, image_size: int, mean: tuple[float, ...], blank_missing: bool
) -> ImageStore:
    """Decode the photos. In place of those that cannot be used stands the colour ``mean``, which the
    encoder reads as zeros.

    Raises:
        UserError: some cannot be used, and ``blank_missing`` is not set.
    """
    paths = pairs.split.image_paths
    try:
        return load_images(paths, image_size, pairs.cache)
    except ImagesUnusable as error:
        if not blank_missing:
            raise UserError(f"{error}, {_REMEDY}") from None
        faults = error.faults
    pairs.blank_photos = sum(path in faults for path in paths)
    with temporary_folder() as folder:
        blank = folder / "blank.png"
        write_result(blank, _png(mean))
        return load_images(
            [str(blank) if path in faults else path for path in paths], image_size, pairs.cache
        )


def _png(colour: tuple[float, ...]) -> bytes:
    """Return a small picture of one colour, each value from 0 to 1."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), tuple(round(255 * value) for value in colour)).save(buffer, "PNG")
    return buffer.getvalue()


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder that is removed afterwards.

    Raises:
        UserError: there is no room for it.
    """
    try:  # Windows removes no file that is mapped
        made = TemporaryDirectory(ignore_cleanup_errors=True)
    except OSError as error:
        raise UserError(
            f"cannot make a temporary folder: {error_text(error)}. Make room there, or let TMPDIR "
            "(on Windows TEMP) name another folder"
        ) from error
    with made as name:
        yield Path(name)
