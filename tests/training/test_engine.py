"""The loop: what accumulation, order, augmentation and workers may not change."""

import math

import numpy as np
import pytest
import torch
from common.data.batches import BatchSchedule, Prefetcher
from common.data.dataset import PairDataset
from common.data.image_store import load_images
from common.data.tokens import Tokens, check_tokens, tokenise
from common.errors import UserError
from common.models.classifier import ImageTextClassifier
from common.models.loading import load_tokenizer
from common.settings import Protocol
from common.training.device import Precision
from common.training.engine import evaluate, fit
from helpers.hub import BERT, BLIP, CLIP
from helpers.models import build
from PIL import Image
from torch import nn

SIZE = 64
TEXTS = [
    "今天天气很好",
    "不开心",
    "很高兴",
    "",
    "难过 a b c",
    "今日天气不好很难过",
    "hello",
    "好",
] * 3


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    paths = []
    for i in range(len(TEXTS)):
        paths.append(str(folder / f"{i}.png"))
        Image.fromarray(random.integers(0, 256, (90, 80, 3), dtype=np.uint8)).save(paths[-1])
    return load_images(paths, SIZE, folder / "cache", show_progress=False)


def make_plan(
    hub, images, name=BERT, epochs=2, micro=4, effective=8, augment=True, seed=42
) -> BatchSchedule:
    tokens = tokenise(TEXTS, load_tokenizer(hub.folder(name)), 16)
    labels = [i % 3 for i in range(len(TEXTS))]
    train, val = (
        PairDataset(tokens, images, labels, SIZE, augment),
        PairDataset(tokens, images, labels, SIZE, False),
    )
    return BatchSchedule(train, val, seed, range(1, epochs + 1), micro, effective, (4, 256))


FLOAT32 = Precision("fp32", torch.device("cpu"))


def settings(epochs: int, lr: float = 1e-3, weights: list[float] = (1.0, 2.0, 4.0)) -> tuple:
    """Protocol, class weights and precision."""
    return Protocol(epochs=epochs, lr=lr), torch.tensor(weights), FLOAT32


def run(model: nn.Module, plan: BatchSchedule, workers: int = 0, lr: float = 1e-3):
    return fit(
        model,
        Prefetcher(plan, workers, False),
        *settings(len(plan.epochs), lr),
        save=lambda checkpoint, best: None,
    )


def small_model(hub, name: str, fusion: str = "concat") -> ImageTextClassifier:
    return build(hub, f"{'clip' if name == CLIP else 'blip'} {fusion}").train()


@pytest.mark.parametrize(
    ("name", "fusion"), [(CLIP, "concat"), (CLIP, "attention"), (BLIP, "concat"), (BLIP, "lowrank")]
)
def test_accumulating_micro_batches_is_the_same_as_one_batch(hub, images, name: str, fusion: str):
    """Weighted loss, dropout and a short last group included (24 samples in groups of 16)."""
    results = []
    for micro in (16, 8, 5):
        model = small_model(hub, name, fusion)
        fitted = run(
            model, make_plan(hub, images, name, epochs=2, micro=micro, effective=16), lr=1e-4
        )
        results.append((fitted.logits[-1], [row["train_loss"] for row in fitted.history]))
    for logits, losses in results[1:]:
        np.testing.assert_allclose(logits, results[0][0], atol=1e-5)
        np.testing.assert_allclose(losses, results[0][1], atol=1e-5)


