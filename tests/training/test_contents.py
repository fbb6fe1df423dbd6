"""Nothing changes silently beneath a run: finished runs stay, and unfinished ones do not mix contents."""

import json
import shutil
from pathlib import Path

import compare_blip
import compare_clip
import compare_train
import pytest
import torch
from common.errors import UserError
from common.models import fusion
from common.runs.layout import METRICS_JSON
from common.runs.reading import read_runs
from common.training import engine, identity
from common.training.engine import Progress
from helpers.hub import CLIP
from helpers.small_project import (
    assert_same_run,
    compare_dir,
    history,
    make_small_project,
    record,
    run_small,
)


class Stop(BaseException):
    """Passes every ``except Exception``."""


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    return make_small_project(tmp_path_factory.mktemp("small"))


@pytest.fixture
def checkpoint(hub, tmp_path) -> Path:
    """A checkpoint folder of the test's own, which it may change."""
    return Path(shutil.copytree(hub.folder(CLIP), tmp_path / "checkpoint"))


def stop_in_the_second_epoch(project, hub, monkeypatch, *more: str) -> None:
    real, calls = Progress.advance, []

    def advance(self, count):
        calls.append(1)
        if len(calls) == 6:
            raise Stop
        return real(self, count)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "advance", advance)
        with pytest.raises(Stop):
            run_small(project, hub, "clip", *more)


# Names


@pytest.mark.parametrize(
    "flags, suffix",
    [
        ([], ""),
        (["--seed", "43"], "_seed43"),
        (["--freeze-encoders"], "_frozen"),
        (["--lr", "0.0003"], "_lr0.0003"),
        (["--lr", "5e-5", "--seed", "7", "--freeze-encoders"], "_frozen_lr5e-05_seed7"),
        (["--epochs", "9", "--weight-decay", "0.1", "--batch-size", "2"], ""),
    ],
)
def test_what_people_compare_tells_names_apart_and_defaults_are_unsaid(
    flags: list[str], suffix: str
):
    assert compare_clip.parse(flags).name == f"clip_openai_clip-vit-base-patch32{suffix}"
    assert compare_train.parse(flags).name == f"bert-base-chinese_resnet18_concat{suffix}"


def test_a_fusion_is_in_the_name_where_it_is_no_default():
    more = ["--freeze-encoders", "--seed", "7"]
    for command, plain in (
        (compare_clip, "clip_openai_clip-vit-base-patch32"),
        (compare_blip, "blip_Salesforce_blip-image-captioning-base"),
    ):
        assert command.parse(["--fusion", "concat"]).name == plain
        assert command.parse(["--fusion", "text", *more]).name == f"{plain}_text_frozen_seed7"
    assert compare_train.parse(["--fusion", "attention"]).name.endswith("_resnet18_attention")


@pytest.mark.parametrize("name", [".b", "..b", "x" * 240, "模型" * 40, "a\x1b[2Jb", "b.", " b "])
def test_any_folder_of_a_model_gives_a_run_folder_that_readers_see(name: str, tmp_path):
    checkpoint = tmp_path / "models" / name
    try:
        checkpoint.mkdir(parents=True)
    except OSError:
        pytest.skip("this system makes no folder of that name")
    for command in (compare_clip, compare_train):
        made = command.parse(["--model-name", str(checkpoint), "--seed", "43"]).name
        (tmp_path / made).mkdir()
        assert not made.startswith(".") and made.endswith("_seed43")
        assert len(made.encode()) < 200 and (tmp_path / made).parent == tmp_path


def test_long_names_stay_different(tmp_path):
    folders = [tmp_path / ("模型" * 40 + end) for end in "ab"]  # 241 bytes, short for Windows
    for folder in folders:
        folder.mkdir()
    one, other = (compare_clip.parse(["--model-name", str(folder)]).name for folder in folders)
    assert one != other


# Finished runs


@pytest.mark.parametrize(
    "first, second, label",
    [
        (["--epochs", "1"], ["--epochs", "2"], "epochs-1"),
        (["--epochs", "1", "--class-weights", "none"], ["--epochs", "1"], "class_weights-none"),
    ],
)
def test_a_run_of_another_protocol_is_kept_when_its_name_is_taken(
    project, hub, capsys, first: list[str], second: list[str], label: str
):
    more = ["--output-dir", f"outputs/kept_{label}"]
    before = record(run_small(project, hub, "clip", *more, *first))
    capsys.readouterr()
    newer = run_small(project, hub, "clip", *more, *second)
    assert "that run moves to earlier/ when this one has ended" in capsys.readouterr().out
    (kept,) = (compare_dir(project, *more) / "earlier").iterdir()
    assert record(kept) == before and (kept / "best.pt").is_file()
    assert kept.name.startswith(newer.name[:20]) and label in kept.name
    runs, _ = read_runs(compare_dir(project, *more))
    assert [run.name for run in runs] == [newer.name]


