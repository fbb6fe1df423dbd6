"""make_splits.py: nothing is on both sides, classes keep their proportion, reruns agree."""

from __future__ import annotations

import csv
import hashlib
import os
import random
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import make_splits
import pytest
from common.data.splits import read_split
from common.errors import UserError
from helpers.hub import SAMPLE
from helpers.pairs import photo, write_pair

SIDES = ("train", "val")


def make_project(
    root: Path, labels: list[str], data: str = "data", train: str = "train.txt"
) -> Path:
    """Pairs 0, 1, ... with these labels, each with a text and a photo of its own."""
    for i in range(len(labels)):
        write_pair(root / data, str(i), f"句子 {i}", photo(i))
    return write_list(root / train, enumerate(labels))


def write_list(path: Path, pairs) -> Path:
    path.write_text(
        "guid,tag\n" + "".join(f"{guid},{label}\n" for guid, label in pairs), encoding="utf-8"
    )
    return path


def cut(root: Path, *flags: str) -> dict[str, list[dict[str, str]]]:
    """Run make_splits.py and return the rows of its tables."""
    make_splits.main(["--project-root", str(root), *flags])
    return tables(root / "outputs" / "splits")


def tables(folder: Path) -> dict[str, list[dict[str, str]]]:
    found = {}
    for path in sorted(folder.glob("*.csv")):
        with open(path, encoding="utf-8", newline="") as file:
            found[path.stem] = list(csv.DictReader(file))
    return found


def content(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "outputs" / "splits").iterdir()}


MIXED = ["negative"] * 20 + ["neutral"] * 10 + ["positive"] * 30


# Which pairs go where


def test_every_pair_is_on_one_side_and_classes_are_in_proportion(tmp_path):
    make_project(tmp_path, MIXED)
    found = cut(tmp_path)
    assert list(found) == ["train", "val"]
    assert sorted(int(row["guid"]) for side in SIDES for row in found[side]) == list(range(60))
    assert Counter(row["label"] for row in found["val"]) == {
        "negative": 2,
        "neutral": 1,
        "positive": 3,
    }
    assert all(row["label"] == MIXED[int(row["guid"])] for side in SIDES for row in found[side])


@pytest.mark.parametrize(
    ("ratio", "size"), [("0.1", 6), ("0.25", 15), ("0.5", 30), ("0.9", 54), ("0.001", 3)]
)
def test_the_ratio_is_kept_and_no_class_is_left_out(tmp_path, ratio, size):
    make_project(tmp_path, MIXED)
    found = cut(tmp_path, "--val-ratio", ratio)
    assert len(found["val"]) == size
    assert (
        {row["label"] for row in found["val"]}
        == set(MIXED)
        == {row["label"] for row in found["train"]}
    )


def test_pairs_with_one_text_or_one_photo_stay_together_however_far_apart(tmp_path):
    """A chain: 0 and 10 share a text, 10 and 20 a photo, 20 and 30 a text again.

    The shared texts differ in white space and encoding.
    """
    make_project(tmp_path, MIXED)
    data = tmp_path / "data"
    write_pair(data, "0", "同样 的 句子", photo(0))
    write_pair(data, "10", "同样 的\n句子\n".encode("gb18030"), photo(900))
    write_pair(data, "20", "最后", photo(900))
    write_pair(data, "30", "\ufeff最后 ", photo(30))
    for seed in range(5):
        found = cut(tmp_path, "--seed", str(seed))
        homes = {row["guid"]: side for side in SIDES for row in found[side]}
        assert len({homes[guid] for guid in ("0", "10", "20", "30")}) == 1
        assert len(found["val"]) == 6


def test_no_text_and_no_photo_is_on_both_sides_of_a_tangled_set(tmp_path):
    rng = random.Random(0)
    for i in range(200):
        write_pair(
            tmp_path / "data", str(i), f"句子 {rng.randrange(150)}", photo(rng.randrange(150))
        )
    write_list(tmp_path / "train.txt", ((i, rng.choice("ab")) for i in range(200)))
    found = cut(tmp_path, "--val-ratio", "0.3")
    parts = {
        side: read_split(tmp_path / "outputs/splits" / f"{side}.csv", tmp_path) for side in SIDES
    }
    assert not set(parts["train"].texts) & set(parts["val"].texts)
    digests = {
        side: {hashlib.md5(Path(path).read_bytes()).digest() for path in part.image_paths}
        for side, part in parts.items()
    }
    assert not digests["train"] & digests["val"]
    assert sum(map(len, found.values())) == 200 and len(found["val"]) > 30


