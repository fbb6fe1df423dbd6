"""The page as a file: nothing from data becomes code, and it is right whatever the runs are."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from common.comparison.compare import compare
from common.comparison.draws import Draws
from common.data.report import QUALITY, quality_json
from common.errors import UserError
from common.page import parts, write
from common.runs.reading import load_runs
from common.words import CHINESE
from helpers.hub import STAGE2
from helpers.pages import VAL_CSV, Tags, fingerprint_of, page_of, write_pairs
from helpers.run_folders import edit, make_run, make_runs

PAGE = STAGE2 / "scripts/common/page"
EVIL = "<script>alert(1)</script>"
LABELS = np.arange(30) % 3
TEXTS = [f"今天天气 {i}" for i in range(30)]


def said(wrong: int) -> np.ndarray:
    return np.where(np.arange(30) < wrong, (LABELS + 1) % 3, LABELS)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two runs on 30 pairs, in a folder with a space and Chinese characters."""
    root = tmp_path / "我的 项目"
    record = write_pairs(root, LABELS, TEXTS)
    for name, wrong in (("late", 9), ("concat", 3)):
        make_run(root / "outputs/compare", name, labels=LABELS, predictions=said(wrong), **record)
    return root


def data(root: Path, html: str) -> dict:
    """The data of the page's script, joined, from the page and from the files beside it."""
    files = [root / "outputs/compare/visuals" / name for name in files_beside(html)]
    scripts = [Tags(html).scripts[0], *(file.read_text("utf-8") for file in files)]
    lines = [line for script in scripts for line in script.splitlines()]
    start = "parts.push("
    found = [json.loads(line[len(start) : -2]) for line in lines if line.startswith(start)]
    _, head, *rest = found
    pairs = [part for part in rest if "guids" in part]
    joined = {key: [value for part in pairs for value in part[key]] for key in pairs[0]}
    return {**head, **joined, "runs": {part["run"]: part for part in rest if "run" in part}}


def files_beside(html: str) -> list[str]:
    """The scripts that the page loads, in their order."""
    return [a["src"] for tag, a in Tags(html).tags if tag == "script" and a]


def test_texts_photos_and_predictions_of_every_pair_are_in_the_page(project):
    html = page_of(project)
    found = data(project, html)
    assert found["guids"] == [f"pair{i}" for i in range(30)]
    assert found["texts"] == TEXTS
    thumbs = project / "outputs/compare/visuals/page/thumbs"
    assert set(found["photos"]) == {path.name for path in thumbs.iterdir()}
    chosen = found["runs"]["late"]["chosen"]
    assert [int(chosen[i : i + 2], 36) for i in range(0, 60, 2)] == said(9).tolist()
    shares = found["runs"]["late"]["shares"]
    thousandths = [int(shares[i : i + 2], 36) for i in range(0, 180, 2)]
    assert all(abs(sum(thousandths[i : i + 3]) - 1000) <= 2 for i in range(0, 90, 3))
    assert found["presets"]["all_wrong"] == 3 and found["presets"]["one_right"] == 6
    masks = np.array(found["masks"])
    for bit, name in enumerate(found["sets"]):
        if name in found["presets"]:
            assert (masks >> bit & 1).sum() == found["presets"][name]
    assert page_of(project) == html  # of the same runs


def test_every_link_in_the_page_stays_on_the_disk(project):
    for tag, attributes in Tags(page_of(project)).tags:
        for name in ("src", "href"):
            address = attributes.get(name, "").replace("data:,", "")
            assert not re.match(r"(?i)[a-z]+:(?!,)|//", address), (tag, address)
    assert "http" not in (PAGE / "page.js").read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such folder names")
def test_text_guid_class_and_run_name_never_become_code(tmp_path):
    classes = ["negative", f"a{EVIL}\u202e'\"", "positive"]
    texts = [EVIL, "</script><img src=x onerror=alert(1)>", "a\u2028'\"\\", "好" * 1_000_000]
    record = write_pairs(tmp_path, LABELS, [*texts, *TEXTS[4:]], classes)
    name = "run <script>alert(1)<" + "\u2215script> \u202e&amp; '\"`"
    compare_dir = tmp_path / "outputs/compare"
    folder = make_run(compare_dir, name, labels=LABELS, predictions=said(9), **record)
    for path in folder.glob("*predictions.csv"):
        cell = '"' + classes[1].replace('"', '""') + '"'
        content = path.read_text("utf-8").replace("neutral", cell)
        content = content.replace('p_"a', '"p_a').replace("pair29,", f"{EVIL},")
        path.write_text(content, "utf-8")
    html = page_of(tmp_path)
    tags = Tags(html)
    assert [attributes for tag, attributes in tags.tags if tag == "script"] == [{}, {}]
    assert not [a for _, attributes in tags.tags for a in attributes if a.startswith("on")]
    assert "<script>alert" not in html and "</script><img" not in html
    assert f"a{EVIL}" in tags.text and "<script>alert(1)<" in tags.text
    found = data(tmp_path, html)
    assert EVIL in found["guids"] and found["classes"][1] == classes[1]
    assert found["texts"][:3] == texts[:3]
    assert len(html) < 500_000  # a text of a megabyte is cut, and its length told
    assert len(found["texts"][3]) == parts.LONGEST_TEXT and found["lengths"][3] == 1_000_000


