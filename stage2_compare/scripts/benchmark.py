"""Measure the training commands against a plain loop, Hugging Face's Trainer and the ceiling.

    python stage2_compare/scripts/benchmark.py --project-root . --models concat clip blip --steps 12

For each model, in one run: samples per second and peak memory of

    a  a plain loop as people write it: it decodes in every epoch, pads to the longest text of the
       data set, computes in float32 and waits for every loss; BLIP at its own 384 px
    b  Hugging Face's Trainer with the data set and padding of (a), at the image size of (c); where
       accelerate<0.30 is installed
    c  the training command: its own flags, batches and steps
    d  the ceiling: the steps of (c) with every batch in memory already

and of the input pipelines of (a) and (c) alone. A repetition measures all of them, in turn forwards
and backwards, each with a fresh model; a ratio is the median of the repetitions' ratios. With
workers, take more steps than the batches they hold ready (two each), or these hide the work. Needs
outputs/splits/, as the training commands do.

With --processes 2 instead: (c) in two processes, as torchrun starts them, against one. With --whole
instead: whole runs of (a) and (c), all epochs with validation and files, and the share of the time
in which a CUDA card has nothing to do.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import compare_blip
import compare_clip
import compare_train
from common.cli import not_negative_int, positive_int, run_command
from common.training.settings import TrainingRun

if TYPE_CHECKING:
    from common.benchmarking.measure import Measurements
    from common.benchmarking.whole import WholeRun

COMMANDS = {
    "concat": (compare_train.parse, ["--fusion", "concat"]),
    "gated": (compare_train.parse, ["--fusion", "gated"]),
    "late": (compare_train.parse, ["--fusion", "late"]),
    "clip": (compare_clip.parse, []),
    "blip": (compare_blip.parse, []),
}
PLAIN_SIZES = {"blip": 384}  # px of the plain loop, where it is not that of the command
LETTERS = {"a": "plain loop", "b": "Trainer", "c": "command", "d": "ceiling"}  # columns of a table


def main(argv: list[str] | None = None) -> None:
    args = _parser().parse_args(argv)
    from common.benchmarking.measure import machine

    print(machine(args.device), flush=True)
    if args.processes:
        _measure_processes(args)
    elif args.whole:
        _measure_whole_runs(args)
    else:
        _measure_steps(args)


def _measure_steps(args: argparse.Namespace) -> None:
    from common.benchmarking.hugging_face import trainer_works
    from common.benchmarking.measure import measure
    from common.benchmarking.workload import Workload

    print(", ".join(f"{letter}: {way}" for letter, way in LETTERS.items()), flush=True)
    ways = list(LETTERS.values())
    if not trainer_works():
        ways.remove("Trainer")
        print("b is left out: accelerate is not installed, or is not from 0.21 to 0.29", flush=True)
    for model, workers, settings in _runs(args):
        work = Workload(settings, args.steps, PLAIN_SIZES.get(model))
        found = measure(work, args.repetitions, ways)
        print(table(f"{model}, {workers} workers", found), flush=True)


def _measure_processes(args: argparse.Namespace) -> None:
    from common.benchmarking.sharing import rates_of_processes

    for model, workers, settings in _runs(args):
        rates = rates_of_processes(settings, args.steps, args.processes, args.repetitions)
        print(table_of_processes(f"{model}, {workers} workers", rates), flush=True)


def _measure_whole_runs(args: argparse.Namespace) -> None:
    from common.benchmarking.whole import whole_runs

    for model, workers, settings in _runs(args):
        found = whole_runs(settings, PLAIN_SIZES.get(model))
        print(table_of_whole_runs(f"{model}, {workers} workers", found), flush=True)


def _runs(args: argparse.Namespace) -> Iterator[tuple[str, int, TrainingRun]]:
    """Go through what is measured: model, workers and the settings of the command."""
    shared = ["--project-root", str(args.project_root), "--device", args.device]
    shared += ["--pin-memory"] * args.pin_memory + ["--no-pretrained"] * args.no_pretrained
    for model in args.models:
        parse, flags = COMMANDS[model]
        for workers in args.num_workers:
            yield model, workers, parse([*flags, *shared, "--num-workers", str(workers)])


def _parser() -> argparse.ArgumentParser:
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
    several = "measure so many processes against one, and nothing else"
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--processes", type=positive_int, help=several)
    whole = "measure whole runs against those of a plain loop, and nothing else"
    instead.add_argument("--whole", action="store_true", help=whole)
    return parser


def table(title: str, found: Measurements) -> str:
    """Lay out the measurements of one workload."""
    letters = [letter for letter, way in LETTERS.items() if way in found.rates]
    heads, rates, peaks, ratios = [], [], [], []
    for letter in letters:
        way = LETTERS[letter]
        heads.append(f"{letter:>9}")
        rates.append(f"{median(found.rates[way]):9.2f}")
        known = None not in found.peaks[way]
        peaks.append(f"{median(found.peaks[way]):9.0f}" if known else f"{'-':>9}")
        if letter != "c":
            ratios.append(f"c/{letter} {_ratio(found.rates, 'command', way):.3f}")
    pipelines, times = found.pipelines, found.times
    plain, command = median(pipelines["plain loop"]), median(pipelines["command"])
    speedup = _ratio(pipelines, "command", "plain loop")
    shares = [f"{part} {ms / times.training:.1%}" for part, ms in times.parts.items()]
    lines = [
        f"\n{title:24}" + " ".join(heads),
        f"{'  samples/s':24}" + " ".join(rates),
        f"{'  peak MB':24}" + " ".join(peaks),
        "  " + ", ".join(ratios),
        f"  pipeline alone: a {plain:.0f}, c {command:.0f} samples/s, c/a {speedup:.1f}; making "
        f"the cache {found.cache_rate:.0f} samples/s, {plain / found.cache_rate:.2f} epochs of a",
        f"  c, {times.training:.1f} ms a sample: " + ", ".join(shares),
        f"  validation {times.validation:.1f} ms a sample, "
        f"checkpoint and best.pt {times.writing:.1f} s",
    ]
    return "\n".join(lines)


def table_of_processes(title: str, rates: dict[tuple[int, int], list[float]]) -> str:
    """Lay out the rates by processes and threads of each; compare the last one with the others."""
    last, lines = list(rates)[-1], [f"\n{title}, processes x threads"]
    for way, found in rates.items():
        line = f"  {way[0]} x {way[1]}: {median(found):.2f} samples/s"
        if way != last:
            line += f"; {last[0]} x {last[1]} is {_ratio(rates, last, way):.2f} times as fast"
        lines.append(line)
    return "\n".join(lines)


def table_of_whole_runs(title: str, found: dict[str, WholeRun]) -> str:
    """Lay out what whole runs took."""
    lines = [f"\n{title}, whole runs"]
    for way, run in found.items():
        waiting = "" if run.waiting is None else f", the card waits for {run.waiting:.1%} of it"
        lines.append(f"  {way}: {run.seconds:.1f} s{waiting}")
    ratio = found["plain loop"].seconds / found["command"].seconds
    return "\n".join([*lines, f"  the command is {ratio:.2f} times as fast"])


def _ratio(rates: dict[Any, list[float]], over: Any, under: Any) -> float:
    """Return the median of the ratios of two ways within each repetition."""
    return median(x / y for x, y in zip(rates[over], rates[under], strict=True))


if __name__ == "__main__":
    run_command(main)
