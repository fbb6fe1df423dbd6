"""The page as a file: nothing from data becomes code, and it is right whatever the runs are."""

import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from common.data.report import QUALITY, quality_json
from common.errors import UserError
from common.page import parts, write
from common.words import CHINESE
from helpers.hub import STAGE2
from helpers.pages import VAL_CSV, Tags, data_of, files_beside, fingerprint_of, page_of, write_pairs
from helpers.run_folders import bert, edit, make_run, make_runs
from helpers.tables import read_rows, write_rows

EVIL = "<script>alert(1)</script>"
LABELS = np.arange(30) % 3
TEXTS = [f"nice weather {i}" for i in range(30)]
SVG = b'<svg role="img" aria-label="Radar"><text>Radar</text></svg>'


def said(wrong: int) -> np.ndarray:
    return np.where(np.arange(30) < wrong, (LABELS + 1) % 3, LABELS)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two models on 30 pairs, in a folder with a space and Chinese characters."""
    root = tmp_path / "我的 项目"
    record = write_pairs(root, LABELS, TEXTS)
    for name, wrong in (("late", 9), ("concat", 3)):
        run = root / "outputs/compare"
        make_run(run, name, labels=LABELS, predictions=said(wrong), model=bert(name), **record)
    return root


def of_model(found: dict, ending: str) -> dict:
    (name,) = [name for name in found["models"] if name.endswith(ending)]
    return found["models"][name]


def warning(root: Path, **options) -> str:
    """What the page says of texts and photos that it does not show."""
    html = page_of(root, **options)
    assert data_of(root, html)["texts"] == [None] * 30
    return Tags(html).text


def test_texts_photos_and_predictions_of_every_pair_are_in_the_page(project):
    html = page_of(project)
    found = data_of(project, html)
    places = [int(guid[4:]) for guid in found["guids"]]
    assert sorted(places) == list(range(30))
    assert found["texts"] == [TEXTS[place] for place in places]
    assert found["photos"] == [f"data/{place}.png" for place in places]
    thumbs = project / "outputs/compare/visuals/page/thumbs"
    assert set(found["thumbs"]) == {path.name for path in thumbs.iterdir()}
    late = of_model(found, "late")
    chosen = [int(late["chosen"][i : i + 2], 36) for i in range(0, 60, 2)]
    assert chosen == said(9)[places].tolist()
    shares = [int(late["shares"][i : i + 2], 36) for i in range(0, 180, 2)]
    assert all(abs(sum(shares[i : i + 3]) - 1000) <= 2 for i in range(0, 90, 3))
    assert page_of(project) == html  # of the same runs


def test_the_page_speaks_one_language(project):
    english = page_of(project, {"radar.svg": SVG})
    assert not re.search("[\u4e00-\u9fff]", english.replace('"Microsoft YaHei"', ""))
    chinese = page_of(project, say=CHINESE)
    assert 'lang="zh-CN"' in chinese
    for phrase in (">Pictures<", "Parameters", "Which ", "any<", "Copied", "of {total}"):
        assert phrase in english and phrase not in chinese


def test_every_link_in_the_page_stays_on_the_disk(project):
    html = page_of(project, {"radar.svg": SVG, "radar.pdf": b"%PDF", "radar.png": b"PNG"})
    links = set()
    for tag, attributes in Tags(html).tags:
        for name in ("src", "href"):
            links.add(attributes.get(name, "").replace("data:,", ""))
            assert not re.match(r"(?i)[a-z]+:(?!,)|//", attributes.get(name) or "") or (
                attributes[name] == "data:,"
            ), (tag, attributes)
    assert {"radar.png", "page/radar.svg", "page/radar.pdf"} <= links
    assert "default-src 'none'" in html  # nor may a script fetch anything
    assert SVG.decode() in html  # inside the page it follows its theme
    visuals = project / "outputs/compare/visuals"
    assert (visuals / "page/radar.pdf").read_bytes() == b"%PDF"
    assert "http" not in (STAGE2 / "scripts/common/page/page.js").read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such folder names")
def test_text_guid_class_and_run_name_never_become_code(tmp_path):
    classes = ["negative", f"a{EVIL}\u202e'\"", "positive"]
    texts = [EVIL, "</script><img src=x onerror=alert(1)>", "a\u2028'\"\\", "好" * 1_000_000]
    record = write_pairs(tmp_path, LABELS, [*texts, *TEXTS[4:]], classes)
    name = "run <script>alert(1)<" + "\u2215script> \u202e&amp; '\"`"
    compare_dir = tmp_path / "outputs/compare"
    folder = make_run(compare_dir, name, labels=LABELS, predictions=said(9), **record)
    for path in folder.glob("*predictions.csv"):
        rows = [[cell.replace("neutral", classes[1]) for cell in row] for row in read_rows(path)]
        rows[-1][0] = EVIL
        write_rows(path, rows)
    html = page_of(tmp_path)
    tags = Tags(html)
    assert [attributes for tag, attributes in tags.tags if tag == "script"] == [{}, {}]
    assert not [a for _, attributes in tags.tags for a in attributes if a.startswith("on")]
    assert "<script>alert" not in html and "</script><img" not in html
    assert f"a{EVIL}" in tags.text and "<script>alert(1)<" in tags.text
    found = data_of(tmp_path, html)
    assert EVIL in found["guids"] and found["classes"][1] == classes[1]
    places = {guid: place for place, guid in enumerate(found["guids"])}
    shown = [found["texts"][places[f"pair{i}"]] for i in range(4)]
    assert shown[:3] == texts[:3]
    assert len(html) < 500_000  # a text of a megabyte is cut, and its length told
    assert len(shown[3]) == parts.LONGEST_TEXT
    assert found["lengths"][places["pair3"]] == 1_000_000


def test_much_data_lies_in_a_file_beside_the_page(project, monkeypatch):
    whole = data_of(project, page_of(project))
    monkeypatch.setattr(write, "INLINE", 1_500)
    html = page_of(project)
    (file,) = (project / "outputs/compare/visuals/page").glob("pairs_*.js")
    assert files_beside(html) == [f"page/{file.name}"] and "nice weather" not in html
    assert data_of(project, html) == whole
    monkeypatch.undo()
    page_of(project)
    assert not list((project / "outputs/compare/visuals/page").glob("pairs_*.js"))


def test_a_page_that_cannot_be_replaced_keeps_its_own_data(project, monkeypatch):
    monkeypatch.setattr(write, "INLINE", 1_500)
    html = page_of(project)
    earlier = data_of(project, html)
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
    assert data_of(project, html) == earlier
    assert len(data_of(project, page_of(project))["models"]) == 1


def test_pairs_are_not_shown_where_the_fingerprint_no_longer_agrees(project):
    path = project / VAL_CSV
    path.write_text(path.read_text("utf-8").replace("weather 7", "climate 7"), "utf-8")
    assert "its fingerprint differs" in warning(project)
    path.write_text(path.read_text("utf-8").replace("climate 7", "weather 7"), "utf-8")
    assert "its fingerprint differs" not in Tags(page_of(project)).text
    shutil.copy(project / "data/1.png", project / "data/0.png")  # another photo
    assert "its fingerprint differs" in warning(project)


def test_what_cannot_be_read_is_named_and_none_of_its_content(project):
    shutil.rmtree(project / "data")
    text = warning(project)
    assert VAL_CSV in text and "cannot be read" in text and "0.png" not in text
    (project / VAL_CSV).write_text("root:x:0:0\nsecret:y:1:1\n", "utf-8")
    text = warning(project)
    assert "cannot be read" in text and "root:x" not in text and "secret" not in text


def test_a_list_outside_the_project_is_opened_only_where_a_flag_names_its_folder(project, tmp_path):
    """Its texts and photos may lie anywhere."""
    elsewhere = tmp_path / "elsewhere"
    record = write_pairs(elsewhere, LABELS, TEXTS, path="val.csv")
    rows = read_rows(elsewhere / "val.csv")
    rows[1:] = [
        [guid, text, str(elsewhere / photo), label] for guid, text, photo, label in rows[1:]
    ]
    write_rows(elsewhere / "val.csv", rows)
    paths = [str(elsewhere / "val.csv"), "../elsewhere/val.csv"]
    if os.name != "nt":
        (project / "link.csv").symlink_to(elsewhere / "val.csv")
        paths.append("link.csv")
    for path in paths:
        record["data"]["val_csv"] = path
        for name in ("late", "concat"):
            edit(project / "outputs/compare" / name, **record)
        assert "lies outside the project" in warning(project)
        shown = data_of(project, page_of(project, lists=[elsewhere]))
        assert sorted(shown["texts"]) == sorted(TEXTS) and all(shown["thumbs"])
    shutil.copy(elsewhere / "val.csv", project / "val.csv")
    for name in ("late", "concat"):
        edit(project / "outputs/compare" / name, data={"val_csv": "val.csv"})
    assert all(data_of(project, page_of(project))["thumbs"])


def test_the_pairs_of_a_run_with_an_unlabelled_test_list_are_shown(project):
    """As in the course's own layout: train.txt beside test_without_label.txt."""
    (project / "test_without_label.txt").write_text("guid,tag\npair0,null\npair1,null\n", "utf-8")
    for guid in ("pair0", "pair1"):
        (project / f"data/{guid}.txt").write_text("nice", "utf-8")
        shutil.copy(project / "data/0.png", project / f"data/{guid}.png")
    lists = {"train_csv": VAL_CSV, "val_csv": VAL_CSV, "unlabelled_csv": "test_without_label.txt"}
    for name in ("late", "concat"):
        edit(project / "outputs/compare" / name, data=lists)
    found = data_of(project, page_of(project))
    assert sorted(found["texts"]) == sorted(TEXTS) and all(found["thumbs"])


