"""A run folder predicts anywhere: without the checkpoint it was trained from, hub or network."""

import os
import re
import shutil
from pathlib import Path

import compare_clip
import numpy as np
import predict as command
import pytest
import torch
from common.errors import UserError
from common.files import console_width
from common.metrics import METRICS
from common.models import checkpoint
from common.predicting import answer
from common.predicting.answer import load_run
from common.predicting.question import Question, find_run, open_run, read_question
from common.training.engine import probabilities
from common.training.prepare import prepare
from common.training.probes import blanks, predictor
from helpers.run_folders import edit
from helpers.small_project import COMMANDS, TEXTS, make_small_project, record
from helpers.tables import read_rows, write_rows

KINDS = [("bert", "attention"), ("bert", "image"), ("blip", "text")]
SMALL = ["--image-size", "32", "--epochs", "1", "--batch-size", "4", "--lr", "1e-3"]


def shares(path: Path) -> np.ndarray:
    """The probabilities in a file, (N, 3)."""
    header, *pairs = read_rows(path)
    first = header.index("p_negative")
    return np.array([row[first : first + 3] for row in pairs], float)


def train(project: Path, hub, kind: str, *more: str) -> Path:
    """Train with a checkpoint that is then gone, and move the run folder to another place."""
    place = project / "checkpoint"
    shutil.copytree(hub.folder(COMMANDS[kind][1]), place)
    module = __import__(COMMANDS[kind][0])
    line = ["--project-root", str(project), "--model-name", str(place), *SMALL, *more]
    module.main(line)
    name = module.parse(line).name
    shutil.rmtree(place)
    moved = project.parent / f"moved {project.name}" / name
    shutil.move(project / "outputs" / "compare" / name, moved)
    return moved


@pytest.fixture(autouse=True)
def nothing_to_download(monkeypatch, tmp_path):
    """Neither in a cache nor on a hub."""
    monkeypatch.setattr(checkpoint, "_cache", lambda: str(tmp_path / "none"))


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """Its test list are the validation pairs without labels, the last one first."""
    made = make_small_project(tmp_path_factory.mktemp("small") / "项目 a")
    splits = made / "outputs" / "splits"
    header, *labelled = read_rows(splits / "val.csv")
    pairs = [[*row[:3], "null"] for row in reversed(labelled)]
    write_rows(splits / "test.csv", [header, *pairs], "\r\n")
    return made


@pytest.fixture(scope="module")
def run(project, hub) -> Path:
    return train(project, hub, "clip")


@pytest.fixture
def copy(run, tmp_path) -> Path:
    """A copy of the run that a test may spoil."""
    return shutil.copytree(run, tmp_path / "copy")


def flags(project: Path, run: Path, *more: str) -> list[str]:
    return ["--project-root", str(project), "--run", str(run), *more]


def predict(project: Path, run: Path, *more: str) -> Path:
    """Predict the validation pairs, or what ``more`` says, in this process."""
    output = project / "predicted.csv"
    source = [] if "--csv" in more else ["--csv", "outputs/splits/val.csv"]
    command.main(flags(project, run, *more, *source, "--output", str(output)))
    return output


