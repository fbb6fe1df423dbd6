"""Jobs -> runs: one queue, and on each device a process that makes one run after another.

A process lives on between runs, so that torch is imported once and a frozen encoder in memory serves
the next run. A thread here waits for it. A pipe holds both together: through it the process gets its
tasks and shows that it lives, and when it is closed, the process ends. Imports no torch.
"""

from __future__ import annotations

import _thread
import importlib
import math
import multiprocessing
import os
import re
import shutil
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from .errors import Busy, UserError, reason_of
from .files import WAITING, lock, printable, quoted, unlock
from .models.checkpoint import checkpoint_records, local_folder
from .runs import layout
from .runs.reading import is_complete, is_run_of
from .settings import BASELINES, ModelChoice, Paths, TrainingRun
from .words import Language, duration

SILENCE_SEC = 1800.0  # without a sign of life, after which a run counts as hanging
BUSY = "another command is making it"
KILLED = "its process was killed; the system kills what takes too much memory"
_GRACE_SEC, _ENDING_SEC = 3.0, 4.0  # in which a process keeps what is done, and in which all end
_SIGN_SEC, _LOOK_SEC = 1.0, 0.5  # between two signs of life, and between two looks at a stop
_AT_WORK = 0.02  # share of a processor below which a process is only waiting
# Needs no quotes in PowerShell, in a shell, or after sed in a SLURM job.
_PLAIN = re.compile(r"[\w./:=+-]+", re.ASCII)
_SPAWN = multiprocessing.get_context("spawn")
_sending = threading.Lock()  # two threads of a process write to its pipe


@dataclass(frozen=True, eq=False)
class Job:
    """A run that is to be made, and the command line that makes it."""

    command: str  # a training script, without .py
    arguments: tuple[str, ...]
    run: TrainingRun  # what the command makes of them

    @property
    def name(self) -> str:
        return self.run.name

    @property
    def folder(self) -> Path:
        return self.run.paths.runs / self.name

    @property
    def log(self) -> Path:
        return self.run.paths.runs / layout.LOGS / f"{self.name}.log"

    def is_finished(self) -> bool:
        """Tell if its folder holds the run of this protocol, this model and these pairs, and all
        that is asked of it, unless its best.pt is gone."""
        if not self.folder.is_dir():
            return False
        pairs, test = self.pairs()
        same = is_run_of(self.folder, self.run, pairs, checkpoint_records)
        return same and is_complete(self.folder, test, self.run.probe)

    def pairs(self) -> tuple[list[dict[str, str]], Any]:
        """Read and check the pairs, and return what a protocol may have recorded of them, and the
        test list."""
        protocol = self.run.protocol
        return _pairs(self.run.paths, protocol.fold, protocol.image_size)


@cache
def _pairs(paths: Paths, fold: int | None, image_size: int) -> tuple[list[dict[str, str]], Any]:
    from .data.image_store import load_splits  # pandas takes long to import: --help must not wait
    from .data.splits import fingerprints, read_pairs, to_predict

    splits, _, _ = read_pairs(paths, fold)
    photos = {name: split.image_paths for name, split in splits.items()}
    images = load_splits(photos, image_size, paths.cache)
    test = to_predict(splits, lambda name: images[name].digests)
    return fingerprints(splits, images), test


@cache
def _weights(name: str) -> int | None:
    """Return the size of a checkpoint's weights in bytes; None where they are not on this disk."""
    folder = local_folder(name)
    return folder and max(map(os.path.getsize, folder.iterdir()), default=0)


def _size(model: ModelChoice) -> int | None:
    """Return the same for a model; an image encoder that is not there counts as nothing, as the
    small networks of torchvision do."""
    size = _weights(model.name)
    image = _weights(model.image_backbone) if model.image_backbone else 0
    return None if size is None else size + (image or 0)


def disk_needed(jobs: list[Job], devices: int, say: Language) -> str:
    """Return a line about the disk that runs need, by the weights of their checkpoints."""
    # Of a run stay its best weights; while it is made, there are two checkpoints of four numbers
    # for each weight, see ``training.train.learn``. A frozen encoder is written once for all runs,
    # and one of a single modality is another one.
    found = [_size(j.run.model) for j in jobs if not j.run.protocol.frozen_encoders]
    sizes = list(filter(None, found))
    shared = {}
    for model in (job.run.model for job in jobs if job.run.protocol.frozen_encoders):
        single = model.fusion if model.fusion in BASELINES else ""
        shared[model.name, model.image_backbone, single] = _size(model)
    found += shared.values()
    needed = (sum(filter(None, found)) + 8 * devices * max(sizes, default=0)) / 1e9
    unknown = say("without_checkpoints") if None in found else ""
    place = next(path for path in jobs[0].folder.parents if path.is_dir())
    free = shutil.disk_usage(place).free / 1e9
    return say("disk_needed", needed=needed, unknown=unknown, free=free)


