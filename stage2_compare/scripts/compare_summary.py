"""Put all finished runs into one table, best macro-F1 first, and test which differ significantly.

    python stage2_compare/scripts/compare_summary.py --project-root .

Leaves in outputs/compare/
    compare_summary.csv    a row per run: each metric at the run's best epoch, with its 95 %
                           interval, and the verdict on the run's model against the best model
    compare_families.csv   a row per model: its folds joined, mean and standard deviation (sd) over
                           its seeds at its best learning rate, and the verdict; then a row per
                           ensemble; the last is what always predicting the most frequent class
                           reaches; before these, models with a --tag, against the same without
    doubtful.csv           a row per pair, the label that the models believe least first
    other/                 the files of predictions that were made elsewhere and given to --with:
                           they are shown until they are deleted here

Runs of one protocol form a group; seed, fold and learning rate may vary. Verdicts are within a
group, the one with the most evidence is told first. ``--lang`` is the language of what it prints;
the files are in English. ``--strict`` stops before writing where there is more than one group.
Imports no torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from common.command import read_results, results_parser, run_command
from common.errors import UserError
from common.files import write_result
from common.settings import path
from common.words import Language

if TYPE_CHECKING:
    from common.comparison.results import Results


def main(argv: list[str] | None = None, results: Results | None = None) -> None:
    parser = results_parser("Put all finished runs into one table.")
    strict = "runs of different protocols are an error"
    parser.add_argument("--strict", action="store_true", help=strict)
    with_ = "predictions made elsewhere, as a model of that name: guid,pred or guid,tag, p_<class>"
    named = {"type": _named, "action": "append", "default": None, "dest": "given"}
    parser.add_argument("--with", metavar="[NAME=]CSV", help=with_, **named)
    corrected = "labels that were checked on the page: verdicts under these too"
    parser.add_argument("--labels", type=path, metavar="CSV", help=corrected)
    args = parser.parse_args(argv)

    # Imported here: pandas and scipy would delay --help.
    from common.comparison.compare import require_one_protocol
    from common.comparison.console import report
    from common.comparison.relabelled import corrected_labels, side_by_side
    from common.comparison.tables import write_tables
    from common.runs.layout import OTHER

    compare_dir = args.project_root / args.compare_dir
    given = {name: args.project_root / file for name, file in args.given or ()}
    if len({name.casefold() for name in given}) < len(args.given or ()):
        raise UserError("two files of --with have one name: give another as NAME=FILE")
    results, say = results or read_results(args, given), Language(args.lang)
    if args.strict:
        require_one_protocol(results)
    group = results.groups[0]
    meant = corrected_labels(args.project_root / args.labels, group) if args.labels else {}
    for name, file in given.items():
        write_result(compare_dir / OTHER / f"{name}.csv", file.read_bytes())
    write_tables(compare_dir, results)
    print(report(results, say))
    if meant:
        print("\n" + side_by_side(group, meant, say) + "\n")
    print(compare_dir / "compare_summary.csv")


def _named(text: str) -> tuple[str, Path]:
    """Read ``NAME=FILE``, or a file whose name it is then; a path may hold the sign too."""
    name, sign, file = text.partition("=")
    if not sign or "/" in name or "\\" in name:
        return path(text).stem, path(text)
    return name, path(file)


if __name__ == "__main__":
    run_command(main)
