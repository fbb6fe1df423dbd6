"""The loop: what accumulation, order and workers may not change; the rate of each step; the end."""

import math

import numpy as np
import pytest
import torch
from common.data.batches import BatchSchedule, Prefetcher
from common.data.dataset import PairDataset
from common.errors import UserError
from common.settings import Protocol
from common.training.engine import Trainer, TrainingResult, evaluate, learning_rate
from helpers.hub import BERT, BLIP, CLIP
from helpers.twelve_pairs import COUNT, FLOAT32, SIZE, learn, make_model, make_part
from torch import nn


def make_plan(hub, images, name=BERT, epochs=2, micro=4) -> BatchSchedule:
    val = make_part(hub, name, images)
    train = PairDataset(val.tokens, images, val.labels, SIZE, augment=True)
    return BatchSchedule(train, val, 42, range(1, epochs + 1), micro, 8, (4, 256))


def learned(model: nn.Module, plan: BatchSchedule) -> TrainingResult:
    how = {"epochs": len(plan.epochs), "micro": plan.micro, "lr": 1e-4, "weights": [1.0, 2.0, 4.0]}
    return learn(model, plan.train, plan.val, **how)


# What changes nothing


@pytest.mark.parametrize(
    ("name", "fusion"), [(CLIP, "attention"), (BLIP, "concat"), (BLIP, "lowrank")]
)
def test_accumulating_micro_batches_is_the_same_as_one_batch(hub, images, name: str, fusion: str):
    """Weighted loss, dropout and a short last group included (12 samples in groups of 8)."""
    results = []
    for micro in (8, 4, 3):
        fitted = learned(make_model(hub, name, fusion), make_plan(hub, images, name, micro=micro))
        results.append((fitted.logits[-1], [row["train_loss"] for row in fitted.history]))
    for logits, losses in results[1:]:
        np.testing.assert_allclose(logits, results[0][0], atol=1e-5)
        np.testing.assert_allclose(losses, results[0][1], atol=1e-5)


def all_batches(plan: BatchSchedule, workers: int) -> list[dict]:
    feed = Prefetcher(plan, workers, False)
    found = []
    for epoch in plan.epochs:
        found += [batch for group in feed.train_groups(epoch) for batch in group]
        found += [batch for _, batch in feed.val_batches()]
    return found


def test_workers_deliver_the_same_batches(hub, images, monkeypatch):
    plan = make_plan(hub, images)
    some = all_batches(plan, 0)
    assert len(some) == 2 * (3 + 1)  # validation takes four times as many at once
    for workers in (1, 5):
        for one, other in zip(some, all_batches(plan, workers), strict=True):
            assert one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)

    def fail(self, *args):
        raise OSError("the disk with the cache is gone")

    monkeypatch.setattr(PairDataset, "batch", fail)
    with pytest.raises(OSError, match="the disk with the cache is gone"):
        all_batches(plan, 2)


def test_augmentation_crops_and_flips_in_each_epoch_anew(hub, images):
    plan, everyone = make_plan(hub, images), np.arange(COUNT)
    first, second = (plan.train.batch(42, epoch, everyone)["pixel_values"] for epoch in (1, 2))
    assert not torch.equal(first, second)
    start = (images.side - SIZE) // 2
    expected = images.pixels[images.rows][:, :, start : start + SIZE, start : start + SIZE]
    for epoch in (1, 2):
        plain = plan.val.batch(42, epoch, everyone)["pixel_values"]
        np.testing.assert_array_equal(plain.numpy(), expected)


def test_validation_goes_by_length_and_comes_back_in_order(hub, images):
    """A model that answers with the text length shows whose logits are whose."""

    class Length(nn.Module):
        def forward(self, input_ids, attention_mask, pixel_values):
            return attention_mask.sum(1, keepdim=True).float()

    plan, widths = make_plan(hub, images, micro=1), []

    def batches():
        for places in plan.val_batches():
            batch = plan.val.batch(42, 1, places)
            widths.append(batch["input_ids"].shape[1])
            assert not torch.is_inference_mode_enabled()  # it could never be trained on
            yield places, batch

    lengths = evaluate(Length(), batches(), FLOAT32)
    assert not lengths.is_inference()
    np.testing.assert_array_equal(lengths[:, 0].numpy(), plan.val.tokens.lengths)
    assert widths == sorted(widths) and widths[0] < widths[-1]


# A step


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


def trainer(protocol: Protocol, steps: int = 1, weights: tuple = (1.0, 1.0)) -> Trainer:
    made = Trainer(Linear(), protocol, torch.tensor(weights), FLOAT32, steps)
    made.optimizer = Recording(made.model.parameters(), lr=1.0)
    return made


def batch(ids: list[int], labels: list[int]) -> dict:
    return {"input_ids": torch.tensor(ids).unsqueeze(1), "labels": torch.tensor(labels)}


ONE_STEP = [batch([3], [0]), batch([5], [1])]


def test_loss_and_step_by_hand():
    """They are those of CrossEntropyLoss(weight) over the whole group."""
    made = trainer(Protocol(lr=1.0), weights=(1.0, 3.0))
    loss = made.train_one_epoch([[batch([1, 2], [0, 1]), batch([5], [1])]])
    assert loss == pytest.approx(math.log(2))
    # dL/dlogit_1 = sum w (p_1 - [y = 1]) x / sum w = (1 * .5 * 1 - 3 * .5 * 2 - 3 * .5 * 5) / 7 = -10 / 7
    expected = torch.tensor([[-10 / 7], [10 / 7]])
    torch.testing.assert_close(made.model.layer.weight.detach(), expected)


