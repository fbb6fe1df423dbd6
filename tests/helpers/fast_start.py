"""A project in which start.py takes a moment: small programs stand in for venv, pip and pytest.

start.py runs ``python -m venv``, ``-m pip`` and ``-m pytest`` at the project root, so modules of
these names that lie there come first.
"""

import shutil
from pathlib import Path

import start

from .hub import STAGE2

PACKAGES = 20
# Of two programs that change .venv at once the second says so in the log and fails. While a file
# "hold_pip" lies in the project, pip stays at its beginning.
ALONE = """
import os, shutil, sys, time
from pathlib import Path

def log(line):
    with open("programs.log", "a", encoding="utf-8") as file:
        file.write(line + "\\n")

def alone(name):
    log("begin " + name)
    held = open("programs.alone", "a")
    try:
        import fcntl
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        pass
    except BlockingIOError:
        log("two at once")
        sys.exit(1)
    while os.path.exists("hold_" + name):
        time.sleep(0.02)
    return held
"""
VENV = (
    ALONE
    + """
if __name__ == "__main__":
    held = alone("venv")
    folder = Path(sys.argv[1])
    if os.name == "nt":
        base = Path(sys.executable).parent
        (folder / "Scripts").mkdir()
        for file in [Path(sys.executable), *base.glob("*.dll")]:
            shutil.copy(file, folder / "Scripts" / file.name)
        (folder / "pyvenv.cfg").write_text(f"home = {base}", encoding="utf-8")
    else:
        (folder / "bin").mkdir()
        os.symlink(sys.executable, folder / "bin/python")
    log("end venv")
"""
)
PIP = (
    ALONE
    + f"""
if __name__ == "__main__":
    held = alone("pip")
    site = Path(sys.executable).parents[1] / "site"
    site.mkdir(exist_ok=True)
    for number in range({PACKAGES}):
        time.sleep(0.02)
        (site / str(number)).touch()
    log("end pip")
"""
)
PYTEST = f"""
import sys
from pathlib import Path
sys.exit(len(list((Path(sys.executable).parents[1] / "site").iterdir())) != {PACKAGES})
"""


def make_fast_project(root: Path) -> Path:
    """Write the project and return the path of its start.py."""
    (root / "stage2_compare").mkdir(parents=True, exist_ok=True)
    for name in [start.CONSTRAINTS, *start.LISTS["test"]]:
        (root / name).write_text("numpy\n", encoding="utf-8")
    for name, program in (("venv", VENV), ("pip", PIP), ("pytest", PYTEST)):
        (root / f"{name}.py").write_text(program, encoding="utf-8")
    return Path(shutil.copy(STAGE2 / "start.py", root / "stage2_compare"))
