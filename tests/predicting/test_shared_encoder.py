"""The encoder of frozen runs is written once, and a run with it predicts anywhere; so does an export."""

import re
import shutil
from pathlib import Path

import predict as command
import pytest
import torch
from common.errors import UserError
from common.models import checkpoint
from common.predicting.question import read_question
from common.runs.reading import read_runs
from common.runs.weights import ENCODER_SHA256, read_best
from helpers.hub import CLIP
from helpers.small_project import make_small_project, record, run_small

FROZEN = ("--freeze-encoders", "--epochs", "1", "--fusion")


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    return make_small_project(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def runs(project, hub, tmp_path_factory) -> list[Path]:
    """Three frozen runs of a checkpoint that is gone."""
    place = shutil.copytree(hub.folder(CLIP), tmp_path_factory.mktemp("gone") / "clip")
    more = [("concat",), ("late",), ("concat", "--seed", "7")]
    name = ("--model-name", str(place))
    made = [run_small(project, hub, "clip", *FROZEN, *each, *name) for each in more]
    shutil.rmtree(place)
    return made


@pytest.fixture(autouse=True)
def nothing_to_download(monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoint, "_cache", lambda: str(tmp_path / "none"))


@pytest.fixture
def moved(runs, tmp_path) -> Path:
    """The first run and the encoders, copied to another place."""
    for folder in (runs[0], runs[0].parent / "encoders"):
        shutil.copytree(folder, tmp_path / "moved" / folder.name)
    return tmp_path / "moved" / runs[0].name


def answers(project: Path, run: Path) -> bytes:
    output = project / "predicted.csv"
    command.main(
        f"--project-root {project} --run {run} --csv outputs/splits/val.csv --probs".split()
        + ["--output", str(output)]
    )
    return output.read_bytes()


def test_many_frozen_runs_cost_the_bytes_of_one_encoder(runs):
    (encoder,) = (runs[0].parent / "encoders").rglob("*.*")
    digest = encoder.parent.name
    state = torch.load(encoder, weights_only=True)
    assert encoder.stat().st_size < 1.2 * sum(w.nbytes for w in state.values()) + 50_000
    for run in runs:
        best = torch.load(run / "best.pt", weights_only=True)
        assert best[ENCODER_SHA256] == record(run)[ENCODER_SHA256] == digest
        head = sum(weight.nbytes for weight in best["model_state"].values())
        assert {name.split(".")[0] for name in best["model_state"]} == {"head"}
        assert (run / "best.pt").stat().st_size < 1.2 * head + 50_000
    assert [run.name for run in read_runs(runs[0].parent)[0]] == sorted(run.name for run in runs)


def test_a_run_with_its_encoder_beside_it_or_beside_earlier_predicts_without_its_checkpoint(
    project, runs, moved
):
    expected = answers(project, runs[0])
    assert answers(project, moved) == expected
    (moved.parent / "earlier").mkdir()
    assert answers(project, moved.rename(moved.parent / "earlier" / "old")) == expected


def test_an_encoder_that_is_gone_or_another_one_never_answers(project, runs, moved):
    (encoder,) = (moved.parent / "encoders").rglob("*.pt")
    state = torch.load(encoder, weights_only=True)
    next(iter(state.values())).view(-1)[0] += 1
    torch.save(state, encoder)
    with pytest.raises(UserError, match="is damaged, or another encoder"):
        answers(project, moved)
    encoder.unlink()
    with pytest.raises(UserError, match=f"{re.escape(str(encoder))}.*copy encoders/.*--export"):
        answers(project, moved)
    content = torch.load(moved / "best.pt", weights_only=True)
    torch.save({**content, ENCODER_SHA256: "../../other"}, moved / "best.pt")
    with pytest.raises(UserError, match="is no hash"):
        answers(project, moved)


def test_an_export_is_a_whole_run_as_they_were_before_and_replaces_nothing(
    project, runs, tmp_path, monkeypatch
):
    """It follows no link, which in a stranger's run leads anywhere."""
    linked = runs[1] / "link"
    linked.symlink_to(project / "data" / "val0.png")
    alone = tmp_path / "alone"
    line = ["--project-root", str(project), "--run", str(runs[1]), "--export"]
    with monkeypatch.context() as patch, pytest.raises(UserError, match="No space left.*Make room"):
        patch.setattr(torch, "save", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
        command.main([*line, str(alone)])
    assert list(tmp_path.iterdir()) == []
    command.main([*line, str(alone)])
    assert (alone / "link").is_symlink()
    (alone / "link").unlink()
    linked.unlink()
    assert {path.name for path in alone.iterdir()} == {path.name for path in runs[1].iterdir()}
    best = torch.load(alone / "best.pt", weights_only=True)
    assert best.keys() == {"model_state", "args", "labels"}
    state = read_best(runs[1])["model_state"]
    assert all(torch.equal(best["model_state"][name], state[name]) for name in state)
    assert answers(project, alone) == answers(project, runs[1])
    for target, says in ((alone, "is there already"), (runs[0] / "new", "lies in the run")):
        with pytest.raises(UserError, match=says):
            command.main([*line, str(target)])
    with pytest.raises(UserError, match="no pairs"):
        command.main([*line, str(tmp_path / "b"), "--csv", "outputs/splits/val.csv"])


def test_answers_lie_neither_among_the_encoders_nor_in_a_run_in_progress(project, runs):
    (runs[0].parent / ".new.partial").mkdir()
    (folder,) = (runs[0].parent / "encoders").iterdir()
    line = ["--project-root", str(project), "--run", str(runs[0]), "--csv"]
    line += ["outputs/splits/val.csv", "--output"]
    for place in (folder, folder.parent, runs[0].parent / ".new.partial"):
        with pytest.raises(UserError, match="give another place"):
            read_question(command.parse([*line, str(place / "a.csv")]))
    (runs[0].parent / ".new.partial").rmdir()
