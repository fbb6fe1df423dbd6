"""A project whose pairs lie on the disk, and the page of runs on them."""

import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from common.comparison.compare import compare
from common.data.splits import fingerprint
from common.page import write_page
from common.runs.reading import load_runs
from common.words import ENGLISH, Language
from PIL import Image

from .pairs import read_split
from .run_folders import CLASSES
from .tables import write_rows

VAL_CSV = "outputs/splits/val.csv"


def write_pairs(
    root: Path,
    labels: np.ndarray,
    texts: list[str],
    classes: list[str] = CLASSES,
    path: str = VAL_CSV,
) -> dict:
    """Write pairs ``pair0``, ``pair1``, ... (N,), and return what runs record of them."""
    rows = [["guid", "text", "image_path", "label"]]
    for place, (label, text) in enumerate(zip(labels, texts, strict=True)):
        photo = root / "data" / f"{place}.png"
        photo.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40 + place % 30, 50), (place % 256, 80, 120)).save(photo)
        rows.append([f"pair{place}", text, f"data/{place}.png", classes[label]])
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    write_rows(root / path, rows)
    return {
        "data": {"val_csv": path, "text_encoding": "auto"},
        "protocol": {"seed": 42, "val_sha256": fingerprint_of(root, path)},
    }


def fingerprint_of(root: Path, path: str) -> str:
    """What a training run records of a split."""
    split = read_split(path, root)
    digests = [hashlib.sha256(Path(photo).read_bytes()).hexdigest() for photo in split.image_paths]
    return fingerprint(split, digests)


def page_of(root: Path, charts: dict[str, bytes] | None = None, say: Language = ENGLISH) -> str:
    """Write the page of all runs of a project and return it."""
    folder = root / "outputs/compare"
    comparison = compare(load_runs(folder))
    path = write_page(folder / "visuals", comparison, charts or {}, root, say)
    return path.read_text(encoding="utf-8")


class Tags(HTMLParser):
    """What a browser would make of a page: its tags, its scripts and the texts outside of them."""

    def __init__(self, html: str):
        super().__init__()
        self.tags, self.scripts, self.texts = [], [], []
        self._in_script = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_script = tag == "script"
        if self._in_script:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts[-1] += data
        else:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))
