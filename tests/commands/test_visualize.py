"""compare_visualize.py as people run it: whole pictures under their names, and everything left out is said."""

import io
import subprocess
import sys
from pathlib import Path

import compare_visualize
import numpy as np
import pytest
from common.errors import UserError
from helpers.hub import STAGE2
from helpers.run_folders import make_run, make_runs
from PIL import Image

PAGE = {"index.html", "page"}
OF_HISTORIES = {"radar.png", "params_time.png", "loss_curves.png", "result_table.png"}
OF_PREDICTIONS = {
    "confusion.png",
    "per_class.png",
    "reliability.png",
    "agreement.png",
    "intervals.png",
}


def pictures(root: Path) -> set[str]:
    names = {path.name for path in (root / "outputs/compare/visuals").iterdir()}
    assert names >= PAGE
    return names - PAGE


@pytest.fixture
def coarse(monkeypatch):
    """Few pixels, where nobody looks at them."""
    monkeypatch.setattr("common.charts.pictures.DPI", 30)


def test_whole_pictures_without_torch_and_without_a_word_on_stderr(tmp_path):
    make_runs(tmp_path / "outputs/compare", 3)
    script = STAGE2 / "scripts/compare_visualize.py"
    code = (
        "import runpy, sys, warnings\n"
        # matplotlib 3.8 calls names of pyparsing that its newest release deprecates.
        "warnings.filterwarnings('ignore', r\"'\\w+' .*deprecated - use\", DeprecationWarning)\n"
        f"sys.argv = ['compare_visualize.py', '--project-root', {str(tmp_path)!r}]\n"
        f"sys.path.insert(0, {str(script.parent)!r})\n"
        f"runpy.run_path({str(script)!r}, run_name='__main__')\n"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))\n"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True)
    assert done.stderr == ""
    *paths, modules = done.stdout.splitlines()
    assert modules == "[]"
    *paths, page = map(Path, paths)
    assert page.name == "index.html"
    assert {path.name for path in paths} == pictures(tmp_path) == OF_HISTORIES | OF_PREDICTIONS
    for path in paths:
        image = Image.open(io.BytesIO(path.read_bytes()))
        image.load()  # to the last pixel
        assert image.width == 2250  # 7.5 inches
        edges = np.asarray(image.convert("L"))
        assert all((edge == 255).all() for edge in (edges[0], edges[-1], edges[:, 0], edges[:, -1]))


def test_the_language_is_that_of_pictures_and_page(tmp_path, capsys, coarse):
    make_runs(tmp_path / "outputs/compare", 2)
    compare_visualize.main(["--project-root", str(tmp_path), "--lang", "zh"])
    html = (tmp_path / "outputs/compare/visuals/index.html").read_text(encoding="utf-8")
    assert 'data-language="zh"' in html and "<title>图文融合方式比较</title>" in html
    charts = {path.name for path in (tmp_path / "outputs/compare/visuals/page").glob("*.svg")}
    said = capsys.readouterr().err
    assert "radar.en.svg" in charts and ("radar.zh.svg" in charts) != ("没有中文字体" in said)


def test_folders_that_cannot_be_read_are_named_and_the_others_drawn(tmp_path, capsys, coarse):
    make_runs(tmp_path / "outputs/compare", 2)
    (tmp_path / "outputs/compare/broken run").mkdir()
    compare_visualize.main(["--project-root", str(tmp_path)])
    assert "left out: broken run: no metrics.json" in capsys.readouterr().err
    assert pictures(tmp_path) == OF_HISTORIES | OF_PREDICTIONS


def test_pictures_that_can_no_longer_be_drawn_go(tmp_path, capsys, coarse):
    make_runs(tmp_path / "outputs/compare", 2)
    compare_visualize.main(["--project-root", str(tmp_path)])
    (tmp_path / "outputs/compare/visuals/mine.png").write_bytes(b"")
    for path in (tmp_path / "outputs/compare").glob("*/predictions.csv"):
        path.unlink()
    compare_visualize.main(["--project-root", str(tmp_path)])
    assert pictures(tmp_path) == OF_HISTORIES | {"mine.png"}
    assert capsys.readouterr().err.count(": no predictions.csv: only in") == 1  # of both runs


def test_one_run_is_drawn_but_agrees_with_nobody(tmp_path, capsys, coarse):
    make_run(tmp_path / "outputs/compare", "only")
    compare_visualize.main(["--project-root", str(tmp_path)])
    assert pictures(tmp_path) == (OF_HISTORIES | OF_PREDICTIONS) - {"agreement.png"}
    assert "agreement.png needs two runs" in capsys.readouterr().err


def test_names_on_stderr_cannot_move_the_cursor(tmp_path, capsys, coarse):
    folder = make_run(
        tmp_path / "outputs/compare", "run \x1b[2J" if sys.platform != "win32" else "run"
    )
    (folder / "predictions.csv").unlink()
    compare_visualize.main(["--project-root", str(tmp_path)])
    assert "\x1b" not in capsys.readouterr().err


def test_nothing_to_draw_is_one_line(tmp_path):
    (tmp_path / "outputs/compare").mkdir(parents=True)
    with pytest.raises(UserError, match="no finished run"):
        compare_visualize.main(["--project-root", str(tmp_path)])
    assert not (tmp_path / "outputs/compare/visuals").exists()


def test_frozen_encoders_are_drawn_with_what_was_trained(tmp_path, coarse):
    make_runs(tmp_path / "outputs/compare", 2)
    make_run(
        tmp_path / "outputs/compare", "frozen", params_million=110.0, trainable_params_million=0.4
    )
    compare_visualize.main(["--project-root", str(tmp_path)])
    assert pictures(tmp_path) == OF_HISTORIES | OF_PREDICTIONS


def test_open_shows_the_page_by_an_address_that_a_browser_takes(tmp_path, monkeypatch, coarse):
    root = tmp_path / "我的 项目"
    make_runs(root / "outputs/compare", 2)
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    compare_visualize.main(["--project-root", str(root)])
    assert opened == []
    compare_visualize.main(["--project-root", str(root), "--open"])
    (address,) = opened
    assert address.startswith("file:///") and address.endswith("/visuals/index.html")
    assert " " not in address and address.isascii()
