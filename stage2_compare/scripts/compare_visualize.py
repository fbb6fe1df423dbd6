"""Draw all finished runs.

    python stage2_compare/scripts/compare_visualize.py --project-root .

It writes radar.png, params_time.png, loss_curves.png and result_table.png into
outputs/compare/visuals/; from the predictions of the runs confusion.png, per_class.png,
reliability.png, agreement.png and intervals.png; ablation.png where a run was probed, and
sensitivity.png where a model has several learning rates; and index.html, a page of all results
down to single pairs, which ``--open`` shows in the browser. ``--lang`` is the language of the
pictures, and in which the page opens. It does not import torch.
"""

from __future__ import annotations

import sys
import webbrowser

from common.command import results_parser, run_command
from common.errors import UserError
from common.files import printable, write_result


def main(argv: list[str] | None = None) -> None:
    parser = results_parser("Draw all finished runs, and write a page of their results.")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    args = parser.parse_args(argv)

    from common.charts import PICTURES, draw  # imported here: --help answers at once
    from common.comparison.compare import compare
    from common.page import write_page
    from common.runs.reading import load_runs
    from common.words import Language

    visuals = args.project_root / args.compare_dir / "visuals"
    runs = load_runs(visuals.parent)
    comparison = compare(runs)
    say = Language(args.lang)
    pictures, notes = draw(runs, comparison, say)
    for note in notes:
        print(printable(note), file=sys.stderr)
    for name in PICTURES:
        path = visuals / name
        if name in pictures:
            write_result(path, pictures[name])
            print(path)
            continue
        try:  # an earlier one would show runs that are gone
            path.unlink(missing_ok=True)
        except OSError as error:
            reason = f"{error.strerror}. Is it open in another program?"
            raise UserError(f"cannot remove {path}: {reason}") from error
    charts = {name: file for name, file in pictures.items() if name.endswith(".svg")}
    page = write_page(visuals, comparison, charts, args.project_root, say)
    print(page)
    if args.open:
        webbrowser.open(page.resolve().as_uri())


if __name__ == "__main__":
    run_command(main)