def test_empty_texts_connect_nothing(tmp_path):
    make_project(tmp_path, MIXED)
    for i in range(60):
        write_pair(tmp_path / "data", str(i), "", photo(i))
    assert len(cut(tmp_path)["val"]) == 6


def test_pairs_that_all_hang_together_cannot_be_cut(tmp_path):
    make_project(tmp_path, ["a", "b", "a", "b"])
    for i in range(4):
        write_pair(tmp_path / "data", str(i), "同", photo(i))
    with pytest.raises(
        UserError, match="4 pairs that share texts or pictures cannot be cut in two"
    ):
        cut(tmp_path)
    assert not (tmp_path / "outputs").exists()


def test_a_class_that_cannot_be_on_both_sides_gets_a_warning(tmp_path, capsys):
    make_project(tmp_path, [*MIXED, "rare"])
    found = cut(tmp_path)
    assert "rare" in {row["label"] for row in found["train"]}
    assert "warning: val has no pair of class 'rare'" in capsys.readouterr().out


# The same cut every time


def test_the_order_of_the_list_changes_nothing_and_the_seed_something(tmp_path):
    make_project(tmp_path, MIXED)
    cut(tmp_path)
    before = content(tmp_path)
    rng = random.Random(0)
    for _ in range(3):
        pairs = list(enumerate(MIXED))
        rng.shuffle(pairs)
        write_list(tmp_path / "train.txt", pairs)
        cut(tmp_path)
        assert content(tmp_path) == before
    assert {row["guid"] for row in cut(tmp_path, "--seed", "43")["val"]} != {
        row["guid"] for row in csv.DictReader(before["val.csv"].decode("utf-8").splitlines())
    }


def test_a_new_pair_moves_few_of_the_others(tmp_path):
    make_project(tmp_path, MIXED * 3)
    before = {row["guid"] for row in cut(tmp_path)["val"]}
    make_project(tmp_path, MIXED * 3 + ["positive"] * 3)
    assert len(before & {row["guid"] for row in cut(tmp_path)["val"]}) >= 16


def test_a_split_that_replaces_another_gets_a_warning(tmp_path, capsys):
    make_project(tmp_path, MIXED)
    for flags, warned in (([], False), ([], False), (["--seed", "7"], True)):
        cut(tmp_path, *flags)
        assert ("do not compare runs made with it" in capsys.readouterr().out) == warned


# Layouts and paths


@pytest.mark.parametrize(
    ("data", "train", "flags"),
    [
        ("data", "train.txt", []),
        ("data", "data/train.txt", []),
        ("data/data", "data/train.txt", []),
        ("data/data", "train.txt", []),
        ("data/project5/data", "data/project5/train.txt", []),
        ("data/project5/data", "train.txt", []),
        ("数据 集/data", "数据 集/train.txt", ["--data-dir", "数据 集"]),
        ("数据 集/data", "数据 集/train.txt", ["--data-dir", "数据 集/data"]),
        ("数据 集", "数据 集/train.txt", ["--data-dir", "数据 集"]),
        ("数据 集", "train.txt", ["--data-dir", "数据 集"]),
        ("数据 集/data", "数据 集/train.txt", ["--train-file", "数据 集/train.txt"]),
        ("data", "elsewhere.csv", ["--train-file", "elsewhere.csv"]),
    ],
)
def test_every_layout_is_found_and_paths_are_relative_to_the_root(tmp_path, data, train, flags):
    make_project(tmp_path, MIXED, data, train)
    write_pair(tmp_path / data, "60")
    write_list((tmp_path / train).with_name("test_without_label.txt"), [("60", "null")])
    found = cut(tmp_path, *flags)
    assert [len(found[side]) for side in ("train", "val", "test")] == [54, 6, 1]
    for row in found["train"] + found["val"] + found["test"]:
        assert (
            row["text_path"] == f"{data}/{row['guid']}.txt"
            and row["image_path"] == f"{data}/{row['guid']}.png"
        )
    assert [row["label"] for row in found["test"]] == [""]


