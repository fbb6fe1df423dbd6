"""A split is read as it was meant, or an error names file, row and value."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import pytest
from common.data import splits as splits_module
from common.data import splits_files as files_module
from common.data.encodings import decode
from common.data.splits import Split, class_names, label_indices, read_split, read_training_splits
from common.data.splits_files import IMAGE_SUFFIXES
from common.errors import UserError
from helpers.pairs import write_pair
from hypothesis import assume, given, settings
from hypothesis import strategies as st

quick = settings(deadline=None, database=None, derandomize=True)


@pytest.fixture
def root(tmp_path) -> Path:
    for guid in "123":
        write_pair(tmp_path / "data", guid, f"句子 {guid}")
    return tmp_path


def read(root: Path, content: str | bytes, **options) -> Split:
    (root / "split.csv").write_bytes(
        content if isinstance(content, bytes) else content.encode("utf-8")
    )
    return read_split("split.csv", root, **options)


def error(root: Path, content: str | bytes, **options) -> str:
    with pytest.raises(UserError) as caught:
        read(root, content, **options)
    message = str(caught.value)
    assert "\n" not in message and message.startswith(str(root))
    return message


PLAIN = "guid,label\n1,positive\n2,negative\n3,neutral\n"
FULL = (
    "guid,text_path,image_path,label\n"
    "1,data/1.txt,data/1.png,positive\n"
    "2,data/2.txt,data/2.png,negative\n"
)


# Columns and layouts


@pytest.mark.parametrize(
    ("content", "text_paths"),
    [
        (FULL, 2),
        (FULL.replace("label", "tag"), 2),
        (FULL.replace("guid,", "guid,x,").replace("\n1,", "\n1,?,").replace("\n2,", "\n2,?,"), 2),
        (
            "label,image_path,text_path,guid\n"
            "positive,data/1.png,data/1.txt,1\n"
            "negative,data/2.png,data/2.txt,2\n",
            2,
        ),
        (
            "guid,text,image_path,label\n"
            "1,句子 1,data/1.png,positive\n"
            "2,句子 2,data/2.png,negative\n",
            0,
        ),
        ("guid,text,label\n1,句子 1,positive\n2,句子 2,negative\n", 0),
        ("guid,label\n1,positive\n2,negative\n", 2),
        ("guid,tag\n1,positive\n2,negative\n", 2),
        (" guid , tag \n 1 , positive \n 2 , negative \n", 2),
        ("guid,tag,x,x\n1,positive,,\n2,negative,,\n", 2),
        ("guid,tag,label\n1,?,positive\n2,?,negative\n", 2),
    ],
)
def test_every_layout_gives_the_same_pairs(root, content, text_paths):
    split = read(root, content)
    assert (split.guids, split.labels, split.rows) == (["1", "2"], ["positive", "negative"], [2, 3])
    assert split.texts == ["句子 1", "句子 2"]
    assert [Path(path) for path in split.image_paths] == [
        root / "data" / "1.png",
        root / "data" / "2.png",
    ]
    assert len(split.text_paths) == text_paths and len(split) == 2
    assert split.encodings == {"utf-8": 2, "gb18030": 0, "replaced": 0} and split.notes == {}


@pytest.mark.parametrize("folder", ["data/data", "data/project5/data", "data", "elsewhere/照片 1"])
def test_guids_name_files_in_the_first_data_folder(tmp_path, folder):
    for number, suffix in enumerate((*IMAGE_SUFFIXES, ".JPG", ".Jpeg", ".PNG", ".WebP", ".TIFF")):
        guid = f"{number}{suffix[1:]}"
        write_pair(tmp_path / folder, guid)
        (tmp_path / folder / f"{guid}.png").rename(tmp_path / folder / f"{guid}{suffix}")
        if number % 2:
            (tmp_path / folder / f"{guid}.txt").rename(tmp_path / folder / f"{guid}.TXT")
    guids = sorted({path.stem for path in (tmp_path / folder).iterdir()})
    content = "guid,tag\n" + "".join(f"{guid},positive\n" for guid in guids)
    split = read(tmp_path, content, data_dir=folder if folder.startswith("elsewhere") else None)
    assert [Path(path).stem for path in split.image_paths] == guids
    assert all(
        Path(path).parent == tmp_path / folder and Path(path).is_file()
        for path in split.image_paths
    )


def test_of_several_photos_of_a_guid_the_jpg_is_taken(root):
    (root / "data" / "1.jpg").write_bytes(b"x")
    assert read(root, PLAIN).image_paths[0].endswith("1.jpg")


def test_of_several_photos_of_a_guid_the_first_suffix_is_taken_on_every_system(root):
    """The order of the list decides, and not that of the folder; a folder is no photo."""
    (root / "data" / "1.png").unlink()
    for suffix in reversed(IMAGE_SUFFIXES):
        (root / "data" / f"1{suffix}").write_bytes(b"x")
        assert read(root, PLAIN).image_paths[0].endswith(f"1{suffix}")
    (root / "data" / "1.jpg").unlink()
    (root / "data" / "1.jpg").mkdir()
    assert read(root, PLAIN).image_paths[0].endswith("1.jpeg")


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        ("id,label", "column 'guid' is missing; columns found: 'id,label'"),
        ("guid,class", "column 'label' is missing; columns found: 'guid,class'"),
        ("guid;label", "column 'guid' is missing; columns found: 'guid;label'"),
        ("guid,text_path,label", "column 'image_path' is missing"),
        ("guid,image_path,label", "column 'text_path' is missing"),
        ("guid,label,label", "column 'label' is there twice"),
        ("guid,guid,label", "column 'guid' is there twice"),
        ("guid,tag,tag", "column 'tag' is there twice"),
        ("guid,text,text,label", "column 'text' is there twice"),
    ],
)
def test_a_column_missing_or_twice_is_named(root, header, fault):
    row = ",".join("1" for _ in header.split(","))
    assert f"split.csv, row 1: {fault}" in error(root, f"{header}\n{row}\n")


@pytest.mark.parametrize(
    "content", ["", "\n\n", "guid,label", "guid,label\n", "\ufeffguid,label\r\n\r\n,\r\n"]
)
def test_a_split_without_pairs_is_named(root, content):
    assert "no pairs in it" in error(root, content)


def test_a_split_that_is_no_file_is_named(root, tmp_path):
    for path, why in (("nowhere.csv", ""), ("data", "not a file"), ("x" * 5000, "")):
        with pytest.raises(UserError, match=f"cannot read the split file .*{why}.*make_splits.py"):
            read_split(path, root)


# Encodings, line ends, quotes


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "gbk"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encoding_and_line_ends_of_the_csv_change_nothing(root, encoding, end):
    content = 'guid,text,label\n一,"他说 ""你好"", 真的",正面\n二,中文,负面\n'.replace("\n", end)
    for guid in "一二":
        write_pair(root / "data", guid)
    split = read(root, content.encode(encoding))
    assert (
        split.texts == ['他说 "你好", 真的', "中文"]
        and split.labels == ["正面", "负面"]
        and split.rows == [2, 3]
    )
    known = "utf-8" if encoding.startswith("utf") else "gb18030"
    assert split.encodings == {"utf-8": 0, "gb18030": 0, "replaced": 0, known: 2}
    assert split.notes == ({"gb18030_csv": 1} if known == "gb18030" else {})


def test_a_row_is_what_a_spreadsheet_calls_a_row(root):
    content = 'guid,text,label\n\n1,"two\nlines",positive\n,,\n2,plain,negative\n   \n3,"\r\n",\n'
    split = read(root, content, allow_unlabelled=True)
    assert split.rows == [3, 5, 7] and split.texts == ["two\nlines", "plain", ""]
    assert split.labels == ["positive", "negative", ""] and split.notes == {
        "blank_row": 3,
        "empty_text": 1,
    }
    assert "split.csv, row 7: the label is empty" in error(root, content)


def test_a_cell_of_a_million_characters_is_read_and_never_printed(root):
    long = "天" * 1_000_000
    assert read(root, f"guid,text,label\n1,{long},positive\n").texts == [long]
    for content in (
        f"{long}\n1\n",
        f"guid,label\n{long},positive\n",
        f"guid,label\n1,{long}\n2,{long}x,\n",
    ):
        assert len(error(root, content)) < 1000


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("3,too,many,fields", "row 4: 4 fields where the header has 2"),
        ("3", "row 4: 1 fields where the header has 2"),
        ('3,"open', "row 4: not valid CSV"),
        ('3,"a"b', "row 4: not valid CSV"),
    ],
)
def test_a_broken_row_is_named(root, row, fault):
    assert f"split.csv, {fault}" in error(root, f"guid,label\n1,positive\n2,negative\n{row}\n")


@pytest.mark.parametrize(
    "content", [PLAIN.encode("utf-16-le"), b"PK\x03\x04\0\0\xff\xff", b"guid,label\n1,\xff\n"]
)
def test_a_file_that_is_no_text_is_named_with_its_line(root, content):
    assert "not a text file in UTF-8 or GB18030; save it as CSV in UTF-8" in error(root, content)


def test_the_line_of_a_nul_byte_is_named(root):
    assert "split.csv, line 3: " in error(root, b"guid,label\n1,positive\n2,nega\0tive\n")


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@quick
@given(
    rows=st.lists(st.tuples(texts, texts), min_size=1, max_size=8),
    codec=st.sampled_from(["utf-8", "utf-8-sig", "gb18030"]),
    dialect=st.sampled_from(
        [{}, {"quoting": csv.QUOTE_ALL}, {"quoting": csv.QUOTE_ALL, "lineterminator": "\n"}]
    ),
)
def test_what_the_csv_module_writes_is_read_back(tmp_path_factory, rows, codec, dialect):
    root = tmp_path_factory.mktemp("csv")
    stream = io.StringIO(newline="")
    table = [(str(i), text, "csv", note) for i, (text, note) in enumerate(rows)]
    csv.writer(stream, **dialect).writerows([("guid", "text", "label", "note"), *table])
    data = stream.getvalue().encode(codec)
    # some bytes are UTF-8 as well
    assume(codec != "gb18030" or decode(data)[0] == stream.getvalue())
    for i in range(len(rows)):
        write_pair(root / "data", str(i))
    split = read(root, data, text_encoding="gb18030")  # random characters are no evidence
    assert split.texts == [text.strip() for text, _ in rows]
    assert split.rows == [2 + i for i in range(len(rows))]


pieces = st.sampled_from(
    [
        b"guid",
        b"label",
        b"tag",
        b"text",
        b"image_path",
        b",",
        b",",
        b"\n",
        b"\n",
        b"\r",
        b'"',
        b"1",
        b"2",
        b"data/1.png",
    ]
    + [
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
        b" ",
        b"nan",
        b"..",
        b"\\",
        "好".encode(),
        "好".encode("gbk"),
        b"guid,tag\n1,x",
    ]
)


@settings(quick, max_examples=300)
@given(st.one_of(st.binary(max_size=200), st.lists(pieces, max_size=30).map(b"".join)))
def test_any_bytes_are_a_split_or_one_clear_line(tmp_path_factory, data):
    root = tmp_path_factory.getbasetemp() / "any bytes"
    write_pair(root / "data", "1")
    try:
        split = read(root, data)
    except UserError as error:
        assert str(error).startswith(str(root / "split.csv")) and "\n" not in str(error)
    else:
        assert len(split) > 0 and all(split.guids) and all(split.labels)


# Guids and labels


def test_guids_are_there_once(root):
    assert "split.csv, row 4: guid '1' is in row 2 already" in error(
        root, "guid,label\n1,a\n2,b\n 1 ,a\n"
    )
    assert "split.csv, row 3: the guid is empty" in error(root, "guid,label\n1,a\n ,b\n")


@pytest.mark.parametrize(
    "guid", ["../1", "..\\1", "/etc/passwd", "C:\\1", "C:1", "a/1", "data/../1"]
)
def test_a_guid_never_leaves_the_data_folder(root, guid):
    (root / "1.txt").write_text("secret", encoding="utf-8")
    message = error(root, f"guid,label\n{guid},positive\n")
    assert f"row 2: guid '{guid}' cannot name files" in message


@pytest.mark.parametrize("cell", ["", " ", "null", "NULL", "nan", "NaN", ' "" '.strip()])
def test_no_label_is_an_error_unless_it_may_be(root, cell):
    content = f"guid,label\n1,positive\n2,{cell}\n3,{cell}\n"
    assert "split.csv, row 3: the label is " in (message := error(root, content))
    assert "(the same in 1 other row)" in message
    assert read(root, content, allow_unlabelled=True).labels == ["positive", "", ""]


@pytest.mark.parametrize(
    "other", ["Positive", "POSITIVE", "ｐｏｓｉｔｉｖｅ", "posi\u200btive", "positive\ufeff"]
)
def test_two_spellings_of_a_class_are_named(root, other):
    message = error(root, f"guid,label\n1,positive\n2,negative\n3,{other}\n")
    assert (
        "split.csv, row 4: label '" in message
        and "'positive' in row 2; spell a class one way" in message
    )


@pytest.mark.parametrize(
    "cell", ["\x1b[2J\x1b[31mpositive", '"a\nb"', "a\x07b", "a\x9bb", '"a\rb"']
)
def test_control_characters_in_guids_and_labels_are_named_and_shown_as_escapes(root, cell):
    for column, row in (("guid", f"{cell},positive"), ("label", f"1,{cell}")):
        message = error(root, f"guid,label\n{row}\n")
        assert (
            f"row 2: the {column} " in message
            and "control character" in message
            and message.isprintable()
        )


def test_classes_have_the_order_of_design_or_are_sorted():
    assert class_names(["positive", "negative", "neutral", "positive"]) == [
        "negative",
        "neutral",
        "positive",
    ]
    assert class_names(["positive", "negative"]) == ["negative", "positive"]
    assert class_names(["positive", "angry", "neutral"]) == ["angry", "neutral", "positive"]
    assert class_names(["喜", "怒"]) == sorted(["喜", "怒"])


def test_labels_become_indices_and_a_strange_one_is_named(root):
    split = read(root, PLAIN)
    assert label_indices(split, ["negative", "neutral", "positive"]) == [2, 0, 1]
    with pytest.raises(
        UserError,
        match=r"split.csv, row 3: label 'negative' is not a class .*\('neutral, positive'\)",
    ):
        label_indices(split, ["neutral", "positive"])
    with pytest.raises(UserError, match="'a' is the only class"):
        label_indices(read(root, "guid,label\n1,a\n2,a\n"), ["a"])


# Faults of one kind


def test_all_faults_of_a_kind_are_told_at_once(root):
    """Ten are named, the others counted: nobody mends one by one."""
    for column, faults in (
        ("guid", ["row 4: guid '2' is in row 3 already", "row 5: the guid is empty"]),
        ("label", ["row 4: label 'B', but 'b' in row 3", "row 6: label 'A', but 'a' in row 5"]),
        ("image_path", ["row 3: image_path is empty", "row 6: image_path is empty"]),
    ):
        rows = {
            "guid": ["1,x,i,a", "2,x,i,b", "2,x,i,b", ",x,i,a", "3,x,i,b"],
            "label": ["1,x,i,c", "2,x,i,b", "3,x,i,B", "4,x,i,a", "5,x,i,A"],
            "image_path": ["1,x,i,a", "2,x,,b", "3,x,i,b", "4,x,i,a", "5,x, ,b"],
        }[column]
        message = error(root, "guid,text_path,image_path,label\n" + "\n".join(rows) + "\n")
        assert all(fault in message for fault in faults) and "(2 rows in all)" in message
    message = error(root, "guid,label\n1,a\n" + "1,a\n" * 200)
    assert "row 3: guid '1' is in row 2 already" in message and len(message) < 1000
    assert "; and 190 more (200 rows in all); every pair needs a guid of its own" in message
    message = error(root, "guid,label\n../1,a\n..,b\n2,a\nx/y,b\n")
    assert message.count("cannot name files") == 2
    message = error(root, "guid,label\n1,a,b\n2,a\n3\n")
    assert "row 2: 3 fields; row 4: 1 fields where the header has 2" in message


# Training, validation and test together

UNMEASURED = "have no label, so they are predicted, not measured"


def training(root: Path, test: str | None = None, **options) -> tuple[dict[str, Split], list[str]]:
    (root / "train.csv").write_text("guid,tag\n1,a\n2,b\n", encoding="utf-8")
    (root / "val.csv").write_text("guid,tag\n3,a\n", encoding="utf-8")
    if test is not None:
        (root / "test.csv").write_text(test, encoding="utf-8")
    paths = {name: f"{name}.csv" for name in ("train", "val", "test")}
    return read_training_splits(paths, root, **{"test_is_optional": True, **options})


@pytest.mark.parametrize(
    "rows",
    [
        "guid,tag\n1,None\n2,none\n",
        "guid,tag\n1,?\n",
        "guid,tag\n1,later\n2,later\n",
        "guid\n1\n2\n",
    ],
)
def test_a_list_without_labels_is_read_to_be_predicted_with_a_word(root, rows):
    splits, remarks = training(root, rows)
    assert list(splits) == ["train", "val", "unlabelled"]
    assert set(splits["unlabelled"].labels) == {""}
    assert remarks == [f"{root / 'test.csv'}: its pairs {UNMEASURED}"]


def test_a_list_with_some_labels_is_read_to_be_predicted_with_their_number(root):
    splits, remarks = training(root, "guid,tag\n1,a\n2,N/A\n3,\n")
    assert splits["unlabelled"].labels == ["a", "", ""]
    assert remarks == [f"{root / 'test.csv'}: 2 of its pairs {UNMEASURED}"]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_the_line_end_of_a_split_is_that_of_its_header(root, line_end):
    photo = "data/1.png"
    rows = ["guid,text,image_path,label", f'1,"two\nlines",{photo},a', f"2,x,{photo},b", ""]
    assert read(root, line_end.join(rows)).line_end == line_end
    assert read(root, "guid,tag\n1,a").line_end == "\n"


def test_a_list_with_labels_is_read(root):
    splits, remarks = training(root, "guid,tag\n1,a\n2,b\n")
    assert splits["test"].labels == ["a", "b"] and remarks == []
    splits, _ = training(root, "guid,tag\n1,a\n2,a\n")  # one value in all rows, but a class
    assert splits["test"].labels == ["a", "a"]
    splits, _ = training(root, "guid,tag\n1,A\n2,A\n")  # which label_indices then refuses
    assert splits["test"].labels == ["A", "A"]


def test_only_the_default_test_list_may_be_missing(root):
    splits, remarks = training(root)
    assert list(splits) == ["train", "val"] and remarks == []
    with pytest.raises(UserError, match="test.csv: cannot read the split file"):
        training(root, test_is_optional=False)
    (root / "test.csv").mkdir()
    with pytest.raises(UserError, match="test.csv: cannot read the split file .not a file"):
        training(root)


def test_files_missing_in_any_split_are_told_together(root):
    for name in ("1.png", "3.png", "3.txt"):
        (root / "data" / name).unlink()
    with pytest.raises(UserError) as caught:
        training(root)
    message = str(caught.value)
    assert message.startswith(f"{root / 'train.csv'}: 3 files are missing or unreadable: row 2: ")
    assert f"; in {root / 'val.csv'}: row 2: '" in message and "\n" not in message


# Bounds


def test_a_text_is_read_up_to_a_bound_that_is_counted(root, monkeypatch):
    monkeypatch.setattr(splits_module, "MAX_CHARACTERS", 1000)
    monkeypatch.setattr(files_module, "MAX_CHARACTERS", 1000)
    monkeypatch.setattr(files_module, "_MAX_BYTES", 4008)
    for character, codec in (("a", "utf-8"), ("天", "utf-8"), ("😀", "utf-16"), ("😀", "utf-8")):
        (root / "data" / "1.txt").write_bytes((character * 5000).encode(codec))
        split = read(root, PLAIN)
        assert set(split.texts[0]) == {character} and len(split.texts[0]) == 1000
        assert split.notes == {"long_text": 1} and split.encodings["replaced"] == 0
    rows = f"guid,text,image_path,label\n1,{'天' * 1001},data/1.png,a\n2,x,data/1.png,b\n"
    split = read(root, rows)
    assert split.texts == ["天" * 1000, "x"] and split.notes == {"long_text": 1}


@pytest.mark.parametrize(
    ("module", "name", "says"),
    [
        (splits_module, "_MAX_CSV_BYTES", "split.csv: larger than .* MB"),
        (splits_module, "_MAX_ROWS", "split.csv: more than 3 rows"),
        (files_module, "_MAX_TOTAL_BYTES", "split.csv, row 2: the texts up to here hold more"),
    ],
)
def test_all_texts_together_are_bounded(root, monkeypatch, module, name, says):
    monkeypatch.setattr(module, name, 3)
    with pytest.raises(UserError, match=says):
        read(root, PLAIN)


# Paths


def with_paths(root: Path, text_path, image_path, **options) -> Split:
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows(
        [
            ("guid", "text_path", "image_path", "label"),
            ("1", text_path, image_path, "a"),
            ("2", text_path, image_path, "b"),
        ]
    )
    return read(root, stream.getvalue(), **options)


@pytest.mark.parametrize(
    "folder",
    ["data", "我的 照片", "a b/c  d", "x,y", 'it\'s "quoted"', "ünïcödé 😀", "100%", "#1&2"],
)
def test_paths_may_hold_anything_a_file_system_takes(tmp_path, folder):
    if os.name == "nt" and '"' in folder:
        pytest.skip("Windows has no such names")
    write_pair(tmp_path / folder, "1", "句子")
    (tmp_path / "data").mkdir(exist_ok=True)
    for start in (f"{folder}/", f"./{folder}/", f"data/../{folder}/", f"{tmp_path}/{folder}/"):
        split = with_paths(tmp_path, start + "1.txt", f" {start}1.png ")
        assert (
            split.texts == ["句子"] * 2
            and Path(split.image_paths[0]).is_file()
            and split.notes == {}
        )


def test_relative_paths_start_at_the_root_and_not_at_the_working_folder(
    root, tmp_path_factory, monkeypatch
):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert len(read(root, FULL)) == 2
    monkeypatch.chdir(root.parent)
    assert len(read_split(Path("split.csv"), Path(root.name))) == 2
    assert len(read_split(root / "split.csv", root)) == 2


@pytest.mark.skipif(os.name == "nt", reason="there backslashes are plain separators")
def test_relative_paths_written_on_windows_are_read_and_counted(root):
    split = with_paths(root, r"data\1.txt", r".\data\1.png")
    assert split.texts == ["句子 1"] * 2 and split.notes == {"windows_path": 4}
    (root / r"data\1.txt").write_text("named so", encoding="utf-8")
    assert with_paths(root, r"data\1.txt", "data/1.png").texts == ["named so"] * 2
    with pytest.raises(UserError, match=r"row 2: 'C:\\data\\1.txt' \(No such file"):
        with_paths(root, r"C:\data\1.txt", "data/1.png")


@pytest.mark.skipif(
    os.name == "nt", reason="Windows has longer paths only where the machine's policy allows them"
)
def test_a_path_longer_than_260_characters_works_and_one_too_long_is_named(tmp_path):
    folder = "/".join(["很长的名字" * 5] * 5)
    write_pair(tmp_path / folder, "1")
    assert len(str(tmp_path / folder)) < 260 < len(str(tmp_path / folder).encode())
    long = "/".join(["long name " * 12] * 5).strip()
    write_pair(tmp_path / long, "1")
    assert len(with_paths(tmp_path, f"{long}/1.txt", f"{folder}/1.png")) == 2
    for name in ("x" * 300, "x/" * 5000):
        with pytest.raises(
            UserError, match=r"2 files are missing or unreadable: row 2: 'x.*\(File name too long\)"
        ):
            with_paths(tmp_path, f"{folder}/1.txt", name)


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_links_are_followed_and_a_loop_is_named(root):
    (root / "linked").symlink_to(root / "data", target_is_directory=True)
    assert with_paths(root, "linked/1.txt", "linked/1.png").texts[0] == "句子 1"
    (root / "a.png").symlink_to(root / "b.png")
    (root / "b.png").symlink_to(root / "a.png")
    with pytest.raises(UserError, match=r"row 2: 'a.png' \(Too many levels of symbolic links\)"):
        with_paths(root, "data/1.txt", "a.png")
    (root / "loop").symlink_to(root / "loop")
    with pytest.raises(UserError, match="loop/1.txt.*Too many levels"):
        with_paths(root, "loop/1.txt", "data/1.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_or_a_device_does_not_block(root):
    os.mkfifo(root / "pipe")
    for path in ("pipe", "/dev/zero", "."):
        with pytest.raises(UserError, match="not a file"):
            with_paths(root, path, "data/1.png")
    with pytest.raises(UserError, match="not a file"):
        read_split("pipe", root)


def test_all_missing_files_are_counted_and_ten_named(root):
    rows = "".join(f"{i},data/{i}.txt,data/{i}.png,positive\n" for i in range(1, 21))
    message = error(root, "guid,text_path,image_path,label\n" + rows)
    assert "split.csv: 34 files are missing or unreadable: row 5: 'data/4.png' (" in message
    assert (
        message.count(".png' (") + message.count(".txt' (") == 10
        and "; and 24 more. " in message
        and str(root) in message
    )
    message = error(root, "guid,tag\n1,positive\n7,negative\n")
    assert "2 files are missing" in message and "7.jpg' (" in message and "7.txt' (" in message


def test_an_empty_path_is_named(root):
    with pytest.raises(UserError, match="split.csv, row 2: image_path is empty"):
        with_paths(root, "data/1.txt", " ")


def test_no_data_folder_is_named(tmp_path):
    assert "there is no folder" in error(tmp_path, PLAIN)
    assert "nowhere" in error(tmp_path, PLAIN, data_dir="nowhere")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything"
)
def test_a_text_without_permission_is_named(root):
    (root / "data" / "1.txt").chmod(0)
    assert "1.txt' (Permission denied)" in error(root, PLAIN)


# Texts


@pytest.mark.parametrize(
    ("data", "text", "encoding", "notes"),
    [
        (b"", "", "utf-8", {"empty_text": 1}),
        (b" \r\n\t ", "", "utf-8", {"empty_text": 1}),
        ("\u3000\xa0".encode(), "", "utf-8", {"empty_text": 1}),
        ("😀".encode(), "😀", "utf-8", {}),
        ("今天 很好\n".encode(), "今天 很好", "utf-8", {}),
        ("今天 很好".encode("utf-8-sig"), "今天 很好", "utf-8", {}),
        ("今天 很好\r\n".encode("gbk"), "今天 很好", "gb18030", {}),
        ("今天 😀".encode("gb18030"), "今天 😀", "gb18030", {}),
        (b"caf\xe9", "café", "cp1252", {}),
        (b"\xff\xfe", "", "utf-16", {"empty_text": 1}),
        (b"\0\0\0", "", "utf-8", {"nul_text": 1, "empty_text": 1}),
        (b"a\0b", "ab", "utf-8", {"nul_text": 1}),
        ("hello".encode("utf-16"), "hello", "utf-16", {}),
        ("天".encode() * 350_000, "天" * 350_000, "utf-8", {}),
        (b"\x1b[2J", "\x1b[2J", "utf-8", {}),
    ],
)
def test_every_text_is_read_and_what_was_odd_is_counted(root, data, text, encoding, notes):
    (root / "data" / "1.txt").write_bytes(data)
    split = read(root, PLAIN)
    assert split.texts == [text, "句子 2", "句子 3"] and split.notes == notes
    assert split.encodings == {"utf-8": 2, "gb18030": 0, "replaced": 0} | {
        encoding: 3 if encoding == "utf-8" else 1
    }


@quick
@given(st.binary())
def test_decoding_never_fails_and_names_the_encoding_that_it_used(data):
    text, encoding = decode(data)
    if encoding == "replaced":
        assert "\ufffd" in text
    elif encoding in ("utf-16", "utf-32"):
        assert data.decode(encoding).removeprefix("\ufeff") == text
    else:
        mark = "\ufeff".encode(encoding)
        once = data.removeprefix(mark)
        assert text.encode(encoding) in (data, once, once.removeprefix(mark))


@quick
@given(texts.filter(lambda text: not text.startswith("\ufeff")))
def test_utf_8_comes_back_with_or_without_a_mark(text):
    assert decode(text.encode("utf-8")) == decode(text.encode("utf-8-sig")) == (text, "utf-8")


@quick
@given(texts.filter(lambda text: not text.startswith("\ufeff")))
def test_gb18030_comes_back_where_it_is_not_utf_8_as_well(text):
    data = text.encode("gb18030")
    try:
        expected = (data.decode("utf-8-sig"), "utf-8")
    except UnicodeDecodeError:
        expected = (text, "gb18030")
    assert decode(data) == expected
