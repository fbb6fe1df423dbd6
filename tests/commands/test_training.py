"""The public commands, which the README has letter for letter, offline, in a folder with a space and Chinese
characters in its name."""

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from common.errors import UserError
from common.models.loading import check_transformers
from common.runs.reading import load_runs
from helpers.hub import STAGE2
from helpers.project import make_project
from helpers.small_project import record
from PIL import Image

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
RESULTS = [
    f"stage2_compare/scripts/compare_{name}.py --project-root ."
    for name in ("summary", "visualize")
]
SUMMARIES = ("compare_summary.csv", "compare_families.csv", "doubtful.csv")
HISTORY = "epoch,train_loss,val_acc,val_f1_macro,val_precision_macro,val_recall_macro,val_loss,train_sec,val_sec"


# Runs command lines, one after the other in one process: torch takes seconds to import.
RUN = """
import runpy, shlex, sys, warnings
# matplotlib 3.8 calls names of pyparsing that its newest release deprecates.
warnings.filterwarnings("ignore", r"'\\w+' .*deprecated - use", DeprecationWarning)
sys.path[0] = "stage2_compare/scripts"
for line in sys.argv[1:]:
    sys.argv = shlex.split(line)
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as ended:
        assert not ended.code, line
print(*sorted({"torch", "transformers"} & set(sys.modules)))
"""


def run(project: Path, hub, lines: list[str], *options: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, **hub.variables, "PYTHONUTF8": "1"}
    started = [sys.executable, *options, "-c", RUN, *lines]
    done = subprocess.run(
        started, cwd=project, env=environment, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_the_readme_has_the_seven_commands_letter_for_letter():
    lines = (STAGE2.parent / "README.md").read_text(encoding="utf-8").splitlines()
    for command in (*COMMANDS.values(), *RESULTS):
        assert rf".\.venv\Scripts\python {command}" in lines
        assert f".venv/bin/python {command}" in lines


def test_all_seven_commands_letter_for_letter(hub, tmp_path):
    """Their folders, and records under one protocol. (That the weights give the stored predictions
    is tested by predicting with them.)"""
    project = make_project(tmp_path / "竞赛 项目" / "我的 project", pairs=6)
    runs, scripts = project / "outputs" / "compare", "stage2_compare/scripts"
    run(project, hub, [f"{scripts}/make_splits.py --project-root .", *COMMANDS.values()])
    done = run(project, hub, RESULTS, "-W", "error")
    assert done.stdout.endswith("\n\n") and done.stderr == ""  # no torch, and not a word
    assert_whole_pictures(runs / "visuals")
    assert {path.name for path in runs.iterdir()} == {*COMMANDS, *SUMMARIES, "visuals"}
    records = {name: record(runs / name) for name in COMMANDS}
    for name, told in records.items():
        files = {path.name for path in (runs / name).iterdir()}
        assert files >= {"best.pt", "metrics.json", "history.csv", "predictions.csv"}
        assert not any(file.endswith(".tmp") for file in files)
        with open(runs / name / "history.csv", encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        assert ",".join(header).startswith(HISTORY)
        assert [row[0] for row in rows] == ["1", "2", "3", "4", "5"]
        assert_recorded(told, 8 if name.startswith("blip") else 16)
        saved = torch.load(runs / name / "best.pt", weights_only=True)
        assert saved.keys() >= {"model_state", "args", "labels"} and saved["args"]["epochs"] == 5
    assert len(load_runs(runs)) == 5  # all files of each agree
    protocols = [told["protocol"] for told in records.values()]
    assert all(protocol == protocols[0] for protocol in protocols)
    wanted = {"seed": 42, "lr": 2e-5, "image_size": 224, "effective_batch_size": 16}
    assert wanted.items() <= protocols[0].items()


def assert_whole_pictures(folder: Path) -> None:
    paths = list(folder.glob("*.png"))
    assert len(paths) == 9
    for path in paths:
        image = Image.open(io.BytesIO(path.read_bytes()))
        image.load()  # to the last pixel
        assert image.width >= 1500  # 5 inches in print
        edges = np.asarray(image.convert("L"))
        assert all((edge == 255).all() for edge in (edges[0], edges[-1], edges[:, 0], edges[:, -1]))


def assert_recorded(told: dict, batch_size: int) -> None:
    assert told["epochs"] == 5 and told["model"]["batch_size"] == batch_size
    assert 0 <= told["best_val_f1_macro"] == told["best"]["val_f1_macro"] <= 1
    assert told["trainable_params_million"] == told["params_million"] > 0
    assert told["samples"] == {"train": 3, "val": 3}
    assert told["text_encodings"] == {"utf-8": 4, "gb18030": 2}
    kinds = {"text", "near_text", "image", "near_image", "label_conflicts"}
    assert told["duplicates"].keys() == kinds
    assert 0 <= told["calibration"]["ece"] <= 1
    assert sum(each["count"] for each in told["calibration"]["bins"]) == 3


def test_a_wrong_transformers_version_is_named(monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda name: "5.0.0")
    with pytest.raises(UserError, match="transformers 5.0.0.*transformers==4.39.3"):
        check_transformers()
