"""Make all runs of a comparison, as many at once as there are devices, then summary and pictures.

    python stage2_compare/scripts/compare_all.py --project-root . --seeds 42,43,44 --baselines
    python stage2_compare/scripts/compare_all.py --project-root . --folds --devices cuda:0,cuda:1
    python stage2_compare/scripts/compare_all.py --project-root . --lrs 1e-5,2e-5,5e-5 --dry-run

Each run is what its own command would have made. Runs that are finished are skipped and interrupted
ones go on, so the same command may be given again at any time. Imports no torch: the processes that
it starts make the runs. Exit status 1: a run failed.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import compare_blip
import compare_clip
import compare_summary
import compare_train
import compare_visualize
from common.cli import (
    add_language,
    not_negative_int,
    positive_float,
    positive_int,
    run_command,
    training_parser,
)
from common.errors import UserError
from common.models.choice import fusion_names
from common.sweep.jobs import Job
from common.sweep.report import print_commands, report_end, report_start
from common.sweep.run_all import run_all
from common.training.folds import read_folds
from common.training.settings import Machine, Paths, Protocol

COMMANDS = {"clip": compare_clip, "blip": compare_blip}  # the others are fusions of compare_train
THE_FIVE = ("concat", "gated", "late", *COMMANDS)
BASELINES = ("text", "image")
MODELS = (*THE_FIVE, *(name for name in fusion_names() if name not in (*THE_FIVE, *BASELINES)))
# Flags of a single run, and those that stand here instead of them.
REPLACED = {
    "--model-name": "--text-model, --clip-model or --blip-model",
    "--fusion": "--models",
    "--seed": "--seeds",
    "--lr": "--lrs",
    "--fold": "--folds",
    "--device": "--devices",
}


@dataclass(frozen=True)
class Plan:
    """All that the command asks for."""

    jobs: list[Job]
    devices: list[str]
    dry_run: bool
    paths: Paths
    language: str  # of summary, pictures and page


def main(argv: list[str] | None = None) -> None:
    plan = parse(argv)
    left = [job for job in plan.jobs if not job.is_finished()]
    if plan.dry_run:
        print_commands(left)
        return
    report_start(plan.jobs, left, plan.devices)
    faults = run_all(left, plan.devices)
    try:
        if any(job.folder.is_dir() for job in plan.jobs):
            folders = ["--project-root", str(plan.paths.project_root)]
            folders += ["--compare-dir", str(plan.paths.output_dir), "--lang", plan.language]
            compare_summary.main(folders)
            compare_visualize.main(folders)
    finally:  # what stops the summary, a full disk for example, may have stopped runs before
        report_end(faults)
    if faults:
        sys.exit(1)


def parse(argv: list[str] | None = None) -> Plan:
    parser = training_parser(
        "Make all runs of a comparison, then summary and pictures.",
        "",
        image_backbones=compare_train.IMAGE_BACKBONES,
    )
    shared = vars(parser.parse_args([]))
    parser.conflict_handler = "resolve"  # the flags of a single run give way
    replaced = parser.add_argument_group()
    for flag in REPLACED:
        replaced.add_argument(flag, action=_Refuse, help=argparse.SUPPRESS)
    _add_run_flags(parser)
    _add_queue_flags(parser)
    add_language(parser)
    args = parser.parse_args(argv)
    # By identity: a flag that names its default is a flag too.
    given = [name for name, default in shared.items() if getattr(args, name) is not default]
    given = [_flag(name) for name in given if _flag(name) not in REPLACED]
    jobs = [_job(args, given, *choice) for choice in _choices(args)]
    return Plan(
        jobs, _flat(args.devices, Machine.device), args.dry_run, jobs[0].run.paths, args.lang
    )


class _Refuse(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None) -> None:
        raise UserError(f"{option_string} is of a single run: give {REPLACED[option_string]}")


def _add_run_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("runs", "lists take commas, spaces or both")

    def add_list(flag: str, default: list[Any], read: Callable[[str], Any], text: str) -> None:
        shown = f"{text} (default: {','.join(map(str, default))})"
        options = {"metavar": flag[2:-1].upper(), "help": shown}
        group.add_argument(flag, type=_list_of(read), nargs="+", **options)

    names = f"{', '.join(MODELS)}; all but {' and '.join(COMMANDS)} are fusions of BERT + ResNet"
    add_list("--models", list(THE_FIVE), _one_of(MODELS), names)
    group.add_argument("--baselines", action="store_true", help="text alone and image alone too")
    add_list("--seeds", [Protocol.seed], not_negative_int, "all models with each of them")
    folds = "all models on each fold of make_splits.py --folds"
    group.add_argument("--folds", action="store_true", help=folds)
    add_list("--lrs", [Protocol.lr], positive_float, "all models with each learning rate")
    for kind in ("text", *COMMANDS):
        checkpoint = "a name on the hub, or a local folder; without it the command's own"
        group.add_argument(f"--{kind}-model", metavar="NAME", help=checkpoint)
    batch = "--batch-size of BLIP, which needs more memory; without it the command's own"
    group.add_argument("--blip-batch-size", type=positive_int, metavar="N", help=batch)


def _add_queue_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("queue").add_argument
    devices = "one run at a time on each, such as cuda:0,cuda:1 (default: auto)"
    add("--devices", type=_list_of(str), nargs="+", metavar="DEVICE", help=devices)
    add("--dry-run", action="store_true", help="print the commands that are left, one a line")


def _list_of(read: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    def values(text: str) -> list[Any]:
        parts = [part.strip() for part in text.split(",") if part.strip()]
        if not parts:
            raise argparse.ArgumentTypeError("give one value or more")
        try:
            return [read(part) for part in parts]
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers") from None

    return values


def _one_of(names: tuple[str, ...]) -> Callable[[str], str]:
    def name(text: str) -> str:
        if text not in names:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(names)}")
        return text

    return name


def _flat(lists: list[list[Any]] | None, *default: Any) -> list[Any]:
    """Return each value of the lists once; ``default`` if none was given."""
    values = itertools.chain.from_iterable(lists) if lists else default
    return list(dict.fromkeys(values))


def _choices(args: argparse.Namespace) -> list[tuple[str, int, float, int | None]]:
    """Return model, seed, learning rate and fold of each run.

    One comparison is whole before the next begins; but where encoders are frozen, the runs that
    share one follow each other."""
    models = _flat(args.models, *THE_FIVE) + (list(BASELINES) if args.baselines else [])
    folds = [None]
    if args.folds:
        count = read_folds(Paths(project_root=args.project_root), 1).count
        folds = list(range(1, count + 1))
    others = itertools.product(
        _flat(args.seeds, Protocol.seed), _flat(args.lrs, Protocol.lr), folds
    )
    choices = [(model, *other) for other, model in itertools.product(others, models)]
    if args.freeze_encoders:
        choices.sort(key=lambda choice: _encoder(choice[0]))
    return choices


def _encoder(model: str) -> tuple[str, str]:
    """Return what is equal for models that share an encoder where it is frozen."""
    return _command(model).__name__, model if model in BASELINES else ""


def _job(
    args: argparse.Namespace, given: list[str], model: str, seed: int, lr: float, fold: int | None
) -> Job:
    """Return a run, with those of the flags ``given`` that its command has."""
    command = _command(model)
    values = {_flag(name): value for name, value in vars(args).items()}
    flags = {flag: values[flag] for flag in ("--project-root", *given)}
    flags["--model-name"] = values[f"--{model if model in COMMANDS else 'text'}-model"]
    if model not in COMMANDS:
        flags["--fusion"] = model
    else:
        flags.pop("--image-backbone", None)
    if model == "blip":
        flags["--batch-size"] = args.blip_batch_size
    flags |= {"--seed": seed, "--lr": lr, "--fold": fold}
    for flag, default in (("--seed", Protocol.seed), ("--lr", Protocol.lr)):
        if flags[flag] == default:
            del flags[flag]
    arguments = _arguments(flags)
    return Job(command.__name__, arguments, command.parse(list(arguments)))


def _arguments(flags: dict[str, Any]) -> tuple[str, ...]:
    """Write flags as a command line; leave out those of no value."""
    found = []
    for flag, value in flags.items():
        if value is not None:
            found += [flag] if value is True else [flag, str(value)]
    return tuple(found)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _command(model: str) -> ModuleType:
    return COMMANDS.get(model, compare_train)


if __name__ == "__main__":
    run_command(main)
