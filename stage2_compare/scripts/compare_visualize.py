"""Draw all finished runs.

    python stage2_compare/scripts/compare_visualize.py --project-root .

Leaves radar.png, params_time.png, loss_curves.png and result_table.png in outputs/compare/visuals/. Imports no torch.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from common.cli import run_command
from common.results import load_runs, replacing


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Draw all finished runs.", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--project-root", type=Path, default=Path("."), help="folder that holds outputs/")
    parser.add_argument("--compare-dir", type=Path, default=Path("outputs/compare"), help="folder of the run folders")
    args = parser.parse_args(argv)

    compare_dir = args.project_root / args.compare_dir
    runs = load_runs(compare_dir)

    from common.charts import draw

    pictures, missing = draw(runs)
    if missing:
        print(
            f"no installed font has {missing}: drawn as ?. Install Noto Sans CJK, Microsoft YaHei or SimHei",
            file=sys.stderr,
        )
    for name, content in pictures.items():
        path = compare_dir / "visuals" / name
        with replacing(path) as temporary:
            temporary.write_bytes(content)
        print(path)


if __name__ == "__main__":
    run_command(main)
