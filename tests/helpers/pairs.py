"""Pairs as a user has them, for the tests of the code that reads them."""

import io
from pathlib import Path

from common.data.pair_files import describe
from common.data.splits import Split, read_splits
from common.errors import UserError
from PIL import Image


def photo(shade: int, side: int = 16, kind: str = "PNG") -> bytes:
    """Return a small photo. Another shade gives other bytes."""
    stream = io.BytesIO()
    Image.new("RGB", (side, side), (shade % 256, shade // 256 % 256, 99)).save(stream, kind)
    return stream.getvalue()


def write_pair(
    folder: Path, guid: str, text: str | bytes = "今天天气很好", picture: bytes | None = None
) -> None:
    """Write ``<guid>.txt`` and ``<guid>.png``, by default with a photo made from the guid."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{guid}.txt").write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    (folder / f"{guid}.png").write_bytes(photo(sum(guid.encode())) if picture is None else picture)


def read_split(
    path: str | Path, root: str | Path, allow_unlabelled: bool = False, **options
) -> Split:
    """Read one split, and refuse missing files."""
    name = "test" if allow_unlabelled else "split"
    splits, faults = read_splits({name: path}, root, **options)
    if faults:
        raise UserError(describe(faults, Path(root)))
    return splits[name]