def quickest_first(jobs: list[Job]) -> list[Job]:
    """Order runs so that there are results soon. Of each comparison those of one modality come first,
    then the others by the size of their weights; last those whose size is not known. Comparisons
    stay in their order, and runs that share a frozen encoder together."""

    def comparison(job: Job) -> tuple:
        told = job.run.protocol
        return () if told.frozen_encoders else (told.seed, told.lr, told.fold)

    def cost(job: Job) -> tuple[bool, float]:
        size = _size(job.run.model)
        return job.run.model.fusion not in BASELINES, math.inf if size is None else size

    places = {each: place for place, each in enumerate(dict.fromkeys(map(comparison, jobs)))}
    return sorted(jobs, key=lambda job: (places[comparison(job)], *cost(job)))


def print_commands(jobs: list[Job]) -> None:
    """Print the command of each run: a line that PowerShell and other shells understand."""
    python = "python"
    with suppress(ValueError):  # it is on another drive of Windows
        near = Path(os.path.relpath(sys.executable)).as_posix()
        if _PLAIN.fullmatch(near) and "../" not in near:  # PowerShell takes a quoted one for a text
            python = near
    for job in jobs:
        script = Path(sys.argv[0]).with_name(f"{job.command}.py").as_posix()
        parts = [python, script, *job.arguments]
        for text in parts:
            if "'" in text or printable(text) != text:
                raise UserError(f"{quoted(text)} suits not every shell: give it a plainer name")
        line = " ".join(text if _PLAIN.fullmatch(text) else f"'{text}'" for text in parts)
        print(line, flush=True)


def run_all(jobs: list[Job], devices: list[str], say: Language) -> dict[str, str]:
    """Make all runs. One that fails, or hangs, does not keep the others from being made.

    Args:
        devices: one run at a time on each, as ``--device`` calls them; named twice, two at once.
    Returns:
        Why a run was not made, by its name.
    """
    sweep = _Sweep(jobs, say)
    try:
        with ThreadPoolExecutor(len(devices)) as pool:
            try:
                threads = [pool.submit(sweep.serve, d, devices.count(d)) for d in devices]
                while wait(threads, _LOOK_SEC).not_done:
                    pass  # without an end to each wait, Ctrl-C would not end it on Windows
            finally:
                sweep.stopped.set()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            "runs and epochs that were finished are kept: the same command goes on"
        ) from None
    for thread in threads:
        thread.result()
    if sweep.waiting:
        raise UserError("no device is left for the other runs: give others as --devices")
    return sweep.faults


def check_all(jobs: list[Job], devices: list[str], say: Language) -> bool:
    """Let each device take two steps of each model of the runs, and say if it fits and how long the
    runs would take; return False where one does not fit or cannot be tried."""
    same: dict[ModelChoice, list[Job]] = {}  # seeds, rates and folds of a model cost the same
    for job in jobs:
        same.setdefault(job.run.model, []).append(job)
    whole, speed = True, 0.0  # of all devices, in sweeps a second
    for device in dict.fromkeys(devices):
        seconds, encoding = 0.0, {}
        for choice, (job, *others) in same.items():
            process = _Process(threading.Event())  # a new one, whose peak memory is of this model
            try:
                how = device, devices.count(device)
                found = process.do(_try, *how) or process.do(_check, job, *how)
            finally:
                process.end()
            told = {"run": job.name, "device": device}
            if isinstance(found, str):
                whole = False
                print(printable(say("check_failed", **told, fault=found)), flush=True)
                continue
            found["asked"], memory = job.run.micro_batch, found.pop("memory_mb")
            fits = "check_fits" if found["batch_size"] == found["asked"] else "check_halved"
            told["memory"] = f"{memory:,.0f} MB" if memory else say("not_measured")
            told |= found | {"time": duration(found["run_sec"], say)}
            print(printable(say("check_found", **told, fits=say(fits, **found))), flush=True)
            seconds += (1 + len(others)) * found["run_sec"]
            # Models of one pair of checkpoints share what their frozen encoders have read.
            encoding[choice.name, choice.image_backbone] = found["encode_sec"]
        speed += 1 / (seconds + sum(encoding.values()) or math.inf)
    if whole:
        end = datetime.now() + timedelta(seconds=1 / speed)
        how = {"time": duration(1 / speed, say), "end": f"{end:%Y-%m-%d %H:%M}"}
        print(say("check_end", n=len(jobs), **how), flush=True)
    return whole


