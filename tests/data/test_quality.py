"""What make_splits.py found is told of the tables that it is about, and of no others."""

import numpy as np
import pytest
from common.data.quality import QUALITY, Shared, class_counts, quality_json, read_quality, shared


def test_groups_share_a_key_and_near_ones_join_several_values():
    labels = ["a", "b", "a", "a"]
    exact = ["x", "x", "y", "z"]
    assert shared(exact, exact, labels) == (Shared(groups=1, pairs=2, conflicts=1), [[0, 1]])
    same = ["k", "k", "", ""]  # the same text, not a near one
    assert shared(same, exact, labels) == (Shared(0, 0, 0), [])
    near = ["", "k", "k", ""]
    assert shared(near, exact, labels) == (Shared(1, 2, 1), [[1, 2]])
    agreed = ["k", "", "k", "k"]
    assert shared(agreed, exact, labels) == (Shared(1, 3, 0), [])


def test_classes_are_counted_in_each_table():
    counts = class_counts({"train": [0, 1], "val": np.array([2])}, ["a", "b", "a"])
    assert counts == {"train": {"a": 1, "b": 1}, "val": {"a": 1}}


@pytest.fixture
def folder(tmp_path):
    tables = {"val.csv": b"guid\n1\n", "fold_1/val.csv": b"guid\n2\n"}
    (tmp_path / "fold_1").mkdir()
    for name, content in tables.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / QUALITY).write_bytes(quality_json(tables, {"left_out": 3}))
    return tmp_path


def test_it_is_told_of_its_tables_also_of_a_fold(folder):
    for name in ("val.csv", "fold_1/val.csv"):
        assert read_quality(folder / name) == {"left_out": 3}


def test_it_is_not_told_of_a_table_that_has_changed(folder):
    (folder / "val.csv").write_bytes(b"guid\n3\n")
    assert read_quality(folder / "val.csv") is None
    assert read_quality(folder / "fold_1/val.csv") == {"left_out": 3}


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"files": 1}', b" " * 2_000_000]
)
def test_what_is_no_report_is_none(folder, content):
    (folder / QUALITY).write_bytes(content)
    assert read_quality(folder / "val.csv") is None
