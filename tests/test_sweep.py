"""compare_all.py makes what the single commands make, whatever fails, hangs or is stopped between."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import compare_all
import compare_summary
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
# Stand in for torch and a training, which take seconds: a run is made at once, unless it fails.
TORCH = """
from types import SimpleNamespace
def device(name):
    assert name == "cpu", "no such device"
def zeros(count, device):
    return SimpleNamespace(item=int)
def get_num_threads():
    return 2
def set_num_threads(count):
    assert count >= 1
"""
TRAINING = """
import time
from common.command import training_run
from common.errors import Busy, UserError
from common.files import lock, unlock
from common.runs import layout
def main(argv):
    run = training_run("clip", "", argv)
    if (run.paths.project_root / f"fails{run.protocol.seed}").exists():
        raise UserError("the checkpoint is broken")
    held = lock(layout.lock(run.paths.runs, run.name))
    if not held:
        raise Busy("")
    time.sleep(0.2)
    (run.paths.runs / run.name).mkdir()
    record = run.paths.runs / run.name / "metrics.json"
    record.write_text('{"protocol": {}, "model": {}}', encoding="utf-8")
    for name in layout.WHOLE[1:]:
        (record.parent / name).touch()
    unlock(held)
"""


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(compare_visualize, "main", lambda *_: None)  # takes longer than the runs
    return make_small_project(tmp_path / "a project")


@pytest.fixture
def quick(tmp_path, monkeypatch) -> str:
    """Let the processes take the programs above instead of torch and compare_clip.py."""
    (tmp_path / "torch.py").write_text(TORCH, encoding="utf-8")
    (tmp_path / "compare_clip.py").write_text(TRAINING, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(compare_all, "read_results", lambda args: None)
    monkeypatch.setattr(compare_summary, "main", lambda *_: None)
    return str(tmp_path)


def command(project: Path, hub, *more: str) -> list[str]:
    models = ["--models", "clip", "--clip-model", hub.folder(CLIP)]
    return ["--project-root", str(project), *models, *SMALL, "--epochs", "2", *more]


def begin(project: Path, hub, *more: str, path: str = "") -> subprocess.Popen:
    """Start compare_all.py, without its end; ``path`` is where modules are looked for first."""
    code = f"""
