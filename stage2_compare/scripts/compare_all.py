"""Make all runs of a comparison, as many at once as there are devices, then summary and pictures.

    python stage2_compare/scripts/compare_all.py --project-root . --seeds 42,43,44 --baselines
    python stage2_compare/scripts/compare_all.py --project-root . --folds --devices cuda:0,cuda:1
    python stage2_compare/scripts/compare_all.py --project-root . --lrs 1e-5,2e-5,5e-5 --dry-run
    python stage2_compare/scripts/compare_all.py --project-root . --models concat@roberta-base+vit_b_16,clip
    python stage2_compare/scripts/compare_all.py --project-root . --tune clip --trials 16

Each run is what its own command would have made. Runs that are finished are skipped and interrupted
ones go on, so the same command may be given again at any time. Imports no torch: the processes that
it starts make the runs. Exit status 1: a run failed.
"""

from __future__ import annotations

import argparse
import io
import itertools
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import partial
from typing import Any, NamedTuple

import compare_summary
import compare_visualize
import make_splits
from common import tuning
from common.command import (
    Parser,
    add_language,
    add_training_flags,
    flag_of,
    read_results,
    results_parser,
    run_command,
    training_run,
)
from common.errors import UserError, reason_of
from common.files import listed, quoted, write_result
from common.metrics import MAIN
from common.runs import layout
from common.runs.reading import read_runs
from common.settings import (
    BASELINES,
    FAMILIES,
    FUSION_NAMES,
    NO_TEST_CSV,
    Family,
    Machine,
    ModelChoice,
    Paths,
    Protocol,
    device,
    not_negative_int,
    path,
    positive_float,
    positive_int,
    usual_lr,
)
from common.sweep import Job, check_all, disk_needed, print_commands, quickest_first, run_all
from common.words import Language

THE_FIVE = ("concat", "gated", "late", "clip", "blip")
JOINED = "bert_resnet"  # the family of which each fusion is a model of its own
OTHERS = [family for family in FAMILIES if family != JOINED]
_ALL = dict.fromkeys([*THE_FIVE, *FUSION_NAMES, *OTHERS])
MODELS = [name for name in _ALL if name not in BASELINES]
# Flags of a single run, and those that stand here instead of them.
REPLACED = {
    "--model-name": "--text-model, " + " or ".join(f"--{family}-model" for family in OTHERS),
    "--fusion": "--models",
    **{f"--{name}": f"--{name}s" for name in ("seed", "lr", "fold", "device")},
}
# Flags of several models or splits, or of what tuning chooses.
_NOT_TUNED = ("models", "models_file", "baselines", "folds", "lrs", "check", "keep_epoch")


class Model(NamedTuple):
    """What --models says of a model: concat, concat@roberta-base+vit_b_16, clip@<checkpoint>."""

    kind: str  # a fusion, or one of OTHERS
    checkpoint: str = ""  # "": that of --text-model, --clip-model or --blip-model
    image: str = ""  # "": that of --image-backbone

    @property
    def family(self) -> str:
        return self.kind if self.kind in OTHERS else JOINED


def main(argv: list[str] | None = None) -> None:
    jobs, args = parse(argv)
    say, faults = Language(args.lang), {}
    try:
        if args.tune:
            jobs = _tuned(jobs, args, say, faults)
        if jobs:
            faults.update(_make(jobs, args, say))
        for job in jobs:
            if args.tune and job.run.protocol.tag and job.is_finished():
                record = args.project_root / args.tuning / layout.TRIALS
                write_result(job.folder / layout.TRIALS, record.read_bytes())
        if not (args.dry_run or args.check) and any(job.folder.is_dir() for job in jobs):
            flags = ["--project-root", str(args.project_root), "--lang", args.lang]
            flags += ["--compare-dir", str(args.output_dir)]
            results = read_results(results_parser("").parse_args(flags))
            compare_summary.main(flags, results)
            compare_visualize.main(flags, results)
    finally:  # what stops the summary, a full disk for example, may have stopped runs before
        for name, fault in faults.items():
            print(say("failed_in_the_end", run=name, fault=fault), flush=True)
        if faults:
            print(say("same_command"), flush=True)
    if faults:
        sys.exit(1)


