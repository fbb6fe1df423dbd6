"""Texts are read in the encoding they were written in, decided once for a whole data set."""

from __future__ import annotations

import codecs

import pytest
from common.data.encodings import choose_encoding, decode
from common.data.splits import encoding_remarks, read_training_splits
from helpers.hub import SAMPLE
from helpers.pairs import read_split, write_pair
from hypothesis import given
from hypothesis import strategies as st

WESTERN = """\
I don’t know… http://t.co/x
best café in town
so naïve
only €5 off
“quoted” he said
mañana, año nuevo
¿Qué tal? ¡Hola!
größer und süß
Él está aquí – hoy
it’s 5°C © me""".splitlines()
CHINESE = """\
今天 很好
麻烦
這個國家很漂亮
コーヒー
I’m fine…
café “你好”
嗯嗯，哈哈
wait… http:/…""".splitlines()
PLAIN = ("no accents at all", "ümlaut, 今天: UTF-8".encode())


def encoded(texts, codec: str) -> list[bytes]:
    return [text if isinstance(text, bytes) else text.encode(codec) for text in texts]


def test_the_encoding_of_a_data_set_is_found_by_what_people_write():
    """Also among texts that are UTF-8, and beside one text of the other kind, however long."""
    for texts, codec, other in (
        (WESTERN, "cp1252", ("今天很好" * 1000).encode("gbk")),
        (CHINESE, "gb18030", "don’t".encode("cp1252")),
    ):
        data = encoded(texts, codec)
        assert choose_encoding(data) == choose_encoding([*encoded(PLAIN, "utf-8"), *data]) == codec
        assert choose_encoding([*data, other]) == codec
        assert [decode(one, codec) for one in data] == [(text, codec) for text in texts]
    assert choose_encoding([b"caf\xe9"]) == "cp1252"  # valid in one of the two alone
    assert choose_encoding([]) == choose_encoding([b"plain", b"\x81\xff"]) == "gb18030"


def test_every_text_of_the_sample_stays_gb18030():
    """Nearly all of them are valid Windows-1252 too."""
    if not SAMPLE.is_dir():
        pytest.skip("needs the sample of real pairs in ../shared/data/mvsa_sample")
    data = [path.read_bytes() for path in sorted((SAMPLE / "data").glob("*.txt"))]
    legacy = [text for text in data if decode(text)[1] != "utf-8"]
    assert len(legacy) == 136 and choose_encoding(data) == "gb18030"
    assert all(choose_encoding(legacy[i : i + 4]) == "gb18030" for i in range(0, 136, 4))
    assert all(decode(text) == (text.decode("gb18030"), "gb18030") for text in legacy)


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


def test_a_byte_order_mark_says_what_a_text_is():
    marks = {
        codecs.BOM_UTF16_LE: "utf-16-le",
        codecs.BOM_UTF16_BE: "utf-16-be",
        codecs.BOM_UTF32_LE: "utf-32-le",
        codecs.BOM_UTF32_BE: "utf-32-be",
        codecs.BOM_UTF8: "utf-8",
    }
    for legacy in ("utf-8", "gb18030", "cp1252", "utf-16"):
        for mark, codec in marks.items():
            name = codec.removesuffix("-le").removesuffix("-be")
            for text in ("", "don’t", "今天 😀"):
                assert decode(mark + text.encode(codec), legacy) == (text, name)
            broken, found = decode(mark + "天".encode(codec)[:-1], legacy)
            assert found == "replaced" and "\ufffd" in broken


def test_a_text_cut_within_a_character_keeps_the_rest():
    """Valid GB18030 by chance, or not: what stands before the cut must not change."""
    for text in ("今天天气很好", "今天天气很", "天气"):
        assert decode(text.encode()[:-1])[0].startswith(text[:-1])
        assert decode(text.encode("gbk")[:-1])[0].startswith(text[:-1])


def test_the_user_overrules_the_decision(tmp_path):
    (tmp_path / "split.csv").write_text("guid,tag\n1,a\n", encoding="utf-8")
    for data, chosen, text, name in (
        ("don’t".encode("cp1252"), "gb18030", "don抰", "gb18030"),
        ("今天".encode("gbk"), "cp1252", "½ñÌì", "cp1252"),
        ("今天".encode("gbk"), "utf-8", "\ufffd" * 4, "replaced"),
        ("今天".encode(), "gb18030", "今天", "utf-8"),
        ("今天 ok".encode("utf-16-le"), "utf-16", "今天 ok", "utf-16"),
        ("今天".encode(), "utf-16", "今天", "utf-8"),
    ):
        write_pair(tmp_path / "data", "1", data)
        split = read_split("split.csv", tmp_path, text_encoding=chosen)
        assert split.texts == [text] and split.encodings[name] == 1


def write_splits(root, texts: dict[str, list[bytes]]) -> dict[str, str]:
    paths = {}
    for name, contents in texts.items():
        for i, data in enumerate(contents):
            write_pair(root / "data", f"{name}{i}", data)
        rows = "".join(f"{name}{i},{'ab'[i % 2]}\n" for i in range(len(contents)))
        (root / f"{name}.csv").write_text("guid,tag\n" + rows, encoding="utf-8")
        paths[name] = f"{name}.csv"
    return paths


def test_training_validation_and_test_are_decided_alike_and_it_is_said(tmp_path):
    """The texts of validation would be read as Chinese by themselves."""
    train = encoded(WESTERN, "cp1252")
    texts = {"train": train, "val": [b"\xb0\xa1"] * 2, "test": [*train[:2], b"\x81\xff"]}
    paths = write_splits(tmp_path, texts)
    splits, remarks = read_training_splits(paths, tmp_path, test_is_optional=True)
    assert splits["train"].texts == WESTERN and splits["val"].texts == ["°¡"] * 2
    assert splits["test"].encodings["cp1252"] == 2 and splits["val"].encodings["cp1252"] == 2
    remark, wrong = remarks
    assert remark.startswith("texts: 14 are not UTF-8 and were read as Windows-1252; --text-encod")
    assert "1 hold bytes that are wrong" in wrong
    assert remarks == encoding_remarks(splits.values())
