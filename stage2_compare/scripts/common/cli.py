"""The command line, once: shared flags and their defaults, run folder names, and how a command ends."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from .errors import UserError
from .files import printable

DEFAULT_SEED = 42


def run_command(main: Callable[[], None]) -> None:
    """Run a command the way users meet it: mendable errors are one line and status 2, Ctrl-C is status 130."""
    for stream in (sys.stdout, sys.stderr):
        # A Windows console is not always UTF-8: a label it cannot show must not end a run of an hour.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:  # who reads the output has left, as head does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more
        sys.exit(1)
    except UserError as error:
        print(
            "error: " + printable(" ".join(str(error).split())), file=sys.stderr
        )  # a file's name may hold orders
        sys.exit(2)
    except KeyboardInterrupt as stop:
        print(f"stopped: {stop}" if str(stop) else "stopped", file=sys.stderr)
        sys.exit(130)


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


def training_parser(description: str, model_name: str, batch_size: int) -> argparse.ArgumentParser:
    """The flags that the three training commands share, so that only model and fusion can differ between them."""
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--project-root", type=Path, default=Path("."), help="folder that holds data/ and outputs/")
    add("--model-name", default=model_name, help="name on the hub, or a local folder")
    add(
        "--train-csv",
        type=Path,
        default=Path("outputs/splits/train.csv"),
        help="relative to the project root",
    )
    add(
        "--val-csv",
        type=Path,
        default=Path("outputs/splits/val.csv"),
        help="relative to the project root",
    )
    add(
        "--test-csv",
        type=Path,
        default=Path("outputs/splits/test.csv"),
        help="measured once at the end if labelled",
    )
    add(
        "--output-dir", type=Path, default=Path("outputs/compare"), help="where the run folder goes"
    )
    add("--epochs", type=positive_int, default=5)
    add("--batch-size", type=positive_int, default=batch_size, help="what fits in memory at once")
    add(
        "--effective-batch-size", type=positive_int, default=16, help="what one optimizer step sees"
    )
    add("--lr", type=positive_float, default=2e-5, help="AdamW's learning rate, constant")
    add("--weight-decay", type=not_negative_float, default=1e-4)
    add(
        "--class-weights",
        choices=["balanced", "none"],
        default="balanced",
        help="weight of a class: N / its count",
    )
    add("--max-length", type=positive_int, default=64, help="longest text in tokens")
    add(
        "--image-size",
        type=positive_int,
        default=224,
        help="height and width in pixels, for every model",
    )
    add("--no-train-aug", action="store_true", help="no random crop and flip of training images")
    add("--freeze-encoders", action="store_true", help="train the head only")
    add("--no-pretrained", action="store_true", help="start the encoders from random weights")
    add("--seed", type=not_negative_int, default=DEFAULT_SEED)
    add(
        "--probe",
        action="store_true",
        help="measure what each modality and their interaction contribute",
    )
    add(
        "--restart",
        action="store_true",
        help="forget an unfinished run instead of going on with it",
    )
    add(
        "--num-workers", type=not_negative_int, default=0, help="threads that prepare batches ahead"
    )
    add(
        "--pin-memory",
        action="store_true",
        help="faster copies to a CUDA device; ignored without one",
    )
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, ...")
    add(
        "--amp",
        choices=["auto", "bf16", "fp16", "off"],
        default="auto",
        help="number format on a CUDA device",
    )
    add(
        "--deterministic",
        action="store_true",
        help="same sums in the same order on CUDA too; slower",
    )
    return parser


def run_name(*parts: str, seed: int) -> str:
    """Name of a run folder: parts joined by ``_``, a local folder by its last part, seed 42 unsaid."""
    name = "_".join(Path(part).resolve().name if Path(part).is_dir() else part for part in parts)
    name = re.sub(r'[/\\:*?"<>|]', "_", name)
    return name if seed == DEFAULT_SEED else f"{name}_seed{seed}"
