"""Bad and odd input, by kind: each works, with what was done to it counted in metrics.json, or is one clear line.

Everything goes through ``job.prepare``, which is all that a training command does before its first batch, and
``record.data_record``, which is the part of metrics.json that says what was read; a dozen go through the commands
themselves. Photos have a table of their own in test_images.py, used here as well.
"""

from __future__ import annotations

import csv
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import compare_blip
import compare_clip
import compare_summary
import compare_train
import compare_visualize
import numpy as np
import pytest
from common.errors import UserError
from common.models import bert_resnet
from common.models.loading import load_tokenizer
from common.runs.reader import read_runs
from common.training import prepare as jobs
from common.training.record import data_record
from helpers.hub import BERT, BLIP, CLIP, STAGE2
from helpers.photos import BROKEN, encoded, first_part, halves, noise
from helpers.run_folders import edit, make_run
from helpers.small_project import arguments, make_small_project, run_small
from helpers.usage import cpu_seconds
from PIL import Image, PngImagePlugin
from torch import nn

HANG = 10  # seconds
LABELS = ("negative", "neutral", "positive")
linux = pytest.mark.skipif(sys.platform != "linux", reason="links, pipes and such names need Linux")


class Project:
    """Pairs 1 to 6 for training and 7 to 9 for validation, in a folder with a Chinese name."""

    def __init__(self, root: Path):
        self.root, self.data, self.splits = root, root / "数据 1", root / "splits"
        self.data.mkdir(parents=True)
        self.splits.mkdir()
        for guid in range(1, 10):
            self.text(guid, f"今天天气很好 {guid}".encode())
            noise(40, 40, guid).save(self.data / f"{guid}.png")
        self.write("train", "".join(map(self.row, range(1, 7))))
        self.write("val", "".join(map(self.row, range(7, 10))))

    @staticmethod
    def row(guid: int) -> str:
        return f"{guid},数据 1/{guid}.txt,数据 1/{guid}.png,{LABELS[guid % 3]}\n"

    def write(self, part: str, rows: str) -> None:
        self.csv(part, "guid,text_path,image_path,label\n" + rows)

    def csv(self, part: str, content: str | bytes) -> None:
        (self.splits / f"{part}.csv").write_bytes(
            content if isinstance(content, bytes) else content.encode("utf-8")
        )

    def read(self, part: str) -> str:
        return (self.splits / f"{part}.csv").read_text(encoding="utf-8")

    def text(self, guid: int, data: bytes) -> None:
        (self.data / f"{guid}.txt").write_bytes(data)


@pytest.fixture
def project(tmp_path) -> Project:
    return Project(tmp_path / "项目 a")


class Encoder(nn.Module):
    """What ``prepare`` asks of an encoder."""

    text_dim = image_dim = 4
    positions, mean, std = 512, (0.5,) * 3, (0.5,) * 3

    def __init__(self, choice, config, image_size, pretrained):
        super().__init__()
        self.vocabulary = config.vocab_size


@pytest.fixture(scope="module")
def tokenizer(hub):
    return load_tokenizer(hub.folder(BERT))


@pytest.fixture
def prepare(project, hub, tokenizer, monkeypatch) -> Callable:
    """Reads the project as a training command does. Returns what metrics.json would say of its input."""
    monkeypatch.setattr(jobs, "load_tokenizer", lambda name: tokenizer)  # once, not for every case

    def run(*more: str) -> dict:
        places = [
            "--train-csv",
            "splits/train.csv",
            "--val-csv",
            "splits/val.csv",
            "--image-size",
            "28",
        ]
        monkeypatch.setattr(bert_resnet, "BertResNet", Encoder)
        settings = compare_train.parse(
            ["--project-root", str(project.root), "--model-name", hub.folder(BERT), *places, *more]
        )
        return data_record(jobs.prepare(settings))

    return run


# Ways to spoil a project


def whole(content: str | bytes, part: str = "train") -> Callable[[Project], None]:
    return lambda project: project.csv(part, content)


def changed(change: Callable[[str], str | bytes], part: str = "train") -> Callable[[Project], None]:
    return lambda project: project.csv(part, change(project.read(part)))


def renamed(label: str, other: str) -> Callable[[Project], None]:
    def spoil(project: Project) -> None:
        for part in ("train", "val"):
            changed(lambda content: content.replace(label, other), part)(project)

    return spoil


