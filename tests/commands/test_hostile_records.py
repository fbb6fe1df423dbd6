"""Run folders with anything in them: each is a run, or is left out by name; none ends a command."""

import json
import os
import shutil
from itertools import count
from pathlib import Path

import compare_summary
import numpy as np
import pytest
from common.charts.pictures import draw
from common.comparison.compare import compare
from common.runs.reading import load_runs
from common.words import ENGLISH
from helpers.run_folders import clip, edit, make_run
from helpers.tables import read_table

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
# JSON that stands where another value was: deep, huge, no number, of another type
VALUES = ["[" * 900 + "]" * 900, '{"a":' * 15 + "1" + "}" * 15, "9" * 400, "9" * 5000, "-1e308"]
VALUES += ["1e999", "NaN", "true", "null", json.dumps(LONG), json.dumps(CONTROLS), '"\\ud800"']
VALUES += ["[1, null]", '{"": null}', '""']
CELLS = ["", "nan", "-1", "1e309", "9" * 5000, "\0", "\x1b[2J\r\u2028", "=1+1", '"', '"\n"', LONG]


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory) -> Path:
    parent = tmp_path_factory.mktemp("model")
    return make_run(parent, "run", labels=LABELS, predictions=PREDICTED, **RECORD)


def places_of(block: dict, outer: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The places of all values, of blocks too."""
    found = []
    for key, value in block.items():
        found.append((*outer, key))
        if isinstance(value, dict):
            found += places_of(value, (*outer, key))
    return found


def put(folder: Path, places: list[tuple[str, ...]], text: str) -> None:
    """Put a JSON text at these places of metrics.json."""
    path = folder / "metrics.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    for *outer, last in places:
        block = record
        for key in outer:
            block = block[key]
        block[last] = "HERE"
    path.write_text(json.dumps(record).replace('"HERE"', text), encoding="utf-8")


def test_any_value_at_any_place_is_summed_up_or_named(model_folder, tmp_path, capsys):
    record = json.loads((model_folder / "metrics.json").read_text(encoding="utf-8"))
    parent, places = tmp_path / "outputs/compare", places_of(record)

    seeds = count()

    def copied(name: str) -> Path:
        """A run of its own, by its seed: equal runs would count once."""
        folder = Path(shutil.copytree(model_folder, parent / name))
        edit(folder, protocol={**RECORD["protocol"], "seed": next(seeds)})
        return folder

    copied("good")
    for number, place in enumerate(places):
        for value in VALUES[number % 3 :: 3]:  # of three places that follow each other, each value
            put(copied(f"{'.'.join(place)} {VALUES.index(value)}"), [place], value)
    # 1. Tables.
    for name in ("history.csv", "predictions.csv"):
        lines = (model_folder / name).read_text(encoding="utf-8").split("\n")
        for column in range(lines[0].count(",") + 1):
            for number, text in enumerate(CELLS):
                cells = lines[3].split(",")
                cells[column] = text
                folder = copied(f"{name} {column} {number}")
                changed = "\n".join([*lines[:3], ",".join(cells), *lines[4:]])
                (folder / name).write_bytes(changed.encode("utf-8"))
    # 2. Every folder is a row or is left out, in a line that a console can show.
    folders = {path.name for path in parent.iterdir()}
    compare_summary.main(["--project-root", str(tmp_path)])
    said = capsys.readouterr()
    problems = said.err.splitlines()
    left_out = {line.removeprefix("left out: ").split(": ")[0] for line in problems}
    read = {row["run"] for row in read_table(parent / "compare_summary.csv")}
    assert left_out | read == folders and not left_out & read
    assert min(len(left_out), len(read)) > 100 and "good" in read
    assert all(len(line) < 500 and line.isprintable() for line in problems)


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


def test_pictures_of_hostile_records(model_folder, tmp_path):
    """Each run has one of the values in all its blocks at once."""
    places = [(block, key) for block, values in RECORD.items() for key in values]
    places += [("samples", "val"), ("class_counts", "train", "neutral")]
    for number, text in enumerate(VALUES[::2]):
        put(Path(shutil.copytree(model_folder, tmp_path / str(number))), places, text)
    results = compare(load_runs(tmp_path))
    assert len(results.models) > 4
    drawn, _ = draw(results, ENGLISH)
    assert "result_table.png" in drawn and all(drawn.values())
