"""A split is read as it was meant, or an error names file, row and value."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from common.data import tables
from common.data.pair_files import IMAGE_SUFFIXES
from common.data.splits import (
    Split,
    check_classes,
    class_names,
    label_indices,
    read_training_splits,
)
from common.errors import UserError
from helpers.pairs import read_split, write_pair

HEADER = "guid,text_path,image_path,label\n"
PLAIN = "guid,label\n1,positive\n2,negative\n3,neutral\n"
not_windows = pytest.mark.skipif(os.name == "nt", reason="Windows has no such paths")


@pytest.fixture
def root(tmp_path) -> Path:
    for guid in "123":
        write_pair(tmp_path / "data", guid, f"句子 {guid}")
    return tmp_path


def read(root: Path, content: str | bytes, **options) -> Split:
    data = content if isinstance(content, bytes) else content.encode("utf-8")
    (root / "split.csv").write_bytes(data)
    return read_split("split.csv", root, **options)


def error(root: Path, content: str | bytes, **options) -> str:
    with pytest.raises(UserError) as caught:
        read(root, content, **options)
    message = str(caught.value)
    assert message.isprintable() and message.startswith(str(root)) and len(message) < 2000
    return message


# Columns and layouts


def test_every_layout_gives_the_same_pairs(root):
    layouts = [
        HEADER + "1,data/1.txt,data/1.png,a\n2,data/2.txt,data/2.png,b\n",
        "tag,x,image_path,text_path,guid\na,?,data/1.png,data/1.txt,1\nb,?,data/2.png,data/2.txt,2\n",
        "guid,text,image_path,label\n1,句子 1,data/1.png,a\n2,句子 2,data/2.png,b\n",
        "guid,text,label\n1,句子 1,a\n2,句子 2,b\n",
        " guid , tag \n 1 , a \n 2 , b \n",
        "guid,tag,label,x,x\n1,?,a,,\n2,?,b,,\n",
    ]
    for content in layouts:
        split = read(root, content)
        assert (split.guids, split.labels, split.rows) == (["1", "2"], ["a", "b"], [2, 3])
        assert split.texts == ["句子 1", "句子 2"] and len(split) == 2
        assert split.image_paths == [str(root / "data" / f"{i}.png") for i in (1, 2)]
        assert len(split.text_paths) == (0 if ",text," in content else 2)
        assert split.encodings == {"utf-8": 2, "gb18030": 0, "replaced": 0} and split.notes == {}


@pytest.mark.parametrize("folder", ["data/data", "data/project5/data", "data", "elsewhere/照片 1"])
def test_guids_name_files_in_the_first_data_folder(tmp_path, folder):
    """Suffixes of any letter case. Of several photos the first suffix counts, on every system."""
    data = tmp_path / folder
    for number, suffix in enumerate((*IMAGE_SUFFIXES, ".JPG", ".WebP")):
        write_pair(data, str(number))
        (data / f"{number}.png").rename(data / f"{number}{suffix}")
        (data / f"{number}.txt").rename(data / f"{number}{'.TXT' if number % 2 else '.txt'}")
    (data / "0.png").write_bytes(b"not taken")
    (data / "2.jpg").mkdir()  # a folder is no photo
    guids = sorted({path.stem for path in data.iterdir()})
    content = "guid,tag\n" + "".join(f"{guid},a\n" for guid in guids)
    split = read(tmp_path, content, data_dir=folder if folder.startswith("elsewhere") else None)
    assert [Path(path).stem for path in split.image_paths] == guids
    assert {Path(path).parent for path in split.image_paths} == {data}
    assert all(Path(path).read_bytes() != b"not taken" for path in split.image_paths)


# Rows


def test_encoding_and_line_ends_of_the_csv_change_nothing(root):
    content = 'guid,text,label\n一,"他说 ""你好"", 真的",正面\n二,中文,负面\n'
    for guid in "一二":
        write_pair(root / "data", guid)
    for encoding in ("utf-8", "utf-8-sig", "gb18030", "utf-16"):
        for end in ("\n", "\r\n", "\r"):
            split = read(root, content.replace("\n", end).encode(encoding))
            assert split.texts == ['他说 "你好", 真的', "中文"] and split.rows == [2, 3]
            assert split.labels == ["正面", "负面"] and split.line_end == end
            known = encoding.removesuffix("-sig")
            assert split.encodings[known] == 2
            assert split.notes == ({} if known == "utf-8" else {f"{known}_csv": 1})


def test_a_row_is_what_a_spreadsheet_calls_a_row(root):
    content = 'guid,text,label\n\n1,"two\nlines",positive\n,,\n2,plain,negative\n   \n3,"\r\n",\n'
    split = read(root, content, allow_unlabelled=True)
    assert split.rows == [3, 5, 7] and split.texts == ["two\nlines", "plain", ""]
    assert split.labels == ["positive", "negative", ""]
    assert split.notes == {"blank_row": 3, "empty_text": 1}
    assert "split.csv, row 7: the label is empty" in error(root, content)


# Guids and labels


def test_no_label_is_an_error_unless_it_may_be(root):
    for cell, says in (("", "empty"), (" ", "empty"), ("null", "'null'"), ("NaN", "'NaN'")):
        content = f"guid,label\n1,positive\n2,{cell}\n3,{cell}\n"
        expected = f"split.csv, row 3: the label is {says}; row 4: the label is {says}"
        assert expected in error(root, content)
        assert read(root, content, allow_unlabelled=True).labels == ["positive", "", ""]


def test_classes_have_the_order_of_their_scale_or_are_sorted():
    scale = ["negative", "neutral", "positive"]
    assert class_names([*scale[::-1], "positive"]) == scale
    assert class_names(["positive", "negative"]) == ["negative", "positive"]
    assert class_names(["positive", "angry", "neutral"]) == ["angry", "neutral", "positive"]


def test_labels_become_indices_and_a_strange_one_is_named(root):
    split = read(root, PLAIN)
    assert label_indices(split, ["negative", "neutral", "positive"]) == [2, 0, 1]
    says = r"split.csv, row 3: label 'negative' is not a class .*; its classes are 'neutral, pos"
    with pytest.raises(UserError, match=says):
        label_indices(split, ["neutral", "positive"])


def test_labels_that_are_no_classes_are_refused_and_many_classes_are_not():
    def labelled(labels) -> Split:
        guids = [str(i) for i in range(len(labels))]
        return Split(Path("a.csv"), guids, guids, guids, list(map(str, labels)), [])

    with pytest.raises(UserError, match="^a.csv: 'x' is the only class"):
        check_classes(labelled("xx"))
    scores = [f"{i / 7:.2f}" for i in range(60)]
    for labels in (scores, [-i for i in range(60)], [*scores, *scores[:50]], range(11)):
        with pytest.raises(UserError, match=f"{len(set(labels))} different .* look like scores"):
            check_classes(labelled(labels))
    names = [f"class {i}" for i in range(60)]
    for labels in ([*range(60)] * 3, names, range(10), [*range(20), "a"], [1.5, 2, 2.5] * 9):
        check_classes(labelled(labels))


# What is wrong

TWO, PAIR = "(2 rows in all)", "guid,label\n1,positive\n2,negative\n3,"
WRONG = {  # rows of a csv behind its header, or the whole csv -> what the message says
    "guid;label\n1;1": "row 1: column 'guid' is missing; columns found: 'guid;label'",
    "guid,class\n1,1": "row 1: column 'label' is missing",
    "guid,text_path,label\n1,1,1": "row 1: column 'image_path' is missing",
    "guid,image_path,label\n1,1,1": "row 1: column 'text_path' is missing",
    "guid,text,text,label\n1,1,1,1": "row 1: column 'text' is there twice",
    **dict.fromkeys(("", "\n\n", "guid,label", "\ufeffguid,label\r\n\r\n,\r\n"), "no pairs in it"),
    f"{PAIR}too,many,fields": "row 4: 4 fields; the header has 2",
    "guid,label\n1,a,b\n2,a\n3": f"row 2: 3 fields; row 4: 1 fields {TWO}; the header has 2",
    f'{PAIR}"open': "row 4: not valid CSV",
    f'{PAIR}"a"b': "row 4: not valid CSV",
    "guid,label\n1,a\n2,\0b": "line 3: not a text file in UTF-8 or GB18030; save it as CSV",
    # Guids and labels. All rows with a fault are told: nobody mends one by one.
    f"{HEADER}1,,,a\n2,,,b\n2,,,b\n,,,a": (
        f"row 4: guid '2' is in row 3 already; row 5: the guid is empty {TWO}"
    ),
    "guid,label\n1,a\n" + "1,a\n" * 200: "; and 190 more (200 rows in all); every pair needs",
    f"{HEADER}2,,,b\n3,,,B\n4,,,a\n5,,,A": (
        f"row 3: label 'B', but 'b' in row 2; row 5: label 'A', but 'a' in row 4 {TWO}"
    ),
    **{
        f"{PAIR}{label}": f"row 4: label '{label}"[:14]
        for label in ("Positive", "ｐｏｓｉｔｉｖｅ", "posi\u200btive", "positive\ufeff")
    },
    "guid,label\n1,\x1b[2Jpositive": "row 2: the label '\\x1b[2Jpositive' holds a control character",
    'guid,label\n"a\nb",positive': "row 2: the guid 'a\\nb' holds a control character",
    # Files
    f"{HEADER}1,x,i,a\n2,x,,b\n3,x,i,b\n4,x,,b": (
        f"row 3: image_path is empty; row 5: image_path is empty {TWO}"
    ),
    **{  # a guid never leaves the data folder
        f"guid,label\n{guid},a": f"row 2: guid '{guid}' cannot name files"
        for guid in ("../1", "..\\1", "/etc/passwd", "C:\\1", "C:1", "a/1", "data/../1")
    },
}


def test_what_is_wrong_is_named_with_its_row(root):
    (root / "1.txt").write_text("secret", encoding="utf-8")
    for content, says in WRONG.items():
        assert says in error(root, f"{content}\n"), content
    for content in (PLAIN.encode("utf-16-le"), b"QK\x03\x04\0\0\xff", b"guid,label\n1,\x81\xff\n"):
        assert "not a text file in UTF-8 or GB18030; save it as CSV" in error(root, content)
    assert "there is no folder" in error(root, PLAIN, data_dir="nowhere")
    for path, why in (("nowhere.csv", ""), ("data", "not a file"), ("x" * 5000, "")):
        with pytest.raises(UserError, match=f"cannot read the split file .*{why}.*make_splits.py"):
            read_split(path, root)


# Training, validation and test together


def training(
    root: Path, test: str | None = None, val: str = "1,b\n", **options
) -> tuple[dict[str, Split], list[str]]:
    tables = {"train": "guid,tag\n1,a\n2,b\n", "val": f"guid,tag\n3,a\n{val}", "test": test}
    for name, content in tables.items():
        if content is not None:
            (root / f"{name}.csv").write_text(content, encoding="utf-8")
    paths = {name: f"{name}.csv" for name in tables}
    return read_training_splits(paths, root, **{"test_is_optional": True, **options})


def test_a_list_without_labels_is_read_to_be_predicted(root):
    """A usual word, a sign, or one value in all rows, unless it is a class; or no column at all."""
    words = ["None", "?", "-", "N/A", "unknown", "？", "待预测", "null", "", "0", "later"]
    for rows in ("guid\n1\n2\n", *(f"guid,tag\n1,{word}\n2,{word}\n" for word in words)):
        splits, (remark,) = training(root, rows)
        assert list(splits) == ["train", "val", "unlabelled"]
        assert splits["unlabelled"].labels == ["", ""]
        assert "test.csv: its pairs have no label, so they are predicted, not measured" in remark
    splits, (remark,) = training(root, "guid,tag\n1,a\n2,N/A\n3,\n")
    assert splits["unlabelled"].labels == ["a", "", ""]
    assert "test.csv: 2 of its 3 pairs have no label, so all are predicted and none is" in remark
    for labels in (["a", "b"], ["a", "a"], ["A", "A"]):  # label_indices then refuses the last
        splits, _ = training(root, "guid,tag\n1,{}\n2,{}\n".format(*labels))
        assert splits["test"].labels == labels


def test_a_class_that_cannot_be_measured_is_named(root):
    assert training(root)[1] == []
    _, remarks = training(root, "guid,tag\n1,b\n2,b\n", val="")
    lacking = {"val.csv": "'b'", "test.csv": "'a'"}
    for remark, (name, label) in zip(remarks, lacking.items(), strict=True):
        assert remark.startswith(f"warning: {root / name} has no pair of class {label}: ")


def test_only_the_default_test_list_may_be_missing(root):
    assert list(training(root)[0]) == ["train", "val"]
    with pytest.raises(UserError, match="test.csv: cannot read the split file"):
        training(root, test_is_optional=False)
    (root / "test.csv").mkdir()
    with pytest.raises(UserError, match="test.csv: cannot read the split file .not a file"):
        training(root)


# Files


def with_paths(root: Path, text_path: str, image_path: str) -> Split:
    rows = "".join(f"{guid},{text_path},{image_path},a\n" for guid in "12")
    return read(root, HEADER + rows)


def test_relative_paths_start_at_the_root_and_not_at_the_working_folder(root, monkeypatch):
    (root / "split.csv").write_text(PLAIN, encoding="utf-8")
    monkeypatch.chdir(root.parent)
    for path, top in (("split.csv", root), (root / "split.csv", root), ("split.csv", root.name)):
        assert len(read_split(path, top)) == 3


@not_windows
def test_relative_paths_written_on_windows_are_read_and_counted(root):
    split = with_paths(root, r"data\1.txt", r".\data\1.png")
    assert split.texts == ["句子 1"] * 2 and split.notes == {"windows_path": 4}
    (root / r"data\1.txt").write_text("named so", encoding="utf-8")
    assert with_paths(root, r"data\1.txt", "data/1.png").texts == ["named so"] * 2
    with pytest.raises(UserError, match=r"row 2: 'C:\\data\\1.txt' \(No such file"):
        with_paths(root, r"C:\data\1.txt", "data/1.png")


@not_windows
def test_what_is_no_file_is_named_and_does_not_block(root):
    (root / "linked").symlink_to(root / "data", target_is_directory=True)
    assert with_paths(root, "linked/1.txt", "linked/1.png").texts[0] == "句子 1"
    (root / "loop.png").symlink_to(root / "loop.png")
    os.mkfifo(root / "pipe")
    faults = {"loop.png": "Too many levels of symbolic links", "x" * 300: "File name too long"}
    faults |= {"pipe": "not a file", "/dev/zero": "not a file", ".": "not a file", "~/1": "No such"}
    for path, why in faults.items():
        with pytest.raises(UserError, match=rf"2 files are missing.*row 2: '{path[:9]}.*\({why}"):
            with_paths(root, "data/1.txt", path)
    with pytest.raises(UserError, match="not a file"):
        read_split("pipe", root)


# Texts


def test_every_text_is_read_and_what_was_odd_is_counted(root):
    empty, nul = {"empty_text": 1}, {"nul_text": 1}
    cases = [
        (b"", "", "utf-8", empty),
        (" \r\n\u3000\xa0".encode(), "", "utf-8", empty),
        ("今天 😀\n".encode("utf-8-sig"), "今天 😀", "utf-8", {}),
        ("今天 😀\r\n".encode("gb18030"), "今天 😀", "gb18030", {}),
        ("hello".encode("utf-16"), "hello", "utf-16", {}),
        (b"caf\xe9", "café", "cp1252", {}),
        (b"\0\0\0", "", "utf-8", nul | empty),
        (b"a\0b", "ab", "utf-8", nul),
    ]
    for data, text, encoding, notes in cases:
        (root / "data" / "1.txt").write_bytes(data)
        split = read(root, PLAIN)
        assert split.texts == [text, "句子 2", "句子 3"]
        assert split.notes == notes and split.text_encodings == [encoding, "utf-8", "utf-8"]
        assert split.encodings["utf-8"] == 2 + (encoding == "utf-8")
    assert read(root, f"guid,text,label\n1,{'天' * 200_000},a\n").texts == ["天" * 200_000]


def test_a_list_larger_than_memory_is_refused_before_it_is_read(root, monkeypatch):
    monkeypatch.setattr(tables, "_MAX_BYTES", 3)
    assert "cannot read the split file (larger than" in error(root, PLAIN)
