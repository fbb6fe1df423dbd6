"""The command line: flags become typed settings, and a command ends as its user expects."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import fields, replace
from datetime import datetime
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .errors import UserError, reason_of
from .files import is_disk_full, printable, quoted
from .settings import (
    FAMILIES,
    FROZEN_LR,
    Machine,
    ModelChoice,
    Paths,
    Protocol,
    TrainingRun,
    path,
    positive_int,
    run_name,
    usual_lr,
)
from .words import CODES, Language, system_language

if TYPE_CHECKING:
    from .comparison.results import Results

# Title of each group in --help, the settings whose flags it shows, and what it says.
_GROUPS = (
    ("data", Paths, "relative paths start at the project root"),
    ("model", ModelChoice, None),
    ("protocol", Protocol, "must be the same for runs that are compared"),
    (
        "machine",
        Machine,
        "what is learned stays the same up to rounding, but BatchNorm in ResNet and its kin sees "
        "--batch-size; runs that are compared need the same --amp",
    ),
    ("output", TrainingRun, None),
)
# The reader has left (EINVAL on Windows), the disk is full, the terminal was closed.
_OUTPUT_IS_GONE = (errno.EPIPE, errno.EINVAL, errno.ENOSPC, errno.EIO, errno.EBADF)


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Show the default of each flag that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """Take whole flags only, and say in one line what is wrong with one."""

    def __init__(self, description: str, **how: Any):
        how |= {"formatter_class": HelpFormatter, "allow_abbrev": False}
        super().__init__(description=description, **how)

    def parse_known_args(self, args=None, namespace=None):
        args = sys.argv[1:] if args is None else list(args)
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(self._about(unknown[0], args))
        return found, unknown

    def _about(self, word: str, args: list[str]) -> str:
        """Say what is wrong with a word that no flag takes."""
        flags = self._option_string_actions
        if word.startswith(("-", "–", "—")):
            near = get_close_matches(word.partition("=")[0].lower(), flags, 1)
            more = f"did you mean {near[0]}?" if near else "--help shows all"
            return f"there is no flag {quoted(word)}: {more}"
        for flag, value in pairwise(args):
            if value == word and flag in flags and flags[flag].nargs == 0:
                return f"{flag} takes no value, but {quoted(word)} follows; it means: {flags[flag].help}"
        return f"{quoted(word)} belongs to no flag: put a value with blanks in double quotes"

    def error(self, message: str) -> NoReturn:
        _say("error: " + message.replace("ignored explicit argument", "it takes no value, but got"))
        sys.exit(2)


def training_run(family: str, description: str, argv: list[str] | None) -> TrainingRun:
    """Read the command line of a training command; ``family`` is a key of FAMILIES."""
    parser = Parser(description)
    add_training_flags(parser, family)
    flags = vars(parser.parse_args(argv))
    # By identity: a flag that names the default file is a flag too.
    own = [name for name in ("train_csv", "val_csv") if flags[name] is not getattr(Paths, name)]
    if flags["fold"] and own:
        raise UserError(
            f"--fold {flags['fold']} stands for its own two files: leave out --train-csv and "
            "--val-csv"
        )
    if flags["lr"] is Protocol.lr:  # by identity, too
        flags["lr"] = usual_lr(flags["freeze_encoders"])
    protocol = Protocol(**_values(Protocol, flags))
    if protocol.frozen_encoders:  # they read each photo once
        protocol = replace(protocol, augmentation="none")
    model = ModelChoice(family, **_values(ModelChoice, flags))
    paths = Paths(**_values(Paths, flags))
    return TrainingRun(
        _name_of_run(model, protocol, paths.runs),
        protocol,
        model,
        Machine(**_values(Machine, flags)),
        paths,
        **_values(TrainingRun, flags),
        # torch refuses pickled paths
        arguments={key: str(v) if isinstance(v, Path) else v for key, v in flags.items()},
    )


def _name_of_run(model: ModelChoice, protocol: Protocol, folder: Path) -> str:
    """Name a run; a finished one in ``folder`` keeps the name of an earlier version, for which the
    usual rate of frozen encoders was one to be told."""
    name = run_name(model, protocol)
    if protocol.frozen_encoders and protocol.lr == FROZEN_LR:
        from .runs.reading import read_choices  # numpy: --help must not wait

        for finished in (name, run_name(model, protocol, Protocol.lr)):
            if read_choices(folder / finished).get("protocol", {}).get("lr") == protocol.lr:
                return finished
    return name


def train_model(run: TrainingRun) -> None:
    """Train a model; what is wrong with the pairs is told before torch is imported."""
    from .data.splits import read_pairs  # pandas, as torch, takes seconds: --help must not wait

    pairs = read_pairs(run.paths, run.protocol.fold)
    from .training.train import train

    train(run, pairs)


def add_training_flags(
    parser: argparse.ArgumentParser, family: str, leave_out: Collection[str] = ()
) -> None:
    """Add the flags of a training command, without those to ``leave_out``."""
    own = FAMILIES[family]
    changes = {
        "--model-name": {"default": own.checkpoint},
        "--batch-size": {"default": own.batch_size},
    }
    if own.image_backbone:
        changes["--image-backbone"] = {"default": own.image_backbone}
    else:
        leave_out = {*leave_out, "--image-backbone"}
    groups = {title: parser.add_argument_group(title, says) for title, _, says in _GROUPS}
    for title, settings, _ in _GROUPS:
        for name, (flag, how) in _flags(settings).items():
            if flag not in leave_out:
                add_flag(groups[how.get("group", title)], settings, name, **changes.get(flag, {}))


def add_flag(group: Any, settings: type, name: str, as_flag: str = "", **changes: Any) -> None:
    """Add the flag of a field of the settings; ``changes`` are options of ``add_argument``."""
    flag, how = _flags(settings)[name]
    if "sets" in how:
        options = {"action": "store_true"}
    else:
        default = getattr(settings, name, None)
        options = {"type": how["read"], "choices": how.get("choices"), "default": default}
    group.add_argument(as_flag or flag, **{**options, "help": how["help"], **changes})


def _flags(settings: type) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Return the flag and the metadata of each field that a flag sets, by its name."""
    flags = [field for field in fields(settings) if field.metadata]
    return {f.name: (f.metadata.get("flag", flag_of(f.name)), f.metadata) for f in flags}


