"""Folders whose names are no UTF-8, as archives of other systems leave them, in every command."""

import os
import shutil
import sys

import compare_all
import compare_clip
import compare_summary
import compare_visualize
import predict
import pytest
from helpers.hub import CLIP
from helpers.run_folders import edit, make_run
from helpers.small_project import arguments, make_small_project

ODD = os.fsdecode(b"run \xff")

pytestmark = pytest.mark.skipif(
    os.name == "nt" or sys.platform == "darwin", reason="these take no such name"
)


def test_folders_whose_names_are_no_utf8_are_used_by_every_command(tmp_path, hub, monkeypatch):
    for stream in ("stdout", "stderr"):  # as run_command makes them
        console = open(tmp_path / stream, "w", encoding="utf-8", errors="replace")  # noqa: SIM115
        monkeypatch.setattr(sys, stream, console)
    project = make_small_project(tmp_path / "project")
    checkpoint = shutil.copytree(hub.folder(CLIP), tmp_path / f"clip {ODD}")
    root = ["--project-root", str(project)]
    line = [*root, *arguments(hub, "clip")]
    line[line.index("--model-name") + 1] = str(checkpoint)
    compare_clip.main(line)
    # A finished run of such a name, its copy, one that nothing is recorded of, and one damaged.
    compare = project / "outputs" / "compare"
    run = compare / ODD
    shutil.copytree(next(compare.glob("clip_*")), run)
    edit(make_run(compare, "other"), protocol=...)
    (compare / "other").rename(compare / f"other {ODD}")
    (compare / f"damaged {ODD}").mkdir()
    own = ["--models", "clip", "--clip-model", str(checkpoint), "--lrs", "1e-3"]
    compare_all.main([*root, *own, *arguments(hub, "clip")[2:-2]])
    compare_summary.main(root)
    compare_visualize.main(root)
    pairs = ["--csv", "outputs/splits/val.csv", "--output", f"predicted {ODD}.csv"]
    predict.main([*root, "--run", str(run), *pairs])
    assert len((project / f"predicted {ODD}.csv").read_text(encoding="utf-8").splitlines()) == 7
    sys.stderr.flush()
    said = (tmp_path / "stderr").read_text(encoding="utf-8")
    assert "left out: damaged run ?: no metrics.json" in said
