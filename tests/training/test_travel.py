"""A run folder says who made it and how, in a model card, and holds no code."""

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from common.errors import UserError
from common.models.loading import load_config, load_tokenizer, save_encoder
from common.training import record as recording
from common.training.card import model_card
from common.training.record import git_state
from common.training.resume import code_sha256
from helpers.hub import BERT
from helpers.small_project import make_small_project, record, run_small
from huggingface_hub import ModelCard

HOSTILE = "<script>alert(1)</script> | [x](http://y) `z` *b*\n# h\u202e"


@pytest.fixture(scope="module")
def run(hub, tmp_path_factory) -> Path:
    return run_small(make_small_project(tmp_path_factory.mktemp("small")), hub, "clip")


def test_the_card_is_one_of_the_hub_with_the_results_of_the_run(run):
    card, found = ModelCard.load(run / "README.md"), record(run)
    (accuracy, f1) = card.data.eval_results
    assert accuracy.metric_value == round(found["best"]["val_acc"], 4)
    assert f1.metric_value == round(found["best_val_f1_macro"], 4)
    assert f"| Macro-F1 | {found['best_val_f1_macro']:.4g} |" in card.text
    for key in found["protocol"]:
        assert f"| {key.replace('_', chr(92) + '_')} |" in card.text
    assert found["code"]["sha256"] in card.text and "predict.py --run" in card.text


def test_whatever_the_record_holds_is_plain_text_in_the_card(run):
    found = record(run)
    found["labels"] = [HOSTILE, "b", "c"]
    found["per_class"] = {HOSTILE: next(iter(found["per_class"].values()))}
    found["class_counts"] = {"train": {HOSTILE: 3}, "val": {}}
    found["model"]["name"] = found["device"] = HOSTILE
    found["command"] = ["x.py", HOSTILE]
    card = model_card(HOSTILE, found)
    body = card.split("---", 2)[2]
    (shown,) = [line for line in body.splitlines() if line.startswith("    x.py")]
    others = body.replace(shown, "")  # a block of code, in which all is literal
    assert "<script>" not in others and "&lt;script&gt;" in others
    assert r"\| \[x\](http\://y) \`z\` \*b\*?# h?".replace("# h", r"\# h") in others
    assert "\u202e" not in body and "\n# h" not in body
    data = ModelCard(card).data
    assert data.model_name == HOSTILE and data.base_model == HOSTILE


def test_the_record_names_the_command_and_the_code(run):
    found = record(run)
    assert found["command"] == sys.argv
    assert found["code"].keys() == {"sha256", "git_commit", "git_clean"}
    assert found["code"]["sha256"] == found["content"]["code_sha256"] == code_sha256()


def test_git_says_the_commit_and_whether_a_file_differs(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("there is no git here")
    settings = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for line in (["init", "-q"], [*settings, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", "-C", tmp_path, *line], check=True)
    head = subprocess.check_output(["git", "-C", tmp_path, "rev-parse", "HEAD"], text=True).strip()
    assert git_state(tmp_path) == (head, True)
    (tmp_path / "a.py").write_text("pass\n")
    assert git_state(tmp_path) == (head, False)


@pytest.mark.parametrize("where", ["no git", "no repository", "no commit"])
def test_without_git_nothing_is_said_of_it(tmp_path, monkeypatch, where):
    if where == "no git":
        monkeypatch.setenv("PATH", str(tmp_path))
    elif where == "no commit" and shutil.which("git"):
        subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) == (None, None)


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
    save_encoder(out, config, tokenizer, (0.5,) * 3, (0.5,) * 3)
    assert not any("auto_map" in path.read_text(encoding="utf-8") for path in out.iterdir())
    assert load_config(str(out)).to_dict() == config.to_dict()


@pytest.mark.parametrize("fault", ["cannot be saved", "reads otherwise"])
def test_a_tokenizer_that_cannot_be_kept_is_said_and_the_run_is_whole(
    hub, tmp_path, monkeypatch, capsys, fault
):
    real = recording.save_encoder

    def save(path, config, tokenizer, mean, std):
        if fault == "cannot be saved":
            raise ValueError("no vocabulary")
        real(path, config, tokenizer, mean, std)
        content = (path / "tokenizer.json").read_text(encoding="utf-8")
        (path / "tokenizer.json").write_text(content.replace('"天"', '"地"'), encoding="utf-8")

    monkeypatch.setattr(recording, "save_encoder", save)
    project = make_small_project(tmp_path)
    folder = run_small(project, hub, "bert", "--fusion", "text", "--epochs", "1")
    assert (folder / "README.md").exists() and not (folder / "encoder").exists()
    assert "predict.py will need the checkpoint itself" in capsys.readouterr().out


@pytest.mark.parametrize(
    "fault",
    [OSError(errno.ENOSPC, "No space left on device"), Exception("No space left (os error 28)")],
    ids=["as Python says it", "as Rust says it"],
)
def test_a_full_disk_is_no_fault_of_the_tokenizer(hub, tmp_path, monkeypatch, fault):
    """The run would be finished, and never get the files that let it travel."""
    project = make_small_project(tmp_path)
    flags = ("--fusion", "text", "--epochs", "1")

    def save(*args):
        raise fault

    with monkeypatch.context() as patch:
        patch.setattr(recording, "save_encoder", save)
        with pytest.raises(UserError, match="encoder: .*No space left.*Make room"):
            run_small(project, hub, "bert", *flags)
    assert not [path for path in (project / "outputs/compare").iterdir() if path.name[0] != "."]
    assert (run_small(project, hub, "bert", *flags) / "encoder").exists()