def test_much_data_lies_in_files_beside_the_page_none_too_large(project, monkeypatch):
    whole = data(project, page_of(project))
    monkeypatch.setattr(parts, "INLINE", 1_500)
    monkeypatch.setattr(parts, "_PER_PART", 4)
    html = page_of(project)
    files = list((project / "outputs/compare/visuals/page").glob("pairs_*.js"))
    assert sorted(files_beside(html)) == sorted(f"page/{file.name}" for file in files)
    assert len(files) >= 2
    assert all(file.stat().st_size <= 1_500 for file in files)
    assert data(project, html) == whole
    monkeypatch.undo()
    page_of(project)
    assert not list((project / "outputs/compare/visuals/page").glob("pairs_*.js"))


def test_a_page_that_cannot_be_replaced_keeps_its_own_data(project, monkeypatch):
    monkeypatch.setattr(parts, "INLINE", 1_500)
    monkeypatch.setattr(parts, "_PER_PART", 4)
    html = page_of(project)
    earlier = data(project, html)
    shutil.rmtree(project / "outputs/compare/late")
    index = project / "outputs/compare/visuals/index.html"
    real = write.write_result

    def full(path: Path, content: bytes) -> None:
        if path == index:
            raise UserError("No space left on device")
        real(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(write, "write_result", full)
        with pytest.raises(UserError, match="No space left"):
            page_of(project)
    assert index.read_text("utf-8") == html
    assert data(project, html) == earlier
    assert list(data(project, page_of(project))["runs"]) == ["concat"]


def test_pairs_are_not_shown_where_the_fingerprint_no_longer_agrees(project):
    path = project / VAL_CSV
    path.write_text(path.read_text("utf-8").replace("今天天气 7", "昨天天气 7"), "utf-8")
    html = page_of(project)
    found = data(project, html)
    assert found["texts"] == [None] * 30 and set(found["photos"]) == {""}
    text = Tags(html).text  # without the phrases that its script holds
    assert "its fingerprint differs" in text and "指纹不符" in text
    assert found["guids"][7] == "pair7"
    path.write_text(path.read_text("utf-8").replace("昨天天气 7", "今天天气 7"), "utf-8")
    assert "its fingerprint differs" not in Tags(page_of(project)).text
    shutil.copy(project / "data/1.png", project / "data/0.png")  # another photo
    assert "its fingerprint differs" in Tags(page_of(project)).text


def test_without_the_files_of_the_pairs_the_page_says_so(project):
    shutil.rmtree(project / "data")
    html = page_of(project)
    assert "Texts and photos are not shown" in Tags(html).text and "data/0.png" in html
    assert data(project, html)["texts"] == [None] * 30
    (project / VAL_CSV).unlink()
    assert "cannot read the split file" in Tags(page_of(project)).text


def test_a_run_of_an_earlier_version_is_looked_for_in_the_usual_place(project):
    for folder in (project / "outputs/compare").iterdir():
        if (folder / "metrics.json").exists():
            edit(folder, data=...)
    shutil.copy(project / VAL_CSV, project / "outputs/splits/train.csv")
    assert data(project, page_of(project))["texts"] == TEXTS


def test_odd_records_of_the_data_are_no_harm(project):
    for record in (5, {"val_csv": 7}, {"val_csv": "a\0b"}, {"val_csv": "../../x"}):
        for name in ("late", "concat"):
            edit(project / "outputs/compare" / name, data=record)
        assert "pair7" in page_of(project)


def test_thirty_runs_stay_below_two_megabytes_and_one_of_another_protocol_is_named(tmp_path):
    folder, odd = tmp_path / "outputs/compare", {"seed": 42, "effective_batch_size": 9}
    make_runs(folder, 10)
    for extra in range(10, 30):
        make_run(folder, f"extra {extra}", **({"protocol": odd} if extra == 29 else {}))
    html = page_of(tmp_path)
    tags = Tags(html)
    matrices = [a for tag, a in tags.tags if tag == "table" and a.get("class") == "matrix"]
    assert len(matrices) == 30 and len(html.encode()) + parts.INLINE < 2_000_000
    assert "did not record a fingerprint" in tags.text
    assert "effective_batch_size 9 instead of 16" in tags.text and "不可比" in tags.text


def test_of_very_many_classes_there_are_no_matrices_and_the_page_says_so(tmp_path):
    labels = np.arange(62) % 31
    make_run(tmp_path / "outputs/compare", "run", labels=labels, predictions=labels)
    html = page_of(tmp_path)
    assert "More than 30 classes" in Tags(html).text and 'class="matrix"' not in html
    assert data(tmp_path, html)["classes"] == [f"c{i}" for i in range(31)]


def test_ensembles_and_figures_on_test_pairs_are_those_of_the_comparison(tmp_path, monkeypatch):
    folder, random = tmp_path / "outputs/compare", np.random.default_rng(0)
    labels = random.integers(0, 3, 120)
    for place, name in enumerate(("one", "two", "three")):
        wrong = random.uniform(size=(3, 120)) < 0.2 + 0.1 * place
        epochs = np.where(wrong, (labels + 1) % 3, labels)
        make_run(folder, name, labels=labels, epochs=epochs, test=(labels, epochs[0]))
    monkeypatch.setattr(Draws, "more", lambda draws, answers: None)  # draws that take seconds
    comparison = compare(load_runs(folder))
    text = Tags(page_of(tmp_path)).text
    assert len(comparison.ensembles) > 1 and "Macro-F1 on test" in text
    for name, judged in comparison.ensembles.items():
        value, low, high, corrected = judged.estimates["val_f1_macro"]
        assert f"{CHINESE(name)} {name} {value:.3f} {low:.3f}–{high:.3f} {corrected:.3f}" in text
    for entry in comparison.families:
        value, low, high, _ = entry.test.estimates["val_f1_macro"]
        assert f" {value:.3f} {low:.3f}–{high:.3f}" in text


def test_two_folds_of_a_model_show_the_pairs_of_both(tmp_path):
    folder = tmp_path / "outputs/compare"
    for fold in (1, 2):
        path = f"outputs/splits/fold{fold}/val.csv"
        record = write_pairs(tmp_path, LABELS, TEXTS, path=path)
        name, options = f"late_fold{fold}", {"labels": LABELS, "predictions": said(9)}
        run = make_run(folder, name, **options, **record)
        for file in (run / "predictions.csv", tmp_path / path):
            file.write_text(file.read_text("utf-8").replace("pair", f"f{fold}-"), "utf-8")
        block = {"fold": fold, "folds": 2, "folds_sha256": "same"}
        block["val_sha256"] = fingerprint_of(tmp_path, path)
        edit(run, protocol=record["protocol"] | block)
    html = page_of(tmp_path)
    found = data(tmp_path, html)
    assert len(found["guids"]) == 60 and found["texts"] == TEXTS * 2
    assert found["runs"]["late_fold2"]["chosen"].count("--") == 30


def test_without_predictions_the_rest_is_said_and_files_of_an_earlier_page_go(project):
    """But not those of others. A killed command may have left a part of a thumbnail."""
    page = project / "outputs/compare/visuals/page"
    (page / "thumbs").mkdir(parents=True)
    left_over = page / "thumbs/.a.jpg.0.tmp"
    left_over.write_bytes(b"")
    os.utime(left_over, (0, 0))
    html = page_of(project, {"radar.en.svg": b"<svg/>"})
    assert 'src="page/radar.en.svg"' in html and (page / "radar.en.svg").exists()
    assert {path.suffix for path in (page / "thumbs").iterdir()} == {".jpg"}
    (page / "notes.txt").write_text("mine", "utf-8")
    for path in (project / "outputs/compare").glob("*/predictions.csv"):
        path.unlink()
    html = page_of(project)
    assert [path.name for path in page.rglob("*") if path.is_file()] == ["notes.txt"]
    text = Tags(html).text
    assert "No run keeps a predictions.csv" in text and "没有任何运行留下" in text
    assert 'id="filter"' not in html and "concat" in text


def test_what_make_splits_found_is_shown_while_it_is_about_these_pairs(project):
    val = project / VAL_CSV
    facts = {"same_text": {"groups": 1, "pairs": 2, "conflicts": 0}, "left_out": 4, "odd": "<b>"}
    (val.parent / QUALITY).write_bytes(quality_json({"val.csv": val.read_bytes()}, facts))
    text = Tags(page_of(project)).text
    assert "Same text 1 组，共 2 对，其中 0 组的标签不一致 1 shared by 2 pairs, 0 of" in text
    assert "Pairs left out for missing or broken files 4" in text
    (val.parent / QUALITY).write_bytes(quality_json({"val.csv": b"another"}, facts))
    assert "Same text" not in Tags(page_of(project)).text
