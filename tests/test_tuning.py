"""Tuning a model: trials on its training pairs alone choose its settings and its epoch."""

from dataclasses import replace
from types import SimpleNamespace

import compare_all
import compare_visualize
import pandas as pd
import pytest
from common.comparison.compare import compare
from common.comparison.wording import outside
from common.errors import UserError
from common.runs.reading import Trials, load_runs, read_runs
from common.training.engine import Trainer
from common.tuning import SPACE, Times, best_trial, settings_of_trials
from common.words import CHINESE, ENGLISH
from helpers.figures import some_predictions
from helpers.hub import CLIP
from helpers.made_runs import made_run
from helpers.models import rows_read
from helpers.run_folders import bert
from helpers.small_project import assert_same_run, compare_dir, make_small_project, run_small
from helpers.stops import PowerCut, cut_at


@pytest.fixture
def tune(hub, monkeypatch):
    """Return a function that tunes CLIP in this process, where runs with a tag in ``fail`` do so;
    it returns the table of the trials."""

    def run(project, flags: str, fail: tuple[str, ...] = ()) -> pd.DataFrame:
        def run_all(jobs, *_) -> dict[str, str]:
            failing = [job for job in jobs if job.run.protocol.tag in fail]
            for job in jobs:
                if job not in failing:
                    __import__(job.command).main([*job.arguments, "--device", "cpu"])
            return {job.name: "" for job in failing}

        monkeypatch.setattr(compare_all, "run_all", run_all)
        line = f"--project-root {project} --tune clip --clip-model {hub.folder(CLIP)} {flags}"
        compare_all.main(f"{line} --freeze-encoders --image-size 32 --epochs 2".split())
        (path,) = project.glob("outputs/tuning/*/trials.csv")
        return pd.read_csv(path, keep_default_na=False).drop(columns="seconds")

    monkeypatch.setattr(compare_visualize, "main", lambda *_: None)  # takes longer than the runs
    return run


def drawn(trials: int, flags: str, fusions: bool = False) -> list[dict]:
    (job,), _ = compare_all.parse(flags.split())
    return settings_of_trials(job.run, trials, fusions)


def test_more_trials_go_on_from_fewer_and_draw_from_the_whole_space():
    found = drawn(200, "--models late", True)
    assert found[:5] == drawn(5, "--models late", True)
    assert found != drawn(200, "--models late --seeds 7", True)
    for name, values in SPACE.items():
        own, *others = (trial[name] for trial in found)
        if isinstance(values, Times):
            assert own in (2e-5, 0.0)
            assert values == pytest.approx((min(others) / 2e-5, max(others) / 2e-5), rel=0.15)
        else:
            assert own in values and set(others) == set(values), name


def test_a_model_draws_only_what_it_has_a_use_for():
    for flags, *without in (
        ("--models blip", "branch_loss"),
        ("--tune text", "branch_loss", "modality_dropout"),
        ("--models clip --freeze-encoders", "encoder_lr"),
    ):
        assert drawn(2, flags)[1].keys() == SPACE.keys() - {"fusion", *without}


def test_of_equal_trials_the_first_is_chosen_and_none_that_failed():
    runs = [f1 and SimpleNamespace(best={"val_f1_macro": f1}) for f1 in (0.3, None, 0.5, 0.5)]
    assert (best_trial(runs), best_trial(runs[:2])) == (2, 0)


def test_stops_change_nothing_and_the_encoders_read_each_split_once(tune, tmp_path, monkeypatch):
    """Stopped in a trial, then in a run with the chosen settings; the test list is for runs alone."""
    once, stopped = (make_small_project(tmp_path / name, 24) for name in ("once", "stopped"))
    for splits in (project / "outputs" / "splits" for project in (once, stopped)):
        (splits / "test.csv").write_bytes((splits / "val.csv").read_bytes())
    seen, flags = rows_read(monkeypatch), "--trials 6 --seeds 42,43 --warmup-ratio 0.9"
    table = tune(once, flags)
    # Texts and photos of the training pairs, then with the validation pairs, whose texts are known by
    # then, and of the test pairs.
    assert [sum(counts) for counts in zip(*seen, strict=True)] == [24 + 0 + 6, 24 + 30 + 6]
    for step in (15, 20):
        with monkeypatch.context() as patch, pytest.raises(PowerCut):
            cut_at(patch, Trainer, "_take_step", step)
            tune(stopped, flags)
    assert table.equals(tune(stopped, flags)) and len(table) == 6
    best = table.set_index("chosen").loc["yes"]
    assert best.trial and best.val_f1_macro == max(table.val_f1_macro)
    runs = load_runs(compare_dir(stopped))
    assert sorted(run.tag + str(run.seed) for run in runs) == ["42", "43", "tuned42", "tuned43"]
    for run in runs:
        assert_same_run(run.path, compare_dir(once) / run.name)
        told = [run.recorded("protocol", key) for key in ("keep_epoch", "lr", "dropout")]
        assert not run.tag or told == [best.epoch, best.lr, best.dropout] and run.trials.count == 6
    trials, _ = read_runs(next(stopped.glob("outputs/tuning/*")))
    assert len(trials) == 6 and not any("test" in run.recorded("samples") for run in trials)


def test_models_whose_epoch_was_asked_for_are_compared_and_nothing_of_it_is_a_choice(hub, tmp_path):
    project = make_small_project(tmp_path)
    for fusion in ("concat", "late"):
        flags = f"--keep-epoch 2 --freeze-encoders --fusion {fusion}"
        run_small(project, hub, "clip", *flags.split())
    (group,) = compare(load_runs(compare_dir(project))).groups
    assert group.ensembles and "no_epochs" not in [note.key for note in group.notes]


def test_without_a_better_trial_nothing_is_trained_and_a_failed_one_is_told(tune, tmp_path, capsys):
    project = make_small_project(tmp_path, 24)
    with pytest.raises(SystemExit):
        tune(project, "--trials 2", fail=("trial1",))
    assert "trial1" in capsys.readouterr().out.splitlines()[-2]
    assert not compare_dir(project).exists()
    with pytest.raises(UserError, match="trial 0"):
        tune(project, "--trials 2 --weight-decay 0.5", fail=("trial0",))
    tune(project, "--trials 5 --dry-run")
    assert capsys.readouterr().out.count("--tag trial") == 3  # the settings of trial 1 are the same
    for flags in ("--tune clip --folds", "--tune clip --keep-epoch 1", "--trials 9"):
        with pytest.raises(UserError, match="--tune"):
            compare_all.parse(flags.split())


def test_it_is_held_against_the_model_that_was_tuned_and_its_trials_are_told():
    """The best trial has another fusion, of which there is an untagged model too."""
    concat, late = ({"recorded": {"model": bert(name)}} for name in ("concat", "late"))
    one, two, three = some_predictions(3, 0.5)
    tuned = replace(made_run("x", three, **late, tag="tuned"), trials=Trials(16, 7200, "concat"))
    results = compare([made_run("concat", one, **concat), made_run("late", two, **late), tuned])
    assert results.tagged[0].untagged.endswith("concat")
    for say in (ENGLISH, CHINESE):
        assert say("chosen_from", n=16, time=f"2.0 {say('unit_h')}") in outside(results, say)[0]
