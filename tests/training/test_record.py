"""What a run folder holds: the model's answers at every epoch and of the test list, and who made it
and how. It holds no code."""

import io
import json
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from common.errors import UserError
from common.models.loading import load_config, load_tokenizer, save_encoder
from common.runs.reading import Run, load_runs
from common.training import record as recording
from common.training.card import model_card
from common.training.record import git_state
from common.training.resume import code_sha256
from helpers.hub import BERT
from helpers.small_project import compare_dir, make_small_project, record, run_small
from helpers.tables import read_rows, write_rows
from huggingface_hub import ModelCard

HOSTILE = "<script>alert(1)</script> | [x](http://y) `z` *b*\n# h\u202e"


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """Its validation pairs: val1 is long, val2 has the text of val0, and val5 the photo of val2."""
    made = make_small_project(tmp_path_factory.mktemp("small"))
    path = made / "outputs" / "splits" / "val.csv"
    rows = read_rows(path)
    rows[2][1] = "good " * 500
    rows[3][1] = rows[1][1]
    rows[6][2] = rows[3][2]
    write_rows(path, rows)
    return made


@pytest.fixture(scope="module")
def handed_in(project, hub) -> tuple[Run, str]:
    """A run with a list of its own pairs without labels, the last one first, and what it printed.

    One has a guid that is a formula, and one the photo of a training pair."""
    splits = project / "outputs" / "splits"
    header, *rows = read_rows(splits / "val.csv")
    rows = [[*row[:3], "null"] for row in reversed(rows)]
    rows[0][0] = "=1+1"
    rows[1][1:3] = ["新的一句", "data/train3.png"]
    write_rows(splits / "test.csv", [header, *rows], "\r\n")
    with redirect_stdout(io.StringIO()) as printed:
        run_small(project, hub, "clip", "--output-dir", "outputs/handed_in")
    (splits / "test.csv").unlink()
    (run,) = load_runs(project / "outputs" / "handed_in")
    return run, printed.getvalue()


@pytest.fixture(scope="module")
def run(handed_in) -> Run:
    return handed_in[0]


# Validation


def test_the_probabilities_of_every_epoch_are_kept(run):
    """Its reader requires that the classes give the figures of each epoch."""
    assert run.metrics["encode_time_sec"] == 0  # not frozen: the pairs are read while it trains
    assert run.shares.shape == (3, 6, 3) and (run.shares.argmax(2) == run.epochs).all()
    best = run.shares[int(run.best["epoch"]) - 1]
    assert best == pytest.approx(np.array(run.predictions.probabilities), abs=5e-4)  # float16


def test_texts_that_were_cut_and_groups_of_copies_are_recorded(run):
    assert run.predictions.cut == [place == 1 for place in range(6)]
    assert run.predictions.groups == ["val0", "val1", "val0", "val3", "val4", "val0"]


# The test list


def test_a_list_without_labels_is_answered_in_its_own_order_and_line_ends(handed_in):
    run, printed = handed_in
    header, *rows = read_rows(run.path / "test_predictions.csv")
    assert header == ["guid", "pred", "p_negative", "p_neutral", "p_positive"]
    assert [row[0] for row in rows] == ["'=1+1", "val4", "val3", "val2", "val1", "val0"]
    classes = run.predictions.classes
    shares = np.array([row[2:] for row in rows], float)
    same = [place != 1 for place in range(6)]  # the other one has another text and photo
    expected = np.array(run.predictions.probabilities)[::-1]
    np.testing.assert_allclose(shares[same], expected[same], atol=1e-5)
    assert [row[1] for row in rows] == [classes[place] for place in shares.argmax(1)]
    # Escaped for a spreadsheet only in the file for people
    answers = [f"{guid.lstrip(chr(39))},{tag}" for guid, tag, *_ in rows]
    path = run.path / "test_with_label.txt"
    assert path.read_bytes() == "\r\n".join(["guid,tag", *answers, ""]).encode()
    assert f"6 test pairs predicted: {path}" in printed
    assert re.search("of the test pairs .* 1 their photo", printed)
    assert run.test is None and "test_f1_macro" not in run.metrics  # nothing to be measured
    assert run.metrics["samples"]["unlabelled"] == 6
    assert run.metrics["class_counts"].keys() == {"train", "val"}


def test_a_labelled_list_is_measured_at_the_end_and_changes_nothing(project, hub, run):
    splits = project / "outputs" / "splits"
    shutil.copy(splits / "val.csv", splits / "test.csv")
    folder = run_small(project, hub, "clip")
    (splits / "test.csv").unlink()
    found = record(folder)
    assert found["test_f1_macro"] == pytest.approx(found["best_val_f1_macro"])
    predictions = (folder / "predictions.csv").read_bytes()
    assert (folder / "test_predictions.csv").read_bytes() == predictions
    assert not (folder / "test_with_label.txt").exists()
    for name in ("predictions.csv", "epoch_predictions.csv", "epoch_probabilities.npz"):
        assert (folder / name).read_bytes() == (run.path / name).read_bytes()