def _make(jobs: list[Job], args: argparse.Namespace, say: Language) -> dict[str, str]:
    """Make the runs that are left, and return why some were not made, by their names; only print
    their commands, or check them, where that is asked."""
    left = [job for job in jobs if not job.is_finished()]
    if args.dry_run:
        print_commands(left)
        return {}
    for job in left:
        job.pairs()  # what is wrong with the pairs would make every run fail
    done = say("finished_before", n=len(jobs) - len(left)) if len(left) < len(jobs) else ""
    how = {"done": done, "left": len(left), "devices": ", ".join(args.devices)}
    print(say("runs_to_make", n=len(jobs), **how), flush=True)
    finished = [job for job in jobs if job not in left]
    without = [job.name for job in finished if not (job.folder / layout.BEST).is_file()]
    if without:
        print(say("without_best", runs=listed(without)), flush=True)
    if len({job.run.protocol.seed for job in jobs}) == 2:
        print(say("two_seeds"), flush=True)
    if not left:
        return {}
    print(disk_needed(left, len(args.devices), say), flush=True)
    if args.check:
        if not check_all(left, args.devices, say):
            sys.exit(1)
        return {}
    if len({job.run.model for job in left}) > 1:
        print(say("quickest_first"), flush=True)
    return run_all(quickest_first(left), args.devices, say)


def _tuned(
    jobs: list[Job], args: argparse.Namespace, say: Language, faults: dict[str, str]
) -> list[Job]:
    """Make the trials of --tune and choose one. Return the runs ``jobs`` of the model itself, and one
    more of each of their seeds with the settings and the epoch of the trial; none where its own
    settings are chosen. Why trials were not made goes into ``faults``."""
    folder = args.project_root / args.tuning
    settings, trials = _trials(jobs[0], args)
    if args.dry_run:
        _make(trials, args, say)
        return []
    print(say("tuning", n=len(trials), folder=folder), flush=True)
    faults.update(_make(trials, args, say))
    made = {run.name: run for run in read_runs(folder)[0]}
    runs = [made.get(job.name) if job.is_finished() else None for job in trials]
    if runs[0] is None:
        raise UserError(f"trial 0, {trials[0].name}, was not made, and no other counts without it")
    tuning.write_trials(folder / layout.TRIALS, settings, runs)
    best = tuning.best_trial(runs)
    own, chosen = runs[0].best, runs[best].best
    told = {"n": len(runs) - runs.count(None), "own": own[MAIN.column], "f1": chosen[MAIN.column]}
    if best == 0:
        print(say("tuning_kept", **told), flush=True)
        return []
    changed = {name: v for name, v in settings[best].items() if v != settings[0][name]}
    flags = " ".join(f"{flag_of(name)} {value}" for name, value in changed.items())
    told |= {"trial": best, "epoch": int(chosen["epoch"]), "settings": flags}
    print(say("tuning_chosen", **told), flush=True)
    fixed = settings[best] | {"keep_epoch": told["epoch"], "patience": None, "tag": args.tag}
    return jobs + [_job(args, fixed, *choice) for choice in _choices(args)]


def _trials(job: Job, args: argparse.Namespace) -> tuple[list[dict[str, Any]], list[Job]]:
    """Cut the training pairs of a run in two, and return the settings and the run of each trial."""
    run, splits = job.run, f"{args.tuning}/splits"
    flags = ["--project-root", str(args.project_root), "--train-file", str(run.paths.train_csv)]
    flags += ["--output-dir", splits, "--val-ratio", str(tuning.INNER_VAL_RATIO)]
    flags += ["--seed", str(run.protocol.seed), "--text-encoding", run.paths.text_encoding]
    with redirect_stdout(io.StringIO()):  # what it says is in quality.json too
        make_splits.main(flags)
    settings = tuning.settings_of_trials(run, args.trials, args.tune_fusions)
    where = {"train_csv": f"{splits}/train.csv", "val_csv": f"{splits}/val.csv"}
    where |= {"test_csv": NO_TEST_CSV, "output_dir": args.tuning, "probe": None}
    first, jobs = _choices(args)[0], []
    for trial, own in enumerate(settings):
        jobs.append(_job(args, own | where | {"tag": f"trial{trial}"}, *first))
    return settings, jobs


