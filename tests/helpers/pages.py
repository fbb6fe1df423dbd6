"""A project whose pairs lie on the disk, and the page of runs on them."""

import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from common.comparison.compare import compare
from common.data.splits import fingerprint
from common.page.write import write_page
from common.runs.reading import load_runs
from common.words import ENGLISH
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
    photos: str = "data",
) -> dict:
    """Write pairs ``pair0``, ``pair1``, ... (N,), and return what runs record of them."""
    rows = [["guid", "text", "image_path", "label"]]
    for place, (label, text) in enumerate(zip(labels, texts, strict=True)):
        photo = root / photos / f"{place}.png"
        photo.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40 + place % 30, 50), (place % 256, 80, 120)).save(photo)
        rows.append([f"pair{place}", text, f"{photos}/{place}.png", classes[label]])
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    write_rows(root / path, rows)
    return {
        "data": {"val_csv": path, "text_encoding": "auto"},
        "protocol": {"seed": 42, "val_sha256": fingerprint_of(root, path)},
    }


def fingerprint_of(root: Path, path: str | Path) -> str:
    """What a training run records of a split."""
    split = read_split(path, root)
    digests = [hashlib.sha256(Path(photo).read_bytes()).hexdigest() for photo in split.image_paths]
    return fingerprint(split, digests)


def page_of(root: Path, pictures: dict[str, bytes] | None = None, say=ENGLISH, **options) -> str:
    """Write the page of all runs of a project and return it."""
    folder = root / "outputs/compare"
    results = compare(load_runs(folder))
    look = SimpleNamespace(colour="#0072b2", svg="M-1 0h2")
    looks = {model.name: look for model in results.groups[0].models}
    path = write_page(folder / "visuals", results, pictures or {}, root, say, looks, **options)
    return path.read_text(encoding="utf-8")


def files_beside(html: str) -> list[str]:
    """The scripts that the page loads, in their order."""
    return [a["src"] for tag, a in Tags(html).tags if tag == "script" and a]


def data_of(root: Path, html: str) -> dict:
    """The data of the page's script, joined, from the page and from the files beside it."""
    files = [root / "outputs/compare/visuals" / name for name in files_beside(html)]
    scripts = [Tags(html).scripts[0], *(file.read_text("utf-8") for file in files)]
    lines = [line for script in scripts for line in script.splitlines()]
    start = "parts.push("
    found = [json.loads(line[len(start) : -2]) for line in lines if line.startswith(start)]
    _, head, *rest = found
    pairs = [part for part in rest if "guids" in part]
    joined = {key: [value for part in pairs for value in part[key]] for key in pairs[0]}
    return {**head, **joined, "models": {part["model"]: part for part in rest if "model" in part}}


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
