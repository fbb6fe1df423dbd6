"""Learning rate, clipping and early stopping: known answers, and the same after any stop."""

import math
from pathlib import Path

import pytest
import torch
import transformers
from common.runs.reading import load_runs
from common.settings import Protocol
from common.training import train as training
from common.training.device import Precision
from common.training.engine import Progress, Trainer, TrainingResult
from common.training.rates import learning_rate
from helpers.small_project import assert_same_run, compare_dir, make_small_project, run_small
from helpers.stops import PowerCut, cut_at, stop_at_step
from torch import nn


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0, 1, 2, 2, 2, 2, 2, 2]),
        ("linear", [0, 1, 2, 10 / 6, 8 / 6, 1, 4 / 6, 2 / 6]),
        ("cosine", [0, 1, *(1 + math.cos(math.pi * step / 6) for step in range(6))]),
    ],
)
def test_the_rate_of_each_step_by_hand(schedule: str, expected: list[float]):
    """Eight steps, a quarter of them to warm up, a highest rate of 2."""
    protocol = Protocol(lr=2.0, schedule=schedule, warmup_ratio=0.25)
    assert [learning_rate(protocol, step, 8) for step in range(8)] == pytest.approx(expected)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.5])
def test_the_rates_are_those_of_transformers(schedule: str, ratio: float):
    steps, warmup = 23, math.ceil(23 * ratio)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2e-5)
    name = "constant_with_warmup" if schedule == "constant" else schedule
    scheduler = transformers.get_scheduler(name, optimizer, warmup, steps)
    expected = []
    for _ in range(steps):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    protocol = Protocol(lr=2e-5, schedule=schedule, warmup_ratio=ratio)
    found = [learning_rate(protocol, step, steps) for step in range(steps)]
    assert found == pytest.approx(expected, abs=1e-18)


def test_a_constant_rate_is_that_of_the_flag_to_the_last_bit():
    assert {learning_rate(Protocol(lr=0.1 + 0.2), step, 7) for step in range(7)} == {0.1 + 0.2}


# In the loop


class Linear(nn.Module):
    """Logits (B, 2) from one number per sample."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 2, bias=False)
        nn.init.zeros_(self.layer.weight)

    def forward(self, input_ids):
        return self.layer(input_ids.float())


class Recording(torch.optim.SGD):
    """Keeps the rate of every step."""

    def step(self, *args, **kwargs):
        self.rates = [*getattr(self, "rates", []), self.param_groups[0]["lr"]]
        return super().step(*args, **kwargs)


def trainer(protocol: Protocol, steps: int) -> Trainer:
    made = Trainer(
        Linear(), protocol, torch.ones(2), Precision("fp32", torch.device("cpu")), steps=steps
    )
    made.optimizer = Recording(made.model.parameters(), lr=1.0)
    return made


def train(made: Trainer, steps: int) -> None:
    """Steps over two micro-batches of one sample each."""
    one = {"input_ids": torch.tensor([[3]]), "labels": torch.tensor([0])}
    other = {"input_ids": torch.tensor([[5]]), "labels": torch.tensor([1])}
    with Progress("", 2 * steps) as progress:
        made.train_one_epoch([[one, other]] * steps, progress)


def test_every_step_of_every_epoch_has_its_rate():
    made = trainer(Protocol(lr=1.0, schedule="linear", warmup_ratio=0.25), steps=8)
    for _ in range(2):
        train(made, 4)
    assert made.optimizer.rates == pytest.approx([0, 1 / 2, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])


@pytest.mark.parametrize(("clip_norm", "norm"), [(0.0, 2**-0.5), (0.1, 0.1), (5.0, 2**-0.5)])
def test_the_gradient_of_the_whole_step_is_clipped(clip_norm: float, norm: float):
    """dL/dlogit_0 = (-.5 * 3 + .5 * 5) / 2 = 1/2, and -1/2 for the other: a norm of 1/sqrt(2).

    The gradient of one micro-batch alone is longer.
    """
    made = trainer(Protocol(lr=1.0, clip_norm=clip_norm), steps=1)
    train(made, 1)
    expected = torch.tensor([[-1.0], [1.0]]) * norm / 2**0.5
    torch.testing.assert_close(made.model.layer.weight.detach(), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.skipif(not hasattr(torch.amp, "GradScaler"), reason="torch before 2.3")
def test_the_gradient_is_clipped_after_the_loss_scale_is_taken_out():
    made = trainer(Protocol(lr=1.0, clip_norm=0.1), steps=1)
    made.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    train(made, 1)
    expected = torch.tensor([[-1.0], [1.0]]) * 0.1 / 2**0.5
    torch.testing.assert_close(made.model.layer.weight.detach(), expected, atol=1e-6, rtol=1e-5)


def test_patience_counts_the_epochs_without_a_better_f1():
    result, stalled = TrainingResult(), []
    for epoch, f1 in enumerate((0.3, 0.4, 0.4, 0.2, 0.5, 0.1), 1):
        result.add({"epoch": epoch, "val_f1_macro": f1}, torch.zeros(1, 2))
        stalled.append(result.stalled(2))
    assert stalled == [False, False, False, True, False, False]
    assert not result.stalled(0)


# A whole run


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    return make_small_project(tmp_path_factory.mktemp("small"))


TUNED = ["--epochs", "4", "--schedule", "cosine", "--warmup-ratio", "0.3", "--clip-norm", "0.5"]


def test_a_stop_in_every_epoch_changes_nothing(project, hub, monkeypatch, capsys):
    """14 pairs in groups of 4 are four steps an epoch: each process trains one and begins the next."""
    whole = run_small(project, hub, "clip", *TUNED, "--output-dir", "outputs/tuned")
    more = [*TUNED, "--output-dir", "outputs/stopped"]
    for _ in range(3):
        stop_at_step(5, project, hub, monkeypatch, *more)
    folder = run_small(project, hub, "clip", *more)
    assert "going on after epoch 3 of 4" in capsys.readouterr().out
    assert_same_run(folder, whole)
    (run,) = load_runs(compare_dir(project, *more))
    protocol = run.recorded("protocol")
    names = ("epochs", "schedule", "warmup_ratio", "clip_norm", "patience")
    assert [protocol[name] for name in names] == [4, "cosine", 0.3, 0.5, 0]


STILL = ["--epochs", "9", "--patience", "2", "--lr", "1e-9"]  # macro-F1 never changes


def test_a_run_ends_where_patience_does_also_after_a_stop(project, hub, monkeypatch, capsys):
    whole = run_small(project, hub, "clip", *STILL, "--output-dir", "outputs/still")
    said = "stopped after epoch 3 of 9: macro-F1 was best at epoch 1 (--patience 2)"
    assert said in capsys.readouterr().out
    (run,) = load_runs(whole.parent)
    assert run.epochs.shape[0] == len(run.history) == run.metrics["epochs_run"] == 3
    assert run.recorded("protocol", "epochs") == 9

    more = [*STILL, "--output-dir", "outputs/still_stopped"]
    for workers in ("0", "2"):
        stop_at_step(5, project, hub, monkeypatch, *more, "--num-workers", workers)
    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        cut_at(patch, training, "write_run", 1)
        run_small(project, hub, "clip", *more, "--num-workers", "2")
    folder = run_small(project, hub, "clip", *more)
    printed = capsys.readouterr().out
    assert "epoch 4/9" not in printed and printed.count(said) == 2
    assert_same_run(folder, whole)
