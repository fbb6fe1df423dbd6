"""A test list that is not the one a run has predicted is told by every command that meets the run."""

import shutil
from pathlib import Path

import compare_summary
import compare_visualize
import predict
import pytest
from common.predicting.test_list import unanswered
from common.training import train
from common.words import ENGLISH
from helpers.run_folders import edit
from helpers.small_project import jobs_of, make_small_project, record, run_small
from helpers.tables import read_rows, write_rows

SHORT = ["--epochs", "1", "--freeze-encoders"]


def tells(main, project: Path, run: Path, capsys, *more: str) -> bool:
    """Tell if a command says, in one line, that the run has not predicted the list."""
    capsys.readouterr()
    main(["--project-root", str(project), *more])
    lines = [line for line in capsys.readouterr().err.splitlines() if "test.csv" in line]
    assert len(lines) <= 1 and all(run.name in line for line in lines)
    return bool(lines)


def test_other_pairs_texts_and_photos_behind_the_same_guids_are_told_and_added(
    hub, tmp_path, monkeypatch, capsys
):
    project = make_small_project(tmp_path)
    splits, photo = project / "outputs" / "splits", project / "data" / "test0.png"
    shutil.copy(project / "data" / "val0.png", photo)
    header, *rows = ([*row[:3], ""] for row in read_rows(splits / "val.csv"))
    header[3], rows[0][2] = "label", "data/test0.png"
    run = run_small(project, hub, "clip", *SHORT)

    def told() -> bool:
        return run.name in unanswered([run], project, ENGLISH)

    assert not told()  # there is no list
    monkeypatch.setattr(train, "learn", lambda *_: pytest.fail("it trains"))
    for change in ("came later", "shortened", "text", "photo"):
        rows = rows[:4] if change == "shortened" else rows
        rows[0][1] = "另一个文本" if change == "text" else rows[0][1]
        if change == "photo":
            shutil.copy(project / "data" / "val1.png", photo)
        write_rows(splits / "test.csv", [header, *rows])
        assert told() and not jobs_of(project, hub, *SHORT)[0].is_finished(), change
        if change == "photo":
            line = ["--run", str(run), "--csv", "outputs/splits/val.csv", "--output", "a.csv"]
            assert tells(predict.main, project, run, capsys, *line)
            assert tells(compare_summary.main, project, run, capsys, "--lang", "en")
            more = ["--lang", "en", "--without-pairs"]
            assert tells(compare_visualize.main, project, run, capsys, *more)
        run_small(project, hub, "clip", *SHORT)
        assert not told() and jobs_of(project, hub, *SHORT)[0].is_finished(), change

    # One of an earlier version is known by its guids and labels alone.
    shutil.copy(project / "data" / "val2.png", photo)
    data = record(run)["data"]
    del data["test_sha256"]
    assert told()
    edit(run, data=data)
    assert not told()
    # No list is read but the project's own.
    write_rows(splits / "test.csv", [header, *rows[:2]])
    assert told()
    edit(run, data={**data, "unlabelled_csv": "/etc/passwd"})
    assert not told()