def parse(argv: list[str] | None = None) -> tuple[list[Job], argparse.Namespace]:
    """Return all runs that the flags ask for, in their order, and the flags."""
    parser = Parser("Make all runs of a comparison, then summary and pictures.")
    add_training_flags(parser, JOINED, leave_out=REPLACED)
    shared = vars(parser.parse_args([]))
    for flag in REPLACED:
        parser.add_argument(flag, help=argparse.SUPPRESS)
    _add_flags(parser)
    args = parser.parse_args(argv)
    for name in _NOT_TUNED if args.tune else ("trials", "tune_fusions"):
        if getattr(args, name) is not parser.get_default(name):
            goes = "does not go with --tune" if args.tune else "goes with --tune only"
            raise UserError(f"{flag_of(name)} {goes}: leave it out")
    for flag, instead in REPLACED.items():
        if getattr(args, flag[2:].replace("-", "_")) is not None:
            raise UserError(f"{flag} is of a single run: give {instead}")
    args.lrs = args.lrs or f"{usual_lr(args.freeze_encoders)}"
    readers = {"models": _model, "seeds": not_negative_int, "lrs": positive_float}
    readers["devices"] = device
    from_file = _models_of(args) if args.models_file else []
    if from_file and args.models is parser.get_default("models"):
        del readers["models"]
        args.models = []
    for name, read in readers.items():
        setattr(args, name, _values(parser, name, getattr(args, name), read))
    args.models = [args.tune] if args.tune else args.models + from_file
    # By identity: a flag that names its default is a flag too.
    given = {name: vars(args)[name] for name in shared if vars(args)[name] is not shared[name]}
    given["project_root"] = args.project_root
    if args.tune:
        args.tag = given.pop("tag", "tuned")
    args.given = given
    jobs: dict[str, Job] = {}
    for choice in _choices(args):
        job = _job(args, {}, *choice)
        other = jobs.setdefault(job.name, job).run.model
        if other != job.run.model:
            raise UserError(
                f"two models would have the run folder {job.name}, with the checkpoints "
                f"{_checkpoints(other)} and {_checkpoints(job.run.model)}: rename a folder of one"
            )
    args.tuning = f"outputs/tuning/{next(iter(jobs))}_{args.tag}"  # of the trials of --tune
    return list(jobs.values()), args


def _add_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("runs", "lists take commas, spaces or both").add_argument
    names = (
        f"{', '.join(MODELS)}; all but {' and '.join(OTHERS)} are fusions of a text and an image "
    )
    names += "encoder. With encoders of its own: concat@roberta-base+vit_b_16, "
    names += "clip@openai/clip-vit-large-patch14"
    add("--models", nargs="+", default=",".join(THE_FIVE), metavar="MODEL", help=names)
    lines = "models, one a line, in place of --models or beside it; # begins a comment"
    add("--models-file", type=path, metavar="FILE", help=lines)
    add("--baselines", action="store_true", help="text alone and image alone too")
    each = "all models with each of them"
    few = f"{each}; three to five are meant, two show less than one"
    add("--seeds", nargs="+", default=f"{Protocol.seed}", metavar="SEED", help=few)
    add("--folds", action="store_true", help="all models on each fold of make_splits.py --folds")
    each = "all models with each learning rate"
    usual = f"{usual_lr(False):g}, with --freeze-encoders {usual_lr(True):g}"
    add("--lrs", nargs="+", metavar="LR", help=f"{each}; without it {usual}")
    for family, own in FAMILIES.items():
        name = "text" if family == JOINED else family
        checkpoint = f"a name on the hub, or a local folder; without it {own.checkpoint}"
        add(f"--{name}-model", metavar="NAME", help=checkpoint)
        if own.batch_size != Family.batch_size:
            batch = f"--batch-size of {name}; without it {own.batch_size}"
            add(f"--{name}-batch-size", type=positive_int, metavar="N", help=batch)
    title = "other settings of one model, chosen on its training pairs alone"
    add = parser.add_argument_group("tuning", title).add_argument
    tune = (
        "model to tune, one of --models, or text or image; then it is trained as it is, and with "
    )
    tune += "--tag (tuned) and the settings that were chosen, and both are compared"
    add("--tune", type=partial(_model, kinds=(*MODELS, *BASELINES)), metavar="MODEL", help=tune)
    trials = "settings that are tried, the model's own among them"
    add("--trials", type=positive_int, default=16, metavar="N", help=trials)
    add("--tune-fusions", action="store_true", help="try other fusions too")
    add = parser.add_argument_group("queue").add_argument
    devices = "one run at a time on each, such as cuda:0,cuda:1; two on one: cuda:0,cuda:0"
    add("--devices", nargs="+", default=Machine.device, metavar="DEVICE", help=devices)
    check = "try two steps of each model: does it fit, and when would all end? nothing is trained"
    add("--check", action="store_true", help=check)
    add("--dry-run", action="store_true", help="print the commands that are left, one a line")
    add_language(parser)