def test_a_run_on_other_pairs_is_named_in_words_and_not_by_hashes(project, hub, capsys):
    more = ["--output-dir", "outputs/other_pairs", "--epochs", "1"]
    folder = run_small(project, hub, "clip", *more)
    earlier = record(folder)
    earlier["protocol"] |= {"train_sha256": "0" * 64, "val_sha256": "1" * 64}
    (folder / METRICS_JSON).write_text(json.dumps(earlier), encoding="utf-8")
    capsys.readouterr()
    run_small(project, hub, "clip", *more)
    said = "trained before with other training pairs, other validation pairs: that run moves"
    assert said in capsys.readouterr().out


def test_runs_of_models_whose_folders_have_one_name_are_both_kept(project, hub, tmp_path):
    more = ["--output-dir", "outputs/two_models", "--epochs", "1"]
    for parent in ("a", "b", "a"):
        folder = tmp_path / parent / "checkpoint-500"
        if not folder.exists():
            shutil.copytree(hub.folder(CLIP), folder)
        run_small(project, hub, "clip", *more, "--model-name", str(folder))
    place = compare_dir(project, *more)
    names = [record(path)["model"]["name"] for path in (place / "earlier").iterdir()]
    assert sorted(Path(name).parent.name for name in names) == ["a", "b"]


def test_the_same_command_says_that_it_trains_anew_and_leaves_one_run(project, hub, capsys):
    more = ["--output-dir", "outputs/same", "--epochs", "1"]
    run_small(project, hub, "clip", *more)
    assert "trained anew" not in capsys.readouterr().out
    folder = run_small(project, hub, "clip", *more)
    assert "was trained before: it is trained anew and then replaced" in capsys.readouterr().out
    assert [path.name for path in compare_dir(project, *more).iterdir()] == [folder.name]


def test_a_run_without_a_record_of_its_protocol_is_kept(project, hub):
    more = ["--output-dir", "outputs/old", "--epochs", "1"]
    folder = run_small(project, hub, "clip", *more)
    (folder / "metrics.json").write_text("{}", encoding="utf-8")
    run_small(project, hub, "clip", *more)
    (kept,) = (compare_dir(project, *more) / "earlier").iterdir()
    assert "protocol-unknown" in kept.name and (kept / "metrics.json").read_text() == "{}"


def test_a_run_folder_may_be_a_link(project, hub, tmp_path):
    more = ["--output-dir", "outputs/link", "--epochs", "1"]
    folder = run_small(project, hub, "clip", *more)
    for elsewhere in (tmp_path / "one", tmp_path / "two"):
        folder.rename(elsewhere)
        try:
            folder.symlink_to(elsewhere, target_is_directory=True)
        except OSError:
            pytest.skip("this system makes no links")
        run_small(project, hub, "clip", *more)
        assert not folder.is_symlink() and (elsewhere / "best.pt").is_file()
    assert [path.name for path in compare_dir(project, *more).iterdir()] == [folder.name]


