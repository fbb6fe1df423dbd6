"""``--fold k`` trains on one of the folds that make_splits.py --folds wrote."""

import hashlib
import shutil
from pathlib import Path

import pytest
from common.data.splits import read_folds
from common.errors import UserError
from common.runs.reading import load_runs
from common.settings import Paths
from helpers.small_project import compare_dir, make_small_project, record, run_small
from helpers.stops import stop_at_step
from helpers.tables import read_table


@pytest.fixture
def project(tmp_path) -> Path:
    """All pairs in three folds: in turn, three pairs each are in the validation part of one."""
    made = make_small_project(tmp_path)
    splits = made / "outputs" / "splits"
    header, *rows = (splits / "train.csv").read_text(encoding="utf-8").splitlines()
    rows += (splits / "val.csv").read_text(encoding="utf-8").splitlines()[1:]
    for fold in range(3):
        parts = {"train": [header], "val": [header]}
        for place, row in enumerate(rows):
            parts["val" if place // 3 % 3 == fold else "train"].append(row)
        (splits / f"fold_{fold + 1}").mkdir()
        for name, part in parts.items():
            path = splits / f"fold_{fold + 1}" / f"{name}.csv"
            path.write_text("\n".join([*part, ""]), encoding="utf-8", newline="\n")
    return made


def test_a_run_of_a_fold_has_its_pairs_and_says_so_as_one_without_does(project, hub):
    folder = run_small(project, hub, "clip", "--fold", "2", "--seed", "7", "--epochs", "1")
    assert folder.name.endswith("_lr0.001_seed7_fold2")
    (run,) = load_runs(compare_dir(project))
    splits = project / "outputs" / "splits"
    pairs = read_table(splits / "fold_2" / "val.csv")
    assert run.predictions.guids == [row["guid"] for row in pairs]
    contents = [(splits / f"fold_{fold}" / "val.csv").read_bytes() for fold in (1, 2, 3)]
    digest = hashlib.sha256(b"".join(hashlib.sha256(each).digest() for each in contents))
    names = ("fold", "folds", "folds_sha256")
    protocol = run.recorded("protocol")
    assert [protocol[name] for name in names] == [2, 3, digest.hexdigest()]
    protocol = record(run_small(project, hub, "clip", "--epochs", "1"))["protocol"]
    assert [protocol[name] for name in names] == [None, None, ""]


def test_the_hash_is_of_all_folds_in_their_order_and_not_of_line_ends(project):
    paths, splits = Paths(project_root=project), project / "outputs" / "splits"
    before = read_folds(paths, 1)
    assert before == read_folds(paths, 3) and before["folds"] == 3
    path = splits / "fold_1" / "val.csv"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_folds(paths, 1) == before
    shutil.move(splits / "fold_1", splits / "aside")
    shutil.move(splits / "fold_2", splits / "fold_1")
    shutil.move(splits / "aside", splits / "fold_2")
    assert read_folds(paths, 1)["folds_sha256"] != before["folds_sha256"]


def test_what_is_no_whole_set_of_folds_is_refused(project, hub):
    splits = project / "outputs" / "splits"

    def refused(says: str, *flags: str) -> None:
        with pytest.raises(UserError, match=says):
            run_small(project, hub, "clip", *(flags or ("--fold", "1")))

    for flag in ("--train-csv", "--val-csv"):  # also where the file is the default one
        for name in ("outputs/splits/train.csv", "other.csv"):
            refused("--fold 1 stands for its own two files", "--fold", "1", flag, name)
    refused("--fold 4 .*there are: 1; 2; 3. .*make them with make_splits", "--fold", "4")
    (splits / ".make_splits.unfinished").touch()
    refused("may belong to two different splits: run make_splits.py again")
    (splits / ".make_splits.unfinished").unlink()
    (splits / "fold_2" / "val.csv").unlink()
    refused("there are: 1; 3")
    for fold in (1, 2, 3):
        shutil.rmtree(splits / f"fold_{fold}")
    refused("there are: none")
    assert not list(compare_dir(project).glob("clip*"))


def test_other_folds_beneath_an_unfinished_run_are_an_error(project, hub, monkeypatch):
    stop_at_step(8, project, hub, monkeypatch, "--fold", "1")
    other = project / "outputs" / "splits" / "fold_3" / "val.csv"
    lines = other.read_text(encoding="utf-8").splitlines(keepends=True)
    other.write_text("".join([lines[0], *reversed(lines[1:])]), encoding="utf-8")
    with pytest.raises(UserError, match="changed since it stopped: the folds. It is kept"):
        run_small(project, hub, "clip", "--fold", "1")
