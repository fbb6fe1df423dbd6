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

from common.command import Parser, add_flag, add_language, run_command
from common.settings import MOST_FOLDS, Paths, Protocol, not_negative_int, number, path


def main(argv: list[str] | None = None) -> None:
    flags = parse(argv)
    from common.data.making import make_splits  # pandas: --help must not wait

    make_splits(flags)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        "Cut the labelled pairs into training and validation, once for all models.",
        epilog="Relative paths start at the project root.",
    )
    add = parser.add_argument
    add_flag(parser, Paths, "project_root", help="folder that holds data/ and outputs/")
    looked_for = "folder of the texts and pictures; looked for in data/ by default"
    add("--data-dir", type=path, help=looked_for)
    beside = "guid,tag of the labelled pairs; train.txt beside the data folder by default"
    add("--train-file", type=path, help=beside)
    beside = "test pairs, labelled or not; test_without_label.txt beside the train file by default"
    add("--test-file", type=path, help=beside)
    share = number(float, "between 0 and 1", lambda value: 0 < value < 1)
    ratio = "share of the labelled pairs that go to validation"
    add("--val-ratio", type=share, default=0.1, help=ratio)
    count = number(int, f"2 to {MOST_FOLDS}", lambda value: 2 <= value <= MOST_FOLDS)
    folds = "also write K folds, fold_1 and so on: every pair is in the val.csv of one fold"
    add("--folds", type=count, metavar="K", help=folds)
    add("--seed", type=not_negative_int, default=Protocol.seed, help="of the choice of pairs")
    checked = "labels that were checked on the page of results take the place of the given ones"
    add("--labels", type=path, metavar="CSV", help=checked)
    add_flag(parser, Paths, "text_encoding")
    skip = "leave out pairs with files that are missing or broken, and list them in broken.csv"
    add("--skip-broken", action="store_true", help=skip)
    where = "where the tables go"
    add("--output-dir", type=path, default=Paths.val_csv.parent, help=where)
    add_language(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    run_command(main)
