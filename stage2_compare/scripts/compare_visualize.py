"""Draw all finished runs.

    python stage2_compare/scripts/compare_visualize.py --project-root .

Leaves radar.png, params_time.png, loss_curves.png and result_table.png in outputs/compare/visuals/, and from the
predictions of the runs confusion.png, per_class.png, reliability.png, agreement.png and intervals.png. Imports no
torch.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from common.cli import run_command
from common.errors import UserError
from common.files import printable, write_result
from common.runs.reader import load_runs


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Draw all finished runs.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--project-root", type=Path, default=Path("."), help="folder that holds outputs/"
    )
    parser.add_argument(
        "--compare-dir",
        type=Path,
        default=Path("outputs/compare"),
        help="folder of the run folders",
    )
    args = parser.parse_args(argv)

    compare_dir = args.project_root / args.compare_dir
    runs = load_runs(compare_dir)

    from common.charts import PICTURES, draw

    pictures, notes = draw(runs)
    for note in notes:
        print(printable(note), file=sys.stderr)
    for path in (compare_dir / "visuals" / name for name in PICTURES):
        if path.name in pictures:
            write_result(path, pictures[path.name])
            print(path)
        else:
            remove(path)


def remove(path: Path) -> None:
    """A picture that cannot be drawn any more would show the runs of another day."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot remove {path}: {error.strerror}. Is it open in another program?"
        ) from error


if __name__ == "__main__":
    run_command(main)
