"""``--fold k`` trains on one of the folds that make_splits.py --folds wrote."""

import csv
import hashlib
import shutil
from pathlib import Path

import pytest
from common.errors import UserError
from common.runs.reading import load_runs
from common.settings import Paths
from common.training.reading import read_folds
from helpers.small_project import compare_dir, make_small_project, run_small
from helpers.stops import stop_at_step


def add_folds(project: Path, count: int = 3) -> Path:
    """All pairs in ``count`` folds: pair i is in the validation part of fold 1 + i % count."""
    splits, rows = project / "outputs" / "splits", []
    for name in ("train", "val"):
        with (splits / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            header, *pairs = csv.reader(file)
        rows += pairs
    for fold in range(count):
        folder = splits / f"fold_{fold + 1}"
        folder.mkdir()
        parts = {"train": [], "val": []}
        for place, row in enumerate(rows):
            parts["val" if place // 3 % count == fold else "train"].append(row)
        for name, part in parts.items():
            with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows([header, *part])
    return splits


@pytest.fixture
def project(tmp_path) -> Path:
    made = make_small_project(tmp_path)
    add_folds(made)
    return made


def sha256(*contents: bytes) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(c).digest() for c in contents)).hexdigest()


def test_a_run_of_a_fold_has_its_pairs_and_says_so(project, hub):
    folder = run_small(project, hub, "clip", "--fold", "2", "--seed", "7")
    assert folder.name.endswith("_lr0.001_seed7_fold2")
    (run,) = load_runs(compare_dir(project))
    splits = project / "outputs" / "splits"
    with (splits / "fold_2" / "val.csv").open(encoding="utf-8", newline="") as file:
        assert run.predictions.guids == [row["guid"] for row in csv.DictReader(file)]
    contents = [(splits / f"fold_{fold}" / "val.csv").read_bytes() for fold in (1, 2, 3)]
    protocol = run.recorded("protocol")
    assert (protocol["fold"], protocol["folds"]) == (2, 3)
    assert protocol["folds_sha256"] == sha256(*contents)


def test_a_run_without_a_fold_says_so(project, hub):
    run_small(project, hub, "clip")
    (run,) = load_runs(compare_dir(project))
    protocol = run.recorded("protocol")
    assert [protocol[name] for name in ("fold", "folds", "folds_sha256")] == [None, None, ""]


def test_the_hash_is_of_all_folds_in_their_order_and_not_of_line_ends(project):
    paths, splits = Paths(project_root=project), project / "outputs" / "splits"
    before = read_folds(paths, 1)
    assert before == read_folds(paths, 3)
    path = splits / "fold_1" / "val.csv"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_folds(paths, 1) == before
    shutil.move(splits / "fold_1", splits / "aside")
    shutil.move(splits / "fold_2", splits / "fold_1")
    shutil.move(splits / "aside", splits / "fold_2")
    assert read_folds(paths, 1).sha256 != before.sha256


@pytest.mark.parametrize("flag", ["--train-csv", "--val-csv"])
@pytest.mark.parametrize("name", ["outputs/splits/train.csv", "other.csv"])
def test_a_fold_and_its_own_file_contradict_each_other(project, hub, flag: str, name: str):
    """Also where the file is the default one."""
    with pytest.raises(UserError, match="--fold 1 stands for its own two files: leave out"):
        run_small(project, hub, "clip", "--fold", "1", flag, name)


def test_a_fold_that_is_not_there_is_answered_with_those_that_are(project, hub):
    with pytest.raises(UserError, match="there is no fold 4: give one of 1; 2; 3 as --fold"):
        run_small(project, hub, "clip", "--fold", "4")
    splits = project / "outputs" / "splits"
    shutil.rmtree(splits / "fold_2")
    with pytest.raises(UserError, match="there are folds 1; 3, and others are missing: make them"):
        run_small(project, hub, "clip", "--fold", "1")
    (splits / "fold_3" / "val.csv").unlink()
    (splits / "fold_3").rename(splits / "fold_2")
    with pytest.raises(UserError, match=r"fold_2.val.csv: No such file or directory; make them"):
        run_small(project, hub, "clip", "--fold", "1")
    shutil.rmtree(splits / "fold_1")
    shutil.rmtree(splits / "fold_2")
    with pytest.raises(UserError, match="no folds, so --fold 1 is none: make them with make_spl"):
        run_small(project, hub, "clip", "--fold", "1")
    assert not list(compare_dir(project).glob("clip*"))


def test_folds_that_make_splits_has_only_begun_to_replace_are_refused(project, hub):
    (project / "outputs" / "splits" / ".make_splits.unfinished").touch()
    with pytest.raises(UserError, match="may belong to two different splits: run make_splits.py"):
        run_small(project, hub, "clip", "--fold", "1")


def test_other_folds_beneath_an_unfinished_run_are_an_error(project, hub, monkeypatch):
    stop_at_step(8, project, hub, monkeypatch, "--fold", "1")
    other = project / "outputs" / "splits" / "fold_3" / "val.csv"
    lines = other.read_text(encoding="utf-8").splitlines(keepends=True)
    other.write_text("".join([lines[0], *reversed(lines[1:])]), encoding="utf-8")
    with pytest.raises(UserError, match="changed since it stopped: the folds. It is kept"):
        run_small(project, hub, "clip", "--fold", "1")
