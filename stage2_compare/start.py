"""The two commands of a fresh machine:

    python stage2_compare/start.py demo    train all models on a small generated data set, draw and
                                           compare them
    python stage2_compare/start.py test    run the tests; pytest gets what follows: test -k summary

Both make .venv at the project root, install what the command needs when that has changed since the
last time, and run. They need Python 3.10, 3.11 or 3.12 in 64 bit, and a network the first time.
"""

# Standard library only, and readable for Python 3.7: an old Python must get as far as the message
# that it is too old. So the lock is this file's own too.
from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = {"demo": ["-m", "stage2_compare.demo.run"], "test": ["-m", "pytest"]}
LISTS = {
    "demo": ["requirements.txt"],
    "test": ["requirements.txt", "stage2_compare/requirements-dev.txt"],
}
CONSTRAINTS = "stage2_compare/constraints.txt"
# Best first. The tokenizers package of transformers 4.39.3 has no wheel for 3.13.
VERSIONS = [(3, 11), (3, 12), (3, 10)]
PROBE = (
    "import sys; print(sys.version_info[0], sys.version_info[1], 64 if sys.maxsize > 2**32 else 32)"
)
GB = 1e9  # bytes
ROOM = 10  # GB: on Linux .venv takes more than 6, and what pip downloads 3 until it has ended
INTERRUPTED, TERMINATED = 130, 143  # as a shell says Ctrl-C and SIGTERM


class Failed(Exception):
    """Ends the command: a status, and a line to show (empty if the reason is on the screen)."""

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
    python = prepare(ROOT, LISTS[command])
    return run([python, *COMMANDS[command], *rest])


# Choosing a Python


def suitable(version: tuple[int, ...], is_64_bit: bool) -> bool:
    return tuple(version[:2]) in VERSIONS and is_64_bit


def another_python() -> list[str]:
    """Return a command that starts a suitable Python.

    Failed, with what to install, if there is none.
    """
    for version in VERSIONS:
        # py is the Windows launcher
        for command in (["py", f"-{dotted(version)}"], [f"python{dotted(version)}"]):
            if shutil.which(command[0]) and works(command):
                used = " ".join(command)
                print(f"Python {dotted(sys.version_info)} does not fit: using {used}", flush=True)
                return command
    raise Failed(2, unsuitable_message(sys.version_info, sys.maxsize > 2**32))


def dotted(version: tuple[int, ...]) -> str:
    return f"{version[0]}.{version[1]}"


def works(command: list[str]) -> bool:
    """Tell if the command starts a suitable Python."""
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
        f"this is Python {dotted(version)} in {64 if is_64_bit else 32} bit; "
        "3.10, 3.11 or 3.12 in 64 bit is needed. Install Python 3.11 and start again. "
        "Windows: winget install Python.Python.3.11, or the 64-bit installer of "
        "https://www.python.org/downloads/windows/; "
        "Ubuntu, Debian: sudo apt install python3.11 python3.11-venv"
    )


# The environment


