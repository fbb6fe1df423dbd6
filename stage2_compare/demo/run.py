"""Train nine models on generated pairs with a known answer, by the public commands, and compare
their results with that answer.

    python stage2_compare/start.py demo

Leaves everything in outputs/demo/: data/ (see pairs.py), hub/ (small checkpoints with random
weights), and the results of the commands. The next time, data and checkpoints are kept. The exit
status is 1 if a result is not as it must be.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from . import pairs
from .checkpoints import BERT, BLIP, CLIP, hub_variables

STAGE2 = Path(__file__).resolve().parents[1]
OUTPUT = STAGE2.parent / "outputs" / "demo"
COUNT, SEED, VAL_SHARE = 4500, 0, 1 / 3
MODELS = [BERT, CLIP, BLIP, "resnet18"]
LR = "0.0007"
PROTOCOL = ["--epochs", "4", "--lr", LR, "--image-size", "32", "--max-length", "40"]
PROTOCOL += ["--effective-batch-size", "32"]

# Model -> the ceiling of its accuracy, see pairs.ceilings. Low-rank fusion gives each class a table
# of scores over texts and images, of rank 4; here such a table has three voices by three moods, so
# its rank is 3 at most, and every joint decision is within reach.
_CEILINGS = {
    "bert-base-chinese_resnet18_text": "text",
    "bert-base-chinese_resnet18_image": "image",
    "bert-base-chinese_resnet18_late": "sum",
    "bert-base-chinese_resnet18_concat": "joint",
    "bert-base-chinese_resnet18_gated": "joint",
    "bert-base-chinese_resnet18_lowrank": "joint",
    "bert-base-chinese_resnet18_attention": "joint",
    "clip_openai_clip-vit-base-patch32": "joint",
    "blip_Salesforce_blip-image-captioning-base": "joint",
}
CEILING_OF = {f"{model}_lr{LR}": ceiling for model, ceiling in _CEILINGS.items()}  # by run
SHORTFALL = 0.04  # a small model may lack so much after few epochs
ERRORS = 3  # standard errors of an accuracy measured on the validation pairs


class Stopped(Exception):
    """A command failed; it has said why."""

    def __init__(self, status: int):
        super().__init__(status)
        self.status = status


def main() -> int:
    started = time.monotonic()

    # 1. Make the pairs and the checkpoints.
    heading(f"{COUNT:,} pairs with a known answer: {OUTPUT / 'data'}")
    made_once(OUTPUT / "data", {"count": COUNT, "seed": SEED}, write_pairs)
    heading(f"Small checkpoints with random weights: {OUTPUT / 'hub'}")
    made_once(OUTPUT / "hub", {"models": MODELS, "seed": SEED}, write_checkpoints)

    # 2. Run the commands.
    run_commands(OUTPUT)

    # 3. Compare the results with the known answer.
    compare_dir = OUTPUT / "outputs" / "compare"
    heading("Reached, and what is possible")
    accuracies = read_accuracies(compare_dir / "compare_summary.csv")
    lines, all_right = verdict(accuracies, pairs.ceilings())
    print("\n".join(lines))
    heading("What they rely on, and what the generator put in (accuracies)")
    expected = {**pairs.dependence(), "emap": pairs.ceilings()["sum"]}
    lines, as_put_in = probe_verdict(read_probes(compare_dir), expected)
    print("\n".join(lines) + "\n")
    all_right = all_right and as_put_in
    for picture in sorted((compare_dir / "visuals").glob("*.png")):
        print(picture)
    print(f"\nAll of it on one page: {(compare_dir / 'visuals' / 'index.html').as_uri()}")
    result = "All as it must be" if all_right else "NOT as it must be, see above"
    print(f"\n{result}; {(time.monotonic() - started) / 60:.1f} minutes", flush=True)
    return 0 if all_right else 1


def heading(text: str) -> None:
    print(f"\n== {text}", flush=True)


def run_commands(root: Path) -> None:
    """Run all commands on the project ``root``. Stopped, if one fails."""
    # Threads look out for the next piece of work before they sleep. The pieces of such small models
    # come quickly: to sleep at once costs a quarter of the time, and to look out as long as OpenMP
    # would by itself costs half of it on a busy machine.
    waiting = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"}  # gcc heeds the second
    environment = {**waiting, **os.environ, **hub_variables(root / "hub")}
    steps = commands()
    for number, (title, script, arguments) in enumerate(steps, start=1):
        heading(f"{number}/{len(steps)}  {title}")
        command = [sys.executable, str(STAGE2 / "scripts" / script), "--project-root", str(root)]
        status = subprocess.call([*command, *arguments], env=environment)
        if status:
            print(f"the demo stopped at: {title}", file=sys.stderr)
            raise Stopped(status)


def commands() -> list[tuple[str, str, list[str]]]:
    """Return title, script and arguments of each step, in order."""
    steps = [
        ("Training and validation pairs", "make_splits.py", ["--val-ratio", f"{VAL_SHARE:.6f}"])
    ]
    bert = ["--model-name", BERT, "--image-backbone", "resnet18", "--batch-size", "32", *PROTOCOL]
    for fusion in ("text", "image", "late", "concat", "gated", "lowrank", "attention"):
        probe = [] if fusion in ("text", "image") else ["--probe"]
        arguments = ["--fusion", fusion, *probe, *bert]
        steps.append((f"BERT + ResNet, {fusion}", "compare_train.py", arguments))
    clip = ["--model-name", CLIP, "--probe", "--batch-size", "32", *PROTOCOL]
    blip = ["--model-name", BLIP, "--probe", "--batch-size", "16", *PROTOCOL]
    return [
        *steps,
        ("CLIP", "compare_clip.py", clip),
        ("BLIP", "compare_blip.py", blip),
        ("Summary", "compare_summary.py", []),
        ("Pictures", "compare_visualize.py", []),
    ]


# ---------------------------------------------------------------- pairs and checkpoints


def made_once(folder: Path, what: dict, make: Callable[[Path], None]) -> None:
    """Let ``make`` fill the folder, unless the same code has filled it before and all is there."""
    code = b""
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.name != "run.py":
            code += path.read_bytes()
    wanted = {**what, "code": hashlib.sha256(code).hexdigest()}
    stamp = folder / "made.json"
    try:
        found = json.loads(stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if found == {**wanted, "files": count_files(folder)}:
        print("there already")
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    make(folder)
    # The stamp comes last: a folder without one was left half-made.
    stamp.write_text(json.dumps({**wanted, "files": count_files(folder) + 1}), encoding="utf-8")


def count_files(folder: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(folder))


def write_pairs(folder: Path) -> None:
    pairs.write_pairs(folder, COUNT, SEED)


def write_checkpoints(folder: Path) -> None:
    from .checkpoints import write_hub

    write_hub(folder, "demo", SEED, pairs.characters(), MODELS)


# ---------------------------------------------------------------- results


def read_accuracies(summary: Path) -> dict[str, float]:
    """Return run name -> validation accuracy, from compare_summary.csv."""
    with open(summary, encoding="utf-8-sig", newline="") as file:
        return {row["run"]: float(row["val_acc"]) for row in csv.DictReader(file)}


def verdict(reached: dict[str, float], ceilings: dict[str, float]) -> tuple[list[str], bool]:
    """Return a table of the runs beside their ceilings, and True if each run is as it must be.

    Every accuracy must be near its ceiling and not above it. A model that joins both modalities
    in full must be above the best sum. "Near" allows for sampling (ERRORS standard errors) and,
    downwards, for a SHORTFALL.
    """
    lines = [f"{'run':<52}{'reached':>9}{'possible':>10}"]
    all_right = True
    for run, kind in CEILING_OF.items():
        accuracy, ceiling = reached[run], ceilings[kind]
        noise = ERRORS * standard_error(ceiling)
        faults = []
        if accuracy > ceiling + noise:
            faults.append("more than is possible")
        if accuracy < ceiling - noise - SHORTFALL:
            faults.append("too little")
        if kind == "joint" and accuracy < ceilings["sum"] + noise:
            faults.append("not above sums")
        found = ", ".join(faults) or "as it must be"
        lines.append(f"{run:<52}{accuracy:>9.3f}{ceiling:>10.3f}  {kind:<6}{found}")
        all_right = all_right and not faults
    error = standard_error(ceilings["sum"])
    lines.append(f"standard error of an accuracy of {ceilings['sum']:.2f}: {error:.3f}")
    return lines, all_right


def read_probes(compare_dir: Path) -> dict[str, dict[str, float]]:
    """Return run name -> the ``probe`` block of metrics.json, of the runs that join text and image.

    Each has ``val_acc`` too, the accuracy that its drops start from.
    """
    probes = {}
    for name, kind in CEILING_OF.items():
        if kind in ("sum", "joint"):
            text = (compare_dir / name / "metrics.json").read_text(encoding="utf-8")
            record = json.loads(text)
            probes[name] = {**record["probe"], "val_acc": record["best"]["val_acc"]}
    return probes


def probe_verdict(
    probes: dict[str, dict[str, float]], expected: dict[str, float]
) -> tuple[list[str], bool]:
    """Return a table of the accuracies without images, without texts and without interaction, and
    True if they are as the generator put them in.

    The additive part of late fusion must be late fusion itself. The others must lose what the best
    joint model loses. Their additive part depends on their confidence, and can be no better than
    the best sum.
    """
    lines = [f"{'run':<52}{'no images':>11}{'no texts':>10}{'additive':>10}"]
    all_right = True
    for run, found in probes.items():
        left = {
            "images": found["val_acc"] - found["acc_drop_images_shuffled"],
            "texts": found["val_acc"] - found["acc_drop_texts_shuffled"],
            "emap": found["emap_acc"],
        }
        if CEILING_OF[run] == "sum":
            right = found["emap_acc"] == found["acc"]
        else:
            noise = {
                key: ERRORS * standard_error(expected[key]) + SHORTFALL
                for key in ("images", "texts")
            }
            right = all(abs(left[key] - expected[key]) < noise[key] for key in noise)
            most = expected["emap"] + ERRORS * standard_error(expected["emap"], found["emap_pairs"])
            right = right and left["emap"] < most
        figures = f"{left['images']:>11.4f}{left['texts']:>10.4f}{left['emap']:>10.4f}"
        lines.append(f"{run:<52}{figures}  {'as it must be' if right else 'NOT what was put in'}")
        all_right = all_right and right
    put_in = f"{expected['images']:>11.4f}{expected['texts']:>10.4f}{expected['emap']:>10.4f}"
    lines.append(f"{'(best joint model; most that is additive)':<52}{put_in}")
    return lines, all_right


def standard_error(accuracy: float, count: float = COUNT * VAL_SHARE) -> float:
    return math.sqrt(accuracy * (1 - accuracy) / count)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # subprocess.call ends its command then
    try:
        code = main()
    except Stopped as stopped:
        code = stopped.status
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
