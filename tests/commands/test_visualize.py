"""compare_visualize.py: pictures under their names, and everything left out is said."""

import sys
from pathlib import Path

import compare_visualize
import pytest
from common.errors import UserError
from helpers.run_folders import make_run, make_runs

PAGE = {"index.html", "page"}
OF_HISTORIES = {"radar.png", "params_time.png", "loss_curves.png", "result_table.png"}
OF_PREDICTIONS = {"confusion.png", "per_class.png", "reliability.png"}
OF_PREDICTIONS |= {"agreement.png", "intervals.png"}


def pictures(root: Path) -> set[str]:
    names = {path.name for path in (root / "outputs/compare/visuals").iterdir()}
    assert names >= PAGE
    return names - PAGE


@pytest.fixture
def coarse(monkeypatch):
    """Few pixels, where nobody looks at them; and no browser, where none is asked for."""
    monkeypatch.setattr("common.charts.shown.DPI", 30)
    monkeypatch.setattr("webbrowser.open", None)


def test_the_language_is_that_of_pictures_and_page_and_open_shows_it(
    tmp_path, monkeypatch, capsys, coarse
):
    """By an address that a browser takes. One run agrees with nobody."""
    root, opened = tmp_path / "我的 项目", []
    make_run(root / "outputs/compare", "only")
    monkeypatch.setattr("webbrowser.open", opened.append)
    compare_visualize.main(["--project-root", str(root), "--lang", "zh", "--open"])
    html = (root / "outputs/compare/visuals/index.html").read_text(encoding="utf-8")
    assert '<html lang="zh-CN">' in html
    files = {path.name for path in (root / "outputs/compare/visuals/page").iterdir()}
    said = capsys.readouterr().err
    assert {"radar.svg", "radar.pdf"} <= files
    radar = (root / "outputs/compare/visuals/page/radar.svg").read_text(encoding="utf-8")
    assert ("验证集指标" in radar) != ("没有中文字体" in said)
    assert pictures(root) == (OF_HISTORIES | OF_PREDICTIONS) - {"agreement.png"}
    assert "agreement.png" in said
    (address,) = opened
    assert address.startswith("file:///") and address.endswith("/visuals/index.html")
    assert " " not in address and address.isascii()


def test_what_cannot_be_drawn_is_named_and_its_earlier_pictures_go(tmp_path, capsys, coarse):
    folder = tmp_path / "outputs/compare"
    make_runs(folder, 1)
    make_run(folder, "run \x1b[2J" if sys.platform != "win32" else "run")
    (folder / "broken run").mkdir()
    compare_visualize.main(["--project-root", str(tmp_path)])
    assert "left out: broken run: no metrics.json" in capsys.readouterr().err
    assert pictures(tmp_path) == OF_HISTORIES | OF_PREDICTIONS
    (folder / "visuals/mine.png").write_bytes(b"")
    for path in folder.glob("*/predictions.csv"):
        path.unlink()
    compare_visualize.main(["--project-root", str(tmp_path)])
    assert pictures(tmp_path) == OF_HISTORIES | {"mine.png"}
    said = capsys.readouterr().err
    assert said.count(": no predictions.csv, or") == 1 and "\x1b" not in said  # of all models


def test_nothing_to_draw_is_one_line(tmp_path):
    (tmp_path / "outputs/compare").mkdir(parents=True)
    with pytest.raises(UserError, match="no finished run"):
        compare_visualize.main(["--project-root", str(tmp_path)])
    assert not (tmp_path / "outputs/compare/visuals").exists()
