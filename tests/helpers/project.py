"""A project as a user has it: data, a list, and the scripts."""

import shutil
from pathlib import Path

from PIL import Image, ImageDraw

from .hub import STAGE2

LABELS = ("negative", "neutral", "positive")
WORDS = ("今天很难过", "今天天气", "今天很高兴")


def make_project(root: Path, pairs: int = 30) -> Path:
    """A project as a user has it: data, a train.txt, and the scripts beside them."""
    (root / "data").mkdir(parents=True)
    rows = ["guid,tag"]
    for i in range(pairs):
        picture = Image.new("RGB", (72, 60), (10 * i % 256, 80, 120))
        ImageDraw.Draw(picture).ellipse((10, 10, 20 + i, 50), fill=(200, 7 * i % 256, 30))
        picture.save(root / "data" / f"{i}.jpg")
        encoding = "gb18030" if i % 4 == 0 else "utf-8"
        (root / "data" / f"{i}.txt").write_text(f"{WORDS[i % 3]} {i}", encoding=encoding)
        rows.append(f"{i},{LABELS[i % 3]}")
    (root / "train.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    shutil.copytree(STAGE2, root / "stage2_compare", ignore=shutil.ignore_patterns("__pycache__"))
    return root
