"""Train the five models and two baselines on generated pairs with a known answer, by the public
commands, and compare their results with that answer.

    python stage2_compare/start.py demo

Leaves everything in outputs/demo/, which it empties first: data/ (see pairs.py), hub/ (small
checkpoints with random weights), and the results of the two commands. The exit status is 1 if a
result is not as it must be.
"""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from . import pairs
from .checkpoints import hub_variables, write_hub

STAGE2 = Path(__file__).resolve().parents[1]
OUTPUT = STAGE2.parent / "outputs" / "demo"
COUNT, SEED, VAL_SHARE = 1800, 0, 1 / 3
LR = "0.001"
SPLIT = ["--val-ratio", f"{VAL_SHARE:.6f}"]
# Two runs at once: the pieces of such small models are too small for all cores. Quick models first.
RUNS = ["--models", "clip", "blip", "late", "concat", "gated", "--baselines"]
RUNS += ["--devices", "cpu", "cpu", "--probe", "--epochs", "3", "--lrs", LR]
RUNS += ["--schedule", "cosine", "--effective-batch-size", "32", "--batch-size", "32"]
RUNS += ["--blip-batch-size", "16", "--image-size", "32", "--max-length", "40"]

# Run -> the ceiling of its accuracy, see pairs.CEILINGS.
CEILING_OF = {
    f"bert-base-chinese_resnet18_text_lr{LR}": "text",
    f"bert-base-chinese_resnet18_image_lr{LR}": "image",
    f"bert-base-chinese_resnet18_late_lr{LR}": "sum",
    f"bert-base-chinese_resnet18_concat_lr{LR}": "joint",
    f"bert-base-chinese_resnet18_gated_lr{LR}": "joint",
    f"clip_openai_clip-vit-base-patch32_lr{LR}": "joint",
    f"blip_Salesforce_blip-image-captioning-base_lr{LR}": "joint",
}
SHORTFALL = 0.04  # a small model may lack so much after few epochs
ERRORS = 3  # standard errors of an accuracy measured on the validation pairs


def main() -> int:
    started = time.monotonic()
    print(f"{COUNT:,} pairs with a known answer, and small checkpoints: {OUTPUT}", flush=True)
    shutil.rmtree(OUTPUT, ignore_errors=True)
    pairs.write_pairs(OUTPUT / "data", COUNT, SEED)
    write_hub(OUTPUT / "hub", "demo", SEED, pairs.characters())

    # Threads look out for the next piece of work before they sleep. The pieces of such small models
    # come quickly: to sleep at once costs a quarter of the time, and to look out as long as OpenMP
    # would by itself costs half of it on a busy machine.
    waiting = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"}  # gcc heeds the second
    environment = {**waiting, **os.environ, **hub_variables(OUTPUT / "hub")}
    for script, flags in (("make_splits.py", SPLIT), ("compare_all.py", RUNS)):
        print(f"\n== {script} {' '.join(flags)}", flush=True)
        command = [sys.executable, str(STAGE2 / "scripts" / script), "--project-root", str(OUTPUT)]
        status = subprocess.call([*command, *flags], env=environment)
        if status:
            return status  # it has said why

    compare_dir = OUTPUT / "outputs" / "compare"
    records = {
        name: json.loads((compare_dir / name / "metrics.json").read_text(encoding="utf-8"))
        for name in CEILING_OF
    }
    with open(compare_dir / "compare_families.csv", encoding="utf-8-sig", newline="") as file:
        models = {row["run"]: row for row in csv.DictReader(file)}
    all_right = print_verdict(records) & print_decided(models)
    page = compare_dir / "visuals" / "index.html"
    print(f"\nPictures: {page.parent}\nAll of it on one page: {page.as_uri()}")
    result = "All as it must be" if all_right else "NOT as it must be, see above"
    print(f"\n{result}; {(time.monotonic() - started) / 60:.1f} minutes", flush=True)
    return 0 if all_right else 1


def print_verdict(records: dict[str, dict]) -> bool:
    """Print what each run reached beside what is possible; return True if all are as they must be:
    near, which allows for sampling (ERRORS standard errors) and, downwards, for a SHORTFALL."""
    most, all_right = pairs.CEILINGS["sum"], True
    titles = ("reached", "possible", "no images", "no texts", "additive")
    print(f"\n{'Accuracy':<44}{''.join(f'{title:>10}' for title in titles)}")
    for run, kind in CEILING_OF.items():
        accuracy, ceiling = records[run]["best"]["val_acc"], pairs.CEILINGS[kind]
        figures, noise = [accuracy, ceiling], ERRORS * standard_error(ceiling)
        faults = {
            "more than is possible": accuracy > ceiling + noise,
            "too little": accuracy < ceiling - noise - SHORTFALL,
        }
        if kind in ("sum", "joint"):
            probe = records[run]["probe"]
            left = {key: accuracy - probe[f"acc_drop_{key}_shuffled"] for key in pairs.SHUFFLED}
            figures += [*left.values(), probe["emap_acc"]]
        if kind == "sum":  # of late fusion, this is late fusion itself
            faults["additive is not what it reached"] = probe["emap_acc"] != probe["acc"]
        if kind == "joint":
            faults["not above sums"] = accuracy < most + noise
            above = probe["emap_acc"] - ERRORS * standard_error(most, probe["emap_pairs"])
            faults["additive is more than is possible"] = above >= most
            for key, value in pairs.SHUFFLED.items():
                near = ERRORS * standard_error(value) + SHORTFALL
                faults[f"not what was put into {key}"] = abs(left[key] - value) >= near
        found = ", ".join(fault for fault, is_so in faults.items() if is_so)
        cells = "".join(f"{figure:>10.4f}" for figure in figures)
        print(f"{run.removesuffix(f'_lr{LR}'):<44}{cells:<50}  {found or 'as it must be'}")
        all_right = all_right and not found
    put_in = "".join(f"{value:>10.4f}" for value in (*pairs.SHUFFLED.values(), most))
    print(f"{'(best joint model; most that is additive)':<64}{put_in}")
    return all_right


def print_decided(models: dict[str, dict[str, str]]) -> bool:
    """Print what decides the answers of each model beside what was put in; return True if the
    interaction decides none of late fusion's and, in joint models, as many as it must."""
    known, all_right = pairs.DECIDED, True
    print(f"\n{'Answers decided by':<44}{''.join(f'{each:>12}' for each in known)}")
    for run, kind in CEILING_OF.items():
        if kind not in ("sum", "joint"):
            continue
        found = {each: float(models[run][f"decided_{each}"]) for each in known}
        noise = ERRORS * standard_error(known["interaction"], float(models[run]["decided_pairs"]))
        least = known["interaction"] - noise - SHORTFALL
        is_so = found["interaction"] == 0 if kind == "sum" else found["interaction"] > least
        cells = "".join(f"{share:>12.4f}" for share in found.values())
        verdict = "as it must be" if is_so else "not what was put in"
        print(f"{run.removesuffix(f'_lr{LR}'):<44}{cells}  {verdict}")
        all_right &= is_so
    print(f"{'(put in)':<44}{''.join(f'{share:>12.4f}' for share in known.values())}")
    return all_right


def standard_error(accuracy: float, count: float = COUNT * VAL_SHARE) -> float:
    return math.sqrt(accuracy * (1 - accuracy) / count)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # subprocess.call ends its command then
    try:
        code = main()
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
