"""Names of runs, and finished runs whose name is taken again."""

import json
import re
import shutil
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

import compare_blip
import compare_clip
import compare_train
import pytest
from common.comparison.models import models
from common.comparison.protocol import by_protocol
from common.errors import UserError
from common.page.sources import find_sources
from common.runs.layout import BEST, METRICS_JSON, PROJECTION, SUBMISSION
from common.runs.reading import read_runs
from common.sweep import Job
from common.training import train
from helpers.hub import CLIP
from helpers.run_folders import make_run
from helpers.small_project import (
    change_weights,
    compare_dir,
    jobs_of,
    make_small_project,
    record,
    run_small,
)
from helpers.tables import read_rows

# Names


def test_what_people_compare_tells_names_apart_and_defaults_are_unsaid():
    plain = {
        compare_train: "bert-base-chinese_resnet18_concat",
        compare_clip: "clip_openai_clip-vit-base-patch32",
        compare_blip: "blip_Salesforce_blip-image-captioning-base",
    }
    suffixes = {
        "": "",
        "--seed 43": "_seed43",
        "--freeze-encoders": "_frozen",
        "--freeze-encoders --lr 1e-3": "_frozen",
        "--freeze-encoders --lr 2e-5": "_frozen_lr2e-05",
        "--lr 5e-5 --seed 7 --freeze-encoders --fold 2": "_frozen_lr5e-05_seed7_fold2",
        "--epochs 9 --weight-decay 0.1 --batch-size 2 --fusion concat": "",
    }
    for command, name in plain.items():
        for flags, suffix in suffixes.items():
            assert command.parse(flags.split()).name == name + suffix
    flags = ["--fusion", "text", "--seed", "7", "--freeze-encoders"]
    assert compare_clip.parse(flags).name == f"{plain[compare_clip]}_text_frozen_seed7"
    assert compare_train.parse(["--fusion", "attention"]).name.endswith("_resnet18_attention")


def test_any_folder_of_a_model_gives_a_run_folder_that_readers_see(tmp_path):
    names = []
    for name in (".b", "..b", "x" * 240, "模型" * 40 + "a", "模型" * 40 + "b", "a\x1b[2Jb", " b "):
        checkpoint = tmp_path / name
        try:
            checkpoint.mkdir()
        except OSError:  # this system makes no folder of that name
            continue
        names.append(compare_clip.parse(["--model-name", str(checkpoint), "--seed", "43"]).name)
        assert not names[-1].startswith(".") and names[-1].endswith("_seed43")
        assert len(names[-1].encode()) < 200 and (tmp_path / names[-1]).parent == tmp_path
    assert len({name for name in names if "模型" in name}) == 2  # they stay different


# Finished runs


def test_frozen_encoders_have_a_rate_of_their_own_and_runs_of_before_count_by_their_record(
    project, hub
):
    """Earlier versions told 1e-3 in the name, and not 2e-5."""
    more = ["--output-dir", "outputs/heads", "--epochs", "1"]
    head = [*more, "--freeze-encoders"]
    made = run_small(project, hub, "clip", *head)

    def jobs(*flags: str) -> list[tuple[str, bool]]:
        found = jobs_of(project, hub, *head, *flags)
        return [(job.name.removeprefix(made.name), job.is_finished()) for job in found]

    assert made.name.endswith("_frozen") and record(made)["protocol"]["lr"] == 1e-3
    assert jobs("--lrs", "1e-3,2e-5") == [("", True), ("_lr2e-05", False)]
    before = made.rename(made.with_name(f"{made.name}_lr0.001"))
    assert jobs() == jobs("--lrs", "1e-3") == [("_lr0.001", True)]
    assert jobs("--seeds", "42,7") == [("_lr0.001", True), ("_seed7", False)]
    second = shutil.copytree(before, made.with_name(f"{made.name}_seed7"))
    found = record(second)
    found["protocol"]["seed"] = 7
    (second / METRICS_JSON).write_text(json.dumps(found), encoding="utf-8")
    assert [model.folder for model in models(read_runs(made.parent)[0])] == [made.name]

    found["protocol"] |= {"lr": 2e-5, "seed": 42}
    (before / METRICS_JSON).write_text(json.dumps(found), encoding="utf-8")
    before.rename(made)
    assert jobs() == [("", False)]
    assert run_small(project, hub, "clip", *head) == made
    (kept,) = (made.parent / "earlier").iterdir()
    assert record(kept)["protocol"]["lr"] == 2e-5 and record(made)["protocol"]["lr"] == 1e-3