@pytest.mark.parametrize(("kind", "fusion"), KINDS)
def test_it_gives_the_predictions_of_the_run_and_the_file_that_was_handed_in(
    project, hub, monkeypatch, tmp_path, capsys, kind, fusion
):
    folder = train(project, hub, kind, "--fusion", fusion, "--seed", "5")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    expected = folder / "predictions.csv"
    output = predict(project, folder, "--probs")
    assert read_rows(output)[0] == read_rows(expected)[0][:6]
    assert [row[:3] for row in read_rows(output)] == [row[:3] for row in read_rows(expected)]
    np.testing.assert_allclose(shares(output), shares(expected), atol=1e-5)

    unlabelled = ["--csv", "outputs/splits/test.csv"]
    output = predict(project, folder, *unlabelled)
    assert output.read_bytes() == (folder / "test_with_label.txt").read_bytes()
    assert output.read_bytes().count(b"\r\n") == 7
    kept = folder / "test_predictions.csv"
    output = predict(project, folder, *unlabelled, "--probs")
    assert [row[:2] for row in read_rows(output)] == [row[:2] for row in read_rows(kept)]
    np.testing.assert_allclose(shares(output), shares(kept), atol=1e-5)

    if fusion in ("text", "image"):  # what it does not read need not be given
        given = {"text": TEXTS[0], "image": "data/val0.png"}[fusion]
        command.main(flags(project, folder, f"--{fusion}", given))
        assert "left blank" not in capsys.readouterr().out


def test_labels_are_measured_where_all_pairs_have_one_and_must_be_classes_of_the_run(
    project, run, tmp_path, capsys
):
    predict(project, run)
    best = record(run)["best"]
    expected = ", ".join(f"{metric.title} {best[metric.column]:.4f}" for metric in METRICS)
    said = [expected, f"6 pairs: {project / 'predicted.csv'}"]
    assert capsys.readouterr().out.splitlines()[-2:] == said

    other = tmp_path / "other.csv"
    text = (project / "outputs" / "splits" / "val.csv").read_text(encoding="utf-8")
    other.write_text(text.replace("neutral", "?"), encoding="utf-8")
    output = predict(project, run, "--csv", str(other), "--probs")
    told = capsys.readouterr().out
    assert "2 of the pairs have no label" in told and "Macro-F1" not in told
    assert read_rows(output)[0][1] == "pred"
    other.write_text(text.replace("neutral", "angry"), encoding="utf-8")
    with pytest.raises(UserError, match="other.csv, row 3: label 'angry' is not a class"):
        predict(project, run, "--csv", str(other))


def change_weights(run: Path, factor: float) -> None:
    content = torch.load(run / "best.pt", weights_only=True)
    for weights in content["model_state"].values():
        weights.copy_(weights * factor if weights.is_floating_point() else weights)
    torch.save(content, run / "best.pt")


def test_several_runs_give_the_mean_of_their_probabilities(project, run, copy):
    change_weights(copy, -1)
    alone = [shares(predict(project, each, "--probs")) for each in (run, copy)]
    both = shares(predict(project, run, str(copy), "--probs"))
    np.testing.assert_allclose(both, np.mean(alone, axis=0), atol=1e-5)
    assert np.abs(alone[0] - alone[1]).max() > 1e-3
    again = predict(project, run, "--run", str(copy), "--probs")
    assert (shares(again) == both).all()


def test_one_pair_gets_the_probabilities_of_its_row_the_highest_first(project, run, capsys):
    text, photo = TEXTS[0] + "0", "data/val0.png"
    before = set(project.rglob("*"))
    line = flags(project, run, "--text", text)
    command.main([*line, "--image", photo])
    told = [row.split() for row in capsys.readouterr().out.splitlines()]
    assert set(project.rglob("*")) == before
    row = shares(run / "predictions.csv")[0]
    expected = zip(("negative", "neutral", "positive"), row, strict=True)
    highest_first = sorted(expected, key=lambda pair: -pair[1])
    assert [name for name, _ in told] == [name for name, _ in highest_first]
    found = [float(share) for _, share in told]
    assert found == pytest.approx([share for _, share in highest_first], abs=1e-4)

    with pytest.raises(UserError, match="--image too, or give --blank-missing"):
        command.main(line)
    command.main([*line, "--blank-missing"])
    assert "0 texts and 1 photos" in capsys.readouterr().out

    answer._show(np.array([0.5, 0.25, 0.25]), ["消极", "中性的", "ok"])
    shown = capsys.readouterr().out.splitlines()  # below each other
    assert len(shown) == 3 and len(set(map(console_width, shown))) == 1


