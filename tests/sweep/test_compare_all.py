"""compare_all.py makes what the single commands make, whatever fails, hangs or is stopped between."""

import multiprocessing.connection
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import compare_all
import pytest
from common.errors import UserError
from common.files import WAITING, lock, unlock
from common.runs import layout
from common.sweep import run_all, worker
from common.sweep.process import Process
from helpers.hub import CLIP, STAGE2
from helpers.signals import freeze, heed_ctrl_c
from helpers.small_project import assert_same_run, compare_dir, make_small_project, run_small

SCRIPT = STAGE2 / "scripts" / "compare_all.py"
SMALL = ["--image-size", "32", "--batch-size", "4", "--effective-batch-size", "4"]
posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")


@pytest.fixture
def project(tmp_path) -> Path:
    return make_small_project(tmp_path / "a project")


def command(project: Path, hub, *more: str) -> list[str]:
    models = ["--models", "clip", "--clip-model", hub.folder(CLIP)]
    epochs = [] if "--epochs" in more else ["--epochs", "2"]
    return ["--project-root", str(project), *models, *SMALL, *epochs, *more]


def folders(project: Path) -> dict[str, Path]:
    return {
        path.name.rpartition("_")[2]: path
        for path in compare_dir(project).iterdir()
        if (path / "best.pt").is_file() and not path.name.startswith(".")
    }