def test_a_finished_run_of_before_a_flag_had_its_default(project, hub):
    """Not whatever the flag says now: that is another run, and of another protocol."""
    more = ["--output-dir", "outputs/before", "--epochs", "1", "--freeze-encoders"]
    made = run_small(project, hub, "clip", *more)
    asked = {"--modality-dropout": "0.2", "--branch-loss": "1", "--patience": "2"}
    found = record(made)
    for flag in asked:
        del found["protocol"][flag[2:].replace("-", "_")]
    (made / METRICS_JSON).write_text(json.dumps(found), encoding="utf-8")
    assert [job.is_finished() for job in jobs_of(project, hub, *more)] == [True]
    for flag in asked.items():
        assert [job.is_finished() for job in jobs_of(project, hub, *more, *flag)] == [False], flag
    (run,) = read_runs(made.parent)[0]
    now = {**run.metrics["protocol"], "branch_loss": 1.0}
    other = replace(run, name="other", metrics={**run.metrics, "protocol": now})
    assert len(by_protocol([run, run, other])) == 2


def test_texts_that_differ_in_crlf_and_lf_are_the_same_pairs_also_for_earlier_fingerprints(
    hub, tmp_path
):
    """Earlier versions recorded the fingerprint of the texts as the files had them."""
    root = make_small_project(tmp_path)
    lists = list((root / "outputs" / "splits").iterdir())

    def jobs_with(line_end: str) -> Job:
        for path in lists:
            text = re.sub('"?(今日)\n?(天气\\d+)"?', r'"\1\n\2"', path.read_text(encoding="utf-8"))
            path.write_bytes(text.replace("\n", line_end).encode())
        return jobs_of(root, hub)[0]

    lf, crlf = (jobs_with(end).pairs()[0] for end in ("\n", "\r\n"))
    assert lf[0] == crlf[0] and not crlf[0].items() & crlf[1].items()
    for recorded, line_end in product((lf[0], crlf[1]), ("\n", "\r\n")):
        job = jobs_with(line_end)
        protocol = {**asdict(job.run.protocol), **recorded}
        folder = make_run(
            job.folder.parent, job.name, protocol=protocol, model=asdict(job.run.model)
        )
        assert job.is_finished()
        assert len(find_sources(read_runs(folder.parent)[0], [root]).of_pair) == 6
        shutil.rmtree(folder)


