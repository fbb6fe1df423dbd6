"""A run of a training command leaves all that the page needs to show its pairs."""

from helpers.pages import Tags, page_of
from helpers.small_project import TEXTS, make_small_project, record, run_small


def test_the_pairs_of_a_trained_run_are_found_again(hub, tmp_path):
    """A file in the project is recorded by its path there, another one by its whole path."""
    project, elsewhere = make_small_project(tmp_path / "我的 项目"), tmp_path / "val.csv"
    (project / "outputs/splits/val.csv").rename(elsewhere)
    more = ["--val-csv", str(elsewhere), "--text-encoding", "gb18030", "--epochs", "1"]
    assert record(run_small(project, hub, "bert", *more))["data"] == {
        "train_csv": "outputs/splits/train.csv",
        "val_csv": elsewhere.as_posix(),
        "text_encoding": "gb18030",
    }
    tags = Tags(page_of(project, lists=[tmp_path]))
    assert f'"{TEXTS[1]}1"' in tags.scripts[0] and "not shown" not in tags.text
    assert len(list((project / "outputs/compare/visuals/page/thumbs").iterdir())) == 6
