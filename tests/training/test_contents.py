"""Names of runs, finished runs whose name is taken again, and values that are not finite."""

import json
import shutil
from pathlib import Path

import compare_blip
import compare_clip
import compare_train
import pytest
from common.errors import UserError
from common.runs.layout import METRICS_JSON
from common.runs.reading import read_runs
from common.training import engine
from helpers.hub import CLIP
from helpers.small_project import (
    assert_same_run,
    compare_dir,
    make_small_project,
    record,
    run_small,
)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    return make_small_project(tmp_path_factory.mktemp("small"))


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


def test_a_run_of_another_protocol_is_kept_when_its_name_is_taken(project, hub, capsys):
    more = ["--output-dir", "outputs/kept", "--epochs", "1"]
    before = record(run_small(project, hub, "clip", *more, "--class-weights", "none"))
    capsys.readouterr()
    newer = run_small(project, hub, "clip", *more)
    assert "that run moves to earlier/ when this one has ended" in capsys.readouterr().out
    (kept,) = (compare_dir(project, *more) / "earlier").iterdir()
    assert record(kept) == before and (kept / "best.pt").is_file()
    assert kept.name.startswith(newer.name[:20]) and "class_weights-none" in kept.name
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
    said = "trained before with other pairs: that run moves"
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