def cell(column: str, value: str, part: str = "train") -> Callable[[Project], None]:
    """Another value in row 3."""

    def spoil(project: Project) -> None:
        with open(project.splits / f"{part}.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        rows[1][column] = value
        with open(project.splits / f"{part}.csv", "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)

    return spoil


def text(data: bytes) -> Callable[[Project], None]:
    return lambda project: project.text(2, data)


def by_guid(guid: str) -> Callable[[Project], None]:
    """The layout without paths, with this guid in row 3."""

    def spoil(project: Project) -> None:
        project.data.rename(project.root / "data")
        for part, guids in (("train", [1, guid, 3]), ("val", [7, 8, 9])):
            project.csv(
                part,
                "guid,tag\n"
                + "".join(f"{g},{label}\n" for g, label in zip(guids, LABELS, strict=True)),
            )

    return spoil


def photo(
    picture: Image.Image | bytes, name: str = "2.png", **options
) -> Callable[[Project], None]:
    def spoil(project: Project) -> None:
        path = project.data / name
        if isinstance(picture, bytes):
            path.write_bytes(picture)
        else:
            picture.save(path, **options)
        cell("image_path", f"数据 1/{name}")(project)

    return spoil


def no_file(path: str) -> Callable[[Project], None]:
    return lambda project: (project.root / path).unlink()


def folder_instead(path: str) -> Callable[[Project], None]:
    return lambda project: ((project.root / path).unlink(), (project.root / path).mkdir())


def pipe_instead(path: str) -> Callable[[Project], None]:
    return lambda project: ((project.root / path).unlink(), os.mkfifo(project.root / path))


def loop_instead(path: str) -> Callable[[Project], None]:
    return lambda project: (
        (project.root / path).unlink(),
        (project.root / path).symlink_to(project.root / path),
    )


def moved(folder: str, column: str = "image_path") -> Callable[[Project], None]:
    """The file of row 3 lies elsewhere, and the split says so."""

    def spoil(project: Project) -> None:
        name = "2.png" if column == "image_path" else "2.txt"
        target = project.root / folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(project.data / name, target)
        cell(column, f"{folder}/{name}")(project)

    return spoil


def under_another_name(name: str) -> Callable[[Project], None]:
    def spoil(project: Project) -> None:
        (project.data / "2.png").rename(project.data / name)
        cell("image_path", f"数据 1/{name}")(project)

    return spoil


def many_missing(project: Project) -> None:
    for guid in range(1, 7):
        (project.data / f"{guid}.png").unlink()
        (project.data / f"{guid}.txt").unlink()


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[0x0112] = orientation
    return made


def palette() -> Image.Image:
    picture = Image.new("P", (40, 40), 0)
    picture.putpalette([0, 0, 0, 255, 0, 0])
    return picture


def long_comment() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("prompt", "x" * 5_000_000, zip=True)
    return info


def quoted(content: str) -> str:
    return re.sub(r"[^,\n]+", r'"\g<0>"', content)


FINE: dict = {}
LONG = "/".join(["一个很长的文件夹名字" * 3] * 10)

CSV = {
    "byte order mark": (changed(lambda s: s.encode("utf-8-sig")), FINE),
    "two byte order marks": (changed(lambda s: ("\ufeff" + s).encode("utf-8-sig")), FINE),
    "gbk": (changed(lambda s: s.encode("gbk")), {"text_notes": {"gb18030_csv": 1}}),
    "crlf": (changed(lambda s: s.replace("\n", "\r\n")), FINE),
    "old mac line ends": (changed(lambda s: s.replace("\n", "\r")), FINE),
    "no line end at the end": (changed(str.rstrip), FINE),
    "all quoted": (changed(quoted), FINE),
    "spaces around cells": (changed(lambda s: s.replace(",", " , ")), FINE),
    "blank lines": (changed(lambda s: "\n" + s.replace("\n2,", "\n\n2,")), {"text_notes": {"blank_row": 2}}),
    "rows of commas": (changed(lambda s: s + ",,,\n , ,\t,\n"), {"text_notes": {"blank_row": 2}}),
    "another column twice": (changed(lambda s: re.sub(r"(?m)$(?=\n)", ",x,x", s)), FINE),
    "a million characters in one cell": (
        changed(lambda s: s.replace("negative", "x" * 10**6)), "val.csv, row 4: label 'negative' is not a class"),
    "a million characters in each row": (
        changed(lambda s: re.sub(r"(?m)$(?=\n)", "," + "天" * 10**6, s)), FINE),
    "line breaks in another column": (changed(lambda s: re.sub(r"(?m)$(?=\n)", ',"a\r\n""b"""', s)), FINE),
    "empty": (whole(""), "train.csv: no pairs"),
    "header only": (whole("guid,text_path,image_path,label\n"), "train.csv: no pairs"),
    "only line ends": (whole("\n\r\n\n"), "train.csv: no pairs"),
    "empty validation": (whole("guid,text_path,image_path,label\n", "val"), "val.csv: no pairs"),
    "no header": (changed(lambda s: s.split("\n", 1)[1]), "row 1: column 'guid' is missing; columns found: '1,"),
    "semicolons": (changed(lambda s: s.replace(",", ";")), "row 1: column 'guid' is missing; columns found: 'guid;"),
    "tabs": (changed(lambda s: s.replace(",", "\t")), "row 1: column 'guid' is missing"),
    "capital letters": (changed(lambda s: s.replace("guid", "GUID")), "row 1: column 'guid' is missing"),
    "no label column": (changed(lambda s: s.replace("label", "class")), "row 1: column 'label' is missing"),
    "no image column": (changed(lambda s: s.replace("image_path", "photo")), "row 1: column 'image_path' is missing"),
    "label column twice": (changed(lambda s: re.sub(r"(?m)$(?=\n)", ",label", s)), "row 1: column 'label' is there tw"),
    "guid column twice": (changed(lambda s: re.sub(r"(?m)$(?=\n)", ",guid", s)), "row 1: column 'guid' is there twice"),
    "a row too short": (changed(lambda s: s.replace(",数据 1/2.png", "")), "row 3: 3 fields where the header has 4"),
    "a row too long": (changed(lambda s: s.replace("\n2,", "\n2,2,")), "row 3: 5 fields where the header has 4"),
    "a quote never closed": (changed(lambda s: s.replace("\n2,", '\n"2,')), "row 3: not valid CSV"),
    "a quote inside": (changed(lambda s: s.replace("\n2,", '\n"2"2,')), "row 3: not valid CSV"),
    "utf-16": (changed(lambda s: s.encode("utf-16")), {"text_notes": {"utf-16_csv": 1}}),
    "utf-16, big end first": (
        changed(lambda s: b"\xfe\xff" + s.encode("utf-16-be")), {"text_notes": {"utf-16_csv": 1}}),
    "utf-32": (changed(lambda s: s.encode("utf-32")), {"text_notes": {"utf-32_csv": 1}}),
    "utf-16 cut in a character": (changed(lambda s: s.encode("utf-16")[:-1]), "train.csv, line 7: not a text file"),
    "utf-16 without a mark": (changed(lambda s: s.encode("utf-16-le")), "train.csv, line 1: not a text file"),
    "latin-1": (changed(lambda s: s.replace("数据", "Bär").encode("latin-1")), "12 files are missing .*'Bär 1/1.png'"),
    "latin-1 at a line's end": (changed(lambda s: s.replace("neutral", "\xe9").encode("latin-1", "replace")), "line 2"),
    "cp1252 with a text column": (
        whole("guid,text,image_path,label\n1,café don’t,数据/1.png,a\n".replace("数据", "x").encode("cp1252")),
        "train.csv: 1 file is missing .*'x/1.png'"),
    "utf-8 with one wrong byte": (changed(lambda s: s.encode().replace(b"\n2,", b"\n2\xff,")), "train.csv, line 3: not"),
    "gbk and utf-8 mixed": (
        lambda p: p.csv("train", p.read("train").encode() + p.row(1).replace("1,", "99,", 1).encode("gbk")),
        "train.csv, line [0-9]: not a text file"),
    "two hundred rows too short": (changed(lambda s: s + "x\n" * 200), "row 8: 1 fields; .*; and 190 more where the"),
    "a million empty fields": (
        changed(lambda s: s + "," * 1_500_000 + "\n"), "train.csv, row 8: not valid CSV .more than 1,000,000 fields"),
    "a million blank lines": (changed(lambda s: s + "\n" * 10**6), {"text_notes": {"blank_row": 10**6}}),
    "two million rows": (changed(lambda s: s + "\n" * 2_000_001), "train.csv: more than 2,000,000 rows"),
    "two million quotes": (changed(lambda s: s + '"' * 2_000_000 + "\n"), "row 8: 1 fields where"),
    "a quote never closed in a long file": (changed(lambda s: s + '"' + "x,\n" * 10**6), "not valid CSV"),
    "being made": (lambda p: (p.splits / ".make_splits.unfinished").write_bytes(b""), "run make_splits.py again"),
    "a spreadsheet": (whole(b"PK\x03\x04\x14\0\x06\0\xff\xff\xff"), "train.csv, line 1: not a text file"),
    "a nul byte": (changed(lambda s: s.replace("\n2,", "\n2\0,")), "train.csv, line 3: not a text file"),
    "a web page": (whole("<!DOCTYPE html>\n<html>\n404\n</html>\n"), "row 1: column 'guid' is missing"),
    "json": (whole('[\n{"guid": 1}\n]\n'), "row 2: 1 fields|column 'guid' is missing|not valid CSV"),
    "not there": (no_file("splits/train.csv"), "train.csv: cannot read the split file .*make_splits.py"),
    "validation not there": (no_file("splits/val.csv"), "val.csv: cannot read the split file"),
    "a folder": (folder_instead("splits/train.csv"), "train.csv: cannot read the split file .not a file"),
    "a pipe": (pipe_instead("splits/train.csv"), "train.csv: cannot read the split file .not a file"),
    "a link loop": (loop_instead("splits/train.csv"), "train.csv: cannot read the split file .Too many levels"),
}  # fmt: skip
LABEL = {
    "empty": (cell("label", ""), "train.csv, row 3: the label is empty"),
    "blank": (cell("label", " \t "), "train.csv, row 3: the label is empty"),
    "null": (cell("label", "null"), "train.csv, row 3: the label is 'null'"),
    "NaN": (cell("label", "NaN"), "train.csv, row 3: the label is 'NaN'"),
    "all empty": (changed(lambda s: re.sub(r"(negative|neutral|positive)", "", s)), "empty .the same in 5 other rows"),
    "empty in validation": (cell("label", "", "val"), "val.csv, row 3: the label is empty"),
    "unknown in validation": (cell("label", "angry", "val"), "val.csv, row 3: label 'angry' is not a class of the tr"),
    "missing in training": (changed(lambda s: s.replace("neutral", "negative")), "val.csv, row 2: label 'neutral' is"),
    "one class only": (changed(lambda s: re.sub("neutral|positive", "negative", s)), "'negative' is the only class"),
    "other case": (cell("label", "Positive"), "train.csv, row .: label '(P|p)ositive', but '(P|p)ositive' in row"),
    "other case in validation": (cell("label", "Positive", "val"), "val.csv, row 3: label 'Positive' is not a class"),
    "full width": (cell("label", "ｐｏｓｉｔｉｖｅ"), "spell a class one way"),
    "zero-width space": (cell("label", "posi\u200btive"), r"label '(posi\\u200btive|positive)', but .* one way"),
    "byte order mark inside": (cell("label", "\ufeffpositive"), "spell a class one way"),
    "terminal orders": (cell("label", "\x1b[31mpositive"), r"row 3: the label '\\x1b\[31mpositive' holds a control"),
    "line break": (cell("label", "posi\ntive"), r"row 3: the label 'posi\\ntive' holds a control character"),
    "a million characters": (cell("label", "x" * 10**6, "val"), r"val.csv, row 3: label 'x+\.\.\.x+' is not a class"),
    "two kinds of spelling": (
        lambda p: (cell("label", "Positive")(p), p.csv("train", p.read("train") + p.row(6).replace("6,", "99,", 1)
                                                     .replace("negative", "NEGATIVE"))), r"\(2 rows in all\); spell"),
    "a placeholder is a class where pairs are labelled": (renamed("negative", "unknown"), FINE),
    "half a surrogate": (whole("guid,tag\n1,\ud800\n".encode("utf-8", "surrogatepass")), "line 2: not a text file"),
    "numbers": (renamed("negative", "0"), FINE),
    "formulas": (renamed("negative", "=1+1"), FINE),
    "a path": (renamed("negative", "../../x"), FINE),
}  # fmt: skip
GUID = {
    "empty": (cell("guid", ""), "train.csv, row 3: the guid is empty"),
    "twice": (cell("guid", "1"), "train.csv, row 3: guid '1' is in row 2 already"),
    "many twice": (
        changed(lambda s: s + "".join(map(Project.row, range(1, 7))) * 4),
        r"row 8: guid '1' is in row 2 already; .*; and 14 more \(24 rows in all\)"),
    "twice but for spaces": (cell("guid", " 1 "), "train.csv, row 3: guid '1' is in row 2 already"),
    "terminal orders": (cell("guid", "\x1b[2J"), r"row 3: the guid '\\x1b\[2J' holds a control character"),
    "line break": (cell("guid", "a\nb"), r"row 3: the guid 'a\\nb' holds a control character"),
    "a path where paths are given": (cell("guid", "../../x"), FINE),
    "a formula": (cell("guid", "=HYPERLINK(1)"), FINE),
    "an emoji": (cell("guid", "😀"), FINE),
    "a million characters": (cell("guid", "x" * 10**6), FINE),
    "out of the data folder": (by_guid("../../x"), "train.csv, row 3: guid '../../x' cannot name files"),
    "out of it on Windows": (by_guid("..\\x"), r"train.csv, row 3: guid '..\\x' cannot name files"),
    "absolute": (by_guid("/etc/passwd"), "train.csv, row 3: guid '/etc/passwd' cannot name files"),
    "a drive": (by_guid("C:1"), "train.csv, row 3: guid 'C:1' cannot name files"),
    "no such files": (by_guid("77"), r"train.csv: 2 files are missing .*row 3: '.*77.jpg'.*row 3: '.*77.txt'"),
    "too long for a file": (by_guid("x" * 300), "train.csv: 2 files are missing .*too long"),
    "of dots": (by_guid(".."), r"train.csv: 2 files are missing .*row 3"),
    "of a device on Windows": (by_guid("nul"), r"train.csv: 2 files are missing|cannot name files"),
    "by guid": (by_guid("2"), {"samples": {"train": 3, "val": 3}}),
}  # fmt: skip
PATH = {
    "no image": (no_file("数据 1/2.png"), "train.csv: 1 file is missing .* row 3: '数据 1/2.png'"),
    "no text": (no_file("数据 1/2.txt"), "train.csv: 1 file is missing .* row 3: '数据 1/2.txt'"),
    "twelve missing": (many_missing, "train.csv: 12 files are missing .*row 2: .*; and 2 more"),
    "missing in training and in validation": (
        lambda p: [(p.data / name).unlink() for name in ("2.png", "8.png", "8.txt")],
        "train.csv: 3 files are missing .*row 3: '数据 1/2.png'.*; in .*val.csv: row 3: .*8.png.*8.txt"),
    "no image in validation": (no_file("数据 1/8.png"), "val.csv: 1 file is missing .* row 3: '数据 1/8.png'"),
    "empty": (cell("image_path", " "), "train.csv, row 3: image_path is empty"),
    "a folder": (cell("image_path", "."), r"row 3: '\.' .not a file"),
    "a folder as text": (folder_instead("数据 1/2.txt"), "row 3: '数据 1/2.txt' .not a file"),
    "a pipe": (pipe_instead("数据 1/2.png"), "row 3: '数据 1/2.png' .not a file"),
    "a pipe as text": (pipe_instead("数据 1/2.txt"), "row 3: '数据 1/2.txt' .not a file"),
    "a device": (cell("text_path", "/dev/zero"), "row 3: '/dev/zero' .(not a file|No such)"),
    "a link loop": (loop_instead("数据 1/2.png"), "row 3: '数据 1/2.png' .Too many levels"),
    "an address": (cell("image_path", "https://example.org/2.png"), "row 3: 'https://example.org/2.png' .No such"),
    "a home folder": (cell("image_path", "~/2.png"), "row 3: '~/2.png' .No such"),
    "a pattern": (cell("image_path", "数据 1/*.png"), r"row 3: '数据 1/\*.png' .No such"),
    "a Windows drive": (cell("image_path", r"C:\数据 1\2.png"), r"row 3: 'C:\\数据 1\\2.png' .No such"),
    "too long": (cell("image_path", "x" * 300), "row 3: 'x+...x+' .File name too long"),
    "far too long": (cell("image_path", "x/" * 50_000), "row 3: 'x/.*' .File name too long"),
    "backslashes": (cell("image_path", r"数据 1\2.png"), {"text_notes": {"windows_path": 1}}),
    "up and down again": (cell("image_path", "数据 1/../数据 1/2.png"), FINE),
    "two slashes": (cell("image_path", ".//数据 1///2.png"), FINE),
    "longer than 260 bytes": (moved(LONG), FINE),
    "longer than 260 bytes for a text": (moved(LONG, "text_path"), FINE),
    "commas and quotes": (moved('a, "b" \'c\''), FINE),
    "emoji and accents": (moved("😀 é e\u0301"), FINE),
    "percent and hash": (under_another_name("100%#?&.png"), FINE),
    "a line break": (under_another_name("a\nb.png"), FINE),
    "terminal orders": (under_another_name("\x1b[2J.png"), FINE),
}  # fmt: skip
TEXT = {
    "empty": (text(b""), {"text_notes": {"empty_text": 1}}),
    "white space": (text(b" \r\n\t\xc2\xa0\xe3\x80\x80"), {"text_notes": {"empty_text": 1}}),
    "only nul bytes": (text(bytes(9)), {"text_notes": {"nul_text": 1, "empty_text": 1}}),
    "a megabyte of nul bytes": (text(bytes(10**6)), {"text_notes": {"nul_text": 1, "empty_text": 1}}),
    "nul bytes inside": (text(b"a\0b"), {"text_notes": {"nul_text": 1}}),
    "one emoji": (text("😀".encode()), FINE),
    "a megabyte of Chinese": (text("天气".encode() * 170_000), {"truncated_rate": 1 / 9}),
    "a megabyte in one word": (text(b"a" * 10**6), FINE),
    "a wall of punctuation": (text(b"!" * 300_000), {"truncated_rate": 1 / 9}),
    "a mountain of accents": (text(b"e" + "\u0301".encode() * 300_000), FINE),
    "byte order mark": (text("\ufeff天气".encode()), FINE),
    "gbk": (text("今天天气".encode("gbk")), {"text_encodings": {"utf-8": 8, "gb18030": 1}}),
    "latin-1": (text("café".encode("latin-1")), {"text_encodings": {"utf-8": 8, "cp1252": 1}}),
    "utf-16": (text("天气 good".encode("utf-16")), {"text_encodings": {"utf-8": 8, "utf-16": 1}}),
    "utf-16, big end first": (
        text(b"\xfe\xff" + "天气 good".encode("utf-16-be")), {"text_encodings": {"utf-8": 8, "utf-16": 1}}),
    "utf-32": (text("天气 good".encode("utf-32")), {"text_encodings": {"utf-8": 8, "utf-32": 1}}),
    "utf-16 cut in a character": (
        text("天气 good".encode("utf-16")[:-1]), {"text_encodings": {"utf-8": 8, "replaced": 1}}),
    "only a mark of utf-16": (
        text(b"\xff\xfe"), {"text_encodings": {"utf-8": 8, "utf-16": 1}, "text_notes": {"empty_text": 1}}),
    "utf-8 cut in a character": (
        text("今天天气很好".encode()[:-1]), {"text_encodings": {"utf-8": 8, "replaced": 1}}),
    "gbk cut in a character": (
        text("今天天气很好".encode("gbk")[:-1]), {"text_encodings": {"utf-8": 8, "replaced": 1}}),
    "windows-1252": (text("I don’t know…".encode("cp1252")), {"text_encodings": {"utf-8": 8, "cp1252": 1}}),
    "the euro sign": (text("€5".encode("cp1252")), {"text_encodings": {"utf-8": 8, "cp1252": 1}}),
    "big5": (text("今天天氣很好".encode("big5")), {"text_encodings": {"utf-8": 8, "gb18030": 1}}),
    "every byte there is": (text(bytes(range(1, 256))), {"text_encodings": {"utf-8": 8, "replaced": 1}}),
    "ten megabytes": (text("天气很好 ".encode() * 800_000), {"truncated_rate": 1 / 9, "text_notes": {"long_text": 1}}),
    "ten megabytes in one word": (text(b"a" * 10**7), {"truncated_rate": 1 / 9, "text_notes": {"long_text": 1}}),
    "ten megabytes of white space": (
        text(b" " * 10**7), {"text_notes": {"long_text": 1, "empty_text": 1}, "truncated_rate": 0}),
    "ten megabytes of gbk": (
        text("天气".encode("gbk") * 2_500_000),
        {"text_encodings": {"utf-8": 8, "gb18030": 1}, "text_notes": {"long_text": 1}}),
    "half a surrogate pair": (text(b"\xed\xa0\x80"), {"text_encodings": {"utf-8": 8, "replaced": 1}}),
    "a photo": (lambda p: p.text(2, (p.data / "2.png").read_bytes()),
                {"text_encodings": {"utf-8": 8, "replaced": 1}, "text_notes": {"nul_text": 1}}),
    "terminal orders": (text(b"\x1b[2J\x07\x08"), FINE),
    "written from right to left": (text("\u202eabc\u202c שלום".encode()), FINE),
    "special tokens": (text(b"[CLS] [SEP] [PAD] [MASK] <|endoftext|>"), FINE),
}  # fmt: skip
PHOTO = {
    "cmyk": (photo(Image.new("CMYK", (40, 40)), "c.jpg"), {"image_notes": {"cmyk": 1}}),
    "16 bit": (photo(Image.fromarray(np.full((40, 40), 9999, np.uint16))), {"image_notes": {"16bit": 1}}),
    "floats below zero": (
        photo(Image.fromarray(np.full((40, 40), -5, np.float32)), "f.tif"), {"image_notes": {"16bit": 1}}),
    "palette with transparency": (photo(palette(), transparency=0), {"image_notes": {"alpha": 1}}),
    "transparent": (photo(Image.new("RGBA", (40, 40), (1, 2, 3, 4))), {"image_notes": {"alpha": 1}}),
    "animated": (
        photo(halves(), "a.gif", save_all=True, append_images=[noise(64, 64)]), {"image_notes": {"animated": 1}}),
    "turned by its camera": (photo(halves(), "r.jpg", exif=exif(6)), {"image_notes": {"exif_rotated": 1}}),
    "turned by nonsense": (photo(halves(), "r.jpg", exif=exif(99)), FINE),
    "1 x 1": (photo(noise(1, 1)), FINE),
    "20,000 x 1": (photo(noise(20_000, 1)), FINE),
    "1 x 20,000": (photo(noise(1, 20_000)), FINE),
    "black and white": (photo(Image.new("1", (40, 40))), FINE),
    "webp": (photo(halves(), "2.webp"), FINE),
    "gif": (photo(halves(), "2.gif"), FINE),
    "bmp": (photo(halves(), "2.bmp"), FINE),
    "jfif": (photo(halves(), "2.jfif", format="JPEG"), FINE),
    "tiff": (photo(halves(), "2.TIFF", format="TIFF"), FINE),
    "progressive": (photo(halves(), "2.jpg", progressive=True), FINE),
    "without its last bytes": (photo(first_part("JPEG", 0.97), "2.jpg"), {"image_notes": {"truncated": 1}}),
    "png without its last rows": (photo(first_part("PNG", 0.95)), {"image_notes": {"truncated": 1}}),
    "png without its end mark": (photo(encoded("PNG")[:-12]), FINE),
    "five megabytes of text inside": (photo(halves(), pnginfo=long_comment()), FINE),
    "another program's photo": (photo(b"8BPS" + bytes(999), "2.psd"), "not an image of a known kind"),
    "a pdf": (photo(b"%PDF-1.7\n" + bytes(99), "2.jpg"), "not an image of a known kind"),
    "a zip": (photo(b"PK\x03\x04" + bytes(99), "2.png"), "not an image of a known kind"),
    "broken in both splits": (
        lambda p: [(p.data / f"{guid}.png").write_bytes(b"x%d" % guid) for guid in (2, 8)],
        "2 images cannot be used: .*2.png .*8.png"),
    "named as another kind": (photo(halves(), "2.jpg", format="BMP"), FINE),
    "bytes after its end": (lambda p: photo((p.data / "2.png").read_bytes() + b"<script>" * 99)(p), FINE),
    **{f"broken {name}": (photo(data, name), re.escape(name) + r" \(.*" + why) for name, (data, why) in BROKEN.items()},
}  # fmt: skip

KINDS = {"csv": CSV, "label": LABEL, "guid": GUID, "path": PATH, "text": TEXT, "photo": PHOTO}
LINUX_ONLY = {
    "a pipe",
    "a pipe as text",
    "a link loop",
    "a device",
    "a home folder",
    "a line break",
    "terminal orders",
}
LINUX_ONLY |= {
    "backslashes",
    "commas and quotes",
    "percent and hash",
    "longer than 260 bytes",
    "too long",
    "a pattern",
}
LINUX_ONLY |= {
    "longer than 260 bytes for a text",
    "far too long",
    "too long for a file",
    "an address",
    "a Windows drive",
}


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        pytest.param(*case, id=f"{kind}: {name}", marks=[linux] if name in LINUX_ONLY else [])
        for kind, cases in KINDS.items()
        for name, case in cases.items()
    ],
)
def test_input_works_and_is_counted_or_is_one_clear_line(project, prepare, spoil, expected):
    spoil(project)
    start = cpu_seconds()
    if isinstance(expected, str):
        with pytest.raises(UserError, match=f"(?s){expected}") as caught:
            prepare()
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 4000
    else:
        record = prepare()
        assert json.loads(json.dumps(record, allow_nan=False)) == record
        usual = {
            "samples": {"train": 6, "val": 3},
            "text_notes": {},
            "image_notes": {},
            "text_encodings": {"utf-8": 9},
        }
        usual |= (
            {"text_encodings": {"utf-8": expected["samples"]["train"] + 3}}
            if "samples" in expected
            else {}
        )
        for key, value in (usual | expected).items():
            assert record[key] == pytest.approx(value), key
    assert cpu_seconds() - start < HANG
    assert {path.name for path in project.root.parent.iterdir()} == {project.root.name}


