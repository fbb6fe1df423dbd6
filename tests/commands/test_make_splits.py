"""make_splits.py: nothing is on both sides, classes keep their proportion, reruns agree."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import random
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import make_splits
import numpy as np
import pytest
from common.data.quality import read_quality
from common.data.splits import UNFINISHED, read_split, read_training_splits
from common.errors import UserError
from common.files import console_width
from helpers.hub import SAMPLE
from helpers.pairs import photo, write_pair
from PIL import Image, ImageOps

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
        with open(path, encoding="utf-8-sig", newline="") as file:
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


def test_near_copies_of_a_text_stay_together_and_are_told(tmp_path, capsys):
    make_project(tmp_path, MIXED)
    text = "What a wonderful day at the sea http://t.co/a"
    near = {
        "0": text,
        "20": f"RT @me: {text.upper()} 😀",
        "40": "what a wonderful day, at the sea!",
        "41": "short",
        "42": "Short",
    }
    for guid, words in near.items():
        write_pair(tmp_path / "data", guid, words, photo(int(guid)))
    for seed in range(5):
        found = cut(tmp_path, "--seed", str(seed))
        homes = {row["guid"]: side for side in SIDES for row in found[side]}
        assert len({homes[guid] for guid in ("0", "20", "40")}) == 1
    out = capsys.readouterr().out
    assert "same text: 0 shared by 0 pairs, each kept on one side\n" in out
    assert "nearly the same text: 1 shared by 3 pairs, each kept on one side; 1 of them with" in out
    assert (
        "largest group: 3 pairs that hang together by texts and pictures, on one side: "
        "0 (negative), 20 (neutral), 40 (positive)\n" in out
    )


def test_near_copies_of_a_photo_stay_together_and_are_told(tmp_path, capsys):
    make_project(tmp_path, MIXED)
    fields = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8))
    picture = fields.resize((300, 200), Image.Resampling.BICUBIC)
    for guid, copy in (("0", picture), ("20", picture.reduce(2)), ("60", ImageOps.mirror(picture))):
        stream = io.BytesIO()
        copy.save(stream, "PNG")
        write_pair(tmp_path / "data", guid, f"句子 {guid}", stream.getvalue())
    write_list(tmp_path / "test_without_label.txt", [("60", "null")])
    for seed in range(5):
        found = cut(tmp_path, "--seed", str(seed))
        homes = {row["guid"]: side for side in SIDES for row in found[side]}
        assert homes["0"] == homes["20"]
    out = capsys.readouterr().out
    assert "nearly the same picture: 1 shared by 2 pairs, each kept on one side; 1 of the" in out
    assert "(or nearly) with labelled ones: 1\n" in out


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
    written = [path.name for path in tmp_path.glob("outputs/**/*") if path.is_file()]
    assert written == (["broken.csv"] if "files are missing" in says else [])


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
        "quality.json",
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


# Kills this process at the n-th rename, before it or after it.
# Windows has no name for the signal 9: there os.kill ends the process with this status.
SUICIDE = """
import os, runpy, sys
count, when, script = int(sys.argv[1]), sys.argv[2], sys.argv[3]
real, calls = os.replace, []
def instead(*args):
    calls.append(1)
    if len(calls) == count and when == "before":
        os.kill(os.getpid(), 9)
    real(*args)
    if len(calls) == count:
        os.kill(os.getpid(), 9)