# Missing files


def test_a_missing_photo_ends_it_with_its_row_or_is_blank_as_the_probe_has_it(
    project, hub, run, tmp_path, capsys
):
    """Of the validation pairs the second has no photo, and the third a broken one."""
    header, *pairs = read_rows(project / "outputs" / "splits" / "val.csv")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    pairs[1][2], pairs[2][2] = "data/gone.png", str(tmp_path / "broken.png")
    write_rows(tmp_path / "gaps.csv", [header, *pairs])
    asked = ["--csv", str(tmp_path / "gaps.csv")]
    with pytest.raises(UserError, match=r"row 3: 'data/gone.png'.*--blank-missing"):
        predict(project, run, *asked)
    output = predict(project, run, *asked, "--blank-missing", "--probs")
    told = "left blank, because they are missing or broken: 0 texts and 2 photos"
    assert told in capsys.readouterr().out

    name = hub.folder(COMMANDS["clip"][1])
    line = ["--project-root", str(project), "--model-name", name, *SMALL]
    prepared = prepare(compare_clip.parse(line))
    model, _ = load_run(open_run(run, None))
    places = np.array([1, 2])
    blanked = predictor(prepared, model, blank=blanks(prepared, model)["image"])(places, places)
    np.testing.assert_allclose(shares(output)[places], probabilities(blanked), atol=1e-5)


def test_a_missing_text_is_blank_and_counted(project, run, tmp_path, capsys):
    (tmp_path / "a.txt").write_text("", encoding="utf-8")
    photo = project / "data" / "val0.png"
    pairs = "".join(f"{name},{tmp_path / name}.txt,{photo}\n" for name in "ab")
    (tmp_path / "texts.csv").write_text(f"guid,text_path,image_path\n{pairs}", encoding="utf-8")
    more = ["--csv", str(tmp_path / "texts.csv"), "--blank-missing", "--probs"]
    empty, missing = shares(predict(project, run, *more))
    assert "1 texts and 0 photos" in capsys.readouterr().out
    np.testing.assert_allclose(missing, empty, atol=1e-5)


# What cannot be


def test_a_run_of_the_first_version_is_opened_with_its_checkpoint(project, hub, copy):
    shutil.rmtree(copy / "encoder")
    with pytest.raises(UserError, match="--model-name"):
        predict(project, copy)
    name = hub.folder(COMMANDS["clip"][1])
    output = predict(project, copy, "--model-name", name, "--probs")
    np.testing.assert_allclose(shares(output), shares(copy / "predictions.csv"), atol=1e-5)
    edit_block(copy, "model", name="openai/clip-vit-base-patch32")
    with pytest.raises(UserError, match="keeps no encoder/ .* --model-name"):
        predict(project, copy)


NO_RECORD = "is not the record of a run"
SPOILED = {
    "no record": (lambda f: (f / "metrics.json").unlink(), "no metrics.json there"),
    "no JSON": (lambda f: (f / "metrics.json").write_text("{"), NO_RECORD),
    "names that are none": (
        lambda f: torch.save({"model_state": {1: torch.ones(1)}}, f / "best.pt"),
        "do not fit the model",
    ),
    "no weights": (lambda f: (f / "best.pt").unlink(), "best.pt cannot be read"),
    "cut weights": (lambda f: os.truncate(f / "best.pt", 999), "best.pt cannot be read"),
    "another fusion": (lambda f: edit_block(f, "model", fusion="gated"), "do not fit the model"),
    "no tokenizer": (
        lambda f: [p.unlink() for p in (f / "encoder").glob("*") if "config" not in p.name],
        "tokenizer",
    ),
}
WRONG = {
    ("model", "family"): ("other", None),
    ("model", "fusion"): ("other", []),
    ("model", "max_length"): (0, "64"),
    ("model", "batch_size"): (-1, True),
    ("protocol", "image_size"): (32.5, None, 10**6),
    ("labels", ""): ([], "abc", None, [1, 2, 3], ["a", "a", "b"], {"a": 1, "b": 2, "c": 3}),
}