# Checkpoints


def file(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))


def config(**changes) -> Callable[[Path], None]:
    def change(data: bytes) -> bytes:
        return json.dumps({**json.loads(data), **changes}).encode()

    return file("config.json", change)


def without(*names: str) -> Callable[[Path], None]:
    return lambda folder: [(folder / name).unlink(missing_ok=True) for name in names]


class Trap:
    """What a pickle in the wrong hands does."""

    def __reduce__(self):
        return os.mkdir, (os.environ["TRAP"],)


def own_code(folder: Path) -> None:
    (folder / "trap.py").write_text("import os\nos.mkdir(os.environ['TRAP'])\n", encoding="utf-8")
    config(auto_map={"AutoConfig": "trap.Config", "AutoModel": "trap.Model"}, model_type="trap")(
        folder
    )


def pickled_trap(folder: Path) -> None:
    without("model.safetensors")(folder)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(), protocol=2))


TOKENIZER = ("tokenizer.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json")
CHECKPOINT = {
    "empty": (compare_train, BERT, lambda folder: [path.unlink() for path in folder.iterdir()], "config.json"),
    "a clip for bert": (compare_train, CLIP, lambda folder: None, "clip checkpoint: train it with compare_clip.py"),
    "a blip for bert": (compare_train, BLIP, lambda folder: None, "blip checkpoint: train it with compare_blip.py"),
    "a bert for clip": (compare_clip, BERT, lambda folder: None, "bert checkpoint: compare_clip.py takes CLIP"),
    "a clip for blip": (compare_blip, CLIP, lambda folder: None, "clip checkpoint: compare_blip.py takes BLIP"),
    "no config": (compare_train, BERT, without("config.json"), "config.json"),
    "config cut": (compare_train, BERT, file("config.json", lambda data: data[:40]), "config.json"),
    "config empty": (compare_train, BERT, file("config.json", lambda data: b""), "config.json"),
    "config a list": (compare_train, BERT, file("config.json", lambda data: b"[]"), "cannot load"),
    "config without kind": (compare_train, BERT, config(model_type=None), "cannot load"),
    "config of unknown kind": (compare_train, BERT, config(model_type="nonsense"), "cannot load .*nonsense"),
    "config of a translator": (compare_train, BERT, config(model_type="t5"), "cannot load|not a text encoder"),
    "other width": (compare_train, BERT, config(hidden_size=48, num_attention_heads=4), "cannot load|does not hold"),
    "more layers": (compare_train, BERT, config(num_hidden_layers=9), "does not hold .* weights that BertModel needs"),
    "more words than weights": (compare_train, BERT, config(vocab_size=9999), "cannot load|does not hold"),
    "no weights": (compare_train, BERT, without("model.safetensors"), "cannot load .*no file named"),
    "weights empty": (compare_train, BERT, file("model.safetensors", lambda data: b""), "cannot load"),
    "weights cut": (compare_train, BERT, file("model.safetensors", lambda data: data[:-999]), "cannot load"),
    "weights overwritten": (compare_train, BERT, file("model.safetensors", lambda data: b"<html>" * 99), "cannot load"),
    "old weights cut": (compare_clip, CLIP, file("pytorch_model.bin", lambda data: data[:-9999]), "cannot load"),
    "old weights empty": (compare_clip, CLIP, file("pytorch_model.bin", lambda data: b""), "cannot load"),
    "a pickle that runs code": (compare_train, BERT, pickled_trap, "cannot load"),
    "code of its own": (compare_train, BERT, own_code, "cannot load"),
    "no tokenizer": (compare_train, BERT, without(*TOKENIZER), "cannot load .*okenizer"),
    "tokenizer cut": (compare_train, BERT, file("tokenizer.json", lambda data: data[:99]), "cannot load .*okenizer"),
    "tokenizer of a larger model": (
        compare_train, BERT,
        file("tokenizer.json", lambda data: data.replace(b'"\xe5\xa4\xa9":', b'"\xe5\xa4\xa9": 70000, "unused":')),
        "token id 70000, but the model knows"),
}  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    return make_small_project(tmp_path_factory.mktemp("小 small"))


