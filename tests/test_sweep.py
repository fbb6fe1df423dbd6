"""compare_all.py makes what the single commands make, whatever fails, hangs or is stopped between."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import compare_all
import compare_visualize
import pytest
from common import sweep
from common.errors import UserError
from common.files import WAITING, lock, unlock
from common.runs import layout
from helpers.hub import CLIP, STAGE2
from helpers.signals import freeze, heed_ctrl_c
from helpers.small_project import assert_same_run, compare_dir, make_small_project, run_small

SMALL = ["--image-size", "32", "--batch-size", "4", "--effective-batch-size", "4"]


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(compare_visualize, "main", lambda argv: None)  # takes longer than the runs
    return make_small_project(tmp_path / "a project")


def command(project: Path, hub, *more: str) -> list[str]:
    models = ["--models", "clip", "--clip-model", hub.folder(CLIP)]
    epochs = [] if "--epochs" in more else ["--epochs", "2"]
    return ["--project-root", str(project), *models, *SMALL, *epochs, *more]


def fails(line: list[str], capsys) -> list[str]:
    """Run compare_all.py, whose status must be 1, and return its lines."""
    with pytest.raises(SystemExit) as stopped:
        compare_all.main(line)
    assert stopped.value.code == 1
    return capsys.readouterr().out.splitlines()


def folders(project: Path) -> dict[str, Path]:
    """The finished runs by the end of their name, such as seed43."""
    found = compare_dir(project).glob("[!.]*/best.pt")
    return {path.parent.name.rpartition("_")[2]: path.parent for path in found}


def begin(project: Path, hub, *more: str) -> subprocess.Popen:
    """Start compare_all.py, without the pictures that it draws at its end."""
    code = "import compare_all, compare_visualize; compare_visualize.main = lambda argv: None; "
    code += "compare_all.run_command(compare_all.main)"
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
    how |= {"env": {**os.environ, **hub.variables, "PYTHONUTF8": "1"}, "cwd": STAGE2 / "scripts"}
    line = [sys.executable, "-c", code, *command(project, hub, *more)]
    return subprocess.Popen(line, preexec_fn=heed_ctrl_c, **how)


def wait_for(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


def log_says(project: Path, text: str) -> bool:
    logs = (compare_dir(project) / layout.LOGS).glob("*.log")
    return any(text in log.read_text(encoding="utf-8", errors="replace") for log in logs)


def is_being_trained(project: Path) -> bool:
    for path in compare_dir(project).glob(".*" + layout.LOCK):
        held = lock(path)
        if held is None:
            return True
        unlock(held)
    return False


def test_each_run_is_what_its_own_command_makes_and_is_made_once(project, hub, capsys):
    line = command(project, hub, "--seeds", "42,43", "--devices", "cpu", "abacus:0")
    for frozen in ([], ["--freeze-encoders"]):
        compare_all.main([*line, *frozen])
        told = capsys.readouterr().out
        assert "abacus:0 is left out: --device abacus:0 cannot be used" in told
        single = ["--epochs", "2", "--lr", "2e-5", "--seed", "43", "--output-dir", "alone"]
        alone = run_small(project, hub, "clip", *single, *frozen)
        assert_same_run(compare_dir(project) / alone.name, alone)
    assert len(list(compare_dir(project).glob("*/best.pt"))) == 4
    assert (compare_dir(project) / "compare_summary.csv").is_file()

    compare_all.main(line)
    assert "2 of them finished before; 0 to make" in capsys.readouterr().out
    (job, _), _ = compare_all.parse(line)
    assert job.is_finished()
    for other in (["--epochs", "3"], ["--max-length", "9"], ["--no-train-aug"]):
        (changed, _), _ = compare_all.parse([*line, *other])
        assert changed.name == job.name and not changed.is_finished()
    texts = project / "outputs" / "splits" / "val.csv"
    texts.write_text(texts.read_text(encoding="utf-8").replace("今天", "昨天"), encoding="utf-8")
    (changed, _), _ = compare_all.parse([*line, "--val-csv", str(texts)])
    assert not changed.is_finished()


def test_a_failed_run_does_not_stop_the_others_and_is_the_only_one_made_again(
    project, hub, tmp_path, capsys
):
    broken = Path(shutil.copytree(hub.folder(CLIP), tmp_path / "broken"))
    (weights,) = [path for path in broken.iterdir() if path.suffix in (".bin", ".safetensors")]
    content = weights.read_bytes()
    weights.write_bytes(content[:-100])
    models = ["--models", "clip", "attention", "late"]
    line = command(project, hub, "--clip-model", str(broken), *models)
    line += ["--text-model", hub.folder("bert-base-chinese")]
    logs = {job.run.model.fusion: job.log for job in compare_all.parse(line)[0]}
    logs["late"].mkdir(parents=True)  # in the way of its log
    told = [text for text in fails(line, capsys) if text.startswith("failed:")]
    assert "clip_broken" in told[0] and weights.name in told[0]
    assert logs["late"].stem in told[1] and f"cannot write {logs['late']}" in told[1]
    assert list(folders(project)) == ["attention"]
    before = (folders(project)["attention"] / "metrics.json").stat().st_mtime_ns

    weights.write_bytes(content)
    logs["late"].rmdir()
    compare_all.main(line)
    assert "1 of them finished before; 2 to make" in capsys.readouterr().out
    after = folders(project)
    assert len(after) == 3 and (after["attention"] / "metrics.json").stat().st_mtime_ns == before


def test_a_run_that_hangs_or_is_killed_twice_has_failed_and_the_others_are_made(
    project, hub, monkeypatch, capsys
):
    do, kills = sweep._Process.do, [43, 44, 44]

    def do_and_harm(process, task, *values) -> str:
        seed = values[0].run.protocol.seed if task is sweep._make else None
        monkeypatch.setattr(sweep, "SILENCE_SEC", 5.0 if seed == 42 else 1800.0)
        if seed == 42:
            freeze(process._process.pid)
        elif seed in kills:
            kills.remove(seed)
            process._process.kill()
        return do(process, task, *values)

    monkeypatch.setattr(sweep._Process, "do", do_and_harm)
    told = fails(command(project, hub, "--seeds", "42,43,44"), capsys)
    failed = [text for text in told if text.startswith("failed:")]
    assert list(folders(project)) == ["seed43"]
    assert len(failed) == 2
    assert "hangs" in failed[0] and "seed44: its process was killed" in failed[1]


def test_without_a_device_nothing_is_made_and_a_folder_that_cannot_be_written_is_named(
    project, hub, capsys
):
    with pytest.raises(UserError, match="no device is left"):
        compare_all.main(command(project, hub, "--devices", "abacus:0"))
    compare_dir(project).write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="cannot write in .*compare.*--output-dir"):
        compare_all.main(command(project, hub))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_ends_the_processes_and_keeps_what_is_finished(project, hub, number, status):
    process = begin(project, hub, "--epochs", "400")
    wait_for(lambda: log_says(project, "epoch 2/400"))
    process.send_signal(number)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == status and "Traceback" not in errors
    told = "stopped: runs and epochs that were finished are kept"
    assert errors.splitlines()[-1].startswith(told) and "another command" not in output
    assert log_says(project, "stopped: the epochs that were finished are kept")
    assert not is_being_trained(project)


def test_processes_end_when_compare_all_is_killed_and_two_calls_after_it_share_the_work(
    project, hub
):
    more = ["--epochs", "20", "--seeds", "42,43"]
    process = begin(project, hub, *more)
    wait_for(lambda: log_says(project, "epoch 2/20"))
    process.kill()
    killed = time.monotonic()
    process.communicate()
    wait_for(lambda: not is_being_trained(project))
    assert time.monotonic() - killed < 10  # 5 on a machine with nothing else to do
    calls = [begin(project, hub, *more), begin(project, hub, *more)]
    told = "".join(call.communicate(timeout=300)[0] for call in calls)
    assert [call.returncode for call in calls] == [0, 0]
    assert told.count(": made in ") == 2 and log_says(project, "going on after epoch")
    single = ["--epochs", "20", "--lr", "2e-5", "--output-dir", "alone"]
    alone = run_small(project, hub, "clip", *single)
    assert_same_run(compare_dir(project) / alone.name, alone)


def test_a_process_that_waits_for_what_another_makes_shows_life(monkeypatch):
    """It uses no processor time, and would be taken for one that hangs."""

    class Sent(BaseException):
        pass

    class Connection:
        looks = 0

        def poll(self, seconds: float) -> bool:
            self.looks += 1
            if self.looks == 3:  # the other process begins
                WAITING.set()
            return False

        def send(self, sign: None) -> None:
            raise Sent

    monkeypatch.setattr(sweep.time, "process_time", sweep.time.thread_time)
    connection = Connection()
    with pytest.raises(Sent):
        sweep._stay_in_touch(connection)
    WAITING.clear()
    assert connection.looks == 3


def test_dry_run_prints_a_line_for_each_run_that_is_left(project, hub, capsys):
    line = command(project, hub, "--seeds", "42", "43", "--lrs", "1e-5,2e-5", "--baselines")
    compare_all.main([*line, "--dry-run"])
    printed = [shlex.split(text) for text in capsys.readouterr().out.splitlines()]
    jobs, _ = compare_all.parse(line)
    assert len(printed) == len(jobs) == 12
    for words, job in zip(printed, jobs, strict=True):
        module = __import__(Path(words[1]).stem)
        assert module.parse(words[2:]).name == job.name
    assert not compare_dir(project).exists()
    with pytest.raises(UserError, match="suits not every shell"):
        compare_all.main([*line, "--test-csv", "it's.csv", "--dry-run"])


def test_lists_take_commas_and_spaces_and_every_value_once(capsys):
    jobs, _ = compare_all.parse(
        ["--seeds", "1,2", "3", "3,1", "--models", "clip, blip", "late", "--devices", "a,b", "a"]
    )
    names = [(job.command, job.run.model.fusion, job.run.protocol.seed) for job in jobs]
    three = [("compare_clip", "concat"), ("compare_blip", "concat"), ("compare_train", "late")]
    assert names == [(*model, seed) for seed in (1, 2, 3) for model in three]
    wrong = {"--seeds": "1,x", "--lrs": "0", "--models": "clip,sum", "--devices": ","}
    for flag, text in wrong.items():
        with pytest.raises(SystemExit) as stopped:
            compare_all.parse([flag, text])
        assert stopped.value.code == 2 and f"argument {flag}: " in capsys.readouterr().err


def test_runs_that_share_a_frozen_encoder_follow_each_other():
    jobs, _ = compare_all.parse(["--freeze-encoders", "--seeds", "1,2", "--baselines"])
    found = [job.run.model.family.replace("bert_resnet", job.run.model.fusion) for job in jobs]
    joined = ["concat", "gated", "late"] * 2
    assert found == [*joined, "image", "image", "text", "text", "blip", "blip", "clip", "clip"]


def test_blip_keeps_its_batch_and_every_model_gets_the_flags_that_it_has():
    line = ["--batch-size", "32", "--image-backbone", "resnet50", "--epochs", "7"]
    jobs = {job.run.model.family: job.run for job in compare_all.parse(line)[0]}
    assert {run.protocol.epochs for run in jobs.values()} == {7}
    assert [jobs[name].machine.batch_size for name in ("clip", "blip")] == [32, 8]
    assert jobs["bert_resnet"].model.image_backbone == "resnet50"
    (blip,), _ = compare_all.parse(["--models", "blip", "--blip-batch-size", "4"])
    assert blip.run.machine.batch_size == 4


def test_a_flag_of_a_single_run_is_refused_with_what_stands_for_it():
    for flag in compare_all.REPLACED:
        with pytest.raises(UserError, match=f"^{flag} is of a single run: give --"):
            compare_all.parse([flag, "1"])


def test_all_output_goes_to_the_log_though_the_streams_are_those_of_a_console(tmp_path):
    code = """
import io, os, sys
from pathlib import Path
import compare_all  # as a new process does first
from common.sweep import _print_to

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
    subprocess.run(call, cwd=STAGE2 / "scripts", check=True)
    for log in logs:
        lines = log.read_text(encoding="utf-8").splitlines()
        assert lines == [f"天气 {log.name[-1]}", "很好", "raw"]