@pytest.mark.parametrize("flags", [("--lr", "1e-3"), ("--freeze-encoders",)])
def test_what_came_later_is_added_to_a_finished_run_without_training(
    hub, tmp_path, monkeypatch, flags
):
    project, more = make_small_project(tmp_path), ["--epochs", "1", *flags]
    asked = [flag.replace("--lr", "--lrs") for flag in more]
    folder = run_small(project, hub, "clip", *more)
    before, weights = record(folder), (folder / BEST).read_bytes()
    pairs = (folder.parents[1] / "splits" / "val.csv").read_text(encoding="utf-8").splitlines()
    monkeypatch.setattr(train, "learn", lambda *_: pytest.fail("it trains"))
    for rows in (pairs, pairs[:4], [*pairs[:3], pairs[3].rpartition(",")[0] + ","]):
        (folder.parents[1] / "splits" / "test.csv").write_text("\n".join(rows), encoding="utf-8")
        assert not jobs_of(project, hub, *asked)[0].is_finished()
        run_small(project, hub, "clip", *more)
        assert jobs_of(project, hub, *asked)[0].is_finished()
        told, val = (read_rows(folder / f"{n}predictions.csv") for n in ("test_", ""))
        labelled, pred = not rows[-1].endswith(","), told[0].index("pred")
        assert ("test_acc" in record(folder)) == labelled != (folder / SUBMISSION).is_file()
        assert [(r[0], r[pred]) for r in told] == [(r[0], r[2]) for r in val[: len(rows)]]
    assert (folder / BEST).read_bytes() == weights and record(folder).keys() == before.keys()
    assert not jobs_of(project, hub, *asked, "--probe")[0].is_finished()
    run_small(project, hub, "clip", *more, "--probe")
    assert jobs_of(project, hub, *asked, "--probe")[0].is_finished()
    assert record(folder).keys() - before.keys() == {"probe"}
    projection = (folder / PROJECTION).read_bytes()
    (folder / PROJECTION).unlink()  # as earlier versions left it
    assert not jobs_of(project, hub, *asked, "--probe")[0].is_finished()
    run_small(project, hub, "clip", *more, "--probe")
    assert (folder / PROJECTION).read_bytes() == projection
    assert {path.name for path in folder.parent.iterdir()} - {"encoders"} == {folder.name}
    (folder.parents[1] / "splits" / "test.csv").write_text("\n".join(pairs), encoding="utf-8")
    (folder / BEST).write_bytes(weights[:999])
    with pytest.raises(UserError, match="best.pt cannot be read.*--restart"):
        run_small(project, hub, "clip", *more)
    assert {path.name for path in folder.parent.iterdir()} - {"encoders"} == {folder.name}
    (folder / BEST).unlink()
    assert jobs_of(project, hub, *asked)[0].is_finished()  # nothing is there to predict with


def test_a_run_of_another_protocol_or_model_is_kept_when_its_name_is_taken(
    project, hub, tmp_path, capsys
):
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

    # One on other pairs is named in words, not by hashes.
    earlier = record(newer)
    earlier["protocol"] |= {"train_sha256": "0" * 64, "val_sha256": "1" * 64}
    (newer / METRICS_JSON).write_text(json.dumps(earlier), encoding="utf-8")
    run_small(project, hub, "clip", *more)
    said = "trained before with other pairs: that run moves"
    assert said in capsys.readouterr().out

    # Another checkpoint may lie in a folder of the same name.
    folder = Path(shutil.copytree(hub.folder(CLIP), tmp_path / Path(hub.folder(CLIP)).name))
    change_weights(folder)
    assert run_small(project, hub, "clip", *more, "--model-name", str(folder)) == newer
    names = [record(path)["model"]["name"] for path in (newer.parent / "earlier").iterdir()]
    assert names == [hub.folder(CLIP)] * 3 and record(newer)["model"]["name"] == str(folder)


def test_the_same_command_says_that_it_trains_anew_and_leaves_one_run(project, hub, capsys):
    more = ["--output-dir", "outputs/same", "--epochs", "1"]
    run_small(project, hub, "clip", *more)
    assert "trained anew" not in capsys.readouterr().out
    folder = run_small(project, hub, "clip", *more)
    assert "was trained before: it is trained anew and then replaced" in capsys.readouterr().out
    assert [path.name for path in compare_dir(project, *more).iterdir()] == [folder.name]
    # What is no record of a protocol may be another one: it is kept.
    (folder / METRICS_JSON).write_text("{}", encoding="utf-8")
    run_small(project, hub, "clip", *more)
    (kept,) = (compare_dir(project, *more) / "earlier").iterdir()
    assert "protocol-unknown" in kept.name and (kept / METRICS_JSON).read_text() == "{}"


def test_a_run_folder_may_be_a_link(project, hub, tmp_path):
    more = ["--output-dir", "outputs/link", "--epochs", "1"]
    folder = run_small(project, hub, "clip", *more)
    elsewhere = tmp_path / "elsewhere"
    folder.rename(elsewhere)
    try:
        folder.symlink_to(elsewhere, target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    run_small(project, hub, "clip", *more)
    assert not folder.is_symlink() and (elsewhere / "best.pt").is_file()
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
