"""Result tables are safe in a spreadsheet and come back as they were; hostile ones are bounded and named."""

import copy
import csv
import json

import pandas as pd
import pytest
from common import files
from common.comparison.compare import compare
from common.comparison.console import report
from common.files import escaped, unescaped
from common.language import ENGLISH
from common.runs import cells, reader
from common.runs import predictions as prediction_files
from common.runs.predictions import read_predictions
from common.runs.reader import load_runs, read_runs
from common.runs.writer import RunFolder
from helpers.run_folders import edit, make_run, make_runs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

quick = settings(
    deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
GUIDS = [
    "007",
    "=1+1",
    "'=1",
    "''-x",
    "-5",
    "@a",
    "+1",
    "it's",
    "'",
    "中文",
    'a"b,c',
    "None",
    "nan",
]


@given(st.text() | st.text("'=+-@＝ a", max_size=6))
@settings(quick, max_examples=300)
def test_an_escaped_text_is_no_formula_and_comes_back(text: str):
    assert unescaped(escaped(text)) == text
    assert not escaped(text).startswith(files._FORMULA)


def predictions(guids: list[str]) -> pd.DataFrame:
    classes = ["-a", "b"]
    count = len(guids)
    table = pd.DataFrame({"guid": guids, "label": ["-a"] * count, "pred": ["-a"] * count})
    shares = pd.DataFrame({f"p_{name}": [str(1.0 - i)] * count for i, name in enumerate(classes)})
    return pd.concat([table, shares], axis=1)


def test_predictions_are_safe_in_a_spreadsheet_and_read_back_as_they_were(tmp_path):
    make_run(tmp_path, "run")
    (tmp_path / "run" / "predictions.csv").unlink()
    with RunFolder(tmp_path, "other") as folder:
        folder.write_spreadsheet("predictions.csv", predictions(GUIDS))
        path = folder.partial / "predictions.csv"
        assert path.read_bytes().startswith(files.MARK)
        with open(path, encoding="utf-8-sig", newline="") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert not any(cell.startswith(files._FORMULA) for cell in cells)
        found = read_predictions(path)
    assert (found.guids, found.classes) == (GUIDS, ["-a", "b"])


def test_predictions_of_the_first_version_are_read_raw(tmp_path):
    path = tmp_path / "predictions.csv"
    path.write_bytes(predictions(GUIDS).to_csv(index=False, lineterminator="\n").encode())
    assert read_predictions(path).guids == GUIDS


def test_runs_whose_names_were_taken_are_left_out_and_counted(tmp_path, capsys):
    make_runs(tmp_path, 2)
    for name in ("one", "two"):
        make_run(tmp_path / "earlier", name)
    assert len(load_runs(tmp_path)) == 2
    assert capsys.readouterr().err == (
        "left out: earlier: 2 runs whose names were taken by a newer run\n"
    )


def test_runs_of_another_version_of_the_program_are_compared_with_a_remark(tmp_path):
    for name, code in (("a", "x"), ("b", "x"), ("c", "y"), ("d", None)):
        make_run(tmp_path, name, **({"content": {"code_sha256": code}} if code else {}))
    found = compare(read_runs(tmp_path)[0])
    assert [entry.comparable for entry in found.runs] == ["yes"] * 4
    assert [note for note in list(map(ENGLISH, found.notes)) if "version" in note] == [
        "another version of this program than that of most runs has made c"
    ]


@pytest.mark.parametrize("name", ["metrics.json", "history.csv", "predictions.csv"])
def test_a_file_too_large_for_memory_is_named_and_not_read(tmp_path, monkeypatch, name: str):
    make_runs(tmp_path, 2)
    monkeypatch.setattr(cells, "_MOST_MEGABYTES", {name: 1})
    (folder,) = [path for path in tmp_path.iterdir() if "concat" in path.name]
    with open(folder / name, "ab") as file:
        file.write(b" " * 2_000_000)
    runs, problems = read_runs(tmp_path)
    assert len(runs) == 1 and f"{name} has 2 MB, more than 1" in problems[0]


def test_runs_that_do_not_fit_in_memory_together_are_named(tmp_path, monkeypatch):
    make_runs(tmp_path, 3)
    first, second, third = sorted(tmp_path.iterdir())
    sizes = {folder: reader._size(folder) for folder in (first, second, third)}
    room = reader._MEMORY_PER_BYTE * (sizes[first] + sizes[third])
    monkeypatch.setattr(reader, "memory", lambda: 2 * room)
    (second / "predictions.csv").write_bytes(b" " * (sizes[third] + 1))
    runs, problems = read_runs(tmp_path)
    assert [run.path for run in runs] == [first, third]
    assert problems[0].startswith(f"{second.name}: its files would take 0.0 GB of memory")
    (third / "metrics.json").unlink()  # what cannot be read takes no room from others
    assert [line.split(": ")[0] for line in read_runs(tmp_path)[1]] == [second.name, third.name]


def test_blocks_in_blocks_and_classes_are_limited(tmp_path):
    """The limits are far from real records, and below what recursion and memory allow."""
    inner: list = []
    for _ in range(reader._DEEPEST):
        inner = [inner]
    edit(make_run(tmp_path, "a deep one"), protocol={"lr": inner})
    many = pd.Series(range(prediction_files.MOST_CLASSES + 1)).to_numpy()
    make_run(tmp_path, "many classes", labels=many, predictions=many)
    few = many[:-1]
    make_run(tmp_path, "none", labels=few, predictions=few, protocol={"lr": [[[[[[2e-5]]]]]]})
    runs, problems = read_runs(tmp_path)
    assert [run.name for run in runs] == ["none"]
    assert problems == [
        "a deep one: metrics.json has more than 20 levels of blocks in blocks",
        "many classes: predictions.csv has 201 classes, more than 200",
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)
RECORD = {
    "protocol": {"seed": 42, "lr": 1e-3, "effective_batch_size": 16},
    "model": {"family": "clip", "name": "a/b", "image_backbone": None, "fusion": "concat"},
    "samples": {"train": 3600, "val": 400},
    "class_counts": {"train": {"negative": 1, "neutral": 2, "positive": 3}},
    "duplicates": {"text": 1, "image": 0, "near_image": 0, "label_conflicts": 0},
    "probe": {"f1_drop_images_shuffled": 0.1, "emap_f1_macro": 0.2, "emap_pairs": 64},
    "content": {"code_sha256": "x"},
    "device": "cpu",
    "best_epoch": 3,
}
PLACES = [(key,) for key in RECORD] + [
    (key, inner) for key, block in RECORD.items() if isinstance(block, dict) for inner in block
]


@given(place=st.sampled_from(PLACES), value=JSON)
@settings(quick, max_examples=150)
def test_any_value_in_a_record_is_read_or_named(tmp_path_factory, place: tuple, value):
    """Summary and labels of a folder whose metrics.json holds anything where a value should be."""
    parent = tmp_path_factory.mktemp("runs")
    make_run(parent, "plain")
    record = copy.deepcopy(RECORD)
    block = record if len(place) == 1 else record[place[0]]
    block[place[-1]] = value
    edit(make_run(parent, "odd"), **json.loads(json.dumps(record)))
    runs, problems = read_runs(parent)
    assert len(runs) + len(problems) == 2
    assert "plain" in report(compare(runs), ENGLISH)