def test_one_epochs_loss_and_step_by_hand():
    """A linear model, one step: loss and gradient are those of CrossEntropyLoss(weight) over the whole group."""

    class Linear(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(1, 2, bias=False)
            nn.init.zeros_(self.layer.weight)

        def forward(self, input_ids, attention_mask, pixel_values):
            return self.layer(input_ids.float())

    from common.training.engine import Progress, Trainer

    def batch(ids: list[int], labels: list[int]) -> dict:
        return {
            "input_ids": torch.tensor(ids).unsqueeze(1),
            "attention_mask": torch.ones(len(ids), 1, dtype=torch.long),
            "pixel_values": torch.zeros(len(ids), 3, 1, 1, dtype=torch.uint8),
            "labels": torch.tensor(labels),
        }

    model = Linear()
    trainer = Trainer(model, *settings(1, lr=1.0, weights=[1.0, 3.0]), steps=1)
    trainer.optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    group = [batch([1, 2], [0, 1]), batch([5], [1])]
    with Progress("", 3) as progress:
        loss = trainer.train_one_epoch([group], progress)
    assert loss == pytest.approx(math.log(2))
    # dL/dlogit_1 = sum w (p_1 - [y = 1]) x / sum w = (1 * .5 * 1 - 3 * .5 * 2 - 3 * .5 * 5) / 7 = -10 / 7
    torch.testing.assert_close(model.layer.weight.detach(), torch.tensor([[-10 / 7], [10 / 7]]))


def all_batches(plan: BatchSchedule, workers: int) -> list[dict]:
    feed = Prefetcher(plan, workers, False)
    found = []
    for epoch in plan.epochs:
        found += [batch for group in feed.train_groups(epoch) for batch in group]
        found += [batch for _, batch in feed.val_batches()]
    return found


def assert_same_batches(some: list[dict], others: list[dict]) -> None:
    assert len(some) == len(others) == 2 * (6 + 2)  # validation takes four times as many at once
    for one, other in zip(some, others, strict=True):
        assert one.keys() == other.keys()
        for key in one:
            assert torch.equal(one[key], other[key])


def test_workers_deliver_the_same_batches(hub, images):
    plan = make_plan(hub, images, epochs=2)
    some = all_batches(plan, 0)
    for workers in (1, 5):
        assert_same_batches(some, all_batches(plan, workers))


def test_what_fails_in_a_worker_reaches_the_command(hub, images, monkeypatch):
    def fail(self, *args):
        raise OSError("the disk with the cache is gone")

    plan = make_plan(hub, images)
    monkeypatch.setattr(PairDataset, "batch", fail)
    with pytest.raises(OSError, match="the disk with the cache is gone"):
        all_batches(plan, 2)


def test_every_epoch_shows_every_sample_once_in_an_order_of_its_own(hub, images):
    plan = make_plan(hub, images, epochs=3)
    orders = [
        np.concatenate([micro for group in plan.groups(epoch) for micro in group])
        for epoch in plan.epochs
    ]
    for order in orders:
        assert sorted(order) == list(range(len(TEXTS)))
    assert not np.array_equal(orders[0], orders[1])
    assert [[len(micro) for micro in group] for group in plan.groups(1)] == [[4, 4], [4, 4], [4, 4]]


def test_micro_batches_never_exceed_what_fits_whatever_the_effective_batch(hub, images):
    plan = make_plan(hub, images, micro=5, effective=16)
    assert [[len(micro) for micro in group] for group in plan.groups(1)] == [[5, 5, 5, 1], [5, 3]]


def test_validation_goes_by_length_and_comes_back_in_order(hub, images):
    """A model that answers with the text length shows whose logits are whose."""

    class Length(nn.Module):
        def forward(self, input_ids, attention_mask, pixel_values):
            return attention_mask.sum(1, keepdim=True).float()

    plan = make_plan(hub, images, epochs=1, micro=2)
    feed = Prefetcher(plan, 0, False)
    list(feed.train_groups(1))
    widths = []
    batches = [
        (places, batch)
        for places, batch in feed.val_batches()
        if widths.append(batch["input_ids"].shape[1]) is None
    ]
    lengths = evaluate(Length(), batches, FLOAT32)
    assert not lengths.is_inference()
    np.testing.assert_array_equal(lengths[:, 0].numpy(), plan.val.tokens.lengths)
    assert widths == sorted(widths) and widths[0] < widths[-1]


def test_batches_are_fetched_outside_inference_mode(hub, images):
    """A batch that was made in inference mode could never be trained on."""

    def batches():
        for places in plan.val_batches():
            assert not torch.is_inference_mode_enabled()
            yield places, plan.val.batch(42, 1, places)

    plan = make_plan(hub, images, CLIP)
    logits = evaluate(small_model(hub, CLIP), batches(), FLOAT32)
    assert logits.shape == (len(TEXTS), 3)


def test_augmentation_crops_and_flips_and_can_be_turned_off(hub, images):
    plan = make_plan(hub, images)
    indices = np.arange(24)
    first, second = (plan.train.batch(42, epoch, indices)["pixel_values"] for epoch in (1, 2))
    assert not torch.equal(first, second)
    plain = make_plan(hub, images, augment=False).train
    centre = (images.side - SIZE) // 2
    expected = images.pixels[images.rows][:, :, centre : centre + SIZE, centre : centre + SIZE]
    for epoch in (1, 2):
        np.testing.assert_array_equal(
            plain.batch(42, epoch, indices)["pixel_values"].numpy(), expected
        )


def test_texts_are_cut_counted_and_padded(hub):
    tokenizer = load_tokenizer(hub.folder(BERT))
    tokens = tokenise(["天气很好", "天", "龘龘天气"], tokenizer, 5)  # 龘 is not in the vocabulary
    ids, mask = tokens.pad(np.array([0, 1]))
    cls, sep, unk, pad = (
        tokenizer.convert_tokens_to_ids(t) for t in ("[CLS]", "[SEP]", "[UNK]", "[PAD]")
    )
    sky, air, very = tokenizer.convert_tokens_to_ids(["天", "气", "很"])
    assert ids.tolist() == [[cls, sky, air, very, sep], [cls, sky, sep, pad, pad]]
    assert mask.tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    assert tokens.truncated_rate == pytest.approx(2 / 3)
    assert tokens.unknown_rate == pytest.approx(2 / 7)  # of the 3 + 1 + 3 tokens that are kept
    assert tokens.per_character == pytest.approx(9 / 9)
    assert tokens.ids[tokens.starts[2] :].tolist() == [cls, unk, unk, sky, sep]


def test_token_ids_beyond_the_table_are_named_before_the_first_batch():
    tokens = Tokens(
        np.array([1, 99], dtype=np.int32), np.array([0, 2]), 0, np.array([False]), 0.0, 1.0
    )
    check_tokens(tokens, 100, "model")
    with pytest.raises(UserError, match="token id 99.*knows 99"):
        check_tokens(tokens, 99, "model")


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_place(hub, images):
    model = small_model(hub, CLIP)
    with torch.no_grad():
        model.head.fusion.classifier[3].bias.fill_(math.nan)
    with pytest.raises(UserError, match="epoch 1: .*nan.* step 1.*--lr"):
        run(model, make_plan(hub, images, CLIP))


def test_best_is_the_highest_macro_f1_and_ties_go_to_the_earlier_epoch(hub, images, monkeypatch):
    scores = iter([0.3, 0.5, 0.5, 0.4])
    row = {"val_acc": 0.0, "val_precision_macro": 0.0, "val_recall_macro": 0.0, "val_loss": 0.0}
    monkeypatch.setattr(
        "common.training.engine.validation_scores", lambda *_: {**row, "val_f1_macro": next(scores)}
    )
    improved = []
    plan = make_plan(hub, images, CLIP, epochs=4)
    fitted = fit(
        small_model(hub, CLIP),
        Prefetcher(plan, 0, False),
        *settings(4),
        lambda _, best: improved.append(best),
    )
    assert fitted.best_epoch == 2 and improved == [True, True, False, False]
