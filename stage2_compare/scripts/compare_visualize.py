"""Draw all finished runs.

    python stage2_compare/scripts/compare_visualize.py --project-root .

It writes radar.png, params_time.png, loss_curves.png and result_table.png into
outputs/compare/visuals/; from the predictions of the runs confusion.png, per_class.png,
reliability.png, agreement.png and intervals.png; ablation.png where a run was probed, and
sensitivity.png where a model has several learning rates; and index.html, a page of all results
down to single pairs, which ``--open`` shows in the browser. SVG and PDF of each picture lie in
page/. ``--lang`` is the language of pictures and page. It does not import torch.
"""

from __future__ import annotations

import sys
import webbrowser
from typing import TYPE_CHECKING

from common.command import add_lists, read_results, results_parser, run_command
from common.files import cannot_write, printable, write_result
from common.words import Language

if TYPE_CHECKING:
    from common.comparison.results import Results


def main(argv: list[str] | None = None, results: Results | None = None) -> None:
    parser = results_parser("Draw all finished runs, and write a page of their results.")
    without = "write the page without texts and photos, to pass it on"
    parser.add_argument("--without-pairs", action="store_true", help=without)
    add_lists(parser)
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    args = parser.parse_args(argv)

    from common.charts.pictures import PICTURES, draw  # imported here: --help answers at once
    from common.charts.styles import looks
    from common.page.write import write_page

    visuals = args.project_root / args.compare_dir / "visuals"
    results, say = results or read_results(args), Language(args.lang)

    def save(name: str, content: bytes) -> None:
        if name in PICTURES:
            write_result(visuals / name, content)
            print(visuals / name, flush=True)

    pictures, notes = draw(results, say, save)
    for note in notes:
        print(printable(note), file=sys.stderr)
    for gone in (visuals / name for name in PICTURES if name not in pictures):
        try:  # an earlier one would show runs that are gone
            gone.unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(gone, error) from error
    marks = looks(model.name for model in results.groups[0].models)
    page = write_page(
        visuals,
        results,
        pictures,
        args.project_root,
        say,
        marks,
        lists=args.lists or (),
        with_pairs=not args.without_pairs,
    )
    print(page)
    if args.open:
        webbrowser.open(page.resolve().as_uri())


if __name__ == "__main__":
    run_command(main)