def _model(text: str, kinds: Sequence[str] = MODELS) -> Model:
    kind, with_checkpoints, checkpoints = text.partition("@")
    if kind not in kinds:
        raise argparse.ArgumentTypeError(f"{kind!r} is none of {', '.join(kinds)}")
    checkpoint, with_image, image = checkpoints.partition("+")
    model = Model(kind, checkpoint, image)
    if with_image and model.family != JOINED:
        fault = f"{text!r}: {kind} has an image encoder of its own, leave out +{image}"
        raise argparse.ArgumentTypeError(fault)
    if (with_checkpoints and not checkpoint) or (with_image and not image):
        fault = f"{text!r} lacks a name; give it as concat@roberta-base+vit_b_16"
        raise argparse.ArgumentTypeError(fault)
    return model


def _models_of(args: argparse.Namespace) -> list[Model]:
    """Read --models-file."""
    file, found = args.project_root / args.models_file, []
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise UserError(
            f"--models-file {file} cannot be read: {reason_of(error)}; give a file of models in "
            "UTF-8, one a line"
        ) from error
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        try:
            found += [_model(text)] if text else []
        except argparse.ArgumentTypeError as error:
            raise UserError(f"{file}, line {number}: {error}") from None
    if not found:
        raise UserError(f"--models-file {file} names no model: give one a line, such as concat")
    return found


def _checkpoints(model: ModelChoice) -> str:
    return " and ".join(quoted(name) for name in (model.name, model.image_backbone) if name)


def _values(
    parser: argparse.ArgumentParser, name: str, texts: str | list[str], read: Callable[[str], Any]
) -> list[Any]:
    """Read the values of a list, each once; a device named twice makes two runs at once."""
    parts = " ".join([texts] if isinstance(texts, str) else texts).replace(",", " ").split()
    try:
        if parts:
            values = list(map(read, parts))
            return values if name == "devices" else list(dict.fromkeys(values))
        fault = "give one value or more"
    except argparse.ArgumentTypeError as error:
        fault = f"{error}"
    except ValueError:
        fault = f"{' '.join(parts)!r} is no list of numbers"
    parser.error(f"argument --{name}: {fault}")


def _choices(args: argparse.Namespace) -> list[tuple[Model, int, float, int | None]]:
    """Return model, seed, learning rate and fold of each run.

    One comparison is whole before the next begins; but where encoders are frozen, the runs that
    share one follow each other."""
    models = list(args.models)
    if args.baselines:  # of each encoder one, beside the first that the other modality has
        pairs = [model for model in models if model.family == JOINED] or [Model("")]
        texts, images = {}, {}
        for pair in pairs:
            texts.setdefault(pair.checkpoint, pair._replace(kind="text"))
            images.setdefault(pair.image, pair._replace(kind="image"))
        models += [*texts.values(), *images.values()]
    models = dict.fromkeys(models)
    folds = [None]
    if args.folds:
        from common.data.splits import read_folds  # pandas: --help must not wait

        folds = range(1, read_folds(Paths(project_root=args.project_root), 1)["folds"] + 1)
    others = itertools.product(args.seeds, args.lrs, folds)
    choices = [(model, *other) for other, model in itertools.product(others, models)]
    if args.freeze_encoders:  # a baseline has an encoder of its own

        def shared(choice: tuple) -> tuple:
            kind, *checkpoints = choice[0]
            return choice[0].family, checkpoints, kind if kind in BASELINES else ""

        choices.sort(key=shared)
    return choices


def _job(
    args: argparse.Namespace, settings: dict[str, Any], model: Model, *choice: int | float | None
) -> Job:
    """Return a run, with those of the flags for all runs that its command has, and with settings of
    its own."""
    family, (seed, lr, fold) = model.family, choice
    own, flags = FAMILIES[family], args.given.copy()
    if family == JOINED:
        flags |= {"model_name": model.checkpoint or args.text_model, "fusion": model.kind}
        flags["image_backbone"] = model.image or flags.get("image_backbone")
    else:
        own_name = model.checkpoint or getattr(args, f"{family}_model")
        flags |= {"model_name": own_name, "image_backbone": None}
    if own.batch_size != Family.batch_size:
        flags["batch_size"] = getattr(args, f"{family}_batch_size")
    flags["seed"] = seed if seed != Protocol.seed else None
    flags["lr"] = lr if lr != usual_lr(args.freeze_encoders) else None
    flags["fold"] = fold
    if model.kind in BASELINES:
        flags["probe"] = None  # it asks what each of two modalities adds
    flags |= settings
    arguments = []
    for name, value in flags.items():
        if value is not None:
            arguments += [flag_of(name)] if value is True else [flag_of(name), str(value)]
    return Job(own.command, tuple(arguments), training_run(family, "", arguments))


if __name__ == "__main__":
    run_command(main)
