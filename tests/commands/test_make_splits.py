"""make_splits.py: nothing is on both sides, classes keep their proportion, reruns agree."""

from __future__ import annotations

import io
import random
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import make_splits
import pytest
from common import files
from common.data import making
from common.data.report import read_quality
from common.data.splits import UNFINISHED, read_training_splits
from common.errors import UserError
from common.files import WAITING, alone, console_width
from helpers.pairs import photo, read_split, write_pair
from helpers.photos import noise
from helpers.stops import PowerCut, cut_at
from helpers.tables import read_table, write_rows
from PIL import ImageOps

SIDES = ("train", "val")
MIXED = ["negative"] * 20 + ["neutral"] * 10 + ["positive"] * 30


def make_project(
    root: Path, labels: list[str] = MIXED, data: str = "data", train: str = "train.txt"
) -> Path:
    """Pairs 0, 1, ... with these labels, each with a text and a photo of its own."""
    for i in range(len(labels)):
        write_pair(root / data, str(i), f"句子 {i}", photo(i))
    return write_list(root / train, enumerate(labels))


def write_list(path: Path, pairs) -> Path:
    lines = ["guid,tag", *(f"{guid},{label}" for guid, label in pairs), ""]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def add_tests(root: Path, *guids: str) -> Path:
    for guid in guids:
        write_pair(root / "data", guid, f"test {guid}", photo(int(guid)))
    return write_list(root / "test_without_label.txt", [(guid, "null") for guid in guids])


def cut(root: Path, *flags: str) -> dict[str, list[dict[str, str]]]:
    """Run make_splits.py and return the rows of its tables."""
    make_splits.main(["--project-root", str(root), *flags])
    return tables(root / "outputs" / "splits")


def tables(folder: Path) -> dict[str, list[dict[str, str]]]:
    return {
        path.relative_to(folder).with_suffix("").as_posix(): read_table(path)
        for path in sorted(folder.rglob("*.csv"))
    }


