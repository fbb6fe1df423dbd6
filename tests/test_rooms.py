"""Who may import whom: downwards only, and what reads results imports no torch."""

import ast
import subprocess
import sys
from pathlib import Path

from helpers.hub import STAGE2

SCRIPTS = STAGE2 / "scripts"
COMMON = SCRIPTS / "common"
# From the ground up; a room may import those below it. On the ground they may import each other.
FLOORS = (
    {"errors", "files", "marks", "progress", "tensors", "seeding", "metrics", "words", "settings"},
    {"data", "models", "runs"},
    {"training", "comparison"},
    {"charts", "page", "predicting", "sweep", "tuning"},
    {"report"},
    {"command"},
)
# Beyond the floors: results are read without what made them.
FORBIDDEN = {
    "comparison": {"training", "models", "data"},
    "charts": {"training", "models", "data"},
    "page": {"training", "models"},
    "report": {"training", "models"},
}
READERS = ("runs.reading", "comparison.compare", "charts.pictures", "page.write", "report.write")


def rooms() -> dict[Path, str]:
    """Each file of common/ and its room."""
    files = [path for path in COMMON.rglob("*.py") if path.parent != COMMON or path.stem[0] != "_"]
    return {path: path.relative_to(COMMON).parts[0].removesuffix(".py") for path in files}


def imported_rooms(path: Path) -> set[str]:
    """Rooms that a file imports."""
    package = ["common", *path.relative_to(COMMON).parent.parts]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found |= {".".join([*base, name]).split(".")[1] for name in names}
    return found


def test_imports_go_downwards_only():
    floor = {room: number for number, floor in enumerate(FLOORS) for room in floor}
    for path, here in rooms().items():
        for there in imported_rooms(path) - {here}:
            below = floor[there] < floor[here] or floor[there] == floor[here] == 0
            assert below and there not in FORBIDDEN.get(here, ()), f"{path} imports {there}"


def test_what_reads_results_and_settings_imports_no_torch():
    names = ", ".join(f"common.{name}" for name in (*READERS, "predicting.question", "command"))
    code = f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); import {names}; "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
