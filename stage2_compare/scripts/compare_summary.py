"""Put all finished runs into one table, best macro-F1 first, and test which differ significantly.

    python stage2_compare/scripts/compare_summary.py --project-root .

Leaves in outputs/compare/
    compare_summary.csv    a row per run: each metric at the run's best epoch, with its 95 %
                           interval, and the verdict on the run's model against the best model
    compare_families.csv   a row per model: its folds joined, mean and standard deviation (sd) over
                           its seeds at its best learning rate, and the verdict; then a row per
                           ensemble; the last is what always predicting the most frequent class
                           reaches

Runs of one protocol form a group; seed, fold and learning rate may vary. Verdicts are within a
group, the one with the most evidence is told first. ``--lang`` is the language of what it prints;
the files are in English. ``--strict`` stops before writing where there is more than one group.
Imports no torch.
"""

from __future__ import annotations

from common.command import results_parser, run_command


def main(argv: list[str] | None = None) -> None:
    parser = results_parser("Put all finished runs into one table.")
    strict = "runs of different protocols are an error"
    parser.add_argument("--strict", action="store_true", help=strict)
    args = parser.parse_args(argv)

    # Imported here: pandas and scipy would delay --help.
    from common.comparison.compare import compare, require_one_protocol
    from common.comparison.console import report
    from common.comparison.tables import write_tables
    from common.runs.reading import load_runs
    from common.words import Language

    compare_dir = args.project_root / args.compare_dir
    results = compare(load_runs(compare_dir), args.group)
    if args.strict:
        require_one_protocol(results)
    write_tables(compare_dir, results)
    print(report(results, Language(args.lang)))
    print(compare_dir / "compare_summary.csv")


if __name__ == "__main__":
    run_command(main)