def test_a_link_to_a_run_on_a_disk_that_is_not_there_is_set_aside(project, hub, tmp_path):
    more = ["--output-dir", "outputs/dangling"]
    folder = run_small(project, hub, "clip", *more)
    shutil.rmtree(folder)
    try:
        folder.symlink_to(tmp_path / "not there", target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    for _ in range(2):
        assert (run_small(project, hub, "clip", *more) / "best.pt").is_file()
    (link,) = (folder.parent / "earlier").iterdir()
    assert not folder.is_symlink() and link.is_symlink()
    assert {path.name for path in folder.parent.iterdir()} == {folder.name, "earlier"}


# Unfinished runs


def other_weights(checkpoint: Path) -> None:
    (path,) = checkpoint.glob("*.bin")
    state = torch.load(path, weights_only=True)
    key = next(key for key in state if key.endswith("text_projection.weight"))
    torch.save({**state, key: state[key] + 1}, path)


def other_tokens(checkpoint: Path) -> None:
    path = checkpoint / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    first, second = [word for word in vocabulary if word in ("a</w>", "b</w>")]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    path.write_text(json.dumps(tokenizer), encoding="utf-8")


def other_pixels(checkpoint: Path) -> None:
    path = checkpoint / "preprocessor_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**settings, "image_mean": [0.1, 0.2, 0.3]}), encoding="utf-8")


def other_configuration(checkpoint: Path) -> None:
    path = checkpoint / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["text_config"]["layer_norm_eps"] = 0.1
    path.write_text(json.dumps(config), encoding="utf-8")


@pytest.mark.parametrize("frozen", [[], ["--freeze-encoders"]], ids=["trained", "frozen"])
@pytest.mark.parametrize(
    "change, says",
    [
        (other_weights, "the weights of the checkpoint"),
        (other_tokens, "tokenizer"),
        (other_pixels, "mean and standard deviation of the pixels"),
        (other_configuration, "the configuration of the checkpoint"),
    ],
)
def test_what_changed_beneath_an_unfinished_run_is_named_and_the_run_kept(
    project, hub, monkeypatch, checkpoint, change, says: str, frozen: list[str]
):
    more = ["--output-dir", f"outputs/{change.__name__}", "--model-name", str(checkpoint), *frozen]
    stop_in_the_second_epoch(project, hub, monkeypatch, *more)
    before = {path: path.read_bytes() for path in checkpoint.iterdir()}
    change(checkpoint)
    with pytest.raises(UserError, match=f"{says}.*--restart"):
        run_small(project, hub, "clip", *more)
    for path, content in before.items():
        path.write_bytes(content)
    assert len(history(run_small(project, hub, "clip", *more))) == 4  # it went on where it was
    shutil.rmtree(compare_dir(project, *more))


def test_data_that_changed_beneath_an_unfinished_run_are_named(tmp_path, hub, monkeypatch):
    project = make_small_project(tmp_path)
    stop_in_the_second_epoch(project, hub, monkeypatch)
    path = project / "outputs" / "splits" / "train.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("很高兴", "高兴"), encoding="utf-8")
    with pytest.raises(UserError, match="the training pairs.*--restart"):
        run_small(project, hub, "clip")
    assert len(history(run_small(project, hub, "clip", "--restart"))) == 4


def test_code_that_changed_beneath_an_unfinished_run_is_named(project, hub, monkeypatch):
    more = ["--output-dir", "outputs/code"]
    stop_in_the_second_epoch(project, hub, monkeypatch, *more)
    with monkeypatch.context() as patch:
        patch.setattr(identity, "code_sha256", lambda: "another")
        with pytest.raises(UserError, match="the code of this program.*--restart"):
            run_small(project, hub, "clip", *more)
    whole = run_small(project, hub, "clip", "--output-dir", "outputs/code_whole")
    assert_same_run(run_small(project, hub, "clip", *more), whole)


def test_the_hash_of_the_code_heeds_every_file_that_decides_results_and_no_line_ends(tmp_path):
    common = Path(shutil.copytree(identity.COMMON, tmp_path / "common"))
    plain = identity.code_sha256(common)
    assert plain == identity.code_sha256()
    path = common / "models" / "fusion.py"
    code = path.read_bytes()
    path.write_bytes(code.replace(b"\n", b"\r\n"))
    assert identity.code_sha256(common) == plain
    path.write_bytes(code.replace(f"DROPOUT = {fusion.DROPOUT}".encode(), b"DROPOUT = 0.9"))
    assert identity.code_sha256(common) != plain


@pytest.mark.parametrize(
    "recorded", [{"seed": 42, "epochs": 3}, {"choices": {"seed": 42}}], ids=["all in one", "fewer"]
)
def test_a_checkpoint_of_an_earlier_version_is_kept_and_named(project, hub, monkeypatch, recorded):
    more = ["--output-dir", f"outputs/version{len(recorded)}"]
    stop_in_the_second_epoch(project, hub, monkeypatch, *more)
    (path,) = compare_dir(project, *more).glob(".*/checkpoint.pt")
    content = torch.load(path, weights_only=True)
    torch.save({**content, "identity": json.dumps(recorded)}, path)
    with pytest.raises(UserError, match="the code of this program.*--restart"):
        run_small(project, hub, "clip", *more)
    assert path.exists()


# Values that are not finite


def test_answers_that_are_not_finite_end_the_run_and_keep_the_last_finite_epoch(
    project, hub, monkeypatch
):
    more = ["--output-dir", "outputs/nan"]
    real, calls = engine.evaluate, []

    def evaluate(*args):
        calls.append(1)
        logits = real(*args)
        return logits * float("nan") if len(calls) == 2 else logits

    with monkeypatch.context() as patch:
        patch.setattr(engine, "evaluate", evaluate)
        with pytest.raises(UserError, match="epoch 2: .*not finite.*--lr.*up to 1 are kept"):
            run_small(project, hub, "clip", *more)
    assert [path.suffix for path in compare_dir(project, *more).iterdir()] == [".partial"]
    whole = run_small(project, hub, "clip", "--output-dir", "outputs/nan_whole")
    assert_same_run(run_small(project, hub, "clip", *more), whole)


def test_a_learning_rate_that_is_too_large_is_named_and_leaves_no_run(project, hub):
    more = ["--output-dir", "outputs/lr", "--lr", "1e30"]
    with pytest.raises(UserError, match="epoch 1: .*--lr"):
        run_small(project, hub, "clip", *more)
    assert not compare_dir(project, *more).exists()


def test_a_batch_larger_than_one_step_is_said(project, hub, capsys):
    run_small(project, hub, "clip", "--output-dir", "outputs/batch", "--batch-size", "32")
    assert (
        "--batch-size 32 is more than one optimizer step takes: batches of 4"
        in capsys.readouterr().out
    )