def test_a_moved_project_still_reads_its_split(tmp_path, monkeypatch):
    make_project(tmp_path / "here", MIXED)
    monkeypatch.chdir(tmp_path / "here")
    make_splits.main([])
    monkeypatch.chdir(tmp_path)  # Windows renames no folder that a process is in
    (tmp_path / "here").rename(tmp_path / "there")
    assert len(read_split("outputs/splits/train.csv", tmp_path / "there")) == 54


def test_data_outside_the_project_is_named_by_absolute_paths(tmp_path):
    make_project(tmp_path / "data set", MIXED)
    root = tmp_path / "project"
    found = cut(root, "--data-dir", str(tmp_path / "data set"))
    assert found["val"][0]["image_path"].startswith(
        f"{(tmp_path / 'data set' / 'data').as_posix()}/"
    )
    assert len(read_split("outputs/splits/val.csv", root)) == 6


def test_a_list_with_paths_and_a_list_with_texts_keep_what_they_say(tmp_path):
    make_project(tmp_path, MIXED, "pictures")
    hard = ['"hello", 你好', "two\nlines", "carriage\rreturn", "=1+1", "comma,", "'", "\u3000x"]
    (tmp_path / "train.txt").write_bytes(
        make_splits.table(
            read_split(
                write_list(tmp_path / "train.txt", enumerate(MIXED)), tmp_path, data_dir="pictures"
            ),
            range(60),
            tmp_path,
        ).encode()
    )
    assert cut(tmp_path)["train"][0]["text_path"].startswith("pictures/")
    with open(tmp_path / "train.txt", "w", encoding="utf-8", newline="") as file:
        rows = [
            (i, hard[i] if i < len(hard) else f"句子 {i}", f"pictures/{i}.png", MIXED[i])
            for i in range(60)
        ]
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(
            [("guid", "text", "image_path", "label"), *rows]
        )
    found = cut(tmp_path, "--val-ratio", "0.5")
    texts = {}
    for side in SIDES:
        part = read_split(f"outputs/splits/{side}.csv", tmp_path)
        texts |= dict(zip(part.guids, part.texts, strict=True))
    assert [texts[str(i)] for i in range(len(hard))] == [text.strip() for text in hard]
    assert list(found["val"][0]) == ["guid", "text", "image_path", "label"]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (
            [],
            r"no train.txt found \(looked for .*data.train.txt, .*project5.train.txt, .*train.txt\)",
        ),
        (["--data-dir", "nowhere"], r"no train.txt found \(looked for .*nowhere.train.txt"),
        (["--data-dir", "x" * 300], "no train.txt found"),
        (["--train-file", "nowhere.txt"], "nowhere.txt: cannot read the split file"),
        (
            ["--train-file", "list.txt", "--data-dir", "pictures", "--test-file", "nowhere.txt"],
            "nowhere.txt: cannot read the split file",
        ),
        (["--train-file", "list.txt", "--data-dir", "nowhere"], "there is no folder .*nowhere"),
        (
            ["--train-file", "list.txt", "--data-dir", "empty"],
            "120 files are missing or unreadable: row 2: ",
        ),
    ],
)
def test_what_is_not_there_is_named_and_nothing_written(tmp_path, flags, says):
    make_project(tmp_path, MIXED, "pictures", "list.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=says):
        cut(tmp_path, *flags)
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("ratio", ["0", "1", "-1", "2", "nan", "inf", "a lot", ""])
def test_a_ratio_that_is_none_is_refused(tmp_path, ratio, capsys):
    with pytest.raises(SystemExit, match="2"):
        make_splits.main(["--project-root", str(tmp_path), "--val-ratio", ratio])
    assert "--val-ratio" in capsys.readouterr().err


# Whole or not at all


def test_nothing_is_half_written_when_a_target_cannot_be_written(tmp_path):
    make_project(tmp_path, MIXED)
    cut(tmp_path)
    before = content(tmp_path)
    (tmp_path / "outputs/splits/val.csv").unlink()
    (tmp_path / "outputs/splits/val.csv").mkdir()
    with pytest.raises(UserError, match="val.csv: cannot write it, the splits are as they were"):
        cut(tmp_path, "--seed", "7")
    assert sorted(path.name for path in (tmp_path / "outputs/splits").iterdir()) == [
        "train.csv",
        "val.csv",
    ]
    assert (tmp_path / "outputs/splits/train.csv").read_bytes() == before["train.csv"]


@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize("place", [1, 2, 3])
def test_a_file_in_use_leaves_the_splits_as_they_were(tmp_path, monkeypatch, existing, place):
    """On Windows nobody replaces a file that Excel has open: the n-th rename fails."""
    make_project(tmp_path, MIXED)
    write_pair(tmp_path / "data", "60")
    write_list(tmp_path / "test_without_label.txt", [("60", "null")])
    if existing:
        cut(tmp_path)
    else:
        (tmp_path / "outputs/splits").mkdir(parents=True)
    before, real, calls = content(tmp_path), os.replace, []

    def replace(source, target):
        calls.append(target)
        if len(calls) == place:
            raise PermissionError(13, "in use")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(UserError, match=r"cannot write it, the splits are as they were \(in use\)"):
        cut(tmp_path, "--seed", "7")
    assert len(calls) == place and content(tmp_path) == before


@pytest.mark.parametrize("folder", ["data/..", "new/.."])  # "new" is still to be made
def test_the_list_itself_is_never_written_over(tmp_path, folder):
    make_project(tmp_path, MIXED, train="train.csv")
    before = (tmp_path / "train.csv").read_bytes()
    with pytest.raises(UserError, match="is the list to be split and would be overwritten"):
        cut(tmp_path, "--train-file", "train.csv", "--output-dir", folder)
    assert (tmp_path / "train.csv").read_bytes() == before and not (tmp_path / "val.csv").exists()


def test_a_broken_photo_name_or_a_folder_in_the_way_is_named(tmp_path):
    make_project(tmp_path, MIXED)
    (tmp_path / "outputs").write_text("in the way", encoding="utf-8")
    with pytest.raises(UserError, match="train.csv: cannot write it"):
        cut(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that are no Unicode")
def test_a_data_folder_whose_name_is_no_unicode_is_named(tmp_path):
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    make_project(Path(folder), MIXED)
    with pytest.raises(UserError, match="train.csv: cannot write it, .*surrogates not allowed"):
        cut(tmp_path / "project", "--data-dir", folder)
    assert not list((tmp_path / "project/outputs/splits").iterdir())
    assert len(cut(Path(folder))["val"]) == 6  # under its own root only relative paths are written


# The report


def test_the_report_counts_what_is_there(tmp_path, capsys):
    """Counted by hand: two texts shared by 5 pairs, one with conflicting labels, one photo by 3.

    Three texts are GBK, one is empty, one broken, and one holds a NUL.
    """
    make_project(tmp_path, MIXED)
    data = tmp_path / "data"
    for guid in "01":
        write_pair(data, guid, "同样", photo(int(guid)))
    for guid in ("2", "3", "59"):  # 59 is positive, the others negative
        write_pair(data, guid, "别的", photo(int(guid)))
    for guid in ("4", "5", "6"):
        write_pair(data, guid, f"天气 {guid}".encode("gbk"), photo(700))
    write_pair(data, "7", " \n", photo(7))
    write_pair(data, "8", b"caf\xe9", photo(8))
    write_pair(data, "9", b"a\0b", photo(9))
    for guid, text, picture in (("60", "同样", 60), ("61", "新", 700), ("62", "新的", 62)):
        write_pair(data, guid, text, photo(picture))
    write_list(tmp_path / "test_without_label.txt", [("60", "null"), ("61", ""), ("62", "null")])
    found = cut(tmp_path)
    out = capsys.readouterr().out
    assert re.search(r"^ +train +val +test$", out, re.M)
    for name, total in (("negative", 20), ("neutral", 10), ("positive", 30), ("all", 60)):
        train, val, test = map(
            int, re.search(rf"^{name} +(\d+) +(\d+) +(\d+)$", out, re.M).groups()
        )
        assert train + val == total and test == (3 if name == "all" else 0)
        assert val == sum(row["label"] == name or name == "all" for row in found["val"])
    assert re.search(r"^\(no label\) +0 +0 +3$", out, re.M)
    assert "texts (labelled): 56 utf-8, 3 gb18030, 1 replaced; 1 empty; no file missing\n" in out
    assert "let pass (labelled): 1 nul text\n" in out and "let pass (test)" not in out
    assert "texts (test): 3 utf-8, 0 gb18030, 0 replaced; 0 empty; no file missing\n" in out
    assert (
        "same text: 2 shared by 5 pairs, each kept on one side; 1 of them with conflicting labels\n"
        in out
    )
    assert "  for example 2 (negative), 3 (negative), 59 (positive)\n" in out
    assert (
        "same picture: 1 shared by 3 pairs, each kept on one side; "
        "0 of them with conflicting labels\n" in out
    )
    assert "warning: test pairs that share guid, text or picture with labelled ones: 2\n" in out
    assert [line for line in out.splitlines() if line.startswith("wrote ")] == [
        f"wrote {tmp_path / 'outputs/splits' / name}.csv" for name in ("train", "val", "test")
    ]


def test_a_stale_test_list_gets_a_warning(tmp_path, capsys):
    make_project(tmp_path, MIXED)
    write_pair(tmp_path / "data", "60")
    tests = write_list(tmp_path / "test_without_label.txt", [("60", "null")])
    cut(tmp_path)
    tests.unlink()
    cut(tmp_path)
    assert "test.csv is of an earlier split and was left as it is" in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="pipes end in another way there")
def test_a_reader_that_has_left_ends_the_command_without_a_traceback(tmp_path):
    make_project(tmp_path, ["a", "b"] * 4)
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, make_splits.__file__, "--project-root", tmp_path]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