def test_without_pairs_there_are_neither_texts_nor_photos(project):
    page_of(project)
    assert "--without-pairs" in warning(project, with_pairs=False)
    files = [path for path in (project / "outputs/compare/visuals").rglob("*") if path.is_file()]
    assert [path.name for path in files] == ["index.html"]
    html = files[0].read_text("utf-8")
    assert "nice weather" not in html and "data/0.png" not in html and "pair7" in html


def test_a_run_of_an_earlier_version_is_looked_for_in_the_usual_place(project):
    for name in ("late", "concat"):
        edit(project / "outputs/compare" / name, data=...)
    shutil.copy(project / VAL_CSV, project / "outputs/splits/train.csv")
    assert sorted(data_of(project, page_of(project))["texts"]) == sorted(TEXTS)


def test_odd_records_of_the_data_are_no_harm(project):
    for record in (5, {"val_csv": 7}, {"val_csv": "a\0b"}, {"val_csv": "../../x"}):
        for name in ("late", "concat"):
            edit(project / "outputs/compare" / name, data=record)
        assert "pair7" in page_of(project)


def test_thirty_runs_stay_below_two_megabytes_and_those_of_another_protocol_are_a_line(tmp_path):
    folder, odd = tmp_path / "outputs/compare", {"seed": 42, "effective_batch_size": 9}
    make_runs(folder, 10)
    for extra in range(10, 30):
        make_run(folder, f"extra {extra}", **({"protocol": odd} if extra == 29 else {}))
    html = page_of(tmp_path)
    tags = Tags(html)
    assert len(html.encode()) + write.INLINE < 2_000_000
    assert "did not record a fingerprint" in tags.text
    assert "Group 2 of runs (effective_batch_size 9 instead of 16)" in tags.text
    matrices = [a for tag, a in tags.tags if tag == "table" and a.get("class") == "matrix"]
    assert len(matrices) == len(data_of(tmp_path, html)["models"]) == 27  # two have two seeds


