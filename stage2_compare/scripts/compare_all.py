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
from typing import Any

import compare_summary
import compare_visualize
from common.command import (
    HelpFormatter,
    add_language,
    add_training_flags,
    run_command,
    training_run,
)
from common.errors import UserError
from common.settings import (
    FAMILIES,
    FUSION_NAMES,
    Family,
    Machine,
    Paths,
    Protocol,
    not_negative_int,
    positive_float,
    positive_int,
)
from common.sweep.jobs import Job
from common.sweep.report import print_commands, report_end, report_start
from common.sweep.run_all import run_all
from common.training.reading import read_folds

THE_FIVE = ("concat", "gated", "late", "clip", "blip")
BASELINES = ("text", "image")
JOINED = "bert_resnet"  # the family of which each fusion is a model of its own
OTHERS = [family for family in FAMILIES if family != JOINED]
_ALL = dict.fromkeys([*THE_FIVE, *FUSION_NAMES, *OTHERS])
MODELS = [name for name in _ALL if name not in BASELINES]
# Flags of a single run, and those that stand here instead of them.
REPLACED = {
    "--model-name": "--text-model, " + " or ".join(f"--{family}-model" for family in OTHERS),
    "--fusion": "--models",
    "--seed": "--seeds",
    "--lr": "--lrs",
    "--fold": "--folds",
    "--device": "--devices",
}


def main(argv: list[str] | None = None) -> None:
    jobs, args = parse(argv)
    left = [job for job in jobs if not job.is_finished()]
    if args.dry_run:
        print_commands(left)
        return
    devices = _flat(args.devices, Machine.device)
    report_start(jobs, left, devices)
    faults = run_all(left, devices)
    try:
        if any(job.folder.is_dir() for job in jobs):
            folders = ["--project-root", str(args.project_root)]
            folders += ["--compare-dir", str(args.output_dir), "--lang", args.lang]
            compare_summary.main(folders)
            compare_visualize.main(folders)
    finally:  # what stops the summary, a full disk for example, may have stopped runs before
        report_end(faults)
    if faults:
        sys.exit(1)


def parse(argv: list[str] | None = None) -> tuple[list[Job], argparse.Namespace]:
    """Return all runs that the flags ask for, in their order, and the flags."""
    parser = argparse.ArgumentParser(
        description="Make all runs of a comparison, then summary and pictures.",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    add_training_flags(parser, JOINED, leave_out=REPLACED)
    shared = vars(parser.parse_args([]))
    for flag in REPLACED:
        parser.add_argument(flag, help=argparse.SUPPRESS)
    _add_run_flags(parser)
    add = parser.add_argument_group("queue").add_argument
    devices = "one run at a time on each, such as cuda:0,cuda:1 (default: auto)"
    add("--devices", type=_list_of(str), nargs="+", metavar="DEVICE", help=devices)
    add("--dry-run", action="store_true", help="print the commands that are left, one a line")
    add_language(parser)
    args = parser.parse_args(argv)
    for flag, instead in REPLACED.items():
        if getattr(args, flag[2:].replace("-", "_")) is not None:
            raise UserError(f"{flag} is of a single run: give {instead}")
    # By identity: a flag that names its default is a flag too.
    given = {
        name: value for name, value in vars(args).items() if value is not shared.get(name, value)
    }
    return [_job(args, given, *choice) for choice in _choices(args)], args


def _add_run_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("runs", "lists take commas, spaces or both")

    def add_list(flag: str, read: Callable[[str], Any], says: str, default: str) -> None:
        options = {"metavar": flag[2:-1].upper(), "help": f"{says} (default: {default})"}
        group.add_argument(flag, type=read, nargs="+", **options)

    names = f"{', '.join(MODELS)}; all but {' and '.join(OTHERS)} are fusions of BERT + ResNet"
    add_list("--models", _list_of(str, MODELS), names, ",".join(THE_FIVE))
    group.add_argument("--baselines", action="store_true", help="text alone and image alone too")
    seeds, rates = _list_of(not_negative_int), _list_of(positive_float)
    add_list("--seeds", seeds, "all models with each of them", f"{Protocol.seed}")
    folds = "all models on each fold of make_splits.py --folds"
    group.add_argument("--folds", action="store_true", help=folds)
    add_list("--lrs", rates, "all models with each learning rate", f"{Protocol.lr}")
    for family, own in FAMILIES.items():
        name = "text" if family == JOINED else family
        checkpoint = f"a name on the hub, or a local folder; without it {own.checkpoint}"
        group.add_argument(f"--{name}-model", metavar="NAME", help=checkpoint)
        if own.batch_size != Family.batch_size:
            batch = f"--batch-size of {name}; without it {own.batch_size}"
            group.add_argument(f"--{name}-batch-size", type=positive_int, metavar="N", help=batch)


def _list_of(read: Callable[[str], Any], choices: list[str] | None = None) -> Callable[[str], Any]:
    """Return a reader of values with commas between them."""

    def values(text: str) -> list[Any]:
        parts = [part.strip() for part in text.split(",") if part.strip()]
        if not parts:
            raise argparse.ArgumentTypeError("give one value or more")
        for part in parts:
            if choices and part not in choices:
                raise argparse.ArgumentTypeError(f"{part!r} is none of {', '.join(choices)}")
        try:
            return [read(part) for part in parts]
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers") from None

    return values


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
    seeds, rates = _flat(args.seeds, Protocol.seed), _flat(args.lrs, Protocol.lr)
    others = itertools.product(seeds, rates, folds)
    choices = [(model, *other) for other, model in itertools.product(others, models)]
    if args.freeze_encoders:
        choices.sort(key=lambda choice: _encoder(choice[0]))
    return choices


def _encoder(model: str) -> tuple[str, str]:
    """Return what is equal for models that share an encoder where it is frozen."""
    return _family(model), model if model in BASELINES else ""


def _family(model: str) -> str:
    return model if model in OTHERS else JOINED


def _job(
    args: argparse.Namespace,
    given: dict[str, Any],
    model: str,
    seed: int,
    lr: float,
    fold: int | None,
) -> Job:
    """Return a run, with those of the flags ``given`` that its command has."""
    family = _family(model)
    own, flags = FAMILIES[family], {"project_root": args.project_root, **given}
    if family == JOINED:
        flags |= {"model_name": args.text_model, "fusion": model}
    else:
        flags |= {"model_name": getattr(args, f"{family}_model"), "image_backbone": None}
    if own.batch_size != Family.batch_size:
        flags["batch_size"] = getattr(args, f"{family}_batch_size")
    flags["seed"] = seed if seed != Protocol.seed else None
    flags["lr"] = lr if lr != Protocol.lr else None
    flags["fold"] = fold
    arguments = []
    for name, value in flags.items():
        if value is not None:
            flag = "--" + name.replace("_", "-")
            arguments += [flag] if value is True else [flag, str(value)]
    return Job(own.command, tuple(arguments), training_run(family, "", arguments))


if __name__ == "__main__":
    run_command(main)