class _Sweep:
    """The queue, and what became of its runs. A thread ``serve``s each device."""

    def __init__(self, jobs: list[Job], say: Language):
        self.waiting, self.stopped = deque(jobs), threading.Event()
        self.faults: dict[str, str] = {}
        self._say, self._count, self._begin = say, len(jobs), time.monotonic()
        self._ended: list[Job] = []  # made, by another command too, or failed
        self._made: list[Job] = []
        self._killed: set[Job] = set()  # runs during which a process was killed
        self._elsewhere: set[Job] = set()  # runs that another command is making

    def serve(self, device: str, at_once: int) -> None:
        """Make runs on a device, one of ``at_once`` threads that do, until none is left; try it
        first."""
        process = None
        try:
            while self.waiting and not self.stopped.is_set():
                if process is None:
                    process = _Process(self.stopped)
                    if fault := process.do(_try, device, at_once):
                        self._show("device_left_out", device=device, fault=fault)
                        return
                try:
                    job = self.waiting.popleft()
                except IndexError:  # another thread was faster
                    return
                if _is_locked(job):
                    self._wait_for(job)
                elif job.is_finished():
                    self._end(job, "made_elsewhere")
                elif self._make_run(job, device, process):
                    process.end()  # what an error has left in it must not reach the next run
                    process = None
        finally:
            if process is not None:
                process.end()

    def _wait_for(self, job: Job) -> None:
        self.waiting.append(job)
        if job not in self._elsewhere:
            self._elsewhere.add(job)
            self._show("waited_for", run=job.name)
        self.stopped.wait(_LOOK_SEC)

    def _make_run(self, job: Job, device: str, process: _Process) -> str:
        """Make a run, or put it off; return why it was not made."""
        self._show("started_on", run=job.name, device=device, summary=self._summary())
        begin = time.monotonic()
        fault = process.do(_make, job, device)
        if not fault:
            self._made.append(job)
            self._end(job, "made_in", seconds=time.monotonic() - begin)
        elif self.stopped.is_set():
            pass
        elif fault == BUSY:  # another command was faster
            self._wait_for(job)
        elif fault == KILLED and job not in self._killed:
            self._killed.add(job)
            self._show("once_more", run=job.name, fault=fault)
            self.waiting.append(job)
        else:
            self.faults[job.name] = printable(fault)
            self._end(job, "run_failed", fault=fault)
        return fault

    def _end(self, job: Job, how: str, **values: Any) -> None:
        self._ended.append(job)
        self._show(how, run=job.name, **values)

    def _show(self, key: str, **values: Any) -> None:
        # In one piece: threads print at the same time.
        print(f"{printable(self._say(key, **values))}\n", end="", flush=True)

    def _summary(self) -> str:
        """Return how many runs are left, and until when."""
        left = self._count - len(self._ended)
        text = self._say("runs_left", n=left, failed=len(self.faults))
        if not self._made:
            return text
        seconds = (time.monotonic() - self._begin) / len(self._made) * left
        end = datetime.now() + timedelta(seconds=seconds)
        return self._say("until_about", left=text, time=f"{end:%Y-%m-%d %H:%M}")


class _Process:
    """A process that makes runs for a thread of this one."""

    def __init__(self, stopped: threading.Event):
        self._stopped = stopped
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(theirs,))
        self._process.start()
        theirs.close()

    def do(self, task: Callable[..., Any], *values: Any) -> Any:
        """Return what a task returns, or why it failed. True and False are signs of life."""
        last_sign = time.monotonic()
        try:
            self._pipe.send((task, values))
            while not self._stopped.is_set():
                if self._pipe.poll(_LOOK_SEC):
                    answer = self._pipe.recv()  # of the task, or if the process is at work
                    if not isinstance(answer, bool):
                        return answer
                    last_sign = time.monotonic() if answer else last_sign
                if time.monotonic() - last_sign > SILENCE_SEC:
                    self._process.kill()
                    self._process.join()  # so that it holds no lock
                    return f"it hangs: no sign of life for {SILENCE_SEC / 60:.0f} minutes"
        except (EOFError, OSError):
            return KILLED
        return "stopped"

    def end(self) -> None:
        """End it as by Ctrl-C: what is finished is kept."""
        self._pipe.close()
        self._process.join(_ENDING_SEC)
        self._process.kill()
        self._process.join()


