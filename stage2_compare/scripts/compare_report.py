"""Write the results as a report for a thesis: texts, tables, figures, references and numbers.

    python stage2_compare/scripts/compare_report.py --project-root .

Leaves in outputs/compare/report/
    report.md, report.tex   methods from the recorded protocol, results with verdicts, conclusion,
                            ablation, each class, cost, bad cases, limits, reproducibility checklist
    figures/                the pictures as PDF
    numbers.tex             a macro for each figure: \\FOneConcat is macro-F1 of the model concat
    references.bib          what the report cites

English compiles with pdflatex, Chinese with xelatex. report.tex quotes no texts of pairs, report.md
does. Running it again replaces these files: copy what you edit. It does not import torch.
"""

from __future__ import annotations

import sys

from common.command import add_lists, read_results, results_parser, run_command
from common.files import printable
from common.words import Language


def main(argv: list[str] | None = None) -> None:
    parser = results_parser("Write the results as a report: Markdown, LaTeX, figures, references.")
    add_lists(parser)
    args = parser.parse_args(argv)

    from common.charts.pictures import draw  # imported here: --help answers at once
    from common.report.write import write_report

    results, say, captions = read_results(args), Language(args.lang), {}
    figures, notes = draw(results, say, captions=captions)
    for note in notes:
        print(printable(note), file=sys.stderr)
    folder, lists = args.project_root / args.compare_dir / "report", args.lists or ()
    write_report(folder, results, figures, captions, args.project_root, say, lists)
    print(folder / "report.md")
    print(folder / "report.tex")


if __name__ == "__main__":
    run_command(main)
