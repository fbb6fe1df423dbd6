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
from common.data.report import QUALITY, quality_json
from common.errors import UserError
from common.page import parts, write
from common.runs.reading import load_runs
from common.words import CHINESE, ENGLISH
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
    inside = Tags(html).scripts[0]
    files = [root / "outputs/compare/visuals" / name for name in files_beside(html)]
    lines = [
        *inside.splitlines(),
        *(line for f in files for line in f.read_text("utf-8").splitlines()),
    ]
    found = [
        json.loads(line[len("parts.push(") : -2]) for line in lines if line.startswith("parts.push")
    ]
    _, head, *rest = found
    pairs = [part for part in rest if "guids" in part]
    joined = {key: [value for part in pairs for value in part[key]] for key in pairs[0]}
    return {**head, **joined, "runs": {part["run"]: part for part in rest if "run" in part}}


def files_beside(html: str) -> list[str]:
    """The scripts that the page loads, in their order."""
    return [a["src"] for tag, a in Tags(html).tags if tag == "script" and a]


def test_what_a_killed_command_has_left_of_the_thumbnails_goes(project):
    thumbs = project / "outputs/compare/visuals/page/thumbs"
    thumbs.mkdir(parents=True)
    left_over = thumbs / ".a.jpg.0.tmp"
    left_over.write_bytes(b"")
    os.utime(left_over, (0, 0))
    page_of(project)
    assert {path.suffix for path in thumbs.iterdir()} == {".jpg"}


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


def test_every_link_in_the_page_stays_on_the_disk(project):
    for tag, attributes in Tags(page_of(project)).tags:
        for name in ("src", "href"):
            address = attributes.get(name, "")
            assert not re.match(r"(?i)[a-z]+:(?!,)|//", address.replace("data:,", "")), (
                tag,
                address,
            )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such folder names")
def test_text_guid_class_and_run_name_never_become_code(tmp_path):
    classes = ["negative", f"a{EVIL}\u202e'\"", "positive"]
    texts = [EVIL, "</script><img src=x onerror=alert(1)>", "a\u2028'\"\\", *TEXTS[3:]]
    record = write_pairs(tmp_path, LABELS, texts, classes)
    name = "run <script>alert(1)<" + "\u2215script> \u202e&amp; '\"`"
    folder = make_run(
        tmp_path / "outputs/compare", name, labels=LABELS, predictions=said(9), **record
    )
    for path in folder.glob("*predictions.csv"):
        content = path.read_text("utf-8").replace(
            "neutral", '"' + classes[1].replace('"', '""') + '"'
        )
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
    assert found["texts"][:3] == [EVIL, texts[1], texts[2]]


def test_a_text_of_a_megabyte_is_cut_and_its_length_told(tmp_path):
    record = write_pairs(tmp_path, LABELS, ["好" * 1_000_000, *TEXTS[1:]])
    make_run(tmp_path / "outputs/compare", "run", labels=LABELS, predictions=said(9), **record)
    html = page_of(tmp_path)
    found = data(tmp_path, html)
    assert len(html) < 500_000
    assert len(found["texts"][0]) == parts.LONGEST_TEXT and found["lengths"][0] == 1_000_000


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
    assert "its fingerprint differs" in html and "指纹不符" in html
    assert found["guids"][7] == "pair7"


def test_a_changed_photo_is_another_fingerprint(project):
    shutil.copy(project / "data/1.png", project / "data/0.png")
    assert "its fingerprint differs" in page_of(project)


def test_without_the_files_of_the_pairs_the_page_says_so(project):
    shutil.rmtree(project / "data")
    html = page_of(project)
    assert "Texts and photos are not shown" in html and "data/0.png" in html
    assert data(project, html)["texts"] == [None] * 30
    (project / VAL_CSV).unlink()
    assert "cannot read the split file" in page_of(project)


def test_a_run_of_an_earlier_version_is_looked_for_in_the_usual_place(project):
    for folder in (project / "outputs/compare").iterdir():
        if (folder / "metrics.json").exists():
            edit(folder, data=...)
    shutil.copy(project / VAL_CSV, project / "outputs/splits/train.csv")
    assert data(project, page_of(project))["texts"] == TEXTS


@pytest.mark.parametrize("record", [5, {"val_csv": 7}, {"val_csv": "a\0b"}, {"val_csv": "../../x"}])
def test_odd_records_of_the_data_are_no_harm(project, record):
    for name in ("late", "concat"):
        edit(project / "outputs/compare" / name, data=record)
    assert "pair7" in page_of(project)


def test_without_predictions_the_results_are_there_and_the_rest_is_said(project):
    for path in (project / "outputs/compare").glob("*/predictions.csv"):
        path.unlink()
    html = page_of(project)
    assert "No run keeps a predictions.csv" in html and "没有任何运行留下" in html
    assert 'id="filter"' not in html and "concat" in html


@pytest.mark.parametrize("count", [1, 10, 30])
def test_one_and_many_runs(tmp_path, count):
    folder = tmp_path / "outputs/compare"
    make_runs(folder, count)
    for extra in range(10, count):
        make_run(folder, f"extra {extra}")
    tags = Tags(page_of(tmp_path))
    matrices = [a for tag, a in tags.tags if tag == "table" and a.get("class") == "matrix"]
    assert len(matrices) == count
    assert "did not record a fingerprint" in tags.text


def test_a_run_of_another_protocol_is_named_with_what_differs(tmp_path):
    make_runs(tmp_path / "outputs/compare", 3)
    make_run(
        tmp_path / "outputs/compare", "other", protocol={"seed": 42, "effective_batch_size": 9}
    )
    text = Tags(page_of(tmp_path)).text
    assert "effective_batch_size 9 instead of 16" in text and "不可比" in text


