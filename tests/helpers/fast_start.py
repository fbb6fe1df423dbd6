"""A project in which start.py takes a moment: small programs stand in for venv, pip and pytest.

start.py runs ``python -m venv``, ``-m pip`` and ``-m pytest`` at the project root, so modules of
these names that lie there come first.
"""

import shutil
from pathlib import Path

import start

from .hub import STAGE2

# Programs that change .venv write to programs.log. While a file "hold_pip" lies in the project, pip
# waits.
LOGGED = """
import os, sys, time
from pathlib import Path

with open("programs.log", "a", encoding="utf-8") as file:
    file.write(" ".join([Path(__file__).stem, *sys.argv[3:]]) + "\\n")
"""
VENV = """
sys.path.pop(0)  # this file has the name of the real one
import venv
venv.create(sys.argv[1], symlinks=os.name != "nt")
"""
PIP = """
while os.path.exists("hold_pip"):
    Path("pip_waits").touch()
    time.sleep(0.02)
if "nonsense" in Path("requirements.txt").read_text(encoding="utf-8"):
    sys.exit(1)
(Path(sys.executable).parents[1] / "installed").touch()
"""
# It ends with the status that its first argument names; "wait" waits for Ctrl-C.
PYTEST = """
import sys, time
from pathlib import Path
assert (Path(sys.executable).parents[1] / "installed").exists()
try:
    print(*sys.argv[1:], flush=True)
    if sys.argv[1:2] == ["wait"]:
        time.sleep(60)
except KeyboardInterrupt:
    time.sleep(0.5)
    print("ended", flush=True)
    sys.exit()
sys.exit(int(sys.argv[1]) if sys.argv[1:] else 0)
"""


def make_fast_project(root: Path) -> Path:
    """Write the project and return the path of its start.py."""
    (root / "stage2_compare").mkdir(parents=True, exist_ok=True)
    for name in start.COMMANDS["test"][1][1::2]:
        (root / name).write_text("numpy\n", encoding="utf-8")
    programs = {"venv": LOGGED + VENV, "pip": LOGGED + PIP, "pytest": PYTEST}
    for name, program in programs.items():
        (root / f"{name}.py").write_text(program, encoding="utf-8")
    return Path(shutil.copy(STAGE2 / "start.py", root / "stage2_compare"))