@pytest.mark.parametrize(("command", "name", "spoil", "says"), CHECKPOINT.values(), ids=CHECKPOINT)
def test_a_checkpoint_that_cannot_be_used_is_one_clear_line(
    small, hub, tmp_path, monkeypatch, command, name, spoil, says
):
    folder = tmp_path / "checkpoint"
    shutil.copytree(hub.folder(name), folder)
    monkeypatch.setenv("TRAP", str(tmp_path / "trapped"))
    spoil(folder)
    start = cpu_seconds()
    with pytest.raises(UserError, match=f"(?s){says}") as caught:
        command.main(
            ["--project-root", str(small), *arguments(hub, "bert"), "--model-name", str(folder)]
        )
    assert cpu_seconds() - start < HANG
    assert len(" ".join(str(caught.value).split())) < 1000 and "checkpoint" in str(caught.value)
    assert not (tmp_path / "trapped").exists()
    assert not list((small / "outputs/compare").glob("[!.]*"))


# The command line

REFUSED = {
    "--epochs": ["0", "-1", "1.5", "many", ""], "--batch-size": ["0"], "--effective-batch-size": ["0", "nan"],
    "--lr": ["-1", "0", "nan", "inf", "1e999", "fast"], "--weight-decay": ["-1", "nan"], "--max-length": ["0"],
    "--image-size": ["0", "-224", "224x224"], "--seed": ["-1", "1e3"], "--num-workers": ["-1"], "--amp": ["int8"],
    "--class-weights": ["some"], "--fusion": ["all"], "--image-backbone": ["vgg"], "--no-such-flag": ["1"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("flag", "value"), [(flag, value) for flag, values in REFUSED.items() for value in values]
)
def test_a_flag_that_makes_no_sense_is_refused_by_name(flag, value, capsys):
    with pytest.raises(SystemExit, match="2"):
        compare_train.main([f"{flag}={value}"])
    assert flag in capsys.readouterr().err.splitlines()[-1]


IMPOSSIBLE = {
    "a device that is none": (["--device", "quantum"], "--device quantum cannot be used"),
    "a device that is not here": (["--device", "cuda:99"], "--device cuda:99 cannot be used"),
    "a device without data": (["--device", "meta"], "--device meta cannot be used"),
    "no such folder": (["--project-root", "nowhere"], "train.csv: cannot read the split file"),
    "a project that is a file": (["--project-root", __file__], "cannot"),
    "an output that is a file": (["--output-dir", __file__], "cannot .*--output-dir"),
    "a project of a long name": (["--project-root", "x" * 300], "characters: move the project to a shorter one"),
    "photos too large for any disk": (["--image-size", "1000000"], "MB needed|cannot"),
    "a text of no token": (["--max-length", "1"], "--max-length"),
    "a model that is not there": (["--model-name", "nobody/nothing"], "nobody/nothing.*HF_ENDPOINT"),
    "a model that is a file": (["--model-name", __file__], "cannot load"),
    "a model without name": (["--model-name", ""], "--model-name|cannot load"),
    "a model with an odd name": (["--model-name", "../\x1b[2J"], "cannot load"),
}  # fmt: skip


@pytest.mark.parametrize(("flags", "says"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_what_cannot_be_done_is_one_clear_line(small, hub, flags, says):
    start = cpu_seconds()
    with pytest.raises(UserError, match=says):
        compare_train.main(
            ["--project-root", str(small), *arguments(hub, "bert", "--fusion", "text"), *flags]
        )
    assert cpu_seconds() - start < HANG


def test_a_training_that_never_starts_leaves_no_folder_behind(small, hub, tmp_path):
    (tmp_path / "here").mkdir()
    for root in (tmp_path / "typo", tmp_path / "here"):
        with pytest.raises(UserError, match="train.csv: cannot read the split file"):
            compare_train.main(["--project-root", str(root), *arguments(hub, "bert")])
    assert [path.name for path in tmp_path.rglob("*")] == ["here"]


# Run folders


def metrics_json(content: str | bytes) -> Callable[[Path], None]:
    data = content if isinstance(content, bytes) else content.encode("utf-8")
    return lambda folder: (folder / "metrics.json").write_bytes(data)


def history_csv(old: str, new: str) -> Callable[[Path], None]:
    return file("history.csv", lambda data: data.replace(old.encode(), new.encode()))


def predictions_csv(old: str, new: str) -> Callable[[Path], None]:
    return file("predictions.csv", lambda data: data.replace(old.encode(), new.encode()))


def linked(name: str, target: str) -> Callable[[Path], None]:
    return lambda folder: ((folder / name).unlink(), (folder / name).symlink_to(target))


def piped(name: str) -> Callable[[Path], None]:
    return lambda folder: ((folder / name).unlink(), os.mkfifo(folder / name))


LEFT_OUT = {  # what is named, with the reason
    "no files": lambda folder: [path.unlink() for path in folder.iterdir()],
    "no metrics": without("metrics.json"),
    "no history": without("history.csv"),
    "metrics empty": metrics_json(""),
    "metrics cut": file("metrics.json", lambda data: data[:50]),
    "metrics too deep": metrics_json('{"a":' * 100_000),
    "metrics too deep, closed": metrics_json("[" * 100_000 + "]" * 100_000),
    "metrics a list": metrics_json("[]"),
    "metrics not utf-8": metrics_json(b"\xff\xfe{\0}\0"),
    "metrics a pickle": lambda folder: metrics_json(pickle.dumps(Trap(), protocol=0))(folder),
    "a number of 5,000 digits": lambda folder: metrics_json(
        re.sub(
            r'"epochs": \d+',
            '"epochs": ' + "9" * 5000,
            (folder / "metrics.json").read_text(encoding="utf-8"),
        )
    )(folder),
    "a number of 4,000 digits": lambda folder: metrics_json(
        re.sub(
            r'"epochs": \d+',
            '"epochs": ' + "9" * 4000,
            (folder / "metrics.json").read_text(encoding="utf-8"),
        )
    )(folder),
    "infinite time": lambda folder: edit(folder, train_time_sec=float("inf")),
    "time that is none": lambda folder: edit(folder, train_time_sec=float("nan")),
    "parameters below zero": lambda folder: edit(folder, params_million=-1),
    "score as text": lambda folder: edit(folder, best_val_f1_macro="=1+1"),
    "model a text": lambda folder: edit(folder, model="bert"),
    "history without epochs": file("history.csv", lambda data: data.split(b"\n")[0]),
    "history with a nul byte": file("history.csv", lambda data: data.replace(b"\n1,", b"\n\0,")),
    "history with nan": history_csv("\n2,", "\nnan,"),
    "history with a formula": history_csv("\n2,", "\n=cmd|' /C calc'!A0,"),
    "history of a million characters": history_csv("\n2,", "\n" + "9" * 10**6 + ","),
    "predictions of another class": predictions_csv("p_negative", "p_angry"),
    "predictions beyond one": predictions_csv(",0.", ",7."),
    "predictions not a number": predictions_csv(",0.", ",x."),
    "metrics a folder": lambda folder: (
        (folder / "metrics.json").unlink(),
        (folder / "metrics.json").mkdir(),
    ),
    "metrics a link loop": linked("metrics.json", "metrics.json"),
    "metrics a device": linked("metrics.json", "/dev/zero"),
    "metrics a pipe": piped("metrics.json"),
    "history a pipe": piped("history.csv"),
    "predictions a pipe": piped("predictions.csv"),
}
TAKEN = {  # what is read, and shown without harm
    "=HYPERLINK(1)": lambda folder: edit(
        folder, device="=cmd|' /C calc'!A0", model={"name": "@SUM(1)", "fusion": "+1"}
    ),
    "\x1b[2J\x1b[31mred": lambda folder: None,
    "two\nlines": lambda folder: None,
    "$\\frac{1}{0}$ {x} %s": lambda folder: None,
    "天气😀" * 15: lambda folder: None,
    "<script>alert(1)<": lambda folder: edit(
        folder, model={"family": "<b>", "name": "<img src=x>", "fusion": "\x1b[2J"}
    ),
    "huge": lambda folder: edit(
        folder, train_time_sec=1e300, params_million=1e300, trainable_params_million=0
    ),
    "odd": lambda folder: edit(
        folder, model={"name": [1], "family": {}}, protocol={"seed": [{}]}, samples={"val": "x"}
    ),
    "guids": predictions_csv("\n1,", "\n../../x,"),
    "pickles": lambda folder: [
        (folder / name).write_bytes(pickle.dumps(Trap(), protocol=2))
        for name in ("best.pt", "checkpoint.pt", "x.pkl", "x.npy")
    ],
}


@pytest.fixture
def trap(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TRAP", str(tmp_path / "trapped"))
    return tmp_path / "trapped"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[linux] if re.search("pipe|link|device", name) else [])
        for name in LEFT_OUT
    ],
)
def test_a_run_folder_that_cannot_be_trusted_is_named_and_hides_no_other(
    tmp_path, trap, capsys, name
):
    compare = tmp_path / "outputs/compare"
    make_run(compare, "good")
    LEFT_OUT[name](make_run(compare, "bad"))
    start = cpu_seconds()
    compare_summary.main(["--project-root", str(tmp_path)])
    assert cpu_seconds() - start < HANG
    said = capsys.readouterr()
    assert re.fullmatch(r"left out: bad: .+\n", said.err) and len(said.err) < 500
    assert "good" in said.out and not trap.exists()


@linux
@pytest.mark.filterwarnings("ignore:overflow encountered")  # years of 1e300 seconds on an axis
def test_hostile_run_folders_are_summed_up_and_drawn_without_harm(tmp_path, trap, capsys):
    compare = tmp_path / "outputs/compare"
    for name, spoil in TAKEN.items():
        spoil(make_run(compare, name))
    before = {path for path in tmp_path.rglob("*")}
    start = cpu_seconds()
    compare_summary.main(["--project-root", str(tmp_path)])
    compare_visualize.main(["--project-root", str(tmp_path)])
    assert cpu_seconds() - start < 3 * HANG
    said = capsys.readouterr()
    assert not re.search("left out", said.err) and not trap.exists()
    assert (said.out + said.err).replace("\n", "").isprintable()
    new = {path for path in tmp_path.rglob("*")} - before
    assert {path.name for path in new if path.is_dir()} == {"visuals", "page"}
    assert {path.parent.name for path in new if path.is_file()} == {"compare", "visuals", "page"}
    with open(compare / "compare_summary.csv", encoding="utf-8-sig", newline="") as table:
        cells = [value for row in csv.reader(table) for value in row]
    assert len([value for value in cells if "HYPERLINK" in value]) == 1
    assert not [value for value in cells if value.startswith(tuple("=+@"))]


def test_a_run_from_hostile_data_writes_in_its_own_folder_only(tmp_path, hub):
    """Guids and classes that look like paths and formulas end up as cells, nowhere as names of files."""
    root = make_small_project(tmp_path / "a" / "b" / "project")
    for part in ("train", "val"):
        path = root / "outputs/splits" / f"{part}.csv"
        content = (
            path.read_text(encoding="utf-8")
            .replace("negative", "../../../up")
            .replace("positive", "=1+1")
        )
        path.write_text(
            content.replace(f"{part}0,", "../../../x,").replace(f"{part}1,", "=cmd|x,"),
            encoding="utf-8",
        )
    before = {path for path in tmp_path.rglob("*")}
    folder = run_small(root, hub, "bert", "--fusion", "text", "--epochs", "1")
    compare_summary.main(["--project-root", str(root)])
    new = {path.relative_to(root / "outputs").parts[0] for path in {*tmp_path.rglob("*")} - before}
    assert new == {"cache", "compare"}
    runs, problems = read_runs(root / "outputs/compare")
    assert [run.path for run in runs] == [folder] and not problems
    assert {"../../../x", "=cmd|x"} < set(runs[0].predictions.guids)


# Test lists, which a training command reads by itself

UNMEASURED = "{} no label, so they are predicted, not measured"
TEST_LIST = {
    **{f"placeholder {word!r}": ([f"{g},{word}" for g in (1, 2, 3)], UNMEASURED.format("its pairs have"))
       for word in ("None", "?", "-", "unlabeled", "unlabelled", "N/A", "na", "unknown", "null", "", "later", "0")},
    "half labelled": (["1,negative", "2,?", "3,N/A"], UNMEASURED.format("2 of its pairs have")),
    "labelled": (["1,negative", "2,neutral", "3,positive"], ""),
}  # fmt: skip


@pytest.mark.parametrize(("rows", "says"), TEST_LIST.values(), ids=TEST_LIST)
def test_a_test_list_never_stops_a_training_for_want_of_labels(
    project, prepare, capsys, rows, says
):
    project.data.rename(project.root / "data")
    for part, guids in (("train", (1, 2, 3, 4)), ("val", (7, 8, 9))):
        project.csv(part, "guid,tag\n" + "".join(f"{g},{LABELS[g % 3]}\n" for g in guids))
    project.csv("test", "guid,tag\n" + "".join(f"{row}\n" for row in rows))
    record = prepare("--test-csv", "splits/test.csv")
    assert ("test" in record["samples"]) == (not says)
    told = [line for line in capsys.readouterr().out.splitlines() if "test.csv" in line]
    assert told == ([f"{project.root / 'splits' / 'test.csv'}: {says}"] if says else [])


def test_more_classes_than_can_be_compared_are_named_before_anything_is_trained(
    prepare, monkeypatch
):
    monkeypatch.setattr(jobs, "MOST_CLASSES", 2)
    with pytest.raises(UserError, match=r"train.csv: 3 classes, more than the 2 .*label column"):
        prepare()


@pytest.mark.parametrize("name", ["splits/tset.csv", "outputs/splits/test.csv"])
def test_a_test_list_that_is_asked_for_must_exist(project, prepare, name):
    with pytest.raises(UserError, match=f"{Path(name).name}: cannot read the split file"):
        prepare("--test-csv", name)


# The commands themselves

COMMANDS = {
    "guid": (
        cell("guid", "\x1b[2J"),
        "compare_clip",
        r"train.csv, row 3: the guid '\\x1b\[2J' holds",
    ),
    "missing": (
        no_file("数据 1/2.png"),
        "compare_blip",
        r"train.csv: 1 file is missing .*row 3: '数据 1/2.png'",
    ),
    "photo with terminal orders": (
        photo(b"", "\x1b[2J.png"),
        "compare_train",
        r"1 image cannot be used: ",
    ),
    "splits": (
        whole("guid,label\n../x,a\n"),
        "make_splits --data-dir 数据 --train-file splits/train.csv",
        "no folder",
    ),
    "splits by guid": (
        by_guid("../../x"),
        "make_splits --train-file splits/train.csv",
        "guid '../../x' cannot name",
    ),
    "no run": (lambda project: None, "compare_summary", r"no folder .*compare"),
    "no run to draw": (lambda project: None, "compare_visualize", r"no folder .*compare"),
}


@linux
@pytest.mark.parametrize(("spoil", "line", "says"), COMMANDS.values(), ids=COMMANDS)
def test_a_user_meets_one_printable_line_and_status_2(project, hub, spoil, line, says):
    spoil(project)
    name, *flags = line.split()
    if name in ("compare_train", "compare_clip", "compare_blip"):
        flags += [
            "--train-csv",
            "splits/train.csv",
            "--val-csv",
            "splits/val.csv",
            "--image-size",
            "32",
        ]
    before = {path: path.lstat().st_mtime_ns for path in project.root.rglob("*") if path.is_file()}
    done = subprocess.run(
        [sys.executable, STAGE2 / "scripts" / f"{name}.py", "--project-root", project.root, *flags],
        env={**os.environ, **hub.variables, "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert re.fullmatch(f"error: .*{says}.*\n", done.stderr) and done.stderr[:-1].isprintable()
    after = {path: path.lstat().st_mtime_ns for path in project.root.rglob("*") if path.is_file()}
    assert after == before
