"""The public commands, letter for letter, offline, in a folder with a space and Chinese characters in its name."""

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from common.data.batches import read_through
from common.data.dataset import PairDataset
from common.data.image_store import load_images
from common.data.tokens import tokenise
from common.errors import UserError
from common.metrics import confusion_matrix, scores
from common.models.build import build_classifier
from common.models.loading import check_transformers, load_tokenizer
from common.settings import ModelChoice
from common.training.device import Precision
from common.training.engine import evaluate
from helpers.pairs import read_split
from helpers.project import make_project

TRAIN = "--num-workers 2 --pin-memory"
COMMANDS = {
    **{
        f"bert-base-chinese_resnet18_{fusion}": "stage2_compare/scripts/compare_train.py --project-root . "
        f"--model-name bert-base-chinese --image-backbone resnet18 --fusion {fusion} --epochs 5 --batch-size 16 {TRAIN}"
        for fusion in ("concat", "gated", "late")
    },
    "clip_openai_clip-vit-base-patch32": "stage2_compare/scripts/compare_clip.py --project-root . "
    f"--model-name openai/clip-vit-base-patch32 --epochs 5 --batch-size 16 {TRAIN}",
    "blip_Salesforce_blip-image-captioning-base": "stage2_compare/scripts/compare_blip.py --project-root . "
    f"--model-name Salesforce/blip-image-captioning-base --epochs 5 --batch-size 8 {TRAIN}",
}
SUMMARIES = ("compare_summary.csv", "compare_families.csv")
HISTORY = "epoch,train_loss,val_acc,val_f1_macro,val_precision_macro,val_recall_macro,val_loss,train_sec,val_sec"
LABELS = ("negative", "neutral", "positive")


