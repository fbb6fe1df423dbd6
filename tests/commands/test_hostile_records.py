"""Run folders with anything in them: each is a run, or is left out by name; none ends a command."""

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import compare_summary
import numpy as np
import pytest
from common.charts import pictures
from common.comparison.compare import compare
from common.language import ENGLISH
from common.runs.reader import load_runs
from helpers.run_folders import clip, make_run

FILES = ("metrics.json", "history.csv", "predictions.csv")
LABELS = np.arange(12) % 3
PREDICTED = np.array([0, 1, 2, 1, 1, 2, 0, 2, 2, 0, 1, 1])
RECORD = {
    "model": clip(),
    "protocol": {"seed": 42, "lr": 2e-5, "classes": ["negative", "neutral", "positive"]},
    "duplicates": {"text": 1, "image": 0, "near_image": 0, "label_conflicts": 0},
    "probe": {"f1_drop_images_shuffled": 0.1, "emap_f1_macro": 0.2, "emap_pairs": 64},
    "content": {"code_sha256": "x"},
}
LONG, CONTROLS = "x" * 100_000, "\x00\x1b[2J\r\n\u202e\u2028"
# JSON that stands where another value was
VALUES = {
    "lists in lists": "[" * 900 + "]" * 900,
    "objects in objects": '{"a":' * 900 + "1" + "}" * 900,
    "lists in a few lists": "[" * 15 + "]" * 15,
    "objects in a few objects": '{"a":' * 15 + "1" + "}" * 15,
    "a whole number of 400 digits": "9" * 400,
    "a whole number of 5,000 digits": "9" * 5000,
    "the largest number": "1e308",
    "the least number": "-1e308",
    "beyond all numbers": "1e999",
    "not a number": "NaN",
    "true": "true",
    "null": "null",
    "a long text": json.dumps(LONG),
    "control characters": json.dumps(CONTROLS),
    "half a surrogate": '"\\ud800"',
    "an empty text": '""',
    "a list": "[1, null]",
    "an object": '{"": null}',
}
CELLS = {
    "nothing": "",
    "not a number": "nan",
    "infinity": "inf",
    "below zero": "-1",
    "beyond all numbers": "1e309",
    "5,000 digits": "9" * 5000,
    "a nul byte": "\0",
    "control characters": "\x1b[2J\r\u2028",
    "a formula": "=1+1",
    "one more cell": "0.5,0.5",
    "a quotation mark": '"',
    "a line break": '"\n"',
    "a long text": LONG,
    "half a surrogate": "\ud800",
}
CONTENTS = {
    "nothing": b"",
    "a mark and nothing": b"\xef\xbb\xbf",
    "brackets": b"[" * 100_000,
    "quotation marks": b'"' * 99_999,
    "commas": b"," * 100_000,
    "line breaks": b"\n" * 100_000,
    "nul bytes": bytes(100_000),
    "UTF-16": "epoch,guid".encode("utf-16"),
    "an archive": b"PK\x03\x04" + bytes(range(256)),
    "a page": b"<html>" * 100,
}


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory) -> Path:
    parent = tmp_path_factory.mktemp("model")
    return make_run(parent, "run", labels=LABELS, predictions=PREDICTED, **RECORD)


@pytest.fixture
def spoilt(tmp_path, model_folder, capsys):
    """Sum up a good run and one folder per change; each must be a row of the table or be named."""
    compare = tmp_path / "outputs/compare"

    def sum_up(changes: list[Callable[[Path], None]]) -> list[str]:
        """Return the names of the runs in the table."""
        names = {f"changed {place}" for place in range(len(changes))}
        shutil.copytree(model_folder, compare / "good")
        for place, change in enumerate(changes):
            change(Path(shutil.copytree(model_folder, compare / f"changed {place}")))
        compare_summary.main(["--project-root", str(tmp_path)])
        said = capsys.readouterr()
        lines = said.err.splitlines()
        assert all(len(line) < 500 and line.isprintable() for line in lines)
        assert {line.split(": ")[0] for line in lines} <= {"left out"}
        with open(compare / "compare_summary.csv", encoding="utf-8-sig", newline="") as table:
            runs = [row["run"] for row in csv.DictReader(table)]
        left_out = [line.split(": ")[1] for line in lines]
        assert sorted(runs + left_out) == sorted(names | {"good"}) and "good" in runs
        assert "good" in said.out
        return runs

    return sum_up