def _is_locked(job: Job) -> bool:
    """Tell if another process works on the folder of a run."""
    path = layout.lock(job.run.paths.runs, job.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = lock(path)
    except OSError as error:
        raise UserError(
            f"cannot write in {path.parent}: {reason_of(error)}. Give another --output-dir"
        ) from error
    if held is not None:
        unlock(held)
    return held is None


# What follows runs in the processes.


def _serve(pipe: Connection) -> None:
    """Do one task after the other, until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for compare_all.py, which then ends us
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(target=_show_life, args=(pipe,), daemon=True).start()
    with suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            task, values = pipe.recv()
            answer = task(*values)
            with _sending:
                pipe.send(answer)


def _show_life(pipe: Connection) -> None:
    """Say again and again if the process computes, or waits for one that does: one that hangs does
    neither. End it with compare_all.py."""
    with suppress(OSError):  # the other end is closed
        while True:
            before = time.process_time() - time.thread_time()
            time.sleep(_SIGN_SEC)
            used = time.process_time() - time.thread_time() - before
            with _sending:
                pipe.send(used > _AT_WORK * _SIGN_SEC or WAITING.is_set())
    if os.name == "nt":
        _thread.interrupt_main(signal.SIGTERM)
    else:  # unlike the former it also wakes a thread that waits for another one
        signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
    time.sleep(_GRACE_SEC)
    os._exit(1)


def _try(device: str, at_once: int) -> str:
    """Import what trains, take a share of the cores, since ``at_once`` processes use the device, and
    compute something; return why that cannot be done, or else ""."""
    _print_to(Path(os.devnull))
    try:
        import torch
        from tqdm import tqdm

        from .training import device as devices

        torch.set_num_threads(max(1, torch.get_num_threads() // at_once))
        tqdm.set_lock(threading.RLock())  # its own one would be left behind where we are killed
        devices.find_device(device)
    except Exception as error:
        return reason_of(error)
    return ""


def _check(job: Job, device: str, at_once: int) -> dict[str, Any] | str:
    """Try a run on a device that ``at_once`` processes share; return what ``training.check.check``
    returns, or why it failed."""
    from .models.checkpoint import NO_DOWNLOADS

    NO_DOWNLOADS.set()
    try:
        from .training.check import check

        return check(replace(job.run, machine=replace(job.run.machine, device=device)), at_once)
    except UserError as error:
        return " ".join(str(error).split())
    except Exception as error:
        return f"{type(error).__name__}: {reason_of(error)}"


def _make(job: Job, device: str) -> str:
    """Run a command; return why it failed, "" if it did not."""
    try:
        job.log.parent.mkdir(parents=True, exist_ok=True)
        _print_to(job.log)
    except OSError as error:
        return f"cannot write {job.log}: {reason_of(error)}"
    module = importlib.import_module(job.command)
    arguments = [*job.arguments, "--device", device]
    sys.argv = [str(module.__file__), *arguments]  # the run records it
    try:
        module.main(arguments)
        return ""
    except Busy:
        return BUSY
    except UserError as error:
        fault = " ".join(str(error).split())
        told = f"error: {fault}"
    except KeyboardInterrupt as stop:
        fault = told = f"stopped: {stop}"
    except Exception as error:  # the other runs go on
        fault, told = f"{type(error).__name__}: {error}"[:300], traceback.format_exc()
    with suppress(OSError):  # the log's disk is full
        print(told, flush=True)
    return fault


def _print_to(log: Path) -> None:
    """Send all output to a new file, also that of libraries that are not written in Python.

    The streams are new ones: those of a Windows console go on calling the console, and tqdm, which
    would keep those that it finds there, is imported only after this."""
    with open(log, "wb") as file:
        for name, number in (("stdout", 1), ("stderr", 2)):
            getattr(sys, name).flush()
            os.dup2(file.fileno(), number)
            how = {"buffering": 1, "encoding": "utf-8", "errors": "replace", "closefd": False}
            setattr(sys, name, open(number, "w", **how))  # noqa: SIM115
