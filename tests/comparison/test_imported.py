"""Predictions that were made elsewhere take part: a csv file is a row, and never the first place."""

import os
import shutil
from pathlib import Path

import compare_summary
import compare_visualize
import numpy as np
import pytest
from common.charts import pictures
from common.comparison import ensembles
from common.comparison.compare import compare
from common.comparison.imported import with_imported
from common.comparison.wording import BEST, conclusion
from common.errors import UserError
from common.runs.reading import load_runs
from common.words import ENGLISH
from helpers.figures import some_predictions
from helpers.made_runs import made_predictions, made_run
from helpers.pages import Tags, data_of
from helpers.run_folders import CLASSES, LABELS, make_run
from helpers.tables import read_table

FAIR, POOR = (some_predictions(1, right) for right in (0.7, 0.6))
SAME = ["p_vs_best", "verdict", "f1_corrected"]
SAME += [f"{key}{end}" for key in ("acc", "f1", "recall") for end in ("_low", "_high")]


def write(path: Path, said: np.ndarray = LABELS, head: str = "guid,pred", end: str = "") -> Path:
    rows = [f"pair{pair},{CLASSES[place]}{end}" for pair, place in enumerate(said)]
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8", newline="")
    return path


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(ensembles, "_MOST_WORK", 0)  # to choose again in every draw takes seconds
    for name, epochs in (("fair", FAIR), ("poor", POOR)):
        make_run(tmp_path / "outputs/compare", name, epochs=epochs)
    return tmp_path


def summarise(root: Path, *given: str) -> dict[str, dict[str, str]]:
    flags = [word for file in given for word in ("--with", file)]
    compare_summary.main(["--project-root", str(root), "--strict", *flags])
    return {row["run"]: row for row in read_table(root / "outputs/compare/compare_families.csv")}


def test_a_run_that_is_exported_and_brought_in_again_has_its_figures_and_its_verdict(root):
    poor, folder = summarise(root)["poor"], root / "outputs/compare"
    shutil.move(folder / "poor/predictions.csv", root / "exported.csv")
    shutil.rmtree(folder / "poor")
    again = summarise(root, "exported.csv")["exported"]
    assert poor["verdict"] == "worse" and poor["val_acc"] == again["val_acc"]
    assert {key: poor[key] for key in SAME} == {key: again[key] for key in SAME}
    unknown = ("seeds", "epochs", "params_million", "train_time_sec", "lr")
    assert [again[key] for key in unknown] == [""] * 5 and again["imported"] == "yes"


def test_it_is_no_candidate_for_the_first_place_and_changes_no_other_verdict(root):
    runs = load_runs(root / "outputs/compare")
    before = compare(runs)
    after = with_imported(before, root, {"all right": write(root / "a.csv")})
    assert list(after.models["model"])[:3] == ["all right", "fair", "poor"]
    assert list(after.models["verdict"])[:2] == ["better than the best model", BEST]
    rows = before.models["model"]
    assert (
        after.models.set_index("model")
        .loc[rows, SAME]
        .equals(before.models.set_index("model")[SAME])
    )
    *told, about = conclusion(after, ENGLISH)
    assert told == conclusion(before, ENGLISH)
    assert "all right (better than the best model)" in about


def test_a_file_as_people_make_it_is_taken_kept_and_shown_until_it_is_deleted(root, capsys):
    write(root / "我的.csv", head="\ufeffguid, tag ,why", end=' ,"a, b"')
    text = (root / "我的.csv").read_text(encoding="utf-8").replace("\n", "\r\n")
    (root / "我的.csv").write_text(text, encoding="utf-8", newline="")
    assert summarise(root, f"gpt-4o={root / '我的.csv'}")["gpt-4o"]["val_acc"] == "1.0"
    kept = root / "outputs/compare/other/gpt-4o.csv"
    assert kept.read_bytes() == (root / "我的.csv").read_bytes()
    assert "gpt-4o" in summarise(root) and "gpt-4o" in summarise(root, str(kept))
    write(root / "gpt-4o.csv")
    with pytest.raises(UserError, match="holds others"):
        summarise(root, "gpt-4o.csv")
    write(kept, LABELS[:-1])
    capsys.readouterr()
    assert "gpt-4o" not in summarise(root)
    assert "left out: other/gpt-4o.csv: 1 guids are missing" in capsys.readouterr().err


