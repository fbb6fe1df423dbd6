"""A run is the same by the contents of its checkpoint and pairs, however their paths are spelled."""

import json
import os
import shutil
from pathlib import Path

import pytest
from common.comparison.models import models
from common.models.checkpoint import checkpoint_records
from common.runs.identity import differences
from common.runs.layout import METRICS_JSON
from common.runs.reading import read_runs
from common.settings import ModelChoice
from common.training import train
from helpers.hub import CLIP
from helpers.run_folders import make_run
from helpers.small_project import change_weights, jobs_of, make_small_project, record, run_small
from helpers.stops import stop_at_step

SHORT = ("--epochs", "1", "--lr", "1e-3")


def asked(project: Path, hub, place: str, *more: str) -> bool:
    """Tell if compare_all.py finds the run of this checkpoint finished."""
    flags = ["--epochs", "1", "--lrs", "1e-3", "--clip-model", place, *more]
    return jobs_of(project, hub, *flags)[0].is_finished()


def spellings(checkpoint: Path, elsewhere: Path) -> list[str]:
    """Return other names of a checkpoint's folder; the last is that of a copy."""
    copy = shutil.copytree(checkpoint, elsewhere / checkpoint.name)
    (copy / "README.md").write_text("not read", encoding="utf-8")
    config = copy / "config.json"
    config.write_bytes(config.read_bytes().replace(b"\n", b"\r\n"))
    near = os.path.relpath(checkpoint)
    found = [f"{checkpoint}{os.sep}", near, str(checkpoint / "." / ".." / checkpoint.name)]
    return [*found, str(copy)]


@pytest.fixture
def checkpoint(hub, tmp_path) -> Path:
    return Path(shutil.copytree(hub.folder(CLIP), tmp_path / "there" / "clip-small"))


def test_a_finished_run_is_found_under_every_spelling_and_not_with_other_files(
    hub, tmp_path, checkpoint, monkeypatch
):
    project = make_small_project(tmp_path / "project")
    folder = run_small(project, hub, "clip", *SHORT, "--model-name", str(checkpoint))
    *names, copy = spellings(checkpoint, tmp_path / "copy")
    train_csv = project / "outputs" / "splits" / "train.csv"
    assert all(asked(project, hub, name) for name in (*names, copy))
    assert asked(project, hub, copy, "--train-csv", str(train_csv), "--text-encoding", "gb18030")
    shutil.rmtree(checkpoint)  # the recorded place is not needed
    assert asked(project, hub, copy)
    change_weights(Path(copy))
    assert not asked(project, hub, copy)

    # One of an earlier version recorded no files; its contents are known once it is built.
    shutil.copytree(hub.folder(CLIP), checkpoint)
    found = record(folder)
    del found["model"]["checkpoints"]
    (folder / METRICS_JSON).write_text(json.dumps(found), encoding="utf-8")
    moved = str(checkpoint.rename(tmp_path / "clip-small"))
    assert not asked(project, hub, moved)
    monkeypatch.setattr(train, "learn", lambda *_: pytest.fail("it trains"))
    run_small(project, hub, "clip", *SHORT, "--model-name", moved)
    assert asked(project, hub, moved)


def test_an_unfinished_run_goes_on_under_every_spelling(
    hub, tmp_path, checkpoint, monkeypatch, capsys
):
    project = make_small_project(tmp_path / "project")
    lists = [f"{project}/outputs/splits/{name}.csv" for name in ("train", "val")]
    for place in spellings(checkpoint, tmp_path / "copy"):
        run = ["--epochs", "2", "--output-dir", f"outputs/{len(place)}", "--model-name"]
        stop_at_step(6, project, hub, monkeypatch, *run, str(checkpoint))
        more = ["--train-csv", lists[0], "--val-csv", lists[1], "--text-encoding", "gb18030"]
        folder = run_small(project, hub, "clip", *run, place, *more)
        assert "going on after epoch 1" in capsys.readouterr().out
        assert record(folder)["data"]["train_csv"] == "outputs/splits/train.csv"


def test_seeds_of_one_checkpoint_are_one_model_wherever_it_lay(tmp_path):
    """Of the hub, of folders with the same files, and one whose record has no files."""
    other = {"name": {"from_hub": False, "sha256": "b" * 64}}
    equal = {"name": {"from_hub": False, "sha256": "a" * 64}}
    hub = {"name": {"from_hub": True, "sha256": "a" * 64}}
    again = {"name": {"from_hub": True, "sha256": "c" * 64}}  # saved in another form
    runs = {
        "clip_openai_clip-b": ("openai/clip-b", hub),
        "clip_openai_clip-b_seed1": ("openai/clip-b", again),
        "clip_openai_clip-b_seed2": ("openai/clip-b", None),
        "clip_clip-b_seed3": ("/a/clip-b", equal),
        "clip_clip-b_seed4": ("D:\\models\\clip-b", equal),
        "clip_clip-b_seed5": ("/a/clip-b/", None),
        "clip_clip-b_seed6": ("/c/clip-b", other),
    }
    for name, (place, checkpoints) in runs.items():
        model = {"family": "clip", "name": place, "image_backbone": None, "fusion": "concat"}
        model |= {"checkpoints": checkpoints} if checkpoints else {}
        seed = int(name[-1]) if name[-1].isdigit() else 42
        make_run(tmp_path, name, model=model, protocol={"seed": seed})
    other, one = sorted(models(read_runs(tmp_path)[0]), key=lambda model: len(model.runs))
    assert [len(other.runs), len(one.runs)] == [1, 6]
    assert {run.recorded("model", "name") for run in one.runs} == {"openai/clip-b"}


def test_a_record_that_holds_anything_is_compared_and_none_of_its_paths_followed(monkeypatch):
    for name in ("isdir", "exists", "lexists", "realpath", "stat"):
        monkeypatch.setattr(os.path if hasattr(os.path, name) else os, name, pytest.fail)
    usual = {"protocol": {"seed": 1}, "model": {"name": "a", "checkpoints": {}}}
    for checkpoints in (None, 5, [], {"name": 5}, {"name": {"sha256": [1], "from_hub": "yes"}}):
        model = {"name": "\\\\server\\share", "checkpoints": checkpoints}
        assert "name" in differences({"protocol": {"seed": 1}, "model": model}, usual)


def test_the_files_of_a_checkpoint_are_read_once_and_again_where_they_change(checkpoint):
    choice = ModelChoice("clip", str(checkpoint))
    before = checkpoint_records(choice)
    assert before == checkpoint_records(choice) and not before["name"]["from_hub"]
    change_weights(checkpoint)
    assert checkpoint_records(choice) != before
