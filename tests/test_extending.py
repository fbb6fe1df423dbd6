"""README shows how to add a fusion, an encoder, a metric, a chart and a flag: the diffs apply, and work."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.hub import BERT, STAGE2
from helpers.run_folders import make_runs
from helpers.small_project import arguments, make_small_project

README = (STAGE2.parent / "README.md").read_text(encoding="utf-8")
DIFFS = dict(re.findall(r"<!-- add: (\w+) -->.*?```diff\n(.*?)```", README, re.DOTALL))
FILES = {"fusion": 1, "encoder": 3, "metric": 1, "chart": 2, "flag": 2}  # that each touches


@pytest.fixture
def extended(tmp_path):
    """Return a function that applies a diff of the README to a copy of the code."""
    if shutil.which("git") is None:
        pytest.skip("needs git to apply the diffs")

    def apply(name: str) -> Path:
        root = tmp_path / "code"
        shutil.copytree(STAGE2, root / STAGE2.name, ignore=shutil.ignore_patterns("__pycache__"))
        subprocess.run(["git", "init", "-q"], cwd=root, check=True)
        (root / "add.diff").write_text(DIFFS[name], encoding="utf-8", newline="\n")
        command = ["git", "apply", "--whitespace=error", "add.diff"]
        subprocess.run(command, cwd=root, check=True)
        return root / STAGE2.name / "scripts"

    return apply


def run(script: Path, project: Path, hub, *more: str) -> str:
    command = [sys.executable, str(script), "--project-root", str(project), *more]
    variables = {**os.environ, **hub.variables, "PYTHONUTF8": "1"}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout


def finished(project: Path, name: str) -> dict:
    (folder,) = (project / "outputs" / "compare").glob(f"*{name}*")
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def test_each_kind_of_addition_is_shown_within_its_number_of_files():
    found = {name: f"\n{diff}".count("\n+++ ") for name, diff in DIFFS.items()}
    assert found == FILES


def test_a_fusion(extended, hub, tmp_path):
    project = make_small_project(tmp_path)
    flags = [*arguments(hub, "bert"), "--fusion", "sum"]
    run(extended("fusion") / "compare_train.py", project, hub, *flags)
    assert finished(project, "_sum")["model"]["fusion"] == "sum"


def test_an_encoder(extended, hub, tmp_path):
    """A small SigLIP with BERT's tokenizer: the real one needs sentencepiece."""
    from transformers import AutoTokenizer, SiglipConfig, SiglipModel

    checkpoint, project = tmp_path / "siglip", make_small_project(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(hub.folder(BERT))
    tokenizer.save_pretrained(checkpoint)
    size = {"hidden_size": 32, "intermediate_size": 64}
    size |= {"num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**size, "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    config = SiglipConfig(text_config=text, vision_config={**size, "image_size": 32})
    SiglipModel(config).save_pretrained(checkpoint)
    flags = arguments(hub, "clip", "--model-name", str(checkpoint))
    run(extended("encoder") / "compare_siglip.py", project, hub, *flags)
    assert finished(project, "siglip")["model"]["family"] == "siglip"
    scripts = tmp_path / "code" / STAGE2.name / "scripts"
    line = ["--models", "siglip", "--siglip-model", str(checkpoint), *arguments(hub, "clip")[2:-2]]
    told = run(scripts / "compare_all.py", project, hub, *line, "--lrs", "1e-3", "--dry-run")
    assert told == ""  # the run is finished
    told = run(scripts / "compare_all.py", project, hub, *line, "--dry-run")
    assert "compare_siglip.py" in told


def test_a_metric(extended, hub, tmp_path):
    """It reaches every table that shows metrics: both csv files, console, result table, page."""
    project, scripts = make_small_project(tmp_path), extended("metric")
    folder = project / "outputs" / "compare"
    make_runs(folder, 1)  # a run of before, which lacks it
    run(scripts / "compare_clip.py", project, hub, *arguments(hub, "clip"))
    told = run(scripts / "compare_summary.py", project, hub)
    run(scripts / "compare_visualize.py", project, hub)
    kappa = finished(project, "clip")["best"]["val_kappa"]
    for name in ("compare_summary.csv", "compare_families.csv"):
        with open(folder / name, encoding="utf-8-sig", newline="") as file:
            found = {row["run"]: row["val_kappa"] for row in csv.DictReader(file)}
        clip = next(row for row in found if row.startswith("clip"))
        assert found[clip] == f"{round(kappa, 6)}" and "" in found.values(), name
    heading = next(line for line in told.splitlines() if line.startswith("run "))
    row = next(line for line in told.splitlines() if line.startswith("clip"))
    assert heading.split().count("Kappa") == 1 and f"{kappa:.4f}" in row
    page = (folder / "visuals" / "index.html").read_text(encoding="utf-8")
    assert f'<td class="number">{kappa:.3f}</td>' in page and "Cohen&#39;s kappa" in page
    drawn = (folder / "visuals" / "page" / "result_table.en.svg").read_text(encoding="utf-8")
    assert f"<!-- {kappa:.4f} -->" in drawn and "<!-- kappa -->" in drawn


def test_a_chart(extended, hub, tmp_path):
    make_runs(tmp_path / "outputs" / "compare", 3)
    run(extended("chart") / "compare_visualize.py", tmp_path, hub)
    assert (tmp_path / "outputs" / "compare" / "visuals" / "learning.png").stat().st_size > 10_000


def test_a_flag(extended, hub, tmp_path):
    project, scripts = make_small_project(tmp_path), extended("flag")
    flags = arguments(hub, "clip", "--label-smoothing", "0.1")
    run(scripts / "compare_clip.py", project, hub, *flags)
    assert finished(project, "clip")["protocol"]["label_smoothing"] == 0.1
