"""A project that trains in a second, for the tests of whole runs."""

import json
from pathlib import Path

import compare_all
import numpy as np
import pandas as pd
import predict
import torch
from common import sweep
from common.sweep import Job
from PIL import Image

from .hub import BERT, BLIP, CLIP
from .tables import read_rows, write_rows

LABELS = ("negative", "neutral", "positive")
TEXTS = ("今天很难过", "今日天气", "很高兴 a b c", "不开心", "天气很好", "好")
COMMANDS = {
    "bert": ("compare_train", BERT),
    "clip": ("compare_clip", CLIP),
    "blip": ("compare_blip", BLIP),
}


def make_small_project(root: Path, train: int = 14, val: int = 6) -> Path:
    """Split files whose texts are in a column, and tiny pictures."""
    random = np.random.default_rng(0)
    (root / "outputs" / "splits").mkdir(parents=True)
    (root / "data").mkdir()
    for name, count in (("train", train), ("val", val)):
        rows = [("guid", "text", "image_path", "label")]
        for i in range(count):
            path = f"data/{name}{i}.png"
            Image.fromarray(random.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(root / path)
            rows.append((f"{name}{i}", TEXTS[i % 6] + str(i), path, LABELS[i % 3]))
        write_rows(root / "outputs" / "splits" / f"{name}.csv", rows)
    return root


def arguments(hub, kind: str, *more: str) -> list[str]:
    """The command line of a small run; ``kind`` is a key of COMMANDS."""
    small = "--image-size 32 --epochs 3 --batch-size 4 --effective-batch-size 4 --lr 1e-3"
    return ["--model-name", hub.folder(COMMANDS[kind][1]), *small.split(), *more]


def run_small(project: Path, hub, kind: str, *more: str) -> Path:
    """Train in this process and return the run folder."""
    module = __import__(COMMANDS[kind][0])
    command = ["--project-root", str(project), *arguments(hub, kind, *more)]
    module.main(command)
    return compare_dir(project, *more) / module.parse(command).name


def jobs_of(project: Path, hub, *flags: str) -> list[Job]:
    """Return what compare_all.py would make of a small run of CLIP."""
    sweep._pairs.cache_clear()
    line = ["--project-root", str(project), "--models", "clip", "--clip-model", hub.folder(CLIP)]
    line += ["--image-size", "32", "--batch-size", "4", "--effective-batch-size", "4", *flags]
    return compare_all.parse(line)[0]


def change_weights(checkpoint: Path) -> None:
    """Change a weight of a local CLIP."""
    (path,) = checkpoint.glob("*.bin")
    state = torch.load(path, weights_only=True)
    state["text_projection.weight"] += 1
    torch.save(state, path)


def compare_dir(project: Path, *more: str) -> Path:
    place = more[more.index("--output-dir") + 1] if "--output-dir" in more else "outputs/compare"
    return project / place


def record(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def history(folder: Path) -> list[list[str]]:
    """history.csv without its times."""
    lines = (folder / "history.csv").read_text(encoding="utf-8").splitlines()
    return [line.split(",")[:7] for line in lines]


def assert_near_run(one: Path, other: Path, atol: float = 1e-5) -> None:
    """History within ``atol`` (times aside), and the same predictions at every epoch."""
    histories = [np.array(history(folder)[1:], float) for folder in (one, other)]
    np.testing.assert_allclose(*histories, rtol=0, atol=atol)
    predicted = [pd.read_csv(folder / "epoch_predictions.csv") for folder in (one, other)]
    assert len(histories[0]) > 1 and predicted[0].equals(predicted[1])


def assert_same_run(one: Path, other: Path) -> None:
    """History byte for byte (times aside), best weights tensor for tensor, predictions byte for byte."""
    assert {path.name for path in one.iterdir()} == {path.name for path in other.iterdir()}
    assert history(one) == history(other) and len(history(one)) > 1
    for name in ("predictions.csv", "epoch_predictions.csv", "epoch_probabilities.npz"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    found, expected = (
        torch.load(folder / "best.pt", weights_only=True)["model_state"] for folder in (one, other)
    )
    assert found.keys() == expected.keys() and found
    for key, value in found.items():
        assert torch.equal(value, expected[key]), key


def assert_answers(project: Path, run: Path) -> None:
    """predict.py says of the validation pairs what the run has recorded."""
    output = project / "answers.csv"
    line = ["--project-root", str(project), "--run", str(run), "--csv", "outputs/splits/val.csv"]
    predict.main([*line, "--output", str(output), "--probs"])
    tables = [read_rows(path)[1:] for path in (output, run / "predictions.csv")]
    shares = [np.array([row[3:6] for row in rows], float) for rows in tables]
    np.testing.assert_allclose(*shares, atol=1e-5)
