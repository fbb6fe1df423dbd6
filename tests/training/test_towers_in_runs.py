"""Whole runs of towers from checkpoints of their own: stopped, moved, frozen and shared."""

import shutil
from pathlib import Path

import compare_clip
import compare_train
import pytest
from common.models import checkpoint
from common.training.engine import Trainer
from helpers.hub import BERT, CLIP
from helpers.models import rows_read
from helpers.small_project import assert_answers, assert_same_run, record
from helpers.stops import PowerCut, cut_at
from helpers.towers import write_checkpoint, write_readable

SMALL = ["--image-size", "32", "--epochs", "2", "--batch-size", "4", "--lr", "1e-3"]
SMALL += ["--effective-batch-size", "4"]
# Text and image tower, fusion; the image tower is that of the same checkpoint where it is None
RUNS = [
    ("siglip", "dinov2", "concat"),
    ("roberta", "regnet_y_400mf", "attention"),
    ("altclip", None, "concat"),
]


def run(project: Path, text: str, image: str | None, *more: str) -> Path:
    command = compare_clip if image is None else compare_train
    own = [] if image is None else ["--image-backbone", image]
    line = ["--project-root", str(project), "--model-name", text, *own, *SMALL, *more]
    command.main(line)
    made = command.parse(line)
    return project / made.paths.output_dir / made.name


@pytest.mark.parametrize("text, image, fusion", RUNS)
def test_a_run_goes_on_exactly_and_predicts_without_its_checkpoints(
    project, hub, tmp_path, monkeypatch, text, image, fusion
):
    text = write_readable(tmp_path / "checkpoints" / text, text, hub.folder(BERT))
    own = ["--no-pretrained"] if image == "regnet_y_400mf" else []
    if image == "dinov2":
        image = str(tmp_path / "checkpoints" / image)
        write_checkpoint(Path(image), "dinov2")
    flags = (text, image, "--fusion", fusion, *own, "--output-dir")
    whole = run(project, *flags, str(tmp_path / "whole"))
    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        cut_at(patch, Trainer, "_take_step", 6)
        run(project, *flags, str(tmp_path / "cut"))
    assert_same_run(whole, run(project, *flags, str(tmp_path / "cut")))

    shutil.rmtree(tmp_path / "checkpoints")
    monkeypatch.setattr(checkpoint, "_cache", lambda: str(tmp_path / "none"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    assert_answers(project, Path(shutil.move(whole, tmp_path / "moved")))


def test_six_models_of_three_frozen_towers_read_each_tower_once(
    project, hub, tmp_path, monkeypatch
):
    """CLIP's towers and ResNet18: in the model of CLIP, and beside encoders of other checkpoints."""
    seen, clip = rows_read(monkeypatch), hub.folder(CLIP)
    models = [(None, "concat"), (None, "gated"), ("resnet18", "concat"), ("resnet18", "late")]
    models += [(clip, "late"), (clip, "image")]
    for image, fusion in models:
        folder = run(project, clip, image, "--fusion", fusion, "--freeze-encoders")
        assert record(folder)["encode_time_sec"] > 0
    assert sorted(seen) == [(0, 4), (0, 4), (0, 16), (0, 16), (14, 0)]
