"""Cut the labelled pairs into training and validation, once for all models.

    python stage2_compare/scripts/make_splits.py --project-root .

Reads ``train.txt`` (``guid,tag``) beside the folder of ``<guid>.txt`` and ``<guid>.jpg``. Writes
``train.csv``, ``val.csv`` and, if there is a ``test_without_label.txt``, ``test.csv`` into
``outputs/splits``; with ``--folds K`` also ``fold_1/train.csv``, ``fold_1/val.csv`` and so on.
Class proportions are kept, and pairs with the same or nearly the same text or picture stay on one
side (see common/data/splitting.py). The same pairs, ratio and seed give the same split, in whatever
order ``train.txt`` has them. Every picture is opened; those that cannot be used are listed in
``broken.csv``, and with ``--skip-broken`` their pairs are left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from common.command import HelpFormatter, run_command
from common.settings import ENCODINGS, Protocol, not_negative_int

MOST_FOLDS = 100


def main(argv: list[str] | None = None) -> None:
    flags = parse(argv)
    from common.data.making import make_splits  # pandas: --help must not wait

    make_splits(flags)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Cut the labelled pairs into training and validation, once for all models.",
        epilog="Relative paths start at the project root.",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--project-root", type=Path, default=Path("."), help="folder that holds data/ and outputs/")
    data_help = "folder of the texts and pictures; looked for in data/ by default"
    add("--data-dir", type=Path, help=data_help)
    train_help = "guid,tag of the labelled pairs; train.txt beside the data folder by default"
    add("--train-file", type=Path, help=train_help)
    test_help = (
        "test pairs, labelled or not; test_without_label.txt beside the train file by default"
    )
    add("--test-file", type=Path, help=test_help)
    ratio_help = "share of the labelled pairs that go to validation"
    add("--val-ratio", type=share, default=0.1, help=ratio_help)
    folds_help = (
        "also write K folds, fold_1 and so on, each with a train.csv and a val.csv: every pair is "
        "in the val.csv of one fold"
    )
    add("--folds", type=fold_count, metavar="K", help=folds_help)
    add("--seed", type=not_negative_int, default=Protocol.seed, help="of the choice of pairs")
    encoding_help = "of texts that are not UTF-8; auto decides for the whole data set"
    add("--text-encoding", choices=ENCODINGS, default="auto", help=encoding_help)
    skip_help = "leave out pairs with files that are missing or broken, and list them in broken.csv"
    add("--skip-broken", action="store_true", help=skip_help)
    output_help = "where the tables go"
    add("--output-dir", type=Path, default=Path("outputs/splits"), help=output_help)
    return parser.parse_args(argv)


def share(text: str) -> float:
    """Parse a number between 0 and 1. argparse shows this function's name in its own error."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 1, got {text}")
    return value


def fold_count(text: str) -> int:
    """Parse a number of folds. argparse shows this function's name in its own error."""
    value = int(text)
    if not 2 <= value <= MOST_FOLDS:
        raise argparse.ArgumentTypeError(f"must lie between 2 and {MOST_FOLDS}, got {text}")
    return value


if __name__ == "__main__":
    run_command(main)