def content(root: Path) -> dict[str, bytes]:
    folder = root / "outputs" / "splits"
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def homes(found: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    """Side of each guid."""
    return {row["guid"]: side for side in SIDES for row in found[side]}


def training_guids(root: Path, folder: str = "") -> list[list[str]]:
    """Read the splits as training does."""
    paths = {name: f"outputs/splits/{folder}{name}.csv" for name in SIDES}
    paths["test"] = "outputs/splits/test.csv"
    splits, _ = read_training_splits(paths, root, test_is_optional=True)
    return [splits[name].guids for name in SIDES]


# Which pairs go where


def test_the_ratio_is_kept_and_classes_are_in_proportion(tmp_path):
    make_project(tmp_path)
    found = cut(tmp_path)
    assert list(found) == ["train", "val"] and len(homes(found)) == 60
    counts = Counter(row["label"] for row in found["val"])
    assert counts == {"negative": 2, "neutral": 1, "positive": 3}
    assert all(row["label"] == MIXED[int(row["guid"])] for side in SIDES for row in found[side])
    for ratio, size in (("0.25", 15), ("0.9", 54), ("0.001", 3)):
        assert len(cut(tmp_path, "--val-ratio", ratio)["val"]) == size


def test_what_cannot_be_cut_is_named_and_a_rare_class_warned_of(tmp_path, capsys):
    make_project(tmp_path, [*MIXED, "rare"])
    with pytest.raises(UserError, match="too few pairs for 3 folds: class 'rare' has 1 that are"):
        cut(tmp_path, "--folds", "3")
    assert not (tmp_path / "outputs").exists()
    assert "rare" in {row["label"] for row in cut(tmp_path)["train"]}
    assert "warning: val has no pair of class 'rare'" in capsys.readouterr().out
    for i in range(61):
        write_pair(tmp_path / "data", str(i), "同", photo(i))
    with pytest.raises(UserError, match="61 pairs that share texts or pictures cannot be cut in"):
        cut(tmp_path)


def test_the_order_of_the_list_changes_nothing_and_the_seed_something(tmp_path, capsys):
    make_project(tmp_path)
    cut(tmp_path)
    before = content(tmp_path)
    for seed in range(2):
        pairs = list(enumerate(MIXED))
        random.Random(seed).shuffle(pairs)
        write_list(tmp_path / "train.txt", pairs)
        cut(tmp_path)
        assert content(tmp_path) == before
    assert "do not compare runs made with it" not in capsys.readouterr().out
    cut(tmp_path, "--seed", "43")
    assert content(tmp_path)["val.csv"] != before["val.csv"]
    assert "the split that was there was another one" in capsys.readouterr().out


def test_a_new_pair_moves_few_of_the_others(tmp_path):
    make_project(tmp_path, MIXED * 3)
    before = {row["guid"] for row in cut(tmp_path)["val"]}
    make_project(tmp_path, MIXED * 3 + ["positive"] * 3)
    assert len(before & {row["guid"] for row in cut(tmp_path)["val"]}) >= 16


# Layouts and paths


def test_every_layout_is_found_and_paths_are_relative_to_the_root(tmp_path):
    layouts = [
        ("data", "train.txt", []),
        ("data/data", "data/train.txt", []),
        ("data/project5/data", "data/project5/train.txt", []),
        ("数据 集/data", "数据 集/train.txt", ["--data-dir", "数据 集"]),
        ("数据 集", "train.txt", ["--data-dir", "数据 集"]),
        ("数据 集/data", "数据 集/train.txt", ["--train-file", "数据 集/train.txt"]),
        ("data", "elsewhere.csv", ["--train-file", "elsewhere.csv"]),
    ]
    for number, (data, train, flags) in enumerate(layouts):
        root = tmp_path / str(number)
        make_project(root, ["a", "b"] * 5, data, train)
        write_pair(root / data, "60")
        write_list((root / train).with_name("test_without_label.txt"), [("60", "null")])
        found = cut(root, *flags)
        assert [len(found[side]) for side in ("train", "val", "test")] == [8, 2, 1]
        for row in found["train"] + found["val"] + found["test"]:
            names = [f"{data}/{row['guid']}{suffix}" for suffix in (".txt", ".png")]
            assert [row["text_path"], row["image_path"]] == names
        assert [row["label"] for row in found["test"]] == [""]


def test_a_project_may_move_and_its_data_may_lie_outside(tmp_path, monkeypatch):
    make_project(tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    make_splits.main([])
    monkeypatch.chdir(tmp_path)  # Windows renames no folder that a process is in
    (tmp_path / "here").rename(tmp_path / "there")
    assert len(read_split("outputs/splits/train.csv", tmp_path / "there")) == 54
    found = cut(tmp_path / "project", "--data-dir", str(tmp_path / "there"))
    assert found["val"][0]["image_path"].startswith(f"{(tmp_path / 'there/data').as_posix()}/")


def test_a_list_with_texts_keeps_them(tmp_path):
    make_project(tmp_path, data="pictures")
    hard = ['"hello", 你好', "two\nlines", "carriage\rreturn", "=1+1", "comma,", "'", "\u3000x"]
    texts = [*hard, *(f"句子 {i}" for i in range(len(hard), 60))]
    rows = [(i, texts[i], f"pictures/{i}.png", MIXED[i]) for i in range(60)]
    header = ("guid", "text", "image_path", "label")
    write_rows(tmp_path / "train.txt", [header, *rows], "\r\n")
    found = cut(tmp_path, "--val-ratio", "0.5")
    assert list(found["val"][0]) == list(header)
    read = {}
    for side in SIDES:
        part = read_split(f"outputs/splits/{side}.csv", tmp_path)
        read |= dict(zip(part.guids, part.texts, strict=True))
    assert [read[str(i)] for i in range(60)] == [text.strip() for text in texts]


def test_a_list_that_is_not_there_is_named_and_nothing_written(tmp_path):
    make_project(tmp_path, data="pictures", train="list.txt")
    for flags, says in (
        ([], r"no train.txt found \(looked for .*data.train.txt, .*project5.train.txt, "),
        (["--data-dir", "x" * 300], "no train.txt found"),
        (["--train-file", "list.txt", "--test-file", "no.txt"], "no.txt: cannot read the split"),
    ):
        with pytest.raises(UserError, match=says):
            cut(tmp_path, *flags)
        assert not (tmp_path / "outputs").exists()


# The tables take their places in one step


def test_all_tables_are_written_before_one_takes_its_place(tmp_path, monkeypatch):
    """After a stop between the renames, training is told so until they are whole again."""
    folder = tmp_path / "outputs/splits"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_bytes(b"mine")
    old = {name: b"old" for name in ("train.csv", "val.csv", "fold_1/train.csv", "fold_1/val.csv")}
    new = {name: b"new" for name in ("train.csv", "val.csv", "test.csv", "fold_2/val.csv")}
    obsolete = ["fold_1/train.csv", "fold_1/val.csv"]
    making.replace_together(folder, old, [])
    before = content(tmp_path)
    with pytest.raises(TypeError):
        making.replace_together(folder, {**new, "fold_2/train.csv": "no bytes"}, obsolete)
    assert content(tmp_path) == before
    for number in range(1, 5):
        with monkeypatch.context() as patch, pytest.raises(PowerCut):
            cut_at(patch, files, "move", number)
            making.replace_together(folder, new, obsolete)
        with pytest.raises(UserError, match="two different splits: run make_splits.py again"):
            training_guids(tmp_path, "fold_1/")
        making.replace_together(folder, old, [])
        assert content(tmp_path).items() >= before.items()
    making.replace_together(folder, new, obsolete)
    assert content(tmp_path) == {**new, "notes.txt": b"mine"}


def test_two_commands_write_one_split_one_after_the_other(tmp_path):
    make_project(tmp_path)
    cut(tmp_path)
    before = content(tmp_path)
    with ThreadPoolExecutor() as pool:
        with alone(tmp_path / "outputs/splits/train.csv"):
            second = pool.submit(cut, tmp_path, "--seed", "7")
            assert WAITING.wait(60) and content(tmp_path).items() >= before.items()
        second.result()
    assert content(tmp_path)["val.csv"] != before["val.csv"]


def test_what_cannot_be_written_is_named_and_nothing_is_lost(tmp_path):
    make_project(tmp_path, train="train.csv")
    own, folder = ["--train-file", "train.csv"], tmp_path / "outputs/splits"
    before = (tmp_path / "train.csv").read_bytes()
    overwritten, kept = (
        "is the list to be split and would be overwritten",
        "splits are as they were",
    )
    for output, says in (
        *((output, overwritten) for output in ("data/..", "new/..")),  # "new" is still to be made
        *((output, kept) for output in ("x" * 300, "train.csv/y", "data/1.txt")),
    ):
        with pytest.raises(UserError, match=says):
            cut(tmp_path, *own, "--output-dir", output)
    assert (tmp_path / "train.csv").read_bytes() == before
    cut(tmp_path, *own, "--folds", "2")
    for more in ([], ["--folds", "3"]):
        with pytest.raises(UserError, match=overwritten):
            cut(tmp_path, "--train-file", "outputs/splits/fold_2/train.csv", *more)
    (folder / "val.csv").unlink()
    (folder / "val.csv").mkdir()
    written = content(tmp_path)
    with pytest.raises(UserError, match=f"val.csv: cannot write it, the {kept}"):
        cut(tmp_path, *own, "--seed", "7")
    assert content(tmp_path) == written
    (folder / UNFINISHED).touch()
    with pytest.raises(UserError, match="val.csv: cannot write it, .* do not belong together"):
        cut(tmp_path, *own, "--seed", "7")


# Folds


def test_each_pair_is_validated_in_one_fold_and_copies_in_the_same(tmp_path, capsys):
    make_project(tmp_path)
    for guid in ("0", "7", "30"):
        write_pair(tmp_path / "data", guid, "同样的句子", photo(int(guid)))
    split, folder = cut(tmp_path), tmp_path / "outputs/splits"
    (folder / "fold_1").mkdir()
    (folder / "fold_1/.val.csv.1234.tmp").touch()  # by a command that was killed
    found = cut(tmp_path, "--folds", "5")
    assert not (folder / "fold_1/.val.csv.1234.tmp").exists()
    assert split.items() <= found.items()  # train.csv and val.csv are as without folds
    seen = []
    for fold in [f"fold_{k}" for k in range(1, 6)]:
        train, val = ([row["guid"] for row in found[f"{fold}/{side}"]] for side in SIDES)
        assert len(val) == 12 and sorted(train + val) == sorted(map(str, range(60)))
        assert len({"0", "7", "30"} & set(val)) in (0, 3)
        assert training_guids(tmp_path, f"{fold}/")[1] == val
        seen += val
    assert sorted(map(int, seen)) == list(range(60))
    (folder / "fold_4/notes.txt").write_text("mine", encoding="utf-8")
    cut(tmp_path, "--folds", "2")
    folds = {name for name in content(tmp_path) if "fold" in name}
    tables = {f"fold_{k}/{side}.csv" for k in (1, 2) for side in SIDES}
    assert folds == {*tables, "fold_4/notes.txt"} and not (folder / "fold_3").exists()
    assert "fold_3: there are 2 folds now\n" in capsys.readouterr().out


# Files that are missing or broken


def test_missing_and_broken_files_are_told_at_once_listed_and_left_out_on_request(tmp_path, capsys):
    """Pairs 0 to 3 and the test pair 61: no text, no picture, two broken pictures, and one of a kind
    that is not read."""
    make_project(tmp_path)
    add_tests(tmp_path, "60", "61")
    for name in ("0.txt", "1.png"):
        (tmp_path / "data" / name).unlink()
    (tmp_path / "data/61.png").rename(tmp_path / "data/61.HEIC")
    for guid in "23":
        (tmp_path / "data" / f"{guid}.png").write_bytes(b"no picture")
    with pytest.raises(UserError) as caught:
        cut(tmp_path)
    message = str(caught.value)
    assert "train.txt: 5 files are missing or unreadable: row 2: " in message
    assert re.search(r"0\.txt' \(.*1\.jpg' \(.*2\.png' \(not an image.*3\.png' \(", message)
    beside = r"row 3: '.*61\.jpg' \(61\.HEIC is there: save it as one of \.jpg .*\.png "
    assert re.search(rf"in .*test_without_label\.txt: {beside}", message)
    assert "--skip-broken" in message and "broken.csv lists all" in message
    assert list(content(tmp_path)) == ["broken.csv"]
    broken = tables(tmp_path / "outputs/splits")["broken"]
    assert [row["guid"] for row in broken] == ["0", "1", "2", "3", "61"]
    assert all(row["reason"] for row in broken) and broken[2]["path"].endswith("2.png")
    found = cut(tmp_path, "--skip-broken")
    out = capsys.readouterr().out
    assert {*homes(found), *(row["guid"] for row in found["test"])} == set(map(str, range(4, 61)))
    assert found["broken"] == broken
    assert "left out: 5 pairs with 5 files that are missing or broken:\n  0: " in out
    assert "texts (labelled): 56 utf-8" in out and "do not compare runs" not in out
    # Once they are mended, the list is gone. A list that cannot be written hides no message.
    make_project(tmp_path)
    write_pair(tmp_path / "data", "61", "new", photo(61))
    assert list(cut(tmp_path, "--skip-broken")) == ["test", "train", "val"]
    for path in (tmp_path / "data").glob("*.png"):
        path.write_bytes(b"no picture")
    for flags, says in (
        (["--output-dir", "train.txt"], "62 files are missing.*; and 50 more.*--skip-broken"),
        (["--skip-broken"], "no pair is left without the broken ones"),
    ):
        with pytest.raises(UserError, match=says):
            cut(tmp_path, *flags)


# Tables


def test_the_test_table_has_the_order_and_the_line_ends_of_its_list(tmp_path, capsys):
    make_project(tmp_path)
    tests = add_tests(tmp_path, "62", "60", "61")
    for line_end in (b"\n", b"\r\n"):
        tests.write_bytes(line_end.join([b"guid", b"62", b"60", b"61", b""]))
        found = cut(tmp_path)["test"]
        assert [row["guid"] + row["label"] for row in found] == ["62", "60", "61"]
        written = content(tmp_path)["test.csv"]
        assert written.count(b"\n") == written.count(line_end) == 4
        assert b"\r" not in content(tmp_path)["train.csv"]
    assert re.search(r"^\(no label\) +0 +0 +3$", capsys.readouterr().out, re.M)
    tests.unlink()
    cut(tmp_path)
    assert "test.csv is of an earlier split and was left as it is" in capsys.readouterr().out


def test_tables_are_fit_for_excel(tmp_path, capsys):
    """A mark where Excel would misread them; what it takes for formulas stays, with a warning."""
    make_project(tmp_path)
    cut(tmp_path)
    assert not content(tmp_path)["train.csv"].startswith(b"\xef\xbb\xbf")
    formulas = ["=1+1", "+86", "-5", "@me"]
    for guid in formulas:
        write_pair(tmp_path / "data", guid, f"text {guid}", photo(99 + len(guid)))
    labels = ["高兴" if label == "positive" else label for label in MIXED]
    pairs = [*enumerate(labels), *((guid, "neutral") for guid in formulas)]
    write_list(tmp_path / "train.txt", pairs)
    found = cut(tmp_path)
    assert set(formulas) < homes(found).keys() and "高兴" in {row["label"] for row in found["val"]}
    assert all(content(tmp_path)[f"{side}.csv"].startswith(b"\xef\xbb\xbf") for side in SIDES)
    assert read_quality(tmp_path / "outputs/splits/val.csv") and training_guids(tmp_path)
    out = capsys.readouterr().out
    assert "warning: 4 guids begin with = + - or @, for example '" in out
    counts = [line for line in out.splitlines() if line.startswith(("高兴", "neutral", "all"))]
    assert len(set(map(console_width, counts[-3:]))) == 1


# The report


def test_copies_stay_on_one_side_and_the_report_counts_what_is_there(tmp_path, capsys):
    """Counted by hand. A chain: 0 and 10 share a text, 10 and 20 a photo, 20 and 30 nearly a text,
    30 and 40 nearly a photo, which the test pair 60 has as well.

    Three texts are GBK, one is Windows-1252 but read as the others, one is empty, one holds a NUL.
    """
    make_project(tmp_path)
    add_tests(tmp_path, "60", "61", "62")
    copies = [noise(300, 200).resize((90, 60)).resize((300, 200))]
    copies += [copies[0].reduce(2), ImageOps.mirror(copies[0])]
    pictures = []
    for copy in copies:
        stream = io.BytesIO()
        copy.save(stream, "PNG")
        pictures.append(stream.getvalue())
    words = "What a wonderful day at the sea http://t.co/a"
    for guid, text, file in (
        ("0", "同样 的 句子", photo(0)),
        ("10", "同样 的\n句子\n".encode("gb18030"), photo(900)),
        ("20", words, photo(900)),
        ("30", f"RT @me: {words.upper()} 😀", pictures[0]),
        ("40", "", pictures[1]),
        *((guid, "别的", photo(int(guid))) for guid in ("2", "3", "59")),  # 59: positive
        *((guid, f"天气 {guid}".encode("gbk"), photo(int(guid))) for guid in "45"),
        ("8", b"caf\xe9", photo(8)),
        ("9", b"a\0b", photo(9)),
        ("60", "new", pictures[2]),
        ("61", "同样 的 句子", photo(61)),
    ):
        write_pair(tmp_path / "data", guid, text, file)
    for seed in range(4):
        found = cut(tmp_path, "--seed", str(seed))
        for copies in (("0", "10", "20", "30", "40"), ("2", "3", "59")):
            assert len({homes(found)[guid] for guid in copies}) == 1
    capsys.readouterr()
    found = cut(tmp_path)
    out = capsys.readouterr().out
    assert re.search(r"^ +train +val +test$", out, re.M)
    for name, total in (("negative", 20), ("neutral", 10), ("positive", 30), ("all", 60)):
        train, val, test = map(
            int, re.search(rf"^{name} +(\d+) +(\d+) +(\d+)$", out, re.M).groups()
        )
        assert train + val == total and test == (3 if name == "all" else 0)
        assert val == sum(row["label"] == name or name == "all" for row in found["val"])
    for line in (
        "texts (labelled): 56 utf-8, 3 gb18030, 1 replaced; 1 empty; no file missing\n",
        "odd, but used (labelled): 1 nul text\n",
        "texts: 3 are not UTF-8 and were read as GB18030; --text-encoding overrules this\n",
        "same text: 2 shared by 5 pairs, each kept on one side; 1 of them with conflicting labels\n",
        "  for example 2 (negative), 3 (negative), 59 (positive)\n",
        "nearly the same text: 1 shared by 2 pairs, each kept on one side; 1 of them with",
        "nearly the same picture: 1 shared by 2 pairs, each kept on one side; 0 of them with",
        "largest group: 5 pairs that hang together by texts and pictures, on one side: 0 (",
        "(or nearly) with labelled ones: 2\n",
        f"wrote {tmp_path / 'outputs/splits/val.csv'}\n",
    ):
        assert line in out
    facts = read_quality(tmp_path / "outputs/splits/val.csv")
    assert facts["same_photo"] == {"groups": 1, "pairs": 2, "conflicts": 1}
    assert facts["class_counts"]["train"] == Counter(row["label"] for row in found["train"])
    cut(tmp_path, "--text-encoding", "cp1252")
    assert "56 utf-8, 0 gb18030, 0 replaced, 4 cp1252;" in capsys.readouterr().out


def test_facts_are_told_of_the_tables_that_they_are_about_and_of_no_others(tmp_path):
    make_project(tmp_path)
    cut(tmp_path, "--folds", "2")
    folder = tmp_path / "outputs/splits"
    (folder / "val.csv").write_bytes((folder / "val.csv").read_bytes() + b"\n")
    assert read_quality(folder / "val.csv") is None
    assert read_quality(folder / "fold_1/val.csv")["largest_group"] == 1
    for odd in (b"", b"[]", b"\xff", b"[" * 100_000, b'{"files": 1}', b" " * 2_000_000):
        (folder / "quality.json").write_bytes(odd)
        assert read_quality(folder / "fold_1/val.csv") is None


def test_the_report_is_in_the_language_that_is_asked_for(tmp_path, capsys):
    make_project(tmp_path, [*MIXED, "rare"])
    write_pair(tmp_path / "data", "1", "a\0b", photo(0))
    cut(tmp_path, "--lang", "zh")
    out = capsys.readouterr().out
    for said in (
        "有标签的样本：",
        "警告：val 里没有 'rare' 类",
        "1 含 NUL 字符",
        "已写入 ",
        "合计",
    ):
        assert said in out
    assert not re.search("warning|wrote|texts|same", out)


def test_corrected_labels_take_the_place_of_the_given_ones_on_the_same_sides_and_are_recorded(
    tmp_path, capsys
):
    make_project(tmp_path)
    given = cut(tmp_path, "--folds", "3")
    header = ["guid", "label", "mark", "corrected"]
    rows = [["3", "negative", "wrong", "positive"], ["25", "neutral", "wrong", "negative"]]
    rows += [["7", "negative", "unsure", ""], ["elsewhere", "neutral", "wrong", "negative"]]
    write_rows(tmp_path / "corrected.csv", [header, *rows])
    corrected = cut(tmp_path, "--folds", "3", "--labels", "corrected.csv", "--lang", "en")
    assert "labels of 2 pairs are corrected" in capsys.readouterr().out
    meant = {"3": "positive", "25": "negative"}
    assert corrected == {
        name: [{**row, "label": meant.get(row["guid"], row["label"])} for row in table]
        for name, table in given.items()
    }
    folder = tmp_path / "outputs" / "splits"
    assert read_quality(folder / "val.csv")["corrected_labels"]["pairs"] == 2
    write_rows(tmp_path / "corrected.csv", [header, ["3", "positive", "wrong", "neutral"]])
    with pytest.raises(UserError, match="row 2: the label of '3' is 'negative' now"):
        cut(tmp_path, "--labels", "corrected.csv")
    assert tables(folder) == corrected