os.replace = instead
sys.argv = sys.argv[3:]
sys.path.insert(0, os.path.dirname(script))
runpy.run_path(script, run_name="__main__")
"""


def training_guids(root: Path) -> list[list[str]]:
    """Read the splits as training does."""
    paths = {name: f"outputs/splits/{name}.csv" for name in ("train", "val", "test")}
    splits, _ = read_training_splits(paths, root, test_is_optional=True)
    return [splits[name].guids for name in ("train", "val")]


def test_files_of_one_split_are_replaced_together_or_training_notices(tmp_path):
    """Killed at each rename: training sees the old split, the new one, or ends with one line."""
    make_project(tmp_path, MIXED)
    write_pair(tmp_path / "data", "60")
    write_list(tmp_path / "test_without_label.txt", [("60", "null")])
    whole = {}
    for seed in ("7", "42"):
        cut(tmp_path, "--seed", seed)
        whole[seed] = training_guids(tmp_path)
    seen = Counter()
    for count in (1, 2, 3):
        for when in ("before", "after"):
            cut(tmp_path)
            command = [sys.executable, "-c", SUICIDE, str(count), when, make_splits.__file__]
            done = subprocess.run(
                [*command, "--project-root", tmp_path, "--seed", "7"], capture_output=True
            )
            assert done.returncode == (9 if os.name == "nt" else -9), done.stderr
            try:
                assert training_guids(tmp_path) in whole.values()
                seen["whole"] += 1
            except UserError as error:
                assert re.search("stopped while it wrote.*run make_splits.py again", str(error))
                seen["noticed"] += 1
    assert seen["noticed"] >= 4
    cut(tmp_path, "--seed", "7")
    assert training_guids(tmp_path) == whole["7"]
    left = {path.name for path in (tmp_path / "outputs/splits").iterdir()}
    assert left == {"train.csv", "val.csv", "test.csv", "quality.json"}


@pytest.mark.parametrize("place", [1, 2])
def test_ctrl_c_between_the_renames_leaves_the_splits_as_they_were(tmp_path, monkeypatch, place):
    make_project(tmp_path, MIXED)
    cut(tmp_path)
    before, real, calls = content(tmp_path), os.replace, []

    def replace(source, target):
        real(source, target)
        calls.append(target)
        if len(calls) == place:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        with pytest.raises(KeyboardInterrupt):
            cut(tmp_path, "--seed", "7")
    assert content(tmp_path) == before
    assert len(training_guids(tmp_path)[0]) == 54


def test_a_disk_that_fills_up_behind_the_splits_does_not_hide_that_they_are_new(
    tmp_path, monkeypatch, capsys
):
    make_project(tmp_path, MIXED)
    cut(tmp_path)

    def full(*args):
        raise UserError("cannot write quality.json: No space left on device")

    monkeypatch.setattr(make_splits, "write_result", full)
    with pytest.raises(UserError, match="No space left"):
        cut(tmp_path, "--seed", "7")
    said = capsys.readouterr().out
    assert f"wrote {tmp_path / 'outputs/splits/val.csv'}" in said
    assert "warning: the split that was there was another one" in said


def test_a_split_that_cannot_be_put_back_is_not_trained_on(tmp_path, monkeypatch):
    make_project(tmp_path, MIXED)
    cut(tmp_path)
    real, calls = os.replace, []

    def replace(source, target):
        calls.append(target)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(source, target)

    def full(path, content):
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(UserError, match="do not belong together, run this command again"):
            cut(tmp_path, "--seed", "7")
    with pytest.raises(UserError, match="two different splits"):
        training_guids(tmp_path)
    cut(tmp_path)
    assert len(training_guids(tmp_path)[0]) == 54


def test_a_failure_after_a_kill_does_not_hide_that_the_files_are_mixed(tmp_path, monkeypatch):
    make_project(tmp_path, MIXED)
    cut(tmp_path)
    (tmp_path / "outputs/splits" / UNFINISHED).write_bytes(b"")  # as a killed command leaves it

    def in_use(source, target):
        raise PermissionError(13, "in use")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", in_use)
        with pytest.raises(UserError, match="do not belong together, run this command again"):
            cut(tmp_path, "--seed", "7")
    with pytest.raises(UserError, match="two different splits"):
        training_guids(tmp_path)
    cut(tmp_path, "--seed", "7")
    assert len(training_guids(tmp_path)[0]) == 54


def test_two_commands_do_not_write_one_split_at_once(tmp_path):
    make_project(tmp_path, MIXED)
    cut(tmp_path)
    marker = tmp_path / "outputs/splits" / UNFINISHED
    code = (
        f"import sys; sys.path.insert(0, {str(Path(make_splits.__file__).parent)!r}); "
        "from pathlib import Path; from common.files import lock; "
        f"file = lock(Path({str(marker)!r})); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline().strip() == b"held"
    with pytest.raises(UserError, match="another command is writing there"):
        cut(tmp_path, "--seed", "7")
    holder.communicate()
    cut(tmp_path, "--seed", "7")  # what a dead process left is no lock
    assert not marker.exists()


def test_csv_files_written_by_hand_need_no_mark_of_ours(tmp_path):
    make_project(tmp_path, MIXED)
    (tmp_path / "outputs/splits").mkdir(parents=True)
    write_list(tmp_path / "outputs/splits/train.csv", list(enumerate(MIXED))[:50])
    write_list(tmp_path / "outputs/splits/val.csv", list(enumerate(MIXED))[50:])
    assert [len(guids) for guids in training_guids(tmp_path)] == [50, 10]


# Folds


def fold_guids(root: Path, side: str) -> dict[str, list[str]]:
    """The guids of each fold, by the name of its folder."""
    folders = sorted((root / "outputs/splits").glob("fold_*"))
    return {path.name: [row["guid"] for row in tables(path)[side]] for path in folders}


def test_each_pair_is_validated_in_one_fold_and_copies_in_the_same(tmp_path):
    make_project(tmp_path, MIXED)
    for guid in ("0", "7", "30"):
        write_pair(tmp_path / "data", guid, "同样的句子", photo(int(guid)))
    split = cut(tmp_path)
    assert cut(tmp_path, "--folds", "5") == split  # train.csv and val.csv are as without folds
    val, train = fold_guids(tmp_path, "val"), fold_guids(tmp_path, "train")
    assert list(val) == [f"fold_{k}" for k in range(1, 6)]
    assert sorted(int(guid) for guids in val.values() for guid in guids) == list(range(60))
    for fold, guids in val.items():
        assert len(guids) == 12 and not set(guids) & set(train[fold])
        assert len(guids) + len(train[fold]) == 60
        assert {MIXED[int(guid)] for guid in guids} == set(MIXED)
        assert len({"0", "7", "30"} & set(guids)) in (0, 3)
    splits, _ = read_training_splits(
        {name: f"outputs/splits/fold_2/{name}.csv" for name in ("train", "val")}
        | {"test": "outputs/splits/test.csv"},
        tmp_path,
        test_is_optional=True,
    )
    assert splits["val"].guids == val["fold_2"]


def test_fewer_folds_remove_the_later_ones_and_leave_what_else_lies_there(tmp_path, capsys):
    make_project(tmp_path, MIXED)
    cut(tmp_path, "--folds", "4")
    (tmp_path / "outputs/splits/fold_4/notes.txt").write_text("mine", encoding="utf-8")
    cut(tmp_path, "--folds", "2")
    folders = sorted(path.name for path in (tmp_path / "outputs/splits").glob("fold_*"))
    assert folders == ["fold_1", "fold_2", "fold_4"]
    left = [path.name for path in (tmp_path / "outputs/splits/fold_4").iterdir()]
    assert left == ["notes.txt"]
    assert "fold_3: there are 2 folds now\n" in capsys.readouterr().out


@pytest.mark.parametrize("place", [1, 4, 6])
def test_folds_are_replaced_with_the_split_or_stay_as_they_were(tmp_path, monkeypatch, place):
    make_project(tmp_path, MIXED)
    cut(tmp_path, "--folds", "3")
    folder, real, calls = tmp_path / "outputs/splits", os.replace, []
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def replace(source, target):
        calls.append(target)
        if len(calls) == place:
            raise PermissionError(13, "in use")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(UserError, match="cannot write it, the splits are as they were"):
        cut(tmp_path, "--folds", "4", "--seed", "7")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert not (folder / "fold_4").exists()


def test_training_on_a_fold_notices_that_splits_were_half_replaced(tmp_path):
    make_project(tmp_path, MIXED)
    cut(tmp_path, "--folds", "2")
    (tmp_path / "outputs/splits" / UNFINISHED).write_bytes(b"")
    paths = {name: f"outputs/splits/fold_1/{name}.csv" for name in ("train", "val")}
    with pytest.raises(UserError, match="run make_splits.py again"):
        read_training_splits({**paths, "test": "none.csv"}, tmp_path, test_is_optional=True)


def test_a_class_too_small_for_the_folds_is_named_and_nothing_written(tmp_path):
    make_project(tmp_path, [*MIXED, "rare", "rare"])
    with pytest.raises(UserError, match="too few pairs for 3 folds: class 'rare' has 2 that are"):
        cut(tmp_path, "--folds", "3")
    assert not (tmp_path / "outputs").exists()


def test_a_list_within_a_fold_is_never_written_over(tmp_path):
    make_project(tmp_path, MIXED)
    cut(tmp_path, "--folds", "2")
    own = ["--train-file", "outputs/splits/fold_2/train.csv"]
    for folds in ("2", "3"):
        with pytest.raises(UserError, match="is the list to be split and would be overwritten"):
            cut(tmp_path, *own, "--folds", folds)


@pytest.mark.parametrize("folds", ["1", "0", "-2", "101", "2.5", "many"])
def test_a_number_of_folds_that_is_none_is_refused(tmp_path, folds, capsys):
    with pytest.raises(SystemExit, match="2"):
        make_splits.main(["--project-root", str(tmp_path), "--folds", folds])
    assert "--folds" in capsys.readouterr().err


# Files that are missing or broken


def spoil(root: Path) -> None:
    """Pairs 0 to 3 and the test pair 61: no text, no picture, two broken pictures, no picture."""
    for guid in ("60", "61"):
        write_pair(root / "data", guid, f"test {guid}", photo(int(guid)))
    write_list(root / "test_without_label.txt", [("60", "null"), ("61", "null")])
    for name in ("0.txt", "1.png", "61.png"):
        (root / "data" / name).unlink()
    for guid in ("2", "3"):
        (root / "data" / f"{guid}.png").write_bytes(b"no picture")


def broken_rows(root: Path) -> list[dict[str, str]]:
    with open(root / "outputs/splits/broken.csv", encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_all_missing_and_broken_files_are_told_at_once_and_listed(tmp_path):
    make_project(tmp_path, MIXED)
    spoil(tmp_path)
    with pytest.raises(UserError) as caught:
        cut(tmp_path)
    message = str(caught.value)
    assert "train.txt: 5 files are missing or unreadable: row 2: " in message
    assert re.search(r"0\.txt' \(.*1\.jpg' \(.*2\.png' \(not an image.*3\.png' \(", message)
    assert re.search(r"in .*test_without_label\.txt: row 3: '.*61\.jpg' \(", message)
    assert "--skip-broken" in message and "broken.csv lists all" in message
    assert [path.name for path in (tmp_path / "outputs/splits").iterdir()] == ["broken.csv"]
    rows = broken_rows(tmp_path)
    assert [row["guid"] for row in rows] == ["0", "1", "2", "3", "61"]
    assert all(row["reason"] for row in rows) and rows[2]["path"].endswith("2.png")


def test_ten_of_many_broken_files_are_on_the_screen_and_all_in_the_list(tmp_path):
    make_project(tmp_path, MIXED)
    for i in range(25):
        (tmp_path / "data" / f"{i}.png").write_bytes(b"no picture %d" % i)
    with pytest.raises(UserError, match="25 files are missing.*; and 15 more.*broken.csv"):
        cut(tmp_path)
    assert len(broken_rows(tmp_path)) == 25


def test_pairs_with_broken_files_are_left_out_on_request_and_recorded(tmp_path, capsys):
    make_project(tmp_path, MIXED)
    spoil(tmp_path)
    found = cut(tmp_path, "--skip-broken")
    out = capsys.readouterr().out
    guids = {row["guid"] for name in ("train", "val", "test") for row in found[name]}
    assert guids == {str(i) for i in range(4, 61)}
    assert "left out: 5 pairs with 5 files that are missing or broken:\n  0: " in out
    assert "texts (labelled): 56 utf-8, 0 gb18030, 0 replaced; 0 empty; no file missing\n" in out
    assert [row["guid"] for row in broken_rows(tmp_path)] == ["0", "1", "2", "3", "61"]
    assert f"wrote {tmp_path / 'outputs/splits/broken.csv'}\n" in out
    assert "do not compare runs" not in out
    # Once they are mended, the list of broken files is gone.
    make_project(tmp_path, MIXED)
    write_pair(tmp_path / "data", "61", "new", photo(61))
    assert list(cut(tmp_path, "--skip-broken")) == ["test", "train", "val"]


def test_nothing_is_left_out_in_silence_when_nothing_is_left(tmp_path):
    make_project(tmp_path, MIXED)
    for path in (tmp_path / "data").glob("*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(UserError, match="no pair is left without the broken ones"):
        cut(tmp_path, "--skip-broken")


def test_a_list_of_broken_files_that_cannot_be_written_hides_no_message(tmp_path):
    make_project(tmp_path, MIXED)
    spoil(tmp_path)
    (tmp_path / "outputs").write_text("in the way", encoding="utf-8")
    with pytest.raises(UserError, match="5 files are missing or unreadable.*--skip-broken"):
        cut(tmp_path)


# Lists of pairs without labels

PLACEHOLDERS = ["None", "?", "-", "unlabeled", "unlabelled", "N/A", "na", "unknown", "？", "待预测"]
PLACEHOLDERS += ["null", "NaN", "", "0", "to be predicted"]


@pytest.mark.parametrize("placeholder", PLACEHOLDERS)
def test_a_placeholder_in_the_test_list_is_no_label(tmp_path, placeholder):
    make_project(tmp_path, MIXED)
    for guid in ("60", "61"):
        write_pair(tmp_path / "data", guid)
    tests = [("60", placeholder), ("61", placeholder)]
    write_list(tmp_path / "test_without_label.txt", tests)
    assert [row["label"] for row in cut(tmp_path)["test"]] == ["", ""]
    # the same where training reads a list that was not made here
    write_list(tmp_path / "outputs/splits/test.csv", tests)
    assert len(training_guids(tmp_path)[0]) == 54


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_the_test_table_has_the_order_and_the_line_ends_of_its_list(tmp_path, line_end):
    make_project(tmp_path, MIXED)
    for guid in ("62", "60", "61"):
        write_pair(tmp_path / "data", guid)
    rows = [b"guid,tag", b"62,null", b"60,null", b"61,null", b""]
    (tmp_path / "test_without_label.txt").write_bytes(line_end.join(rows))
    assert [row["guid"] for row in cut(tmp_path)["test"]] == ["62", "60", "61"]
    content = (tmp_path / "outputs/splits/test.csv").read_bytes()
    assert content.count(b"\n") == content.count(line_end) == 4
    assert (b"\r" in content) == (line_end == b"\r\n")
    assert b"\r" not in (tmp_path / "outputs/splits/train.csv").read_bytes()


def test_a_test_list_without_tags_is_a_list_without_labels(tmp_path, capsys):
    make_project(tmp_path, MIXED)
    write_pair(tmp_path / "data", "60")
    (tmp_path / "test_without_label.txt").write_text("guid\n60\n", encoding="utf-8")
    assert [row["label"] for row in cut(tmp_path)["test"]] == [""]
    assert re.search(r"^\(no label\) +0 +0 +1$", capsys.readouterr().out, re.M)


def test_a_word_that_is_a_class_is_no_placeholder(tmp_path):
    labels = ["none", "hate", "none", "hate"] * 5
    make_project(tmp_path, labels)
    for guid in ("60", "61", "62"):
        write_pair(tmp_path / "data", guid)
    write_list(tmp_path / "test_without_label.txt", [("60", "none"), ("61", "?"), ("62", "hate")])
    assert [row["label"] for row in cut(tmp_path)["test"]] == ["none", "", "hate"]


# Tables in Excel


def test_guids_that_look_like_formulas_stay_as_they_are_with_a_warning(tmp_path, capsys):
    make_project(tmp_path, MIXED)
    formulas = ["=1+1", "+86", "-5", "@me"]
    for guid in formulas:
        write_pair(tmp_path / "data", guid, f"text {guid}", photo(99 + len(guid)))
    write_list(
        tmp_path / "train.txt", [*enumerate(MIXED), *((guid, "neutral") for guid in formulas)]
    )
    found = cut(tmp_path)
    assert set(formulas) < {row["guid"] for side in SIDES for row in found[side]}
    assert "warning: 4 guids begin with = + - or @, for example '" in capsys.readouterr().out


def test_tables_have_a_byte_order_mark_where_excel_needs_it(tmp_path):
    make_project(tmp_path, MIXED)
    cut(tmp_path)
    assert not content(tmp_path)["train.csv"].startswith(b"\xef\xbb\xbf")
    make_project(tmp_path, ["高兴" if label == "positive" else label for label in MIXED])
    found = cut(tmp_path)
    for name in ("train.csv", "val.csv"):
        assert content(tmp_path)[name].startswith(b"\xef\xbb\xbf")
    assert read_quality(tmp_path / "outputs/splits/val.csv")
    assert "高兴" in {row["label"] for row in found["val"]}
    assert len(training_guids(tmp_path)[0]) == 54


# Text encodings


def test_the_encoding_of_the_texts_is_said_and_can_be_chosen(tmp_path, capsys):
    make_project(tmp_path, MIXED)
    for i, text in enumerate(("I don’t know", "café in town", "so naïve")):
        write_pair(tmp_path / "data", str(i), text.encode("cp1252"), photo(i))
    cut(tmp_path)
    out = capsys.readouterr().out
    assert "texts (labelled): 57 utf-8, 0 gb18030, 0 replaced, 3 cp1252; 0 empty" in out
    assert "texts: 3 are not UTF-8 and were read as Windows-1252; --text-encoding over" in out
    cut(tmp_path, "--text-encoding", "gb18030")
    out = capsys.readouterr().out
    assert "57 utf-8, 2 gb18030, 1 replaced;" in out and "read as GB18030" in out


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


@pytest.mark.parametrize("folder", ["x" * 300, "train.txt/y", "data/1.txt"])
def test_an_output_folder_that_cannot_be_is_named(tmp_path, folder):
    make_project(tmp_path, MIXED)
    with pytest.raises(UserError, match="train.csv: cannot write it, the splits are as they were"):
        cut(tmp_path, "--output-dir", folder)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that are no Unicode")
def test_a_data_folder_whose_name_is_no_unicode_is_named(tmp_path):
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    make_project(Path(folder), MIXED)
    with pytest.raises(UserError, match="train.csv: cannot write it, .*surrogates not allowed"):
        cut(tmp_path / "project", "--data-dir", folder)
    assert not list((tmp_path / "project/outputs/splits").iterdir())
    assert len(cut(Path(folder))["val"]) == 6  # under its own root only relative paths are written


# The report


def test_the_counts_of_chinese_classes_stand_below_each_other(tmp_path, capsys):
    labels = ["消极", "中性的", "ok"] * 10
    for guid in range(30):
        write_pair(tmp_path / "data", str(guid), f"{guid} 号的天气", photo(guid))
    write_list(tmp_path / "train.txt", [(str(guid), label) for guid, label in enumerate(labels)])
    cut(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    counts = [line for line in lines if line.startswith(("消极", "中性的", "ok", "all"))]
    assert len(counts) == 4 and len(set(map(console_width, counts))) == 1


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
    assert "odd, but used (labelled): 1 nul text\n" in out and "used (test)" not in out
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
    assert "warning: test pairs that share guid, text or picture (or nearly) with " in out
    assert "with labelled ones: 2\n" in out
    assert [line for line in out.splitlines() if line.startswith("wrote ")] == [
        f"wrote {tmp_path / 'outputs/splits' / name}"
        for name in ("train.csv", "val.csv", "test.csv", "quality.json")
    ]
    found = read_quality(tmp_path / "outputs/splits/val.csv")
    assert found["same_photo"] == {"groups": 1, "pairs": 3, "conflicts": 0}
    assert found["same_text"]["conflicts"] >= 1 and found["left_out"] == 0
    assert sum(found["class_counts"]["train"].values()) == len(training_guids(tmp_path)[0])


def test_a_stale_test_list_gets_a_warning(tmp_path, capsys):
    make_project(tmp_path, MIXED)
    write_pair(tmp_path / "data", "60")
    tests = write_list(tmp_path / "test_without_label.txt", [("60", "null")])
    cut(tmp_path)
    tests.unlink()
    cut(tmp_path)
    assert "test.csv is of an earlier split and was left as it is" in capsys.readouterr().out


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