def test_the_losses_of_the_branches_steer_the_step_and_are_not_reported():
    """Three classifiers with weights of zero: each adds its share to the gradient of its own."""

    class Three(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(Linear() for _ in range(3))

        def forward(self, input_ids):
            return tuple(layer(input_ids) for layer in self.layers)

    made = trainer(Protocol(lr=1.0, branch_loss=0.25))
    made.model = made.joined_model = Three()
    made.optimizer = Recording(made.model.parameters(), lr=1.0)
    assert made.train_one_epoch([ONE_STEP]) == pytest.approx(math.log(2))
    # dL/dlogit_0 = (-.5 * 3 + .5 * 5) / 2 = 1/2
    found = [layer.layer.weight[1].item() for layer in made.model.layers]
    assert found == pytest.approx([0.5, 0.125, 0.125])


@pytest.mark.parametrize("scale", [1.0, 1024.0])
@pytest.mark.parametrize(("clip_norm", "norm"), [(0.0, 2**-0.5), (0.1, 0.1), (5.0, 2**-0.5)])
def test_the_gradient_of_the_whole_step_is_clipped(clip_norm: float, norm: float, scale: float):
    """dL/dlogit_0 = (-.5 * 3 + .5 * 5) / 2 = 1/2, and -1/2 for the other: a norm of 1/sqrt(2),
    without the scale of the loss. The gradient of one micro-batch alone is longer."""
    made = trainer(Protocol(lr=1.0, clip_norm=clip_norm))
    if scale > 1:
        if not hasattr(torch.amp, "GradScaler"):
            pytest.skip("torch before 2.3")
        made.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    made.train_one_epoch([ONE_STEP])
    expected = torch.tensor([[-1.0], [1.0]]) * norm / 2**0.5
    torch.testing.assert_close(made.model.layer.weight.detach(), expected, atol=1e-6, rtol=1e-5)


# The learning rate


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_the_rate_of_each_step(schedule: str):
    """Eight steps, a quarter of them to warm up, a highest rate of 2."""
    by_hand = {
        "constant": [2] * 6,
        "linear": [2 - step / 3 for step in range(6)],
        "cosine": [1 + math.cos(math.pi * step / 6) for step in range(6)],
    }
    protocol = Protocol(lr=2.0, schedule=schedule, warmup_ratio=0.25)
    found = [learning_rate(protocol, step, 8) for step in range(8)]
    assert found == pytest.approx([0, 1, *by_hand[schedule]])


def test_every_step_of_every_epoch_has_its_rate():
    made = trainer(Protocol(lr=1.0, schedule="linear", warmup_ratio=0.25), steps=8)
    for _ in range(2):
        made.train_one_epoch([ONE_STEP] * 4)
    assert made.optimizer.rates == pytest.approx([0, 1 / 2, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])


def test_encoders_may_have_a_rate_of_their_own():
    model = nn.ModuleDict({"encoder": nn.Linear(1, 1), "head": nn.Linear(1, 1)})
    before = [weight.clone() for weight in model.parameters()]
    made = Trainer(model, Protocol(lr=0.5, encoder_lr=0.25), torch.ones(2), FLOAT32, 1)
    model["head"](model["encoder"](torch.ones(1, 1))).sum().backward()
    made._take_step()  # the first step of AdamW moves each weight by its rate
    moved = [(one - other).abs().item() for one, other in zip(before, made.trainable, strict=True)]
    assert moved == pytest.approx([0.25, 0.25, 0.5, 0.5], rel=1e-3)


# The end


def test_the_best_epoch_is_the_earlier_of_equals_and_patience_counts_those_without_a_better_one():
    result, improved, stalled = TrainingResult(), [], []
    for epoch, f1 in enumerate((0.3, 0.4, 0.4, 0.2, 0.5, 0.5), 1):
        result.history.append({"epoch": epoch, "val_f1_macro": f1})
        improved.append(result.best_epoch == epoch)
        stalled.append(result.stalled(2))
    assert improved == [True, True, False, False, True, False]
    assert stalled == [False, False, False, True, False, False] and not result.stalled(0)
    assert result.best_epoch == result.best_row["epoch"] == 5


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_place(hub, images):
    model = make_model(hub, CLIP)
    nn.init.constant_(model.head.fusion.classifier[3].bias, math.nan)
    with pytest.raises(UserError, match="epoch 1: .*nan.* step 1.*--lr"):
        learned(model, make_plan(hub, images, CLIP))


def test_a_training_loss_near_that_of_the_best_constant_answer_is_told(
    hub, images, monkeypatch, capsys
):
    plan = make_plan(hub, images, CLIP, epochs=1)
    labels, weights = plan.train.labels, torch.tensor([1.0, 2.0, 4.0])
    shares = (torch.from_numpy(np.bincount(labels, minlength=3)) * weights).log()
    answers = shares.expand(len(labels), 3)
    best = nn.functional.cross_entropy(answers, torch.from_numpy(labels), weights).item()
    for share in (0.89, 0.91):

        def learn(self, groups, *_, share=share) -> float:
            return share * best * bool(list(groups))

        monkeypatch.setattr(Trainer, "train_one_epoch", learn)
        learned(make_model(hub, CLIP), plan)
        told = [line for line in capsys.readouterr().out.splitlines() if "barely" in line]
        assert len(told) == (share > 0.9) and all(f"{best:.3f}" in line for line in told)