def test_of_very_many_classes_there_are_no_matrices_and_the_page_says_so(tmp_path):
    labels = np.arange(62) % 31
    make_run(tmp_path / "outputs/compare", "run", labels=labels, predictions=labels)
    html = page_of(tmp_path)
    assert "More than 30 classes" in html and 'class="matrix"' not in html
    assert data(tmp_path, html)["classes"] == [f"c{i}" for i in range(31)]


def test_ensembles_and_figures_on_test_pairs_are_those_of_the_comparison(tmp_path):
    folder, random = tmp_path / "outputs/compare", np.random.default_rng(0)
    labels = random.integers(0, 3, 120)
    for place, name in enumerate(("one", "two", "three")):
        wrong = random.uniform(size=(3, 120)) < 0.2 + 0.1 * place
        epochs = np.where(wrong, (labels + 1) % 3, labels)
        make_run(folder, name, labels=labels, epochs=epochs, test=(labels, epochs[0]))
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
        record = write_pairs(tmp_path, LABELS, TEXTS, path=f"outputs/splits/fold{fold}/val.csv")
        protocol = record["protocol"] | {"fold": fold, "folds": 2, "folds_sha256": "same"}
        name = f"late_fold{fold}"
        run = make_run(
            folder, name, labels=LABELS, predictions=said(9), **record | {"protocol": protocol}
        )
        for file in (run / "predictions.csv", tmp_path / f"outputs/splits/fold{fold}/val.csv"):
            file.write_text(file.read_text("utf-8").replace("pair", f"f{fold}-"), "utf-8")
        edit(
            run,
            protocol=protocol
            | {"val_sha256": fingerprint_of(tmp_path, f"outputs/splits/fold{fold}/val.csv")},
        )
    html = page_of(tmp_path)
    found = data(tmp_path, html)
    assert len(found["guids"]) == 60 and found["texts"] == TEXTS * 2
    assert found["runs"]["late_fold2"]["chosen"].count("--") == 30


def test_files_of_an_earlier_page_go_and_those_of_others_stay(project):
    page = project / "outputs/compare/visuals/page"
    page_of(project, {"radar.en.svg": b"<svg/>"})
    (page / "notes.txt").write_text("mine", "utf-8")
    assert (page / "radar.en.svg").exists() and (page / "thumbs").exists()
    for path in (project / "outputs/compare").glob("*/predictions.csv"):
        path.unlink()
    page_of(project)
    assert [path.name for path in page.rglob("*") if path.is_file()] == ["notes.txt"]


def test_the_same_runs_give_the_same_page(project):
    assert page_of(project) == page_of(project)


def test_the_page_opens_in_the_language_that_is_asked_for_and_holds_both(project):
    zh, en = page_of(project, say=CHINESE), page_of(project, say=ENGLISH)
    assert Tags(zh).text.replace("图文融合方式比较", "", 1) == Tags(en).text.replace(
        "Ways of joining text and image, compared", "", 1
    )  # but for the title of the window
    assert '<html lang="zh-CN" data-language="zh">' in zh
    assert '<html lang="en" data-language="en">' in en
    assert "在 30 对验证样本上，concat" in en and "On 30 validation pairs this run of concat" in zh


def test_each_language_has_its_pictures_and_those_of_the_other_where_it_lacks_them(project):
    charts = {"radar.en.svg": b"<svg/>", "radar.zh.svg": b"<svg/>", "confusion.en.svg": b"<svg/>"}
    charts["agreement.zh.svg"] = b"<svg/>"  # of many runs there is one language only
    html = page_of(project, charts)
    images = [attributes for tag, attributes in Tags(html).tags if tag == "img"]
    shown = [(image["src"], image["alt"], image["loading"]) for image in images]
    assert shown == [
        ("page/radar.zh.svg", "指标雷达图", "lazy"),
        ("page/radar.en.svg", "Metrics as radars", "lazy"),
        ("page/confusion.en.svg", "混淆矩阵（图）", "lazy"),
        ("page/confusion.en.svg", "Confusion matrices as a picture", "lazy"),
        ("page/agreement.zh.svg", "错误一致性", "lazy"),
        ("page/agreement.zh.svg", "Agreement in errors", "lazy"),
    ]


def test_what_make_splits_found_is_shown_while_it_is_about_these_pairs(project):
    val = project / VAL_CSV
    facts = {"same_text": {"groups": 1, "pairs": 2, "conflicts": 0}, "left_out": 4, "odd": "<b>"}
    (val.parent / QUALITY).write_bytes(quality_json({"val.csv": val.read_bytes()}, facts))
    text = Tags(page_of(project)).text
    assert "Same text 1 组，共 2 对，其中 0 组的标签不一致 1 shared by 2 pairs, 0 of" in text
    assert "Pairs left out for missing or broken files 4" in text
    (val.parent / QUALITY).write_bytes(quality_json({"val.csv": b"another"}, facts))
    assert "Same text" not in Tags(page_of(project)).text


def test_the_page_of_twelve_runs_stays_below_two_megabytes_however_many_pairs(tmp_path):
    record = write_pairs(tmp_path, LABELS, TEXTS)
    for place in range(12):
        name = f"bert-base-chinese_resnet18_concat_{place}"
        folder = tmp_path / "outputs/compare"
        make_run(folder, name, labels=LABELS, predictions=said(place), **record)
    assert len(page_of(tmp_path).encode()) + parts.INLINE < 2_000_000


def test_the_script_is_small_and_of_no_framework():
    lines = (PAGE / "page.js").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 300
    assert "http" not in "\n".join(lines)
