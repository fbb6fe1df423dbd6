"""Bad and odd input, a kind each, through the commands that users type.

What is odd works, and is counted in metrics.json. What is bad ends in one line that names it. The
details are told by the tests of the rooms that read each kind.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import compare_summary
import compare_train
import numpy as np
import pytest
from common.errors import UserError
from helpers.hub import STAGE2
from helpers.photos import first_part, halves, noise
from helpers.small_project import arguments, make_small_project, record, run_small
from PIL import Image

LABELS = ("negative", "neutral", "positive")
HEADER = "guid,text_path,image_path,label\n"


def row(guid: int) -> str:
    return f"{guid},数据 1/{guid}.txt,数据 1/{guid}.png,{LABELS[guid % 3]}\n"


TRAIN, VAL = (HEADER + "".join(map(row, guids)) for guids in (range(1, 13), range(13, 19)))


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """Pairs 1 to 12 for training and 13 to 18 for validation, in a folder with a Chinese name."""
    root = tmp_path_factory.mktemp("a") / "项目 a"
    (root / "数据 1").mkdir(parents=True)
    (root / "outputs/splits").mkdir(parents=True)
    for guid in range(1, 19):
        (root / f"数据 1/{guid}.txt").write_text(f"今天天气很好 {guid}", encoding="utf-8")
        noise(40, 40, guid).save(root / f"数据 1/{guid}.png")
    return root


def write_lists(root: Path, train: str | bytes = TRAIN, val: str | bytes = VAL) -> None:
    for name, content in (("train", train), ("val", val)):
        data = content if isinstance(content, bytes) else content.encode("utf-8")
        (root / f"outputs/splits/{name}.csv").write_bytes(data)


def refused(root: Path, hub, *flags: str) -> str:
    """Return the line that a training command ends with."""
    with pytest.raises(UserError) as caught:
        compare_train.main(["--project-root", str(root), *arguments(hub, "bert"), *flags])
    message = " ".join(str(caught.value).split())
    assert len(message) < 4000 and not list(root.glob("outputs/compare/[!.]*"))
    return message


# Pairs


def test_odd_texts_and_photos_are_trained_on_and_counted(tmp_path, project, hub):
    root = tmp_path / "odd"
    shutil.copytree(project, root)
    texts = {
        1: b"",
        2: b"a\0b",
        3: "今天天气".encode("gbk"),
        4: "天气 good".encode("utf-16"),
        5: "今天天气很好".encode()[:-1],
        6: "天气".encode() * 170_000,
        7: b"\x1b[2J\x07 [CLS] [PAD] \xe2\x80\xaeabc",
    }
    for guid, data in texts.items():
        (root / f"数据 1/{guid}.txt").write_bytes(data)
    photos = {  # what is in a file counts, not its name
        1: (Image.new("CMYK", (40, 40)), {"format": "JPEG"}),
        2: (Image.fromarray(np.full((40, 40), 9999, np.uint16)), {}),
        3: (Image.new("RGBA", (40, 40), (1, 2, 3, 4)), {}),
        4: (halves(), {"format": "GIF", "save_all": True, "append_images": [noise(64, 64)]}),
        5: (noise(20_000, 1), {}),
    }
    for guid, (picture, options) in photos.items():
        picture.save(root / f"数据 1/{guid}.png", **options)
    (root / "数据 1/9.png").write_bytes(first_part("JPEG", 0.97))
    rows = TRAIN.replace("\n10,", "\n,,,\n\n=HYPERLINK(1),").replace("1/11.p", "1//11.p")
    write_lists(root, rows.replace("\n", "\r\n").encode("utf-8-sig"))
    told = record(run_small(root, hub, "bert", "--epochs", "1"))
    assert told["samples"] == {"train": 12, "val": 6}
    assert told["text_notes"] == {"blank_row": 2, "nul_text": 1, "empty_text": 1}
    assert told["text_encodings"] == {"utf-8": 15, "gb18030": 1, "utf-16": 1, "replaced": 1}
    kinds = ("16bit", "alpha", "animated", "cmyk", "truncated")
    assert told["image_notes"] == dict.fromkeys(kinds, 1)


# What flags ask for


def test_what_cannot_be_done_is_one_clear_line_and_leaves_no_folder(tmp_path, hub):
    assert "train.csv: cannot read the split file" in refused(tmp_path / "typo", hub)
    assert not list(tmp_path.iterdir())
    root = make_small_project(tmp_path / "small")
    for flag, value, says in (
        ("--device", "quantum", "--device quantum cannot be used"),
        ("--project-root", "nowhere", "train.csv: cannot read the split file"),
        ("--output-dir", __file__, "cannot .*--output-dir"),
        ("--max-length", "1", "--max-length"),
        ("--model-name", "nobody/nothing", "nobody/nothing.*HF_ENDPOINT"),
        ("--model-name", "../\x1b[2J", "cannot load"),
    ):
        assert re.search(says, refused(root, hub, "--fusion", "text", flag, value)), flag


@pytest.mark.skipif(os.name == "nt", reason="a Windows console has another way to print")
def test_a_user_meets_one_printable_line_and_status_2(project, hub):
    write_lists(project, TRAIN.replace("\n2,", "\n\x1b[2J,"))
    says = r"train.csv, row 3: the guid '\\x1b\[2J' holds"
    assert re.search(says, refused(project, hub))
    command = [sys.executable, STAGE2 / "scripts/make_splits.py", "--project-root", project]
    done = subprocess.run(
        [*command, "--train-file", "outputs/splits/\x1b[2J"],
        env={**os.environ, "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert re.fullmatch(r"error: .*\?\[2J.*\n", done.stderr) and done.stderr[:-1].isprintable()


def changed(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes().replace(old.encode(), new.encode()))


def test_a_run_from_hostile_data_writes_in_its_own_folder_only(tmp_path, hub):
    """Guids and classes that look like paths end up as cells, nowhere as names of files."""
    root = make_small_project(tmp_path / "a" / "b" / "project")
    for part in ("train", "val"):
        for old, new in (("negative", "../../../up"), ("positive", "=1+1")):
            changed(root / "outputs/splits", f"{part}.csv", old, new)
        changed(root / "outputs/splits", f"{part}.csv", f"{part}0,", "../../../x,")
    before = {path for path in tmp_path.rglob("*")}
    folder = run_small(root, hub, "bert", "--fusion", "text", "--freeze-encoders", "--epochs", "1")
    compare_summary.main(["--project-root", str(root)])
    new = {path.relative_to(root / "outputs").parts[0] for path in {*tmp_path.rglob("*")} - before}
    assert new == {"cache", "compare"}
    assert "../../../x" in (folder / "predictions.csv").read_text(encoding="utf-8-sig")
    told = record(folder)
    assert told["epochs"] == 1 and told["protocol"]["frozen_encoders"]
    assert 0 < told["trainable_params_million"] < told["params_million"]
