"""The two commands of a fresh machine:

    python stage2_compare/start.py demo    train all models on a small generated data set, draw and compare them
    python stage2_compare/start.py test    run the tests (what follows is given to pytest: test -k summary)

Both make .venv at the project root, install requirements.txt into it when it changed since the last time, and run.
Needs Python 3.10, 3.11 or 3.12 in 64 bit, and for the first time a network.
"""

# Standard library only, and readable for Python 3.7: an old Python must get as far as the message that it is too old.
from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = {"demo": ["-m", "stage2_compare.demo.run"], "test": ["-m", "pytest"]}
VERSIONS = [
    (3, 11),
    (3, 12),
    (3, 10),
]  # best first; the tokenizers of transformers 4.39.3 have no wheel for 3.13
PROBE = (
    "import sys; print(sys.version_info[0], sys.version_info[1], 64 if sys.maxsize > 2**32 else 32)"
)
STOPPED = 130


class Failed(Exception):
    """Ends the command: a status, and a line to show (empty where the reason is on the screen already)."""

    def __init__(self, status, line=""):
        super().__init__(line)
        self.status = status


def main(argv: list[str]) -> int:
    if argv[:1] in (["-h"], ["--help"]) or not argv:
        print(__doc__)
        return 0 if argv else 2
    command, rest = argv[0], argv[1:]
    if command not in COMMANDS:
        raise Failed(2, f"unknown command {command!r}: choose from {', '.join(COMMANDS)}")
    if not suitable(sys.version_info, sys.maxsize > 2**32):
        return run([*another_python(), str(Path(__file__).resolve()), *argv])
    python = prepare(ROOT / ".venv", ROOT / "requirements.txt")
    return run([python, *COMMANDS[command], *rest])


# Which Python


def suitable(version: tuple[int, ...], is_64_bit: bool) -> bool:
    return tuple(version[:2]) in VERSIONS and is_64_bit


def another_python() -> list[str]:
    """A command that starts a suitable Python. Failed, with what to install, where there is none."""
    for version in VERSIONS:
        for command in (
            ["py", f"-{dotted(version)}"],
            [f"python{dotted(version)}"],
        ):  # py is the Windows launcher
            if shutil.which(command[0]) and works(command):
                print(
                    f"Python {dotted(sys.version_info)} does not fit: using {' '.join(command)}",
                    flush=True,
                )
                return command
    raise Failed(2, unsuitable_message(sys.version_info, sys.maxsize > 2**32))


def dotted(version: tuple[int, ...]) -> str:
    return f"{version[0]}.{version[1]}"


def works(command: list[str]) -> bool:
    """Whether the command starts a suitable Python."""
    try:
        answer = subprocess.run(
            [*command, "-c", PROBE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        major, minor, bits = map(int, answer.stdout.split())
    except (OSError, ValueError):
        return False
    return suitable((major, minor), bits == 64)


def unsuitable_message(version: tuple[int, ...], is_64_bit: bool) -> str:
    return (
        f"this is Python {dotted(version)} in {64 if is_64_bit else 32} bit; 3.10, 3.11 or 3.12 in 64 bit is needed. "
        "Install Python 3.11 and start again. Windows: winget install Python.Python.3.11, or the 64-bit installer of "
        "https://www.python.org/downloads/windows/; Ubuntu, Debian: sudo apt install python3.11 python3.11-venv"
    )


# The environment


def prepare(venv: Path, requirements: Path) -> str:
    """The path of .venv's Python, after making and installing what is not there yet.

    ``requirements.sha256`` in .venv holds the hash of what was installed last, and nothing while .venv is being made:
    what was stopped half-way is made again from the start. A .venv made by hand has no such file: it is completed.
    """
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = venv / "requirements.sha256"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    installed = stamp.read_text(encoding="utf-8") if stamp.exists() else None
    whole = works([str(python)])
    if whole and installed == wanted:
        return str(python)
    if not whole or installed == "":
        make(venv, stamp)
    install(str(python), requirements)
    write(stamp, wanted)
    return str(python)


def make(venv: Path, stamp: Path) -> None:
    print("making {}{}".format(venv, " again" if venv.exists() else ""), flush=True)
    try:
        if venv.exists():
            shutil.rmtree(str(venv))
        venv.mkdir()
    except OSError as error:
        raise Failed(
            2, f"cannot make {venv} ({error}): end what uses it, delete the folder and start again"
        ) from None
    write(stamp, "")
    if run([sys.executable, "-m", "venv", str(venv)]):
        package = f"python{dotted(sys.version_info)}-venv"
        raise Failed(
            2,
            f"cannot make a virtual environment, see above; Ubuntu, Debian: sudo apt install {package}",
        )


def install(python: str, requirements: Path) -> None:
    print(f"installing {requirements.name}: the first time some minutes and gigabytes", flush=True)
    if run([python, "-c", "import pip"], quiet=True):
        run([python, "-m", "ensurepip"])
    if run(
        [python, "-m", "pip", "install", "--disable-pip-version-check", "-r", str(requirements)]
    ):
        raise Failed(
            2,
            "the installation failed, pip says why above. Start again to go on; where the network is slow or closed, "
            "name a mirror first: PIP_INDEX_URL=https://pypi.tuna.tsinghua.edu.cn/simple",
        )


def write(stamp: Path, text: str) -> None:
    """Whole or not at all."""
    temporary = stamp.with_name(stamp.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(str(temporary), str(stamp))


# Starting programs


def run(command: list[str], quiet: bool = False) -> int:
    """Run a program at the project root and return its exit status; Failed(130) after Ctrl-C."""
    stopped = False
    output = subprocess.DEVNULL if quiet else None
    with subprocess.Popen(command, cwd=str(ROOT), stdout=output, stderr=output) as process:
        while True:
            try:
                status = process.wait()
                break
            except KeyboardInterrupt:  # the program got it too: let it end in its own way
                stopped = True
    if stopped or status == STOPPED:
        raise Failed(STOPPED)
    return (
        status if status >= 0 else 128 - status
    )  # a program ended by signal N, as a shell says it


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(
            errors="replace"
        )  # a path that the console cannot show must not end the command
    try:
        code = main(sys.argv[1:])
    except Failed as failed:
        if str(failed):
            print(f"error: {failed}", file=sys.stderr)
        code = failed.status
    except KeyboardInterrupt:
        code = STOPPED
    sys.exit(code)