def begin(project: Path, hub, *more: str) -> subprocess.Popen:
    environment = {**os.environ, **hub.variables, "PYTHONUTF8": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
    line = [sys.executable, str(SCRIPT), *command(project, hub, *more)]
    return subprocess.Popen(line, env=environment, preexec_fn=heed_ctrl_c, **pipes)


def wait_for(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


def log_says(project: Path, text: str) -> bool:
    logs = (compare_dir(project) / layout.LOGS).glob("*.log")
    return any(text in log.read_text(encoding="utf-8", errors="replace") for log in logs)


@pytest.mark.parametrize("frozen", [[], ["--freeze-encoders"]], ids=["trained", "frozen"])
def test_each_run_is_what_its_own_command_makes(project, hub, frozen):
    compare_all.main(command(project, hub, "--seeds", "42,43", *frozen))
    made = folders(project)
    assert len(made) == 2 and (compare_dir(project) / "compare_summary.csv").is_file()
    assert (compare_dir(project) / "visuals" / "index.html").is_file()
    single = ["--epochs", "2", "--lr", "2e-5", "--seed", "43", "--output-dir", "alone", *frozen]
    alone = run_small(project, hub, "clip", *single)
    assert_same_run(made["seed43"], alone)


def test_a_failed_run_does_not_stop_the_others_and_is_the_only_one_made_again(
    project, hub, tmp_path, capsys
):
    broken = Path(shutil.copytree(hub.folder(CLIP), tmp_path / "broken"))
    (weights,) = [path for path in broken.iterdir() if path.suffix in (".bin", ".safetensors")]
    content = weights.read_bytes()
    weights.write_bytes(content[:-100])
    bert = ["--models", "clip", "attention", "--text-model", hub.folder("bert-base-chinese")]
    line = command(project, hub, "--clip-model", str(broken), *bert)
    with pytest.raises(SystemExit) as stopped:
        compare_all.main(line)
    assert stopped.value.code == 1
    (told,) = [text for text in capsys.readouterr().out.splitlines() if text.startswith("failed:")]
    assert "clip_broken" in told and weights.name in told
    (good,) = folders(project).values()
    before = (good / "metrics.json").stat().st_mtime_ns

    weights.write_bytes(content)
    compare_all.main(line)
    assert "1 of them finished before; 1 to make" in capsys.readouterr().out
    assert len(folders(project)) == 2 and (good / "metrics.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("in_the_way", ["a full disk", "a folder"])
def test_a_log_that_cannot_be_written_is_told_of_its_run_alone(project, hub, capsys, in_the_way):
    line = command(project, hub, "--seeds", "42,43")
    log = compare_all.parse(line)[0][0].log
    log.parent.mkdir(parents=True)
    if in_the_way == "a folder":
        log.mkdir()
    elif os.name != "nt" and os.path.exists("/dev/full"):
        log.symlink_to("/dev/full")
    else:
        pytest.skip("needs a device that is always full")
    with pytest.raises(SystemExit) as stopped:
        compare_all.main(line)
    assert stopped.value.code == 1 and len(folders(project)) == 1
    (told,) = [text for text in capsys.readouterr().out.splitlines() if text.startswith("failed:")]
    says = {"a full disk": "No space left on device: make room", "a folder": f"cannot write {log}"}
    assert log.stem in told and says[in_the_way] in told

    log.rename(log.with_suffix(".old"))
    compare_all.main(line)
    assert len(folders(project)) == 2


def test_failed_runs_are_listed_even_where_the_summary_fails_too(project, hub, capsys):
    line = command(project, hub, "--seeds", "42,43")
    log = compare_all.parse(line)[0][0].log
    log.mkdir(parents=True)
    (compare_dir(project) / "compare_summary.csv").mkdir()
    with pytest.raises(UserError, match="compare_summary.csv"):
        compare_all.main(line)
    assert f"failed: {log.stem}: cannot write {log}" in capsys.readouterr().out


def test_a_folder_in_which_nothing_can_be_written_is_named(project, hub):
    compare_dir(project).write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="cannot write in .*compare.*--output-dir"):
        compare_all.main(command(project, hub))


@posix
@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_ends_the_processes_and_the_same_command_goes_on(project, hub, number, status):
    process = begin(project, hub, "--epochs", "400")
    wait_for(lambda: log_says(project, "epoch 2/400"))
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == status and "Traceback" not in errors
    assert errors.splitlines()[-1].startswith(
        "stopped: runs and epochs that were finished are kept"
    )
    assert log_says(project, "stopped: the epochs that were finished are kept")
    assert not is_being_trained(project)


def test_processes_end_when_compare_all_is_killed_and_a_second_call_waits_for_them(project, hub):
    process = begin(project, hub, "--epochs", "20")
    wait_for(lambda: log_says(project, "epoch 2/20"))
    process.kill()
    process.communicate()
    compare_all.main(command(project, hub, "--epochs", "20"))
    assert log_says(project, "going on after epoch")
    (made,) = folders(project).values()
    alone = run_small(
        project, hub, "clip", "--epochs", "20", "--lr", "2e-5", "--output-dir", "alone"
    )
    assert_same_run(made, alone)


def test_a_run_that_hangs_does_not_hang_the_others(project, hub, monkeypatch, capsys):
    monkeypatch.setattr(run_all, "SILENCE_SEC", 20.0)
    give = Process.give

    def give_and_freeze(process: Process, job) -> None:
        give(process, job)
        if job.run.protocol.seed == 42:
            freeze(process.process.pid)

    monkeypatch.setattr(Process, "give", give_and_freeze)
    with pytest.raises(SystemExit):
        compare_all.main(command(project, hub, "--seeds", "42,43"))
    assert list(folders(project)) == ["seed43"]
    assert "hangs" in capsys.readouterr().out


def test_a_process_that_waits_for_what_another_makes_shows_life(monkeypatch):
    """It uses no processor time, and would be taken for one that hangs."""

    class Reported(Exception):
        pass

    class Connection:
        def send(self, report):
            raise Reported

    looks = []

    def pause(seconds):  # the other process begins after two looks
        looks.append(seconds)
        if len(looks) == 3:
            WAITING.set()

    monkeypatch.setattr(worker.time, "sleep", pause)
    monkeypatch.setattr(worker.time, "process_time", worker.time.thread_time)
    with pytest.raises(Reported):
        worker._Worker(Connection()).show_life()
    WAITING.clear()
    assert len(looks) == 3


def test_a_run_that_another_process_trains_for_long_fails_alone(project, hub, monkeypatch, capsys):
    monkeypatch.setattr(run_all, "LOCK_PATIENCE_SEC", 1.0)
    (first, _) = compare_all.parse(command(project, hub, "--seeds", "42,43"))[0]
    first.folder.parent.mkdir(parents=True)
    path = layout.lock(first.folder.parent, first.name)
    # A process does not see its own lock.
    code = "import sys, time; from common.files import lock; from pathlib import Path; "
    code += "held = lock(Path(sys.argv[1])); print('held', flush=True); time.sleep(600)"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], cwd=SCRIPT.parent, stdout=subprocess.PIPE
    )
    try:
        holder.stdout.readline()
        with pytest.raises(SystemExit):
            compare_all.main(command(project, hub, "--seeds", "42,43"))
    finally:
        holder.kill()
        holder.communicate()
    assert list(folders(project)) == ["seed43"]
    assert f"failed: {first.name}: another process" in capsys.readouterr().out


def test_a_finished_run_of_another_protocol_or_of_other_pairs_is_made_again(project, hub):
    (job,) = compare_all.parse(command(project, hub))[0]
    assert not job.is_finished()
    compare_all.main(command(project, hub))
    assert job.is_finished()
    for other in (["--epochs", "3"], ["--max-length", "9"], ["--no-train-aug"]):
        (changed,) = compare_all.parse(command(project, hub, *other))[0]
        assert changed.name == job.name and not changed.is_finished()
    texts = project / "outputs" / "splits" / "val.csv"
    texts.write_text(texts.read_text(encoding="utf-8").replace("今天", "昨天"), encoding="utf-8")
    changed_copy = compare_all.parse(command(project, hub, "--val-csv", str(texts)))[0]
    assert not changed_copy[0].is_finished()


