"""The benchmark, which is run by hand, still fits the code that it measures; no figure is judged."""

import re

import benchmark
import compare_clip
from helpers.hub import CLIP
from helpers.small_project import make_small_project


def test_it_prints_rates_and_ratios_of_all_ways(tmp_path, hub, monkeypatch, capsys):
    root = make_small_project(tmp_path)
    small = ["--model-name", hub.folder(CLIP), "--image-size", "32", "--effective-batch-size", "4"]
    monkeypatch.setattr(benchmark, "COMMANDS", {"clip": (compare_clip.parse, small)})
    flags = ["--models", "clip", "--steps", "2", "--repetitions", "2", "--device", "cpu"]
    benchmark.main(["--project-root", str(root), *flags, "--num-workers", "0"])
    printed = capsys.readouterr().out
    block = printed[printed.index("clip on cpu, 0 workers") :]
    rates = block.splitlines()[1]
    for way in benchmark.WAYS:
        assert re.search(rf"\b{way} [1-9]", rates), rates
    assert re.findall(r"  (.+) / (.+): \d+\.\d{3}", block) == benchmark.RATIOS
