"""Measure what the training commands deliver, against a plain loop, Hugging Face's Trainer and the ceiling.

    python stage2_compare/scripts/benchmark.py --project-root . --models concat clip blip --steps 12

For each model, in one run: samples per second and peak memory of

    a  a plain loop as people write it: decode in every epoch, pad to the longest of the data set, float32, wait for
       every loss; BLIP at its own 384 px
    b  Hugging Face's Trainer with the data set and padding of (a), at 224 px; where accelerate<0.30 is installed
    c  the training command: its own flags, batches and steps
    d  the ceiling: the steps of (c) with every batch in memory already

and of the input pipelines of (a) and (c) alone. A repetition measures all of them, in turn forwards and backwards, each
with a fresh model; a ratio is the median of the repetitions' ratios. With workers, take more steps than the batches
they hold ready (two each), or these hide the work. Needs outputs/splits/, as the training commands do.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median
from typing import Any

from common.cli import not_negative_int, positive_int, run_command

COMMANDS = {
    "concat": ("compare_train", ["--fusion", "concat"]),
    "gated": ("compare_train", ["--fusion", "gated"]),
    "late": ("compare_train", ["--fusion", "late"]),
    "clip": ("compare_clip", []),
    "blip": ("compare_blip", []),
}
OWN_SIZES = {"blip": 384}  # px of the plain loop, where it is not that of the command
VARIANTS = ("a", "b", "c", "d")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Measure the training commands.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--project-root", type=Path, default=Path("."), help="folder that holds data/ and outputs/")
    add("--models", nargs="+", choices=list(COMMANDS), default=list(COMMANDS))
    add("--steps", type=positive_int, default=12, help="optimizer steps in each measurement")
    add("--repetitions", type=positive_int, default=3)
    add("--num-workers", type=not_negative_int, nargs="+", default=[0, 2], help="each is measured")
    add("--no-pretrained", action="store_true", help="random weights")
    add("--pin-memory", action="store_true", help="as in the training commands")
    add("--device", default="auto", help="as in the training commands")
    args = parser.parse_args(argv)

    from common.benchmarking.bench import Bench, machine, trainer_is_there

    print(machine(args.device), flush=True)
    variants = [name for name in VARIANTS if name != "b" or trainer_is_there()]
    if "b" not in variants:
        print("b is left out: accelerate is not installed, or is not from 0.21 to 0.29", flush=True)
    for model in args.models:
        for workers in args.num_workers:
            command, flags = COMMANDS[model]
            flags = [*flags, "--project-root", str(args.project_root), "--device", args.device]
            flags += ["--num-workers", str(workers)] + ["--pin-memory"] * args.pin_memory
            flags += ["--no-pretrained"] * args.no_pretrained
            bench = Bench(command, flags, args.steps, OWN_SIZES.get(model))
            print(
                table(f"{model}, {workers} workers", bench.measure(args.repetitions, variants)),
                flush=True,
            )


def table(title: str, found: dict[str, Any]) -> str:
    """What ``Bench.measure`` found, as a person reads it."""
    rates, peaks, parts = found["rates"], found["peaks"], found["parts"]

    def ratio(over: str, under: str) -> float:
        return median(x / y for x, y in zip(rates[over], rates[under], strict=True))

    variants = [name for name in VARIANTS if name in rates]
    memory = [
        " ".join(
            f"{median(peaks[name]):9.0f}" if None not in peaks[name] else "        -"
            for name in variants
        )
    ]
    training = {
        name: parts[name]
        for name in ("wait for data", "copy", "forward", "backward", "optimizer", "rest")
    }
    shares = ", ".join(
        f"{name} {value / parts['training']:.1%}" for name, value in training.items()
    )
    cache, plain = found["making_cache"], median(rates["pipeline_a"])
    return "\n".join(
        [
            f"\n{title:24}" + " ".join(f"{name:>9}" for name in variants),
            f"{'  samples/s':24}" + " ".join(f"{median(rates[name]):9.2f}" for name in variants),
            f"{'  peak MB':24}" + memory[0],
            "  "
            + ", ".join(f"c/{name} {ratio('c', name):.3f}" for name in variants if name != "c"),
            f"  pipeline alone: a {plain:.0f}, c {median(rates['pipeline_c']):.0f} samples/s, "
            f"c/a {ratio('pipeline_c', 'pipeline_a'):.1f}; making the cache {cache:.0f} samples/s, "
            f"{plain / cache:.2f} epochs of a",
            f"  c, {parts['training']:.1f} ms a sample: {shares}",
            f"  validation {parts['validation']:.1f} ms a sample, checkpoint and best.pt {parts['checkpoint']:.1f} s",
        ]
    )


if __name__ == "__main__":
    run_command(main)
