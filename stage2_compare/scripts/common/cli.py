"""The command line: flags become typed settings, and a command ends as its user expects."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from .data.encodings import ENCODINGS
from .errors import UserError
from .files import error_text, is_disk_full, printable
from .language import CODES, system_language
from .models.choice import ModelChoice, fusion_names
from .runs.layout import DEFAULT_FUSION, DEFAULT_SEED, folder_name
from .training.rates import SCHEDULES
from .training.settings import TEST_CSV, Machine, Paths, Protocol, TrainingRun

# The reader has left (EINVAL on Windows), the disk is full, the terminal was closed.
_OUTPUT_IS_GONE = (errno.EPIPE, errno.EINVAL, errno.ENOSPC, errno.EIO, errno.EBADF)


class Terminated(KeyboardInterrupt):
    """SIGTERM: a computer that shuts down, or a cluster that wants its machine back."""


def run_command(main: Callable[[], None]) -> None:
    """Run a command and end it as its user expects.

    Status 0: done. 1: the reader of the output has left, or the output's disk is full. 2: a
    UserError, in one line. 130: Ctrl-C. 143: SIGTERM.
    """
    for stream in (sys.stdout, sys.stderr):
        # A Windows console is not always UTF-8: a label that it cannot show must not end a run.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    if "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("RANK", "0") != "0":
        # What torchrun started beside the first process; see training.processes.
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    received: list[int] = []
    stop = partial(_stop, received)
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup wants it
            signal.signal(number, stop)
    try:
        main()
        if sys.stdout is not None:
            sys.stdout.flush()
        status = 0
    except BaseException as error:
        # A signal in the middle of an import may come out as any error.
        status = _status_of(error, received)
    if status:
        _leave(status)


def _stop(received: list[int], number: int, frame: Any) -> None:
    received.append(number)
    if len(received) > 1:  # whoever asks twice does not wait; as after a kill, nothing is lost
        os.write(2, b"stopped at once\n")
        os._exit(128 + number)
    raise Terminated if number == signal.SIGTERM else KeyboardInterrupt


def _status_of(error: BaseException, received: list[int]) -> int:
    """Say in one line why the command ends, and return its exit status; raise unknown errors."""
    if received or isinstance(error, KeyboardInterrupt):
        told = isinstance(error, KeyboardInterrupt) and str(error)
        _say(f"stopped: {error}" if told else "stopped")
        terminated = signal.SIGTERM in received or isinstance(error, Terminated)
        return 143 if terminated else 130
    if isinstance(error, UserError):
        _say("error: " + " ".join(str(error).split()))
        return 2
    # An error of a file names the file. One without a name is of the output's streams.
    if isinstance(error, OSError) and error.filename is None and error.errno in _OUTPUT_IS_GONE:
        if is_disk_full(error):  # one stream alone may be on that disk
            _say(f"error: {error_text(error)}: make room, and run the same command again")
        return 1
    raise error


def _say(text: str) -> None:
    with suppress(OSError, ValueError):  # its reader may have left too
        print(printable(text), file=sys.stderr, flush=True)  # a name may hold control characters


def _leave(status: int) -> NoReturn:
    """Exit without Python's own last flush of streams that cannot be written any more."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(status)


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Show the default of each flag that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


def add_language(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--lang", choices=CODES, default=system_language(), help="Chinese or English results"
    )


def positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {text}")
    return value