def flag_of(name: str) -> str:
    return "--" + name.replace("_", "-")


def _values(settings: type, given: dict[str, Any]) -> dict[str, Any]:
    """Return the values of the fields, from those that were ``given`` to their flags."""
    values = {}
    for name, (flag, how) in _flags(settings).items():
        key = flag[2:].replace("-", "_")
        if "sets" in how:
            values[name] = how["sets"] if given[key] else getattr(settings, name)
        elif key in given:
            values[name] = given[key]
    return values


def add_language(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--lang", choices=CODES, default=system_language(), help="Chinese or English results"
    )


def results_parser(description: str) -> argparse.ArgumentParser:
    """Make the parser of a command that reads finished runs."""
    parser = Parser(description)
    add_flag(parser, Paths, "project_root", help="folder that holds outputs/")
    add_flag(parser, Paths, "output_dir", "--compare-dir", help="folder of the run folders")
    help = "group of runs of one protocol that is told first; 1 has the most evidence"
    parser.add_argument("--group", type=positive_int, default=1, metavar="N", help=help)
    add_language(parser)
    return parser


def read_results(args: argparse.Namespace, given: dict[str, Path] | None = None) -> Results:
    """Compare the runs that the flags of ``results_parser`` name, and predictions made elsewhere, see
    ``with_imported``; name on stderr what is left out, and runs of another test list than now's."""
    # Imported here: pandas and scipy would delay --help.
    from .comparison.compare import compare
    from .comparison.imported import with_imported
    from .predicting.test_list import unanswered
    from .runs.reading import load_runs

    folder = args.project_root / args.compare_dir
    runs = load_runs(folder)
    if remark := unanswered([run.path for run in runs], args.project_root, Language(args.lang)):
        print(remark, file=sys.stderr)
    return with_imported(compare(runs, args.group), folder, given)