def prepare(root: Path, lists: list[str]) -> str:
    """Return the path of .venv's Python, after making and installing what is not there yet.

    ``requirements.sha256`` in .venv names the lists that are installed, with their hashes. It is
    empty while .venv is being made: a .venv that was left half-made is made again from the start.
    A .venv without that file was made by hand, or was left while it was changed: it is completed.
    """
    venv = root / ".venv"
    python = str(venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    stamp = venv / "requirements.sha256"
    wanted = [f"{sha256(root / name)}  {name}" for name in [CONSTRAINTS, *lists]]
    if is_ready(python, stamp, wanted):
        return python
    with locked(root / ".venv.lock"):
        if is_ready(python, stamp, wanted):  # made by the process that was waited for
            return python
        if not works([python]) or read(stamp) == "":
            make(venv, stamp)
        elif stamp.exists():
            stamp.unlink()
        install(python, root, lists)
        write(stamp, "\n".join(wanted))
    return python


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def is_ready(python: str, stamp: Path, wanted: list[str]) -> bool:
    """Tell if .venv's Python starts and has everything in the versions that are wanted."""
    return set(wanted) <= set((read(stamp) or "").splitlines()) and works([python])


def read(stamp: Path) -> str | None:
    return stamp.read_text(encoding="utf-8") if stamp.exists() else None


def write(stamp: Path, text: str) -> None:
    """Write the file whole or not at all."""
    temporary = stamp.with_name(stamp.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(str(temporary), str(stamp))


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
            "cannot make a virtual environment, see above; "
            f"Ubuntu, Debian: sudo apt install {package}",
        )


def install(python: str, root: Path, lists: list[str]) -> None:
    names = " and ".join(lists)
    print(f"installing {names}: the first time takes some minutes and gigabytes", flush=True)
    if run([python, "-c", "import pip"], quiet=True):
        run([python, "-m", "ensurepip"])
    command = [python, "-m", "pip", "install", "--disable-pip-version-check"]
    command += ["-c", str(root / CONSTRAINTS)]
    for name in lists:
        command += ["-r", str(root / name)]
    if run(command):
        raise Failed(
            2,
            f"the installation failed, pip says why above. {advice_on_room(root)}Start again to go "
            "on; where the network is slow or closed, name a mirror of the package index first: "
            "PIP_INDEX_URL=https://...",
        )


def advice_on_room(root: Path) -> str:
    """Name the fuller disk of those that pip writes to, where it may be too full; else say nothing.

    What pip has printed is not known here, and a failed pip gives much of its room back.
    """
    places = [str(root), tempfile.gettempdir()]
    free, place = min((shutil.disk_usage(place).free / GB, place) for place in places)
    if free >= ROOM:
        return ""
    return f"{place} has {free:.1f} GB free, and {ROOM} may be needed: make room there. "


# One process at a time


@contextmanager
def locked(path: Path):
    """Let one process at a time into the block. The others wait, and say for which process.

    Programs that are started in the block inherit the open file, and the lock ends with the last
    process that has it open, however that ends. So a pip that outlives its start.py is waited for.
    """
    try:
        file = lock(path)
        if file is None:
            said = f"{owner(path)}, or a pip that it started, is preparing .venv"
            print(f"waiting: {said}", flush=True)
        while file is None:
            time.sleep(0.5)
            file = lock(path)
    except OSError as error:
        raise Failed(2, f"cannot write {path}: {error.strerror}") from None
    try:
        os.ftruncate(file, 0)
        os.write(file, f"process {os.getpid()}".encode())
        os.set_inheritable(file, True)
        yield
    finally:
        os.close(file)


def lock(path: Path) -> int | None:
    """Return the descriptor of the locked file, or None while another process has it."""
    if os.name == "nt":
        try:
            if path.exists():
                path.unlink()
            return os.open(str(path), os.O_CREAT | os.O_EXCL | os.O_RDWR)
        except (FileExistsError, FileNotFoundError):  # another process was faster
            return None
        except PermissionError as error:
            if error.winerror != 32:  # 32: a process has the file open, so it cannot be removed
                raise
            return None
    import fcntl

    file = os.open(str(path), os.O_CREAT | os.O_RDWR, 0o666)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    except OSError:
        pass  # a file system without locks: go on as if alone
    return file


def owner(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") or "another process"
    except OSError:
        return "another process"


# Starting programs


def run(command: list[str], quiet: bool = False) -> int:
    """Run a program at the project root and return its exit status.

    Ctrl-C and SIGTERM reach the program too; when it has ended, Failed(130) or Failed(143).
    """
    output = subprocess.DEVNULL if quiet else None
    # close_fds=False: a program that is started while .venv is locked holds the lock too
    with subprocess.Popen(
        command, cwd=str(ROOT), stdout=output, stderr=output, close_fds=False
    ) as process:
        stopped = 0

        def terminate(*_):
            nonlocal stopped
            stopped = TERMINATED
            process.terminate()

        before = signal.signal(signal.SIGTERM, terminate)
        while True:
            try:
                status = process.wait()
                break
            except KeyboardInterrupt:  # the program got it too: let it end in its own way
                stopped = INTERRUPTED
        signal.signal(signal.SIGTERM, before)
    if stopped or status == INTERRUPTED:
        raise Failed(stopped or INTERRUPTED)
    # a program ended by signal N, as a shell says it
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        # a path that the console cannot show must not end the command
        stream.reconfigure(errors="replace")
    try:
        code = main(sys.argv[1:])
    except Failed as failed:
        if str(failed):
            print(f"error: {failed}", file=sys.stderr)
        code = failed.status
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)
