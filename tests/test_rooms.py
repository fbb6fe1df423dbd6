"""Who may import whom: downwards only, and nothing that only reads results imports torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.hub import STAGE2

SCRIPTS = STAGE2 / "scripts"
COMMON = SCRIPTS / "common"
# Floor of each room; a room may import those on lower floors only. cli.py and the scripts stand above all.
FLOORS = {
    "errors": -1,
    **dict.fromkeys(("files", "machine", "tensors", "seeding", "metrics", "language"), 0),
    **dict.fromkeys(("data", "models", "runs"), 1),
    **dict.fromkeys(("training", "comparison"), 2),
    **dict.fromkeys(("charts", "page", "predicting", "sweep"), 3),
    "cli": 4,
}
# Beyond the floors: results are read without what made them.
FORBIDDEN = {
    "comparison": {"training", "models", "data"},
    "charts": {"training", "models", "data"},
    "page": {"training", "models"},
    "models": {"data"},
    "data": {"models"},
}
READERS = ["runs.reader", "comparison.compare", "comparison.wording", "charts", "page"]


def room(path: Path) -> str:
    return path.relative_to(COMMON).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Rooms of common/ that a file imports."""
    package = ["common", *path.relative_to(COMMON).parent.parts]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found |= {".".join([*base, name]).split(".")[1] for name in names}
    return found


@pytest.mark.parametrize(
    "path", sorted(COMMON.rglob("*.py")), ids=lambda p: str(p.relative_to(COMMON))
)
def test_imports_go_downwards_only(path: Path):
    if path == COMMON / "__init__.py":
        return
    here = room(path)
    for there in imported_rooms(path) - {here}:
        assert FLOORS[there] < FLOORS[here], f"{here} imports {there}"
        assert there not in FORBIDDEN.get(here, ()), f"{here} imports {there}"


def test_every_room_has_its_floor():
    rooms = {room(path) for path in COMMON.rglob("*.py")} - {"__init__"}
    assert rooms <= FLOORS.keys()


@pytest.mark.parametrize("module", READERS)
def test_what_reads_results_imports_no_torch(module: str):
    code = f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); import common.{module}; "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
