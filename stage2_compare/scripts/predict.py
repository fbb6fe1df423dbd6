"""Predict pairs with finished runs: a list of them into a file, or one pair on screen.

    python stage2_compare/scripts/predict.py --project-root . --run outputs/compare/<run>
        --csv outputs/splits/test.csv --output test_with_label.txt
    python stage2_compare/scripts/predict.py --run outputs/compare/<run> --text "..." --image photo.jpg

Reads the folder of a run wherever it lies, without network. Several runs: the mean of their
probabilities.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from common.command import add_flag, run_command
from common.errors import UserError
from common.predicting.settings import Prediction
from common.settings import ENCODINGS, Machine, Paths, positive_int


def parse(argv: list[str] | None = None) -> Prediction:
    parser = argparse.ArgumentParser(
        description="Predict pairs with finished runs.", allow_abbrev=False
    )
    _add_run_flags(parser)
    _add_pair_flags(parser)
    _add_output_flags(parser)
    _add_machine_flags(parser)
    flags = vars(parser.parse_args(argv))
    settings = Prediction(runs=flags.pop("run"), **flags)
    one = settings.text is not None or settings.image is not None
    if one == (settings.csv is not None):
        raise UserError("give either --csv, or --text and --image")
    if one == (settings.output is not None):
        needed = "the answer for one pair is printed: leave out --output"
        raise UserError(needed if one else "give --output, the file for the predictions")
    return settings


def _add_run_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("runs", "relative paths start at the project root")
    add = group.add_argument
    add("--project-root", type=Path, default=Paths.project_root, help="folder of the paths below")
    runs = "folder of a finished run; of several, the mean of their probabilities"
    add("--run", type=Path, nargs="+", action="extend", required=True, help=runs)
    add("--model-name", help="checkpoint of runs that keep no encoder/, as the first version's")


def _add_pair_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("pairs").add_argument
    add(
        "--csv", type=Path, help="pairs as in the splits, or a list guid,tag; labels may be missing"
    )
    add("--text", help="the text of one pair")
    add("--image", type=Path, help="the photo of one pair")
    add(
        "--text-encoding",
        choices=ENCODINGS,
        default=Paths.text_encoding,
        help="of texts that are not UTF-8; auto (default) takes that of the run's own texts",
    )
    blank = "predict pairs whose text or photo is missing or broken as if it were blank"
    add("--blank-missing", action="store_true", help=blank)


def _add_output_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("output").add_argument
    add("--output", type=Path, help="file for guid,tag in the order of the csv")
    add("--probs", action="store_true", help="write probabilities too, as in predictions.csv")


def _add_machine_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("machine")
    size = "what fits in memory at once (default: as in the training of the run)"
    group.add_argument("--batch-size", type=positive_int, help=size)
    add_flag(group, Machine, "device", help="auto (default), cpu, cuda, cuda:1, ...")
    add_flag(group, Machine, "amp")


def main(argv: list[str] | None = None) -> None:
    settings = parse(argv)
    from common.predicting.predict import predict  # torch takes seconds: --help must not wait

    predict(settings)


if __name__ == "__main__":
    run_command(main)
