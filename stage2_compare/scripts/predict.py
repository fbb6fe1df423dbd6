"""Predict pairs with finished runs: a list of them into a file, or one pair on screen.

    python stage2_compare/scripts/predict.py --project-root . --run outputs/compare/<run>
        --csv outputs/splits/test.csv --output test_with_label.txt
    python stage2_compare/scripts/predict.py --run outputs/compare/<run> --text "..." --image photo.jpg

Reads the folder of a run wherever it lies, without network; that of a frozen run with the folder
encoders/ beside it, or as ``--export`` writes it. Several runs: the mean of their
probabilities.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from common.command import Parser, add_flag, run_command
from common.errors import UserError
from common.settings import Machine, Paths, path, positive_int, typed


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = Parser("Predict pairs with finished runs.")
    group = parser.add_argument_group("runs", "relative paths start at the project root")
    add_flag(group, Paths, "project_root", help="folder of the paths below")
    runs = "folder of a finished run; of several, the mean of their probabilities"
    group.add_argument("--run", type=path, nargs="+", action="extend", required=True, help=runs)
    checkpoint = "checkpoint of runs that keep no encoder/, as the first version's"
    group.add_argument("--model-name", type=typed, help=checkpoint)

    group = parser.add_argument_group("pairs")
    pairs = "pairs as in the splits, or a list guid,tag; labels may be missing"
    group.add_argument("--csv", type=path, help=pairs)
    group.add_argument("--text", help="the text of one pair")
    group.add_argument("--image", type=path, help="the photo of one pair")
    encoding = "of texts that are not UTF-8; auto takes that of the run's own texts"
    add_flag(group, Paths, "text_encoding", help=encoding)
    blank = "predict pairs whose text or photo is missing or broken as if it were blank"
    group.add_argument("--blank-missing", action="store_true", help=blank)

    group = parser.add_argument_group("output")
    group.add_argument("--output", type=path, help="file for guid,tag in the order of the csv")
    probabilities = "file for guid,pred,p_<class>; without FILE: in --output, with the labels where all are known"
    group.add_argument(
        "--probs", nargs="?", type=path, const=True, metavar="FILE", help=probabilities
    )

    whole = "only write the run, with the encoder that frozen runs share, into this new folder"
    group.add_argument("--export", type=path, metavar="FOLDER", help=whole)

    group = parser.add_argument_group("machine")
    size = "what fits in memory at once (default: as in the training of the run)"
    group.add_argument("--batch-size", type=positive_int, help=size)
    add_flag(group, Machine, "device")
    add_flag(group, Machine, "amp")

    asked = parser.parse_args(argv)
    if asked.export is not None:
        others = (asked.csv, asked.text, asked.image, asked.output, asked.probs)
        if len(asked.run) > 1 or any(given is not None for given in others):
            raise UserError("--export writes one run: give one --run, no pairs and no --output")
        return asked
    one = asked.text is not None or asked.image is not None
    if one == (asked.csv is not None):
        raise UserError("give either --csv, or --text and --image")
    if one == (asked.output is not None) or (one and isinstance(asked.probs, Path)):
        needed = "the answer for one pair is printed: leave out --output and --probs"
        raise UserError(needed if one else "give --output, the file for the predictions")
    return asked


def main(argv: list[str] | None = None) -> None:
    asked = parse(argv)
    from common.predicting import question  # pandas: --help must not wait

    found = (question.read_export if asked.export else question.read_question)(asked)
    from common.predicting import answer  # torch takes seconds: errors must not wait

    if asked.export:
        answer.export(*found)
    else:
        answer.predict(asked, found)


if __name__ == "__main__":
    run_command(main)