def edit_block(folder: Path, block: str, **values) -> None:
    edit(folder, **{block: {**record(folder)[block], **values}})


def test_a_folder_that_cannot_be_opened_is_named(project, run, tmp_path):
    for name, (spoil, says) in SPOILED.items():
        folder = shutil.copytree(run, tmp_path / name)
        spoil(folder)
        with pytest.raises(UserError, match=says):
            predict(project, folder)
    whole = record(run)
    for (block, key), values in WRONG.items():
        for value in values:
            edit(folder, **{**whole, block: {**whole[block], key: value} if key else value})
            with pytest.raises(UserError, match=NO_RECORD):
                open_run(folder, None)


def test_no_path_that_a_record_names_is_followed(copy, monkeypatch):
    looked, isdir = [], os.path.isdir
    monkeypatch.setattr(os.path, "isdir", lambda place: looked.append(str(place)) or isdir(place))
    paths = ("/etc", "\\\\server\\share", "../..", "C:/x", None)
    for path in paths:
        edit_block(copy, "model", family="bert_resnet", image_backbone=path)
        with pytest.raises(UserError, match=NO_RECORD):
            open_run(copy, None)
    shutil.rmtree(copy / "encoder")
    for path in paths:
        edit_block(copy, "model", family="clip", name=path)
        with pytest.raises(UserError, match=NO_RECORD):
            open_run(copy, None)
    assert not {*looked} & {*paths}


def test_runs_of_other_classes_are_not_averaged(project, run, copy):
    edit(copy, labels=["a", "b", "c"])
    with pytest.raises(UserError, match="knows the classes 'a, b, c'"):
        predict(project, run, str(copy))


def ask(project: Path, run: Path, *more: str) -> Question:
    """What is wrong with a question is told before a weight is read."""
    return read_question(command.parse(flags(project, run, *more)))


def test_the_answer_takes_the_place_of_no_other_file(project, run, tmp_path):
    """Neither with --output nor with --probs; of these the second must not be the first either."""
    (tmp_path / "link").symlink_to(project / "data" / "val0.png")
    targets = {
        "outputs/splits/val.csv": "holds no predictions",
        "data/val0.png": "holds no predictions",
        ".": "is a folder: give a file in it",
        str(run / "best.pt"): "lies in the run",
        str(run / "encoder" / "new.csv"): "lies in the run",
        str(tmp_path / "link"): "is no regular file",
        "outputs/splits/train.csv": "holds no predictions",
        str(tmp_path / "train.txt"): "holds no predictions",
    }
    (tmp_path / "train.txt").write_text("guid,tag\n1,neutral\n", encoding="utf-8")
    line = ["--csv", "outputs/splits/val.csv", "--output"]
    for target, says in targets.items():
        for more in ((target,), ("predicted.csv", "--probs", target)):
            with pytest.raises(UserError, match=says):
                ask(project, run, *line, *more)
    with pytest.raises(UserError, match="the same file"):
        ask(project, run, *line, "predicted.csv", "--probs", "predicted.csv")


def test_probabilities_lie_beside_the_file_to_hand_in_and_do_not_change_it(project, run, capsys):
    alone = predict(project, run).read_bytes()
    output = predict(project, run, "--probs", "beside.csv")
    assert output.read_bytes() == alone
    assert f"probabilities: {project / 'beside.csv'}\n" in capsys.readouterr().out
    rows = read_rows(predict(project, run, "--probs"))
    assert rows[0][:3] == ["guid", "label", "pred"]  # alone it holds what is known of the pairs
    assert read_rows(project / "beside.csv") == [row[:1] + row[2:] for row in rows]
    assert "not the file to hand in" in capsys.readouterr().out


