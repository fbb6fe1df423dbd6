"""A run of a training command leaves all that the page needs to show its pairs."""

from helpers.pages import Tags, page_of
from helpers.small_project import TEXTS, make_small_project, record, run_small


def test_the_pairs_of_a_trained_run_are_found_again(hub, tmp_path):
    project = make_small_project(tmp_path / "我的 项目")
    folder = run_small(project, hub, "bert", "--text-encoding", "gb18030")
    assert record(folder)["data"] == {
        "train_csv": "outputs/splits/train.csv",
        "val_csv": "outputs/splits/val.csv",
        "text_encoding": "gb18030",
    }
    tags = Tags(page_of(project))
    assert f'"{TEXTS[1]}1"' in tags.scripts[0] and "not shown" not in tags.text
    assert len(list((project / "outputs/compare/visuals/page/thumbs").iterdir())) == 6


def test_a_split_outside_the_project_is_recorded_by_its_whole_path(hub, tmp_path):
    project, elsewhere = make_small_project(tmp_path / "project"), tmp_path / "val.csv"
    (project / "outputs/splits/val.csv").rename(elsewhere)
    folder = run_small(project, hub, "bert", "--val-csv", str(elsewhere))
    assert record(folder)["data"]["val_csv"] == elsewhere.as_posix()
    assert "not shown" not in Tags(page_of(project)).text