# The model card, the command and the code


def test_the_card_is_one_of_the_hub_with_the_results_of_the_run(run):
    card, found = ModelCard.load(run.path / "README.md"), record(run.path)
    (accuracy, f1) = card.data.eval_results
    assert accuracy.metric_value == round(found["best"]["val_acc"], 4)
    assert f1.metric_value == round(found["best_val_f1_macro"], 4)
    assert f"| Macro-F1 | {found['best_val_f1_macro']:.4g} |" in card.text
    for key in found["protocol"]:
        assert f"| {key.replace('_', chr(92) + '_')} |" in card.text
    assert found["code"]["sha256"] in card.text and "predict.py --run" in card.text


def test_whatever_the_record_holds_is_plain_text_in_the_card(run):
    found = record(run.path)
    found["labels"] = [HOSTILE, "b", "c"]
    found["per_class"] = {HOSTILE: next(iter(found["per_class"].values()))}
    found["model"]["name"] = found["device"] = HOSTILE
    found["command"] = ["x.py"]
    card = model_card(HOSTILE, found)
    body = card.split("---", 2)[2]
    assert "<script>" not in body and "&lt;script&gt;" in body
    assert r"\| \[x\](http\://y) \`z\` \*b\*?\# h?" in body
    assert "\u202e" not in body and "\n# h" not in body
    data = ModelCard(card).data
    assert data.model_name == HOSTILE and data.base_model == HOSTILE


def test_the_record_names_the_command_and_the_code(run):
    found = record(run.path)
    assert found["command"] == sys.argv
    assert found["code"].keys() == {"sha256", "git_commit", "git_clean"}
    assert found["code"]["sha256"] == found["content"]["code_sha256"] == code_sha256()


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git here")
def test_git_says_the_commit_and_whether_a_file_differs(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) == (None, None)  # no repository
    for line in ("init -q", "-c user.name=a -c user.email=a@b commit -q --allow-empty -m first"):
        subprocess.run(["git", "-C", tmp_path, *line.split()], check=True)
    head = subprocess.check_output(["git", "-C", tmp_path, "rev-parse", "HEAD"], text=True).strip()
    assert git_state(tmp_path) == (head, True)
    (tmp_path / "a.py").write_text("pass\n")
    assert git_state(tmp_path) == (head, False)
    monkeypatch.setenv("PATH", str(tmp_path))  # no git
    assert git_state(tmp_path) == (None, None)


# The encoder's files


def test_the_encoder_files_name_no_code(hub, tmp_path):
    folder = shutil.copytree(hub.folder(BERT), tmp_path / "checkpoint")
    for name in ("config.json", "tokenizer_config.json"):
        path = folder / name
        content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        content["auto_map"] = {"AutoModel": "x.Y", "AutoTokenizer": ["x.Y", None]}
        path.write_text(json.dumps(content), encoding="utf-8")
    out = tmp_path / "out"
    out.mkdir()
    config, tokenizer = load_config(str(folder)), load_tokenizer(str(folder))
    save_encoder(out, {"text": config, "image": "resnet18"}, tokenizer, (0.5,) * 3, (0.5,) * 3)
    assert not any("auto_map" in path.read_text(encoding="utf-8") for path in out.iterdir())
    assert load_config(str(out)).to_dict() == config.to_dict()


def unsavable(*args):
    raise ValueError("no vocabulary")


def save_another(path: Path, *content) -> None:
    save_encoder(path, *content)
    file = path / "tokenizer.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"天"', '"地"'), encoding="utf-8")


@pytest.mark.parametrize("save", [unsavable, save_another])
def test_a_tokenizer_that_cannot_be_kept_is_said_and_the_run_is_whole(
    project, hub, monkeypatch, capsys, save
):
    monkeypatch.setattr(recording, "save_encoder", save)
    folder = run_small(project, hub, "bert", "--fusion", "text", "--epochs", "1")
    assert (folder / "README.md").exists() and not (folder / "encoder").exists()
    assert "predict.py will need the checkpoint itself" in capsys.readouterr().out


def test_a_full_disk_is_no_fault_of_the_tokenizer(project, hub, monkeypatch):
    """The run would be finished, and never get the files that let it travel."""
    flags = ("--fusion", "text", "--epochs", "1", "--output-dir", "outputs/full")

    def full(*args):
        raise Exception("No space left (os error 28)")  # as Rust says it

    monkeypatch.setattr(recording, "save_encoder", full)
    with pytest.raises(UserError, match="encoder: .*No space left.*Make room"):
        run_small(project, hub, "bert", *flags)
    assert [path.suffix for path in compare_dir(project, *flags).iterdir()] == [".partial"]
    monkeypatch.undo()
    assert (run_small(project, hub, "bert", *flags) / "encoder").exists()