def not_negative_int(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be 0 or more, got {text}")
    return value


def positive_float(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a positive number, got {text}")
    return value


def not_negative_float(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be 0 or more, got {text}")
    return value


def share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be 0 or more and less than 1, got {text}")
    return value


def training_parser(
    description: str,
    model_name: str,
    batch_size: int = Machine.batch_size,
    image_backbones: tuple[str, ...] = (),
) -> argparse.ArgumentParser:
    """Make the parser of a training command. The commands share their flags, so that only the model
    differs.

    ``image_backbones``: choices for a model that joins a text encoder with an image encoder of its
    own."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=HelpFormatter, allow_abbrev=False
    )
    _add_data_flags(parser)
    _add_model_flags(parser, model_name, image_backbones)
    _add_protocol_flags(parser)
    _add_machine_flags(parser, batch_size)
    _add_output_flags(parser)
    return parser


def _add_data_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data", "relative paths start at the project root")
    add = group.add_argument
    add(
        "--project-root", type=Path, default=Paths.project_root, help="folder of data/ and outputs/"
    )
    add("--train-csv", type=Path, default=Paths.train_csv, help="pairs to train on")
    add("--val-csv", type=Path, default=Paths.val_csv, help="pairs that choose the epoch")
    add(
        "--fold",
        type=positive_int,
        help="the pairs of a fold of make_splits.py --folds instead of these two files",
    )
    measured = (
        "measured once at the end if labelled, else predicted "
        f"(default: {TEST_CSV.as_posix()}, if it is there)"
    )
    add("--test-csv", type=Path, default=Paths.test_csv, help=measured)
    add(
        "--text-encoding",
        choices=ENCODINGS,
        default=Paths.text_encoding,
        help="of texts that are not UTF-8; auto decides for the whole data set",
    )


def _add_model_flags(
    parser: argparse.ArgumentParser, model_name: str, backbones: tuple[str, ...]
) -> None:
    add = parser.add_argument_group("model").add_argument
    add("--model-name", default=model_name, help="name on the hub, or a local folder")
    if backbones:
        add("--image-backbone", choices=backbones, default=backbones[0], help="image encoder")
    joined = "how text and image are joined; text and image use one modality only"
    add("--fusion", choices=fusion_names(), default=DEFAULT_FUSION, help=joined)


def _add_protocol_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("protocol", "must be the same for runs that are compared")
    add = group.add_argument
    effective, weights = Protocol.effective_batch_size, ["balanced", "none"]
    add("--seed", type=not_negative_int, default=Protocol.seed, help="of all random numbers")
    add(
        "--epochs",
        type=positive_int,
        default=Protocol.epochs,
        help="passes over the training pairs",
    )
    add("--effective-batch-size", type=positive_int, default=effective, help="samples of one step")
    _add_optimizer_flags(add)
    add(
        "--class-weights",
        choices=weights,
        default=weights[0],
        help="weight of a class: N / its count",
    )
    add(
        "--max-length",
        type=positive_int,
        default=Protocol.max_length,
        help="longest text in tokens",
    )
    add(
        "--image-size",
        type=positive_int,
        default=Protocol.image_size,
        help="height and width in pixels",
    )
    add("--no-train-aug", action="store_true", help="no random crop and flip of training images")
    add("--freeze-encoders", action="store_true", help="train the head only")
    add("--no-pretrained", action="store_true", help="start the encoders from random weights")


def _add_optimizer_flags(add: Callable[..., Any]) -> None:
    add("--lr", type=positive_float, default=Protocol.lr, help="AdamW's highest learning rate")
    add(
        "--schedule",
        choices=tuple(SCHEDULES),
        default=Protocol.schedule,
        help="of the learning rate, down to 0 at the end unless constant",
    )
    add(
        "--warmup-ratio",
        type=share,
        default=Protocol.warmup_ratio,
        help="share of all steps in which the learning rate rises from 0",
    )
    add(
        "--clip-norm",
        type=not_negative_float,
        default=Protocol.clip_norm,
        help="largest norm of a step's gradient; 0: any",
    )
    add("--weight-decay", type=not_negative_float, default=Protocol.weight_decay, help="AdamW's")
    add(
        "--patience",
        type=not_negative_int,
        default=Protocol.patience,
        help="stop after so many epochs without a better macro-F1; 0: never",
    )


def _add_machine_flags(parser: argparse.ArgumentParser, batch_size: int) -> None:
    agreed = (
        "what is learned stays the same up to rounding, but BatchNorm in BERT + ResNet sees "
        "--batch-size; runs that are compared need the same --amp"
    )
    group = parser.add_argument_group("machine", agreed)
    add = group.add_argument
    formats = ["auto", "bf16", "fp16", "off"]
    add("--batch-size", type=positive_int, default=batch_size, help="what fits in memory at once")
    add(
        "--num-workers", type=not_negative_int, default=0, help="threads that prepare batches ahead"
    )
    add("--pin-memory", action="store_true", help="faster copies to a CUDA device, if there is one")
    add("--device", default=Machine.device, help="auto, cpu, cuda, cuda:1, ...")
    add("--amp", choices=formats, default=Machine.amp, help="number format on a CUDA device")
    add("--deterministic", action="store_true", help="same sums in the same order on CUDA; slower")
    add(
        "--cache-limit",
        type=positive_float,
        metavar="GB",
        help="of outputs/cache: what was not used for longest is thrown away; any size by default",
    )
    add(
        "--no-feature-cache",
        action="store_true",
        help="do not keep, or use, what frozen encoders made of texts and photos",
    )


def _add_output_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("output").add_argument
    add("--output-dir", type=Path, default=Paths.output_dir, help="where the run folder goes")
    add(
        "--probe",
        action="store_true",
        help="macro-F1 with texts or images shuffled or blanked, and of the additive projection "
        "of this model (EMAP)",
    )
    add("--restart", action="store_true", help="forget an unfinished run instead of continuing it")


def training_run(args: argparse.Namespace, family: str) -> TrainingRun:
    """Turn the flags of a training command into typed settings. Flags are read here and nowhere
    else."""
    # By identity: a flag that names the default file is a flag too.
    own_files = args.train_csv is not Paths.train_csv or args.val_csv is not Paths.val_csv
    if args.fold and own_files:
        raise UserError(
            f"--fold {args.fold} stands for its own two files: leave out --train-csv and --val-csv"
        )
    augmented = not (args.no_train_aug or args.freeze_encoders)
    protocol = _from_flags(
        Protocol,
        args,
        augmentation="crop, flip" if augmented else "none",
        pretrained=not args.no_pretrained,
        frozen_encoders=args.freeze_encoders,
    )
    model = ModelChoice(
        family=family,
        name=args.model_name,
        image_backbone=getattr(args, "image_backbone", None),
        fusion=args.fusion,
    )
    return TrainingRun(
        name=run_name(model, protocol),
        protocol=protocol,
        model=model,
        machine=_from_flags(Machine, args, feature_cache=not args.no_feature_cache),
        paths=_from_flags(Paths, args),
        probe=args.probe,
        restart=args.restart,
        arguments={key: _plain(value) for key, value in vars(args).items()},
    )


def _from_flags(settings: type, args: argparse.Namespace, **others: Any) -> Any:
    """Fill a dataclass from the flags of the same names; ``others`` are values that no flag has as
    they are."""
    flags = vars(args)
    names = [field.name for field in fields(settings) if field.name in flags]
    return settings(**{name: flags[name] for name in names}, **others)


def _plain(value: Any) -> Any:
    """Return a value that best.pt may hold: torch refuses pickled paths."""
    return str(value) if isinstance(value, Path) else value


def run_name(model: ModelChoice, protocol: Protocol) -> str:
    """Name a run folder after its model, and after what people compare where it is no default.

    A local folder is named by its last part. The suffixes stand in one order: ``_<fusion>`` (of
    CLIP and BLIP where it is not the default), ``_frozen``, ``_lr<value>``, ``_seed<N>``,
    ``_fold<k>``.
    """
    is_folder = os.path.isdir(model.name)
    checkpoint = Path(model.name).resolve().name if is_folder else model.name
    if model.image_backbone:
        parts = [checkpoint, model.image_backbone, model.fusion]
    else:
        parts = [model.family, checkpoint]
        if model.fusion != DEFAULT_FUSION:
            parts.append(model.fusion)
    if protocol.frozen_encoders:
        parts.append("frozen")
    if protocol.lr != Protocol.lr:
        parts.append(f"lr{protocol.lr:g}")
    name = folder_name("_".join(parts))
    if protocol.seed != DEFAULT_SEED:
        name += f"_seed{protocol.seed}"
    return name if protocol.fold is None else f"{name}_fold{protocol.fold}"