import sys
sys.path.insert(0, {path!r})
import compare_all, compare_summary, compare_visualize
compare_all.read_results = compare_summary.main = compare_visualize.main = lambda *_: None
compare_all.run_command(compare_all.main)
"""
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
    """The second one with the frozen encoder that its process has kept of the first."""
    line = command(project, hub, "--seeds", "42,43", "--devices", "cpu", "--freeze-encoders")
    compare_all.main(line)
    single = ["--epochs", "2", "--seed", "43", "--output-dir", "alone"]
    alone = run_small(project, hub, "clip", *single, "--freeze-encoders")
    assert_same_run(compare_dir(project) / alone.name, alone)
    assert len(list(compare_dir(project).glob("*/best.pt"))) == 2
    assert (compare_dir(project) / "compare_summary.csv").is_file()

    capsys.readouterr()
    compare_all.main(line)
    assert "2 of them finished before; 0 to make" in capsys.readouterr().out
    (job, _), _ = compare_all.parse(line)
    (job.folder / layout.BEST).unlink()
    compare_all.main(line)
    (said,) = [text for text in capsys.readouterr().out.splitlines() if "best.pt" in text]
    assert job.name in said
    for name in layout.WHOLE:
        (job.folder / name).rename(project / name)
        assert not job.is_finished()
        (project / name).rename(job.folder / name)
    assert job.is_finished()
    for other in (["--epochs", "3"], ["--max-length", "9"], ["--weight-decay", "1"]):
        (changed, _), _ = compare_all.parse([*line, *other])
        assert changed.name == job.name and not changed.is_finished()
    texts = project / "outputs" / "splits" / "val.csv"
    texts.write_text(texts.read_text(encoding="utf-8").replace("今天", "昨天"), encoding="utf-8")
    (changed, _), _ = compare_all.parse([*line, "--val-csv", str(texts)])
    assert not changed.is_finished()


def test_what_fails_hangs_or_is_killed_twice_stops_no_other_run_and_is_made_by_the_next_call(
    project, hub, quick, monkeypatch, capsys
):
    line = command(project, hub, "--seeds", "42,43,44,45,46", "--devices", "abacus:0,cpu")
    do, kills = sweep._Process.do, [43, 44, 44]
    (project / "fails45").touch()
    in_the_way = compare_all.parse(line)[0][4].log
    in_the_way.mkdir(parents=True)

    def do_and_harm(process, task, *values) -> str:
        seed = values[0].run.protocol.seed if task is sweep._make else None
        if seed:
            monkeypatch.setattr(sweep, "SILENCE_SEC", 4.0 if seed == 42 else 1800.0)
        if seed == 42:
            freeze(process._process.pid)
        elif seed in kills:
            kills.remove(seed)
            process._process.kill()
        return do(process, task, *values)

    with monkeypatch.context() as patch, pytest.raises(SystemExit) as stopped:
        patch.setattr(sweep._Process, "do", do_and_harm)
        compare_all.main(line)
    assert stopped.value.code == 1
    said = capsys.readouterr().out
    failed = [text for text in said.splitlines() if text.startswith("failed:")]
    assert "abacus:0 is left out: --device abacus:0 cannot be used" in said
    assert [place for place in range(42, 47) if f"seed{place}" in "".join(failed)] == [44, 45, 46]
    reasons = ("it hangs", "its process was killed", "the checkpoint is broken", "cannot write")
    assert [sum(why in text for text in failed) for why in reasons] == [1, 1, 1, 1], failed
    (made,) = compare_dir(project).glob("*/metrics.json")
    before = made.stat().st_mtime_ns

    in_the_way.rmdir()
    (project / "fails45").unlink()
    compare_all.main(line)
    assert "1 of them finished before; 4 to make" in capsys.readouterr().out
    assert made.parent.name.endswith("_seed43") and made.stat().st_mtime_ns == before
    assert len(list(compare_dir(project).glob("*/metrics.json"))) == 5


def test_without_a_device_nothing_is_made_and_a_folder_that_cannot_be_written_is_named(
    project, hub, quick
):
    with pytest.raises(UserError, match="no device is left"):
        compare_all.main(command(project, hub, "--devices", "abacus:0"))
    compare_dir(project).write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="cannot write in .*compare.*--output-dir"):
        compare_all.main(command(project, hub, "--devices", "cpu"))


def test_processes_end_when_compare_all_is_stopped_or_killed_and_keep_what_is_finished(
    project, hub
):
    more = ["--epochs", "200"]
    if os.name != "nt":  # Windows has no such signals
        process = begin(project, hub, *more)
        wait_for(lambda: log_says(project, "epoch 2/200"))
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 130 and "Traceback" not in errors
        told = "stopped: runs and epochs that were finished are kept"
        assert errors.splitlines()[-1].startswith(told) and "another command" not in output
        assert log_says(project, "stopped: the epochs that were finished are kept")
        assert not is_being_trained(project)

    process = begin(project, hub, *more)
    wait_for(lambda: is_being_trained(project) and log_says(project, "/200  train loss"))
    process.kill()
    process.communicate()
    wait_for(lambda: not is_being_trained(project))  # 5 s on a machine with nothing else to do
    assert log_says(project, "going on after epoch") or os.name == "nt"


def test_two_calls_at_once_share_the_work(project, hub, quick):
    more = ["--seeds", "42,43,44,45", "--devices", "cpu"]
    calls = [begin(project, hub, *more, path=quick) for _ in range(2)]
    told = "".join(call.communicate(timeout=300)[0] for call in calls)
    assert [call.returncode for call in calls] == [0, 0]
    assert told.count(": made in ") == 4 and len(list(compare_dir(project).glob("clip*"))) == 4


def test_a_process_that_waits_for_what_another_makes_shows_life(monkeypatch):
    """It uses no processor time, and would be taken for one that hangs."""
    signs = []

    def send(sign: bool) -> None:
        signs.append(sign)
        if len(signs) == 3:
            raise ZeroDivisionError  # the end of the test
        WAITING.set()  # the other process begins

    monkeypatch.setattr(sweep.time, "process_time", sweep.time.thread_time)
    monkeypatch.setattr(sweep.time, "sleep", lambda seconds: None)
    with pytest.raises(ZeroDivisionError):
        sweep._show_life(SimpleNamespace(send=send))
    WAITING.clear()
    assert signs == [False, True, True]


# Before hours of training


def test_check_tries_each_model_once_and_trains_nothing(project, hub, capsys):
    line = command(project, hub, "--seeds", "42,43", "--lrs", "1e-5,2e-5", "--baselines", "--check")
    line += ["--devices", "cpu", "--lang", "en", "--text-model", "someone/never-seen"]
    with pytest.raises(SystemExit) as ended:
        compare_all.main(line)
    said = capsys.readouterr().out
    assert ended.value.code == 1 and said.count("cannot be tried") == 2  # text and image
    assert said.count("4 samples at once fit") == 1 and "12 runs" in said
    assert not compare_dir(project).exists()


@pytest.mark.parametrize(
    "more", [(), ("--freeze-encoders",), ("--fusion", "attention", "--freeze-encoders")]
)
def test_a_check_halves_what_does_not_fit_and_takes_whole_steps(project, hub, more, monkeypatch):
    """Memory runs out in the first step."""
    from common.command import training_run
    from common.training import check, engine

    flags = ["--project-root", str(project), "--model-name", hub.folder(CLIP), *SMALL, *more]
    steps, run, whole = [], training_run("clip", "", flags), engine.Trainer._take_step

    def take_step(trainer):
        steps.append(trainer)
        if len(steps) == 1:
            raise RuntimeError("CUDA out of memory")
        whole(trainer)

    monkeypatch.setattr(engine.Trainer, "_take_step", take_step)
    found = check.check(run, 1)
    assert len(steps) == 3 and found["batch_size"] == 2 and found["memory_mb"] is None
    assert (found["encode_sec"] > 0) == ("--freeze-encoders" in more)
    assert found["run_sec"] > run.protocol.epochs * 4 * found["step_sec"]  # 14 pairs by fours
    assert not compare_dir(project).exists()


def test_nothing_is_downloaded_where_a_run_is_tried(monkeypatch, tmp_path):
    from common.models import checkpoint, image_towers

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(checkpoint, "_why_out_of_reach", lambda: pytest.fail("the hub is asked"))
    monkeypatch.setattr(image_towers, "download_url_to_file", lambda *_, **__: pytest.fail("asked"))
    checkpoint.NO_DOWNLOADS.set()
    try:
        for get in (checkpoint.find_weights, lambda name: image_towers._load_published(None, name)):
            with pytest.raises(UserError, match="--check downloads nothing"):
                get("someone/never_seen-0123.pth")
    finally:
        checkpoint.NO_DOWNLOADS.clear()


# The command line


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
    line = ["--seeds", "1,2", "3", "3,1", "--models", "clip, blip", "late", "--devices", "a,b", "a"]
    jobs, args = compare_all.parse(line)
    assert args.devices == ["a", "b", "a"]  # named twice: two runs at once
    names = [(job.command, job.run.model.fusion, job.run.protocol.seed) for job in jobs]
    three = [("compare_clip", "concat"), ("compare_blip", "concat"), ("compare_train", "late")]
    assert names == [(*model, seed) for seed in (1, 2, 3) for model in three]
    wrong = {"--seeds": "1,x", "--lrs": "0", "--models": "clip,sum", "--devices": ","}
    for flag, text in wrong.items():
        with pytest.raises(SystemExit) as stopped:
            compare_all.parse([flag, text])
        assert stopped.value.code == 2 and f"argument {flag}: " in capsys.readouterr().err
    for flag in compare_all.REPLACED:
        with pytest.raises(UserError, match=f"^{flag} is of a single run: give --"):
            compare_all.parse([flag, "1"])


def test_runs_that_share_a_frozen_encoder_follow_each_other():
    jobs, _ = compare_all.parse(["--freeze-encoders", "--seeds", "1,2", "--baselines"])
    found = [job.run.model.family.replace("bert_resnet", job.run.model.fusion) for job in jobs]
    joined = ["concat", "gated", "late"] * 2
    assert found == [*joined, "image", "image", "text", "text", "blip", "blip", "clip", "clip"]


def test_the_quickest_model_of_each_comparison_is_made_first(tmp_path):
    """By the weights on this disk; what shares a frozen encoder stays together."""
    line = ["--models", "blip,clip,late,concat", "--baselines", "--seeds", "2,1"]
    for name, size in (("blip", 30), ("clip", 20), ("text", 20)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(bytes(size))
        line += [f"--{name}-model", str(tmp_path / name)]

    def order(*more: str) -> list[str]:
        jobs = sweep.quickest_first(compare_all.parse([*line, *more])[0])
        names = [job.run.model.family.replace("bert_resnet", job.run.model.fusion) for job in jobs]
        return [f"{n} {job.run.protocol.seed}" for n, job in zip(names, jobs, strict=True)]

    once = ["text", "image", "clip", "late", "concat", "blip"]  # equal ones as they were given
    assert order() == [f"{name} {seed}" for seed in (2, 1) for name in once]
    frozen = ["image", "text", "late concat", "clip", "blip"]
    frozen = [f"{n} {seed}" for names in frozen for seed in (2, 1) for n in names.split()]
    assert order("--freeze-encoders") == frozen
    unknown = order("--text-model", "no/where", "--blip-model", "no/where")
    assert unknown[2:6] == ["clip 2", "blip 2", "late 2", "concat 2"]


def test_blip_keeps_its_batch_and_every_model_gets_the_flags_that_it_has():
    line = ["--batch-size", "32", "--image-backbone", "resnet50", "--epochs", "7"]
    jobs = {job.run.model.family: job.run for job in compare_all.parse(line)[0]}
    assert {run.protocol.epochs for run in jobs.values()} == {7}
    assert [jobs[name].machine.batch_size for name in ("clip", "blip")] == [32, 8]
    assert jobs["bert_resnet"].model.image_backbone == "resnet50"
    (blip,), _ = compare_all.parse(["--models", "blip", "--blip-batch-size", "4"])
    assert blip.run.machine.batch_size == 4


def test_models_may_have_encoders_of_their_own(tmp_path, capsys):
    """In a list or a file; of each encoder one baseline is made."""
    file = tmp_path / "models.txt"
    file.write_text("# one a line\nlate@r/obert+swin_t\nclip@a/siglip # by type\n\n", "utf-8-sig")
    root = ["--project-root", str(tmp_path)]
    models = ["--models", "concat@r/obert+vit_b_16,gated@r/obert"]

    def made(*line: str) -> list[str]:
        return [job.name for job in compare_all.parse([*root, *line])[0]]

    pairs = ["r_obert_vit_b_16_concat", "r_obert_resnet18_gated"]
    from_file = ["r_obert_swin_t_late", "clip_a_siglip"]
    assert made(*models) == pairs
    assert made("--models-file", "models.txt") == from_file
    assert made(*models, "--models-file", "models.txt") == pairs + from_file
    singles = ["r_obert_vit_b_16_text", "r_obert_vit_b_16_image", "r_obert_resnet18_image"]
    assert made(*models, "--baselines") == pairs + singles
    # Said twice, it is made once.
    assert made("--models", "concat,concat@bert-base-chinese+resnet18") == [
        "bert-base-chinese_resnet18_concat"
    ]

    for text in ("clip@a+b", "concat@", "concat@a+", "text@a"):
        with pytest.raises(SystemExit):
            compare_all.parse(["--models", text])
        assert "argument --models: " in capsys.readouterr().err
    for text, says in (("late\nlaet", "line 2: 'laet' is none of"), ("# x", "names no model")):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match=says):
            made("--models-file", "models.txt")
    with pytest.raises(UserError, match="--models-file .*nowhere.txt cannot be read"):
        made("--models-file", "nowhere.txt")
    for folder in ("a", "b"):
        (tmp_path / folder / "my").mkdir(parents=True)
    with pytest.raises(UserError, match="two models would have the run folder my_resnet18_late"):
        made("--models", f"late@{tmp_path}/a/my,late@{tmp_path}/b/my")


def test_all_output_goes_to_the_log_though_the_streams_are_those_of_a_console(tmp_path):
    """Those of a Windows console do not write to their file number."""
    code = """
import os, sys
from io import RawIOBase, TextIOWrapper
from pathlib import Path
import compare_all  # as a new process does first
from common.sweep import _print_to
assert "tqdm" not in sys.modules  # it would use the streams that it finds
sys.stdout, sys.stderr = TextIOWrapper(RawIOBase()), TextIOWrapper(RawIOBase())
for path in sys.argv[1:]:
    _print_to(Path(path))
    print("天气", path[-1])
    print("很好", file=sys.stderr)
    os.write(1, b"raw")
"""
    logs = [str(tmp_path / "log1"), str(tmp_path / "log2")]
    subprocess.run([sys.executable, "-c", code, *logs], cwd=STAGE2 / "scripts", check=True)
    for log in logs:
        lines = Path(log).read_text(encoding="utf-8").splitlines()
        assert lines == [f"天气 {log[-1]}", "很好", "raw"]