def add_lists(parser: argparse.ArgumentParser) -> None:
    help = (
        "folder outside the project: lists of pairs in it may be opened for their texts and photos"
    )
    parser.add_argument("--lists", type=path, nargs="+", metavar="FOLDER", help=help)


def run_command(main: Callable[[], None]) -> None:
    """Run a command and end it as its user expects.

    Status 0: done. 1: the output's reader has left or its disk is full, or an error that nobody
    foresaw. 2: a UserError, in one line. 130: Ctrl-C. 143: SIGTERM.
    """
    for stream in (sys.stdout, sys.stderr):
        # A Windows console is not always UTF-8: a label that it cannot show must not end a run.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    under_torchrun = "TORCHELASTIC_RUN_ID" in os.environ
    if under_torchrun:  # before torch is imported: it would warn of what is asked for on purpose
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if under_torchrun and os.environ.get("RANK", "0") != "0":
        # What torchrun started beside the first process; see training.processes.
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    received: list[int] = []

    def stop(number: int, frame: Any) -> None:
        received.append(number)
        if len(received) > 1 and under_torchrun:
            return  # torchrun passes on what the terminal has sent already
        if len(received) > 1:  # whoever asks twice does not wait; as after a kill, nothing is lost
            os.write(2, b"stopped at once\n")
            os._exit(128 + number)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup wants it
            signal.signal(number, stop)
    try:
        main()
        if sys.stdout is not None:
            sys.stdout.flush()
    except BaseException as error:
        if isinstance(error, SystemExit) and not received:
            raise
        status = _status_of(error, received)
        # Python's own last flush of streams that cannot be written any more would fail.
        for stream in filter(None, (sys.stdout, sys.stderr)):
            try:
                stream.flush()
            except (OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        sys.exit(status)


def _status_of(error: BaseException, received: list[int]) -> int:
    """Say in one line why the command ends, and return its exit status."""
    # A signal in the middle of an import may come out as any error.
    if received or isinstance(error, KeyboardInterrupt):
        told = isinstance(error, KeyboardInterrupt) and str(error)
        _say(f"stopped: {error}" if told else "stopped")
        return 143 if signal.SIGTERM in received else 130
    if isinstance(error, UserError):
        _say("error: " + " ".join(str(error).split()))
        return 2
    # An error of a file names the file. One without a name is of the output's streams.
    if isinstance(error, OSError) and error.filename is None and error.errno in _OUTPUT_IS_GONE:
        if is_disk_full(error):  # one stream alone may be on that disk
            _say(f"error: {reason_of(error)}: make room, and run the same command again")
        return 1
    text = " ".join(str(error).split())[:300]  # with the path, if it is of a file
    _say(f"error: unexpected: {type(error).__name__}: {text}; {_keep_traceback(error)}")
    return 1


def _keep_traceback(error: BaseException) -> str:
    """Write a traceback below the project root, or else print it; say where it is."""
    text = "".join(traceback.format_exception(error))
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--project-root", type=path, default=Paths.project_root)
    root = parser.parse_known_args()[0].project_root
    name = f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{Path(sys.argv[0]).stem}.log"
    log = root / "outputs" / "logs" / name
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(text, encoding="utf-8", errors="replace")
    except OSError:
        print(text, file=sys.stderr)
        return "its traceback is above: please report it"
    return f"the traceback is in {log}: please report it"


def _say(text: str) -> None:
    with suppress(OSError, ValueError):  # its reader may have left too
        print(printable(text), file=sys.stderr, flush=True)  # a name may hold control characters