# The real sample


def test_the_real_sample_against_an_independent_count(tmp_path, capsys):
    if not SAMPLE.is_dir():
        pytest.skip("needs the sample of real pairs in ../shared/data/mvsa_sample")
    make_splits.main(["--project-root", str(SAMPLE), "--output-dir", str(tmp_path)])
    out, found = capsys.readouterr().out, tables(tmp_path)
    with open(SAMPLE / "train.txt", encoding="utf-8", newline="") as file:
        labels = {row["guid"]: row["tag"] for row in csv.DictReader(file)}
    homes = {row["guid"]: side for side in SIDES for row in found[side]}
    assert homes.keys() == labels.keys() and len(found["test"]) == 40
    for name, total in Counter(labels.values()).items():
        val = sum(homes[guid] == "val" for guid in labels if labels[guid] == name)
        assert abs(val - total / 10) < 1

    seen = {"text": defaultdict(list), "picture": defaultdict(list)}
    not_utf_8 = 0
    for guid in labels:
        data = (SAMPLE / "data" / f"{guid}.txt").read_bytes()
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text, not_utf_8 = data.decode("gb18030"), not_utf_8 + 1
        seen["text"][tuple(text.split())].append(guid)
        seen["picture"][(SAMPLE / "data" / f"{guid}.jpg").read_bytes()].append(guid)
    assert f"texts (labelled): {600 - not_utf_8} utf-8, {not_utf_8} gb18030, 0 replaced;" in out
    for kind, values in seen.items():
        shared = [guids for guids in values.values() if len(guids) > 1]
        conflicts = sum(len({labels[guid] for guid in guids}) > 1 for guids in shared)
        assert all(len({homes[guid] for guid in guids}) == 1 for guids in shared)
        pairs = sum(map(len, shared))
        assert f"same {kind}: {len(shared)} shared by {pairs} pairs, each kept on one side; " in out
        assert f"; {conflicts} of them with conflicting labels" in out