def test_dry_run_prints_a_line_for_each_run_that_is_left(project, hub, capsys):
    line = command(project, hub, "--seeds", "42", "43", "--lrs", "1e-5,2e-5", "--baselines")
    compare_all.main([*line, "--dry-run"])
    printed = [shlex.split(text) for text in capsys.readouterr().out.splitlines()]
    jobs = compare_all.parse(line)[0]
    assert len(printed) == len(jobs) == 12
    for words, job in zip(printed, jobs, strict=True):
        module = __import__(Path(words[1]).stem)
        assert module.parse(words[2:]).name == job.name
    assert not compare_dir(project).exists()


def test_lists_take_commas_and_spaces_and_every_value_once():
    jobs, _ = compare_all.parse(["--seeds", "1,2", "3", "3,1", "--models", "clip, blip", "late"])
    names = [(job.command, job.run.model.fusion, job.run.protocol.seed) for job in jobs]
    three = [("compare_clip", "concat"), ("compare_blip", "concat"), ("compare_train", "late")]
    assert names == [(*model, seed) for seed in (1, 2, 3) for model in three]


@pytest.mark.parametrize("text", [",", "", "1,x"])
@pytest.mark.parametrize("flag", ["--seeds", "--lrs", "--models", "--devices"])
def test_a_list_of_nothing_or_of_no_numbers_is_refused(flag: str, text: str, capsys):
    if (flag, text) == ("--devices", "1,x"):
        return  # a device may have any name
    with pytest.raises(SystemExit) as stopped:
        compare_all.parse([flag, text])
    assert stopped.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"argument {flag}: " in said and "values" not in said


def test_runs_that_share_a_frozen_encoder_follow_each_other():
    jobs = compare_all.parse(["--freeze-encoders", "--seeds", "1,2", "--baselines"])[0]
    found = [
        job.run.model.fusion if job.command == "compare_train" else job.command for job in jobs
    ]
    three, command = ["concat", "gated", "late"], ["compare_blip", "compare_clip"]
    assert found == [command[0]] * 2 + [command[1]] * 2 + three * 2 + ["image"] * 2 + ["text"] * 2


def test_blip_keeps_its_batch_and_every_model_gets_the_flags_that_it_has():
    line = ["--batch-size", "32", "--image-backbone", "resnet50", "--epochs", "7"]
    jobs = {job.name.split("_")[0]: job.run for job in compare_all.parse(line)[0]}
    assert {run.protocol.epochs for run in jobs.values()} == {7}
    assert [jobs[name].machine.batch_size for name in ("clip", "blip")] == [32, 8]
    assert jobs["bert-base-chinese"].model.image_backbone == "resnet50"
    (blip,) = compare_all.parse(["--models", "blip", "--blip-batch-size", "4"])[0]
    assert blip.run.machine.batch_size == 4


@pytest.mark.parametrize("flag", compare_all.REPLACED)
def test_a_flag_of_a_single_run_is_refused_with_what_stands_for_it(flag: str):
    with pytest.raises(UserError, match=f"^{flag} is of a single run: give --"):
        compare_all.parse([flag, "1"])


def is_being_trained(project: Path) -> bool:
    paths = list(compare_dir(project).glob(".*" + layout.LOCK))
    held = [lock(path) for path in paths]
    for path, file in zip(paths, held, strict=True):
        if file is not None:
            unlock(path, file)
    return None in held


def test_a_process_that_ends_before_it_takes_its_connection_is_noticed(monkeypatch):
    """Windows keeps the end of the connection that was meant for it open."""
    ends = []
    base = "multiprocessing.connection._ConnectionBase.close"
    monkeypatch.setattr(base, lambda end: ends.append(end))
    process = Process("cpu")
    monkeypatch.undo()
    process.process.kill()
    assert multiprocessing.connection.wait([process.process.sentinel], 60)
    process.process.join()
    assert process.reports() == [None]


def test_all_output_goes_to_the_log_though_the_streams_are_those_of_a_console(tmp_path):
    code = """
import io, os, sys
from pathlib import Path
import compare_all  # as a new process does first
from common.sweep.worker import _print_to

assert "tqdm" not in sys.modules  # on Windows, it would use the streams of the console at the end

class Console(io.RawIOBase):  # like that of Windows, it does not write to its file number
    def writable(self):
        return True
    def write(self, text):
        raise OSError("the handle is invalid")

sys.stdout, sys.stderr = io.TextIOWrapper(Console()), io.TextIOWrapper(Console())
for path in sys.argv[1:]:
    _print_to(Path(path))
    print("天气", path[-1])
    print("很好", file=sys.stderr)
    os.write(1, b"raw")
"""
    logs = [tmp_path / "log1", tmp_path / "log2"]
    call = [sys.executable, "-c", code, *map(str, logs)]
    subprocess.run(call, cwd=SCRIPT.parent, check=True)
    for log in logs:
        lines = log.read_text(encoding="utf-8").splitlines()
        assert lines == [f"天气 {log.name[-1]}", "很好", "raw"]