def in_record(places: list[tuple[str, ...]], text: str) -> Callable[[Path], None]:
    """Put a JSON text at these places of metrics.json."""

    def change(folder: Path) -> None:
        path = folder / "metrics.json"
        record = json.loads(path.read_text(encoding="utf-8"))
        for *outer, last in places:
            block = record
            for key in outer:
                block = block[key]
            block[last] = "HERE"
        path.write_text(json.dumps(record).replace('"HERE"', text), encoding="utf-8")

    return change


def places_of(block: dict, outer: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The places of all values, of blocks too."""
    found = []
    for key, value in block.items():
        found.append((*outer, key))
        if isinstance(value, dict):
            found += places_of(value, (*outer, key))
    return found


def in_cell(name: str, column: int, text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        lines = (folder / name).read_text(encoding="utf-8").split("\n")
        cells = lines[3].split(",")
        cells[column] = text
        lines[3] = ",".join(cells)
        (folder / name).write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))

    return change


def rewritten(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))


@pytest.mark.parametrize("text", VALUES.values(), ids=VALUES)
def test_any_value_in_any_block_of_a_record(spoilt, model_folder, text):
    record = json.loads((model_folder / "metrics.json").read_text(encoding="utf-8"))
    places = places_of(record)
    assert len(places) > 35
    spoilt([in_record([place], text) for place in places])


@pytest.mark.parametrize("name", ["history.csv", "predictions.csv"])
@pytest.mark.parametrize("text", CELLS.values(), ids=CELLS)
def test_any_text_in_any_cell_of_a_table(spoilt, model_folder, name, text):
    columns = (model_folder / name).read_text(encoding="utf-8").split("\n")[0].count(",") + 1
    spoilt([in_cell(name, column, text) for column in range(columns)])


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_off_anywhere_is_no_run(spoilt, model_folder, name):
    data = (model_folder / name).read_bytes()
    ends = range(0, len(data) - 8, len(data) // 25)

    def cut(end: int) -> Callable[[Path], None]:
        return rewritten(name, lambda data: data[:end])

    assert spoilt([cut(end) for end in ends]) == ["good"]


@pytest.mark.parametrize("name", FILES)
def test_foreign_contents_are_no_run(spoilt, name):
    def filled(content: bytes) -> Callable[[Path], None]:
        return rewritten(name, lambda data: content)

    assert spoilt([filled(content) for content in CONTENTS.values()]) == ["good"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("byte", [b"\0", b"\xff", b"\x1b", b'"', b"\r"])
def test_a_foreign_byte_anywhere(spoilt, model_folder, name, byte):
    size = (model_folder / name).stat().st_size

    def broken(place: int) -> Callable[[Path], None]:
        return rewritten(name, lambda data: data[:place] + byte + data[place + 1 :])

    spoilt([broken(place) for place in range(0, size, size // 12)])


def test_a_folder_of_any_name_is_shown_on_one_line(model_folder, tmp_path, capsys):
    names = ["n" * 200, "天气😀" * 15, "- rf", "a;b", "'=1", "%s{0}", "x" * 30]
    if os.name != "nt":  # which allows no such names
        names += ["\x1b[2J", "two\nlines", "=1+1", "\u202eexe", "a:b*?", " a "]
    for name in names:
        shutil.copytree(model_folder, tmp_path / "good" / name)
        (tmp_path / "bad" / name).mkdir(parents=True)
    shutil.copytree(model_folder, tmp_path / "bad/good")
    for folder, left_out in (("good", 0), ("bad", len(names))):
        compare_summary.main(["--project-root", str(tmp_path), "--compare-dir", folder])
        said = capsys.readouterr()
        assert len(said.err.splitlines()) == left_out
        assert (said.out + said.err).replace("\n", "").isprintable()
    assert len(load_runs(tmp_path / "good")) == len(names)


def test_pictures_of_hostile_records(model_folder, tmp_path, monkeypatch):
    """Each run has one of the values in all its blocks at once; panels show the same words."""
    places = [(block, key) for block, values in RECORD.items() for key in values]
    for number, text in enumerate(VALUES.values()):
        folder = Path(shutil.copytree(model_folder, tmp_path / str(number)))
        in_record([*places, ("samples", "val"), ("class_counts", "train", "neutral")], text)(folder)
    runs = load_runs(tmp_path)
    assert len(runs) > 10
    monkeypatch.setattr(pictures, "DPI", 20)
    for charts in ("OF_RUNS", "OF_PREDICTIONS"):
        chosen = getattr(pictures, charts).copy()
        for panels in ("radar", "loss_curves", "confusion", "reliability"):
            chosen.pop(panels, None)
        monkeypatch.setattr(pictures, charts, chosen)
    drawn, _ = pictures.draw(runs, compare(runs), ENGLISH)
    assert len([name for name in drawn if name.endswith(".png")]) == 6 and all(drawn.values())