def command(project: Path, hub, line: str, status: int = 0) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [sys.executable, *shlex.split(line)],
        cwd=project,
        env={**os.environ, **hub.variables, "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def project(hub, tmp_path_factory) -> Path:
    """The project after all seven commands."""
    root = make_project(tmp_path_factory.mktemp("竞赛 项目") / "我的 project")
    command(root, hub, "stage2_compare/scripts/make_splits.py --project-root .")
    with ThreadPoolExecutor(2) as pool:  # two at once, as they are one thread each
        list(pool.map(lambda line: command(root, hub, line), COMMANDS.values()))
    command(root, hub, "stage2_compare/scripts/compare_summary.py --project-root .")
    command(root, hub, "stage2_compare/scripts/compare_visualize.py --project-root .")
    return root


def metrics_of(project: Path, name: str) -> dict:
    return json.loads(
        (project / "outputs" / "compare" / name / "metrics.json").read_text(encoding="utf-8")
    )


def test_each_command_leaves_its_run_folder_and_nothing_else(project):
    compare = project / "outputs" / "compare"
    assert {path.name for path in compare.iterdir()} == {*COMMANDS, *SUMMARIES, "visuals"}
    for name in COMMANDS:
        files = {path.name for path in (compare / name).iterdir()}
        assert files >= {"best.pt", "metrics.json", "history.csv", "predictions.csv"}
        assert not any(file.endswith(".tmp") for file in files)


@pytest.mark.parametrize("name", COMMANDS)
def test_history_has_the_columns_other_programs_read(project, name: str):
    with open(
        project / "outputs" / "compare" / name / "history.csv", encoding="utf-8", newline=""
    ) as file:
        header, *rows = csv.reader(file)
    assert ",".join(header).startswith(HISTORY)
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("name", COMMANDS)
def test_metrics_json_holds_what_was_done(project, name: str):
    record = metrics_of(project, name)
    assert record["epochs"] == 5
    assert 0 <= record["best_val_f1_macro"] == record["best"]["val_f1_macro"] <= 1
    assert record["trainable_params_million"] == record["params_million"] > 0
    assert record["samples"] == {"train": 27, "val": 3}
    assert record["text_encodings"] == {"utf-8": 22, "gb18030": 8}
    assert record["model"]["batch_size"] == (8 if name.startswith("blip") else 16)
    kinds = {"text", "near_text", "image", "near_image", "label_conflicts"}
    assert record["duplicates"].keys() == kinds
    assert (
        0 <= record["calibration"]["ece"] <= 1
        and sum(b["count"] for b in record["calibration"]["bins"]) == 3
    )
    assert record["protocol"]["effective_batch_size"] == 16


def test_all_five_ran_under_one_protocol(project):
    protocols = [metrics_of(project, name)["protocol"] for name in COMMANDS]
    assert all(protocol == protocols[0] for protocol in protocols)
    assert (
        protocols[0]["seed"] == 42
        and protocols[0]["lr"] == 2e-5
        and protocols[0]["image_size"] == 224
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_best_pt_reloads_and_gives_the_stored_metrics(project, hub, name: str):
    saved = torch.load(project / "outputs" / "compare" / name / "best.pt", weights_only=True)
    args, classes = saved["args"], saved["labels"]
    checkpoint = hub.folder(args["model_name"])
    block = metrics_of(project, name)["model"]
    choice = ModelChoice(block["family"], checkpoint, block["image_backbone"], block["fusion"])
    state = saved["model_state"]
    model = build_classifier(choice, len(classes), args["image_size"], state=state)

    split = read_split(project / "outputs" / "splits" / "val.csv", project)
    labels = [classes.index(label) for label in split.labels]
    tokens = tokenise(split.texts, load_tokenizer(checkpoint), args["max_length"])
    images = load_images(
        split.image_paths, args["image_size"], project / "outputs" / "cache", show_progress=False
    )
    part = PairDataset(tokens, images, labels, args["image_size"], augment=False)
    logits = evaluate(model, read_through(part, 16), Precision("fp32", torch.device("cpu")))
    found = scores(confusion_matrix(np.array(labels), logits.argmax(1).numpy(), len(classes)))
    stored = metrics_of(project, name)["best"]
    for key, value in found.items():
        assert stored[f"val_{key}"] == pytest.approx(float(value))

    with open(
        project / "outputs" / "compare" / name / "predictions.csv", encoding="utf-8-sig", newline=""
    ) as file:
        rows = list(csv.DictReader(file))
    assert [row["guid"] for row in rows] == split.guids and [
        row["label"] for row in rows
    ] == split.labels
    stored = np.array([[float(row[f"p_{c}"]) for c in classes] for row in rows])
    np.testing.assert_allclose(stored, logits.softmax(1).numpy(), atol=1e-5)


def test_a_second_run_gives_the_same_history_but_for_the_times(project, hub):
    name = "clip_openai_clip-vit-base-patch32"
    folder = project / "outputs" / "compare" / name

    def without_times() -> list[str]:
        return [
            row.split(",")[:7]
            for row in (folder / "history.csv").read_text(encoding="utf-8").splitlines()
        ]

    before, weights = (
        without_times(),
        torch.load(folder / "best.pt", weights_only=True)["model_state"],
    )
    command(project, hub, COMMANDS[name].replace("--num-workers 2", "--num-workers 0"))
    assert without_times() == before
    for key, value in torch.load(folder / "best.pt", weights_only=True)["model_state"].items():
        assert torch.equal(value, weights[key]), key


def test_a_seed_of_its_own_gives_a_folder_of_its_own(project, hub):
    line = COMMANDS["clip_openai_clip-vit-base-patch32"].replace("--epochs 5", "--epochs 1")
    command(
        project,
        hub,
        line
        + " --seed 43 --freeze-encoders --class-weights none --no-train-aug --output-dir outputs/more",
    )
    record = json.loads(
        (
            project / "outputs/more/clip_openai_clip-vit-base-patch32_frozen_seed43/metrics.json"
        ).read_text(encoding="utf-8")
    )
    assert record["protocol"]["frozen_encoders"] and record["protocol"]["augmentation"] == "none"
    assert 0 < record["trainable_params_million"] < record["params_million"]


@pytest.mark.parametrize(
    "line, says",
    [
        ("compare_clip.py --project-root . --model-name bert-base-chinese", "bert checkpoint"),
        (
            "compare_train.py --project-root . --model-name nobody/nothing",
            "nobody/nothing.*HF_ENDPOINT",
        ),
        ("compare_train.py --project-root . --train-csv nowhere.csv", "nowhere.csv"),
        ("compare_blip.py --project-root . --image-size 8", "--image-size 8"),
        ("compare_train.py --project-root . --device cuda:99", "--device cuda:99"),
        ("compare_train.py --project-root . --epochs 0", "--epochs"),
    ],
)
def test_what_cannot_run_is_one_line_and_status_2(project, hub, line: str, says: str):
    before = sorted(path.name for path in (project / "outputs" / "compare").iterdir())
    done = command(project, hub, f"stage2_compare/scripts/{line}", status=2)
    assert re.search(says, done.stderr) and "Traceback" not in done.stderr
    assert len([row for row in done.stderr.splitlines() if "error:" in row]) == 1
    assert sorted(path.name for path in (project / "outputs" / "compare").iterdir()) == before


def test_a_wrong_transformers_version_is_named(monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda name: "5.0.0")
    with pytest.raises(UserError, match="transformers 5.0.0.*transformers==4.39.3"):
        check_transformers()