def test_folds_are_one_set_of_pairs_and_labelled_test_pairs_may_be_in_the_file_too(tmp_path):
    both = {"folds": 2, "folds_sha256": "of all", "model": "m"}
    shift = made_predictions(LABELS[:50], LABELS[:50], np.arange(400, 450))
    runs = [
        made_run(
            f"m_fold{fold}", FAIR[0, fold - 1 :: 2], pairs=pairs, test=shift, fold=fold, **both
        )
        for fold, pairs in ((1, np.arange(0, 400, 2)), (2, np.arange(1, 400, 2)))
    ]
    found = compare(runs)
    said = np.r_[LABELS, LABELS[1:51]]
    row = with_imported(found, tmp_path, {"all": write(tmp_path / "a.csv", said)}).models.iloc[0]
    assert row["val_acc"] == 1 and row["test_acc"] == (LABELS[1:51] == LABELS[:50]).mean()
    with pytest.raises(UserError, match=r"10 guids are missing \('pair440'"):
        with_imported(found, tmp_path, {"all": write(tmp_path / "a.csv", said[:-10])})


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("pair7,", "pair9,", r"1 guids are missing \('pair7'\); 1 guids are there twice"),
        ("pair7,", "x7,", r"1 guids are missing .*; 1 guids are of other pairs \('x7'\)"),
        (",neutral", ",meh", r"1 classes are unknown \('meh'\); .*neg.*neutral, positive"),
        ("pred", "answer", "needs one column tag"),
        ("guid,pred", "guid,pred,p_neutral", "row 2 has 2 cells"),
        ("guid,pred", "标签", "UTF-8"),
    ],
)
def test_what_does_not_fit_is_counted_and_refused_in_one_line_and_nothing_is_written(
    root, old, new, fault
):
    text = write(root / "a.csv").read_text(encoding="utf-8").replace(old, new)
    (root / "a.csv").write_text(text, encoding="gb18030")
    with pytest.raises(UserError, match=f"a.csv: .*{fault}") as error:
        summarise(root, "a.csv")
    assert "\n" not in str(error.value)
    assert not list((root / "outputs/compare").glob("*.csv"))
    assert not (root / "outputs/compare/other").exists()


@pytest.mark.parametrize(
    ("head", "shares", "fault"),
    [
        ("p_negative,p_neutral,p_positive", ",2,-1,0", r"\[2.0, -1.0, 0.0\] are no prob"),
        ("p_negative,p_neutral,more", ",1,0,0", "needs one column p_positive"),
    ],
)
def test_probabilities_are_those_of_all_classes(root, head, shares, fault):
    write(root / "a.csv", head=f"guid,pred,{head}", end=shares)
    with pytest.raises(UserError, match=fault):
        summarise(root, "a.csv")


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (["x=a.csv", "X=a.csv"], "one name"),
        (["fair=a.csv"], "of a model"),
        (["a:b=a.csv"], "a file"),
    ],
)
def test_two_equal_names_and_names_of_models_or_of_no_file_are_refused(root, names, fault):
    write(root / "a.csv")
    with pytest.raises(UserError, match=fault):
        summarise(root, *names)


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps its pipes elsewhere")
def test_a_kept_file_that_is_a_pipe_is_not_waited_for(root):
    (root / "outputs/compare/other").mkdir()
    os.mkfifo(root / "outputs/compare/other/a.csv")
    with pytest.raises(UserError, match="a.csv holds others"):
        summarise(root, str(write(root / "a.csv")))


def test_the_page_shows_it_and_pictures_leave_it_out_where_nothing_is_known(root, monkeypatch):
    monkeypatch.setattr("common.charts.shown.DPI", 30)
    shown, hidden = (
        ("radar", "intervals", "result_table"),
        ("loss_curves", "params_time", "reliability"),
    )
    few = {name: pictures.CHARTS[name] for name in (*shown, *hidden)}
    monkeypatch.setattr(pictures, "CHARTS", few)
    write(root / "a.csv")
    summarise(root, "gpt=a.csv")
    compare_visualize.main(["--project-root", str(root), "--lang", "en"])
    visuals = root / "outputs/compare/visuals"
    html = (visuals / "index.html").read_text(encoding="utf-8")
    found = data_of(root, html)["models"]
    assert "gpt (imported)" in Tags(html).text
    assert (found["gpt"]["shares"], len(found["gpt"]["chosen"])) == ("", 2 * 400)
    assert len(found["fair"]["shares"]) == 2 * 400 * len(CLASSES)
    drawn = {path.stem: "gpt" in path.read_text("utf-8") for path in visuals.glob("page/*.svg")}
    assert drawn == dict.fromkeys(shown, True) | dict.fromkeys(hidden, False)
