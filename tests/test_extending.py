"""docs/extend.md shows how to add a fusion, a tower, a two-tower model, a metric, a chart and a flag:
the diffs apply, and work."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import transformers
from helpers.hub import BERT, STAGE2
from helpers.run_folders import make_runs
from helpers.small_project import make_small_project

PAGE = (STAGE2 / "docs" / "extend.md").read_text(encoding="utf-8")
DIFFS = dict(re.findall(r"<!-- add: (\w+) -->.*?```diff\n(.*?)```", PAGE, re.DOTALL))
# That each touches
FILES = {"fusion": 1, "tower": 2, "two_towers": 1, "metric": 1, "chart": 2, "flag": 2}
SIZE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
FIRST = ["run", "val_acc", "val_f1_macro"]


def extended(root: Path) -> Path:
    """Copy the code, to which each diff applies by itself, and all of them together."""
    shutil.copytree(STAGE2, root / STAGE2.name, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    for name, diff in DIFFS.items():
        (root / f"{name}.diff").write_text(diff, encoding="utf-8", newline="\n")
    for options in (["--check"], []):
        for name in DIFFS:
            command = ["git", "apply", "--whitespace=error", *options, f"{name}.diff"]
            subprocess.run(command, cwd=root, check=True)
    return root / STAGE2.name / "scripts"


def write_clipseg(folder: Path, hub) -> None:
    """Write a small CLIPSeg with BERT's tokenizer."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(hub.folder(BERT))
    tokenizer.save_pretrained(folder)
    config = transformers.CLIPSegConfig(
        text_config={**SIZE, "vocab_size": len(tokenizer), "eos_token_id": 2},
        vision_config={**SIZE, "image_size": 32, "patch_size": 8},
    )
    transformers.CLIPSegModel(config).save_pretrained(folder)


def write_swinv2(folder: Path) -> None:
    shape = {"embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4}
    config = transformers.Swinv2Config(image_size=32, **shape)
    transformers.Swinv2Model(config).save_pretrained(folder)


def run(line: list[str], hub) -> str:
    variables = {**os.environ, **hub.variables, "PYTHONUTF8": "1"}
    done = subprocess.run(line, env=variables, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout


def record(folder: Path, name: str) -> dict:
    (path,) = folder.glob(f"*{name}*/metrics.json")
    return json.loads(path.read_text(encoding="utf-8"))


def test_each_kind_of_addition_is_shown_within_its_number_of_files():
    found = {name: f"\n{diff}".count("\n+++ ") for name, diff in DIFFS.items()}
    assert found == FILES


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git to apply the diffs")
def test_what_is_added_is_trained_with_and_reaches_all_that_shows_it(hub, tmp_path):
    """The runs of new encoders and a new fusion, with a new flag, metric and chart, beside runs
    of before."""
    scripts, folder = extended(tmp_path / "code"), tmp_path / "outputs" / "compare"
    make_small_project(tmp_path)
    make_runs(folder, 1)
    write_clipseg(tmp_path / "clipseg", hub)
    write_swinv2(tmp_path / "swinv2-tiny")
    line = [sys.executable, str(scripts / "compare_all.py"), "--project-root", str(tmp_path)]
    line += ["--models", "clip,sum", "--clip-model", str(tmp_path / "clipseg")]
    line += ["--text-model", hub.folder(BERT), "--image-backbone", str(tmp_path / "swinv2-tiny")]
    line += ["--label-smoothing", "0.1"]
    small = "--image-size 32 --epochs 2 --batch-size 4 --effective-batch-size 4"
    line += small.split()
    told = run(line, hub)
    assert "SwinV2-tiny · sum" in told
    assert record(folder, "_sum")["model"]["fusion"] == "sum"
    for name in ("clipseg", "_sum"):
        assert record(folder, name)["protocol"]["label_smoothing"] == 0.1
    left = run([*line, "--seeds", "42,43", "--dry-run"], hub).splitlines()
    assert len(left) == 2  # the others are finished
    for command, script in zip(left, ("compare_clip.py", "compare_train.py"), strict=True):
        assert script in command and "--label-smoothing 0.1" in command

    # A metric stands behind the columns of before in both csv files; console, result table, page.
    kappa = record(folder, "clipseg")["best"]["val_kappa"]
    for name, more in {
        "compare_summary.csv": ["kappa_low", "kappa_high", "kappa_corrected"],
        "compare_families.csv": ["kappa_low", "kappa_high", "kappa_corrected", "test_kappa"],
    }.items():
        with open(folder / name, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        places = {column: place for place, column in enumerate(rows[0])}
        assert list(places)[:3] == FIRST
        assert min(places[column] for column in more) > places["scope"]
        found = {row["run"]: row["val_kappa"] for row in rows}
        clipseg = next(row for row in found if row.startswith("clip_clipseg"))
        assert found[clipseg] == f"{round(kappa, 6)}", name
    heading = next(line for line in told.splitlines() if line.startswith("model "))
    assert heading.split().count("Kappa") == 1
    page = (folder / "visuals" / "index.html").read_text(encoding="utf-8")
    assert f"<bdi>{kappa:.3f}</bdi>" in page and "Cohen&#39;s kappa" in page
    drawn = (folder / "visuals" / "page" / "result_table.svg").read_text(encoding="utf-8")
    assert ">kappa<" in drawn
    assert (folder / "visuals" / "learning.png").stat().st_size > 10_000
