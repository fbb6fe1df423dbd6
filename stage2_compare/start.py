"""The two commands of a fresh machine:

    python stage2_compare/start.py demo    train all models on a small generated data set
    python stage2_compare/start.py test    run the tests; pytest gets what follows: test -k summary

Both make .venv at the project root, install what the command needs when that has changed since the
last time, and run. They need Python 3.10, 3.11 or 3.12 in 64 bit, and a network the first time.
"""

# Standard library only, and readable for Python 3.7, so that an old one gets as far as its message.
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = str(VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
STAMP = VENV / "requirements.sha256"  # of what is installed, or that .venv is HALF_MADE
HALF_MADE = "half-made"
NEEDED = ["-c", "stage2_compare/constraints.txt", "-r", "requirements.txt"]
COMMANDS = {
    "demo": (["-m", "stage2_compare.demo.run"], NEEDED),
    "test": (["-m", "pytest"], [*NEEDED, "-r", "stage2_compare/requirements-dev.txt"]),
}
VERSIONS = ["3.11", "3.12", "3.10"]  # best first; tokenizers has no wheel for 3.13
PROBE = "import sys; print('%d.%d' % sys.version_info[:2], sys.maxsize > 2**32)"
ADVICE = (
    "Python 3.10, 3.11 or 3.12 in 64 bit is needed: install 3.11 and start again. "
    "Windows: winget install Python.Python.3.11; "
    "Ubuntu, Debian: sudo apt install python3.11 python3.11-venv"
)


class Failed(Exception):
    """Ends the command with status 2 and a line that says what to do."""


def main(argv):
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if argv else 2
    if argv[0] not in COMMANDS:
        raise Failed(f"unknown command {argv[0]!r}: choose from {', '.join(COMMANDS)}")
    if not fits(sys.executable):
        return run(*another_python(), str(Path(__file__).resolve()), *argv)
    program, needed = COMMANDS[argv[0]]
    return prepare(needed) or run(PYTHON, *program, *argv[1:])


def fits(*command):
    """Tell if the command starts a Python of a version that will do, in 64 bit."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    try:
        answer = subprocess.run([*command, "-c", PROBE], **options).stdout
    except OSError:
        return False
    return answer.decode(errors="replace").split() in [[each, "True"] for each in VERSIONS]


def another_python():
    for version in VERSIONS:
        for command in (["py", "-" + version], ["python" + version]):  # py: the Windows launcher
            if shutil.which(command[0]) and fits(*command):
                return command
    raise Failed(f"this is Python {sys.version.split()[0]}. {ADVICE}")


def prepare(needed):
    """Make .venv and install what is needed, unless it is there; return 0, or how pip was stopped."""
    hashes = {name: hashlib.sha256((ROOT / name).read_bytes()) for name in needed[1::2]}
    wanted = [f"{found.hexdigest()}  {name}" for name, found in hashes.items()]
    stamp = STAMP.read_text(encoding="utf-8").split("\n") if STAMP.exists() else []
    if fits(PYTHON) and set(wanted) <= set(stamp):
        return 0
    with open(str(ROOT / ".venv.lock"), "a", encoding="utf-8") as file:
        lock(file.fileno())
        if not VENV.exists() or stamp == [HALF_MADE]:
            print("making .venv", flush=True)
            VENV.mkdir(exist_ok=True)
            STAMP.write_text(HALF_MADE, encoding="utf-8")
            if run(sys.executable, "-m", "venv", str(VENV)):
                raise Failed(f"cannot make a virtual environment, see above. {ADVICE}")
        if not fits(PYTHON):
            raise Failed(
                f"{VENV} starts no Python that fits: move or delete it and start again. {ADVICE}"
            )
        print("installing: the first time takes minutes and gigabytes", flush=True)
        STAMP.write_text("being changed", encoding="utf-8")
        status = run(PYTHON, "-m", "pip", "install", "--disable-pip-version-check", *needed)
        if 0 < status <= 128:
            raise Failed(
                "the installation failed, pip says why above. It needs 10 GB of room, and a network "
                "(PIP_INDEX_URL=https://... names a mirror). Start again to go on"
            )
        if status == 0:
            STAMP.write_text("\n".join(wanted), encoding="utf-8")
    return status


def lock(file):
    """Lock an open file until it is closed here, and by the programs that were started meanwhile."""
    os.set_inheritable(file, True)
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        raise Failed("another start.py prepares .venv: start again when it has ended") from None
    except OSError:
        pass  # a disk without locks: go on as if alone


def run(*command):
    """Run a program at the project root, and return its status as a shell says it.

    Ctrl-C and SIGTERM reach the program too, and it ends in its own way.
    """
    with subprocess.Popen(command, cwd=str(ROOT), close_fds=False) as process:
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        stopped = 0
        while process.returncode is None:
            try:
                process.wait()
            except KeyboardInterrupt:
                stopped = 130
    return stopped or (process.returncode if process.returncode >= 0 else 128 - process.returncode)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (Failed, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