def test_of_very_many_classes_there_are_no_matrices_and_the_page_says_so(tmp_path):
    labels = np.arange(62) % 31
    make_run(tmp_path / "outputs/compare", "run", labels=labels, predictions=labels)
    html = page_of(tmp_path)
    assert "More than 30 classes" in Tags(html).text and 'class="matrix"' not in html
    assert data_of(tmp_path, html)["classes"] == [f"c{i}" for i in range(31)]


def test_two_folds_of_a_model_show_the_pairs_of_both(tmp_path):
    folder = tmp_path / "outputs/compare"
    for fold in (1, 2):
        path = f"outputs/splits/fold{fold}/val.csv"
        record = write_pairs(tmp_path, LABELS, TEXTS, path=path)
        name, options = f"late_fold{fold}", {"labels": LABELS, "predictions": said(9)}
        run = make_run(folder, name, model=bert("late"), **options, **record)
        for file in (run / "predictions.csv", tmp_path / path):
            file.write_text(file.read_text("utf-8").replace("pair", f"f{fold}-"), "utf-8")
        block = {"fold": fold, "folds": 2, "folds_sha256": "same"}
        block["val_sha256"] = fingerprint_of(tmp_path, path)
        edit(run, protocol=record["protocol"] | block)
    html = page_of(tmp_path)
    found = data_of(tmp_path, html)
    assert all(name in Tags(html).text for name in ("late_fold1", "late_fold2"))
    assert len(found["guids"]) == 60 and sorted(found["texts"]) == sorted(TEXTS * 2)
    assert len(of_model(found, "late")["chosen"]) == 2 * 60


def test_without_predictions_the_rest_is_said_and_files_of_an_earlier_page_go(project):
    """But not those of others. A killed command may have left a part of a thumbnail."""
    page = project / "outputs/compare/visuals/page"
    (page / "thumbs").mkdir(parents=True)
    left_over = page / "thumbs/.a.jpg.0.tmp"
    left_over.write_bytes(b"")
    os.utime(left_over, (0, 0))
    page_of(project, {"radar.svg": SVG, "radar.pdf": b"%PDF"})
    assert {path.suffix for path in (page / "thumbs").iterdir()} == {".jpg"}
    assert (page / "radar.svg").exists()
    (page / "notes.txt").write_text("mine", "utf-8")
    for path in (project / "outputs/compare").glob("*/predictions.csv"):
        path.unlink()
    html = page_of(project)
    assert [path.name for path in page.rglob("*") if path.is_file()] == ["notes.txt"]
    text = Tags(html).text
    assert "No run keeps a predictions.csv" in text
    assert 'id="filter"' not in html and "concat" in text


def test_what_make_splits_found_is_shown_while_it_is_about_these_pairs(project):
    val = project / VAL_CSV
    facts = {"same_text": {"groups": 1, "pairs": 2, "conflicts": 0}, "left_out": 4, "odd": "<b>"}
    (val.parent / QUALITY).write_bytes(quality_json({"val.csv": val.read_bytes()}, facts))
    text = Tags(page_of(project)).text
    assert "Same text 1 shared by 2 pairs, 0 of" in text
    assert "Pairs left out for missing or broken files 4" in text
    (val.parent / QUALITY).write_bytes(quality_json({"val.csv": b"another"}, facts))
    assert "Same text" not in Tags(page_of(project)).text