def test_answers_that_are_no_numbers_are_not_written(project, copy, tmp_path):
    change_weights(copy, np.nan)
    asked = ["--csv", "outputs/splits/val.csv", "--output", str(tmp_path / "none.csv")]
    for more in (asked, ["--text", "a", "--image", "data/val0.png"]):
        with pytest.raises(UserError, match="copy answers . of . pairs with what is no number"):
            command.main(flags(project, copy, *more))
    assert not (tmp_path / "none.csv").exists()


def test_a_wrong_run_names_the_one_that_is_meant(tmp_path):
    folder = tmp_path / "outputs" / "compare" / "clip_small_late"
    folder.mkdir(parents=True)
    for name in ("metrics.json", "best.pt"):
        (folder / name).touch()
    meant = f"did you mean {Path('outputs/compare/clip_small_late')}?"
    below = ("clip_small_late/best.pt", "clip_smal_late")
    wrong = ["clip_small_late", *(f"outputs/compare/{name}" for name in below)]
    if os.name != "nt":
        wrong.append("outputs\\compare\\clip_small_late")
    for said in wrong:
        with pytest.raises(UserError, match=f"no such folder.*{re.escape(meant)}"):
            find_run(tmp_path, Path(said))
    with pytest.raises(UserError, match="no such folder.*give --run"):
        find_run(tmp_path, Path("x" * 300))


def test_what_is_no_list_and_no_pair_is_told_in_its_own_words(project, run, tmp_path, capsys):
    (tmp_path / "pairs.xlsx").write_bytes(b"PK\3\4")
    (tmp_path / "a.txt").write_text("good", encoding="utf-8")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    photo = ["--image", "data/val0.png"]
    for line, says in (
        (["--csv", str(tmp_path / "pairs.xlsx")], "is a workbook of Excel"),
        (["--csv", "pairs.csv"], "pairs.csv: No such file"),
        (["--csv", str(run), "--run", "val.csv"], "are --csv and --run swapped"),
        (["--text", str(tmp_path / "a.txt"), *photo], "is the name of a file: did you mean"),
        (["--text", "a", "--image", "gone.png"], "--image .*gone.png: No such file"),
        (["--text", "a", "--image", str(tmp_path / "broken.png")], "broken.png .*repair"),
    ):
        more = ["--output", "predicted.csv"] if "--csv" in line else []
        with pytest.raises(UserError, match=says) as caught:
            command.main(flags(project, run, *line, *more))
        assert not re.search(r"\brows?\b|make_splits", str(caught.value))

    header, *pairs = read_rows(project / "outputs" / "splits" / "val.csv")
    write_rows(tmp_path / "zeros.csv", [header, *([*row[:3], "0"] for row in pairs)])
    line = ["--csv", str(tmp_path / "zeros.csv"), "--output", "predicted.csv"]
    assert set(ask(project, run, *line).split.labels) == {""}
    assert "'0' is no class of the run: taken for no label" in capsys.readouterr().out


def test_too_little_memory_says_what_helps(project, run, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(answer, "evaluate", fail)
    with pytest.raises(UserError, match="smaller --batch-size than 4, or --device cpu"):
        predict(project, run)


def test_flags_that_do_not_fit_together_are_named():
    for line, says in (
        ([], "either --csv, or --text and --image"),
        (["--csv", "a", "--text", "b"], "either --csv, or --text and --image"),
        (["--csv", "a"], "give --output"),
        (["--text", "a", "--image", "b", "--output", "c"], "leave out --output"),
    ):
        with pytest.raises(UserError, match=says):
            command.parse(["--run", "x", *line])


def test_texts_are_read_in_the_encoding_of_the_run(run, copy):
    """One text alone is little evidence."""
    edit(copy, text_encodings={"utf-8": 9, "gb18030": 3})
    assert open_run(copy, None).text_encoding == "gb18030"
    assert open_run(run, None).text_encoding == "auto"
