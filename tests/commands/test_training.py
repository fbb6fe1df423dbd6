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
from helpers.hub import BLIP
from helpers.pairs import read_split
from helpers.project import make_project
from helpers.small_project import history

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


def record_of(project: Path, name: str) -> dict:
    return json.loads((folder_of(project, name) / "metrics.json").read_text(encoding="utf-8"))


def folder_of(project: Path, name: str) -> Path:
    return project / "outputs" / "compare" / name


def test_each_command_leaves_its_run_folder_and_nothing_else(project):
    found = {path.name for path in (project / "outputs" / "compare").iterdir()}
    assert found == {*COMMANDS, *SUMMARIES, "visuals"}
    for name in COMMANDS:
        files = {path.name for path in folder_of(project, name).iterdir()}
        assert files >= {"best.pt", "metrics.json", "history.csv", "predictions.csv"}
        assert not any(file.endswith(".tmp") for file in files)


def test_records_hold_what_was_done_and_all_five_ran_under_one_protocol(project):
    protocols = []
    for name in COMMANDS:
        with open(folder_of(project, name) / "history.csv", encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        assert ",".join(header).startswith(HISTORY)
        assert [row[0] for row in rows] == ["1", "2", "3", "4", "5"]
        record = record_of(project, name)
        assert record["epochs"] == 5
        assert 0 <= record["best_val_f1_macro"] == record["best"]["val_f1_macro"] <= 1
        assert record["trainable_params_million"] == record["params_million"] > 0
        assert record["samples"] == {"train": 27, "val": 3}
        assert record["text_encodings"] == {"utf-8": 22, "gb18030": 8}
        assert record["model"]["batch_size"] == (8 if name.startswith("blip") else 16)
        kinds = {"text", "near_text", "image", "near_image", "label_conflicts"}
        assert record["duplicates"].keys() == kinds
        assert 0 <= record["calibration"]["ece"] <= 1
        assert sum(each["count"] for each in record["calibration"]["bins"]) == 3
        protocols.append(record["protocol"])
    assert all(protocol == protocols[0] for protocol in protocols)
    wanted = {"seed": 42, "lr": 2e-5, "image_size": 224, "effective_batch_size": 16}
    assert wanted.items() <= protocols[0].items()


def test_best_pt_reloads_and_gives_the_stored_metrics_and_predictions(project, hub):
    split = read_split(project / "outputs" / "splits" / "val.csv", project)
    for name in COMMANDS:
        folder = folder_of(project, name)
        saved = torch.load(folder / "best.pt", weights_only=True)
        args, classes = saved["args"], saved["labels"]
        checkpoint, size = hub.folder(args["model_name"]), args["image_size"]
        block = record_of(project, name)["model"]
        choice = ModelChoice(block["family"], checkpoint, block["image_backbone"], block["fusion"])
        model = build_classifier(choice, len(classes), size, state=saved["model_state"])
        labels = [classes.index(label) for label in split.labels]
        tokens = tokenise(split.texts, load_tokenizer(checkpoint), args["max_length"])
        cache = project / "outputs" / "cache"
        images = load_images(split.image_paths, size, cache, show_progress=False)
        part = PairDataset(tokens, images, labels, size, augment=False)
        logits = evaluate(model, read_through(part, 16), Precision("fp32", torch.device("cpu")))
        found = scores(confusion_matrix(np.array(labels), logits.argmax(1).numpy(), len(classes)))
        stored = record_of(project, name)["best"]
        for key, value in found.items():
            assert stored[f"val_{key}"] == pytest.approx(float(value))
        with open(folder / "predictions.csv", encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["guid"] for row in rows] == split.guids
        assert [row["label"] for row in rows] == split.labels
        stored = np.array([[float(row[f"p_{c}"]) for c in classes] for row in rows])
        np.testing.assert_allclose(stored, logits.softmax(1).numpy(), atol=1e-5)


def test_a_second_run_gives_the_same_history_but_for_the_times(project, hub):
    name = "clip_openai_clip-vit-base-patch32"
    folder = folder_of(project, name)
    before = history(folder), torch.load(folder / "best.pt", weights_only=True)["model_state"]
    command(project, hub, COMMANDS[name].replace("--num-workers 2", "--num-workers 0"))
    assert history(folder) == before[0]
    after = torch.load(folder / "best.pt", weights_only=True)["model_state"]
    assert all(torch.equal(value, before[1][key]) for key, value in after.items())


def test_a_seed_of_its_own_gives_a_folder_of_its_own(project, hub):
    name = "clip_openai_clip-vit-base-patch32"
    line = COMMANDS[name].replace("--epochs 5", "--epochs 1") + " --seed 43 --freeze-encoders"
    command(project, hub, f"{line} --class-weights none --output-dir outputs/more")
    text = (project / f"outputs/more/{name}_frozen_seed43/metrics.json").read_text(encoding="utf-8")
    record = json.loads(text)
    assert record["protocol"]["frozen_encoders"] and record["protocol"]["augmentation"] == "none"
    assert 0 < record["trainable_params_million"] < record["params_million"]


def test_what_cannot_run_is_one_line_and_status_2(project, hub, monkeypatch):
    before = sorted(path.name for path in (project / "outputs" / "compare").iterdir())
    line = "stage2_compare/scripts/compare_train.py --project-root . --model-name nobody/nothing"
    done = command(project, hub, line, status=2)
    assert re.search("nobody/nothing.*HF_ENDPOINT", done.stderr)
    assert "Traceback" not in done.stderr and done.stderr.count("error:") == 1
    for name, value in hub.variables.items():
        monkeypatch.setenv(name, value)
    wrong = {
        f"compare_clip --model-name {hub.folder('bert-base-chinese')}": "bert checkpoint",
        "compare_train --train-csv nowhere.csv": "nowhere.csv",
        f"compare_blip --image-size 8 --model-name {hub.folder(BLIP)}": "--image-size 8",
        "compare_train --device cuda:99": "--device cuda:99",
    }
    for line, says in wrong.items():
        script, *flags = shlex.split(line)
        with pytest.raises(UserError, match=says):
            __import__(script).main(["--project-root", str(project), *flags])
    assert sorted(path.name for path in (project / "outputs" / "compare").iterdir()) == before


def test_a_wrong_transformers_version_is_named(monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda name: "5.0.0")
    with pytest.raises(UserError, match="transformers 5.0.0.*transformers==4.39.3"):
        check_transformers()
