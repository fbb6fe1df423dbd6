"""Frozen encoders run once; probes tell what each modality and their interaction contribute."""

import errno
import shutil

import numpy as np
import pytest
import torch
from common.data.batches import BatchSchedule, Prefetcher, read_through
from common.data.dataset import PairDataset
from common.data.feature_cache import FeatureCache
from common.data.image_cache import ImageStore, load_images
from common.data.tokens import tokenise
from common.errors import UserError
from common.models.blip import Blip
from common.models.classifier import ImageTextClassifier
from common.models.clip import Clip
from common.models.loading import load_tokenizer
from common.settings import Protocol
from common.training import probes, record, run
from common.training.engine import fit
from common.training.evaluation import evaluate, logit_scores
from common.training.features import encode, encode_tokens
from common.training.precision import Precision, choose_precision
from common.training.probes import emap, probe
from helpers.hub import BERT, BLIP, CLIP
from helpers.models import build
from helpers.small_project import assert_same_run, make_small_project, run_small
from helpers.small_project import record as read_record
from PIL import Image

SIZE, COUNT = 32, 12
FLOAT32 = Precision("fp32", torch.device("cpu"))
TEXTS = ["今天天气很好", "不开心", "很高兴", "难过 a b c", "今日天气不好很难过", "好"] * 2


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    paths = [str(folder / f"{i}.png") for i in range(COUNT)]
    for path in paths:
        Image.fromarray(random.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(path)
    return load_images(paths, SIZE, folder / "cache", show_progress=False)


def make_part(hub, name: str, images, texts=TEXTS) -> PairDataset:
    return PairDataset(
        tokenise(texts, load_tokenizer(hub.folder(name)), 16),
        images,
        [i % 3 for i in range(COUNT)],
        SIZE,
        False,
    )


def make_model(hub, name: str, fusion: str = "concat") -> ImageTextClassifier:
    kind = {BERT: fusion, CLIP: f"clip {fusion}", BLIP: f"blip {fusion}"}[name]
    return build(hub, kind, SIZE).train()


def probed(hub, model: ImageTextClassifier, name: str, part: PairDataset) -> dict:
    empty = tokenise([""], load_tokenizer(hub.folder(name)), 16)
    return probe(model, part, empty, 4, FLOAT32, 42)


# Frozen


@pytest.mark.parametrize("fusion", ["concat", "attention"])
@pytest.mark.parametrize("name", [BERT, CLIP, BLIP])
def test_training_on_stored_features_is_training_the_frozen_model(hub, images, name: str, fusion):
    part = make_part(hub, name, images)
    protocol = Protocol(epochs=3, lr=1e-3)
    read = encode if fusion == "concat" else encode_tokens
    histories = []
    for stored in (False, True):
        model = make_model(hub, name, fusion)
        model.freeze_encoder()
        side = read(model, [part], 4, FLOAT32)[0] if stored else part
        plan = BatchSchedule(side, side, 42, range(1, 4), 4, 8, (4, 256))
        fitted = fit(
            model.head if stored else model,
            Prefetcher(plan, 0, False),
            protocol,
            torch.ones(3),
            FLOAT32,
            lambda *_: None,
        )
        histories.append(
            [[row["train_loss"], row["val_loss"], row["val_f1_macro"]] for row in fitted.history]
        )
    np.testing.assert_allclose(histories[0], histories[1], atol=1e-5)
    assert histories[0][0] != histories[0][2]


def read_rows(monkeypatch, kind=Clip) -> list[tuple[int, int]]:
    """The texts and photos of each call of an encoder from now on, without its trial."""
    seen, real = [], kind.forward

    def forward(self, ids, mask, pixels):
        counts = tuple(0 if part is None else len(part) for part in (ids, pixels))
        if counts != (1, 1):
            seen.append(counts)
        return real(self, ids, mask, pixels)

    monkeypatch.setattr(kind, "forward", forward)
    return seen


def test_a_frozen_run_reads_each_text_and_photo_once(hub, tmp_path, monkeypatch):
    project = make_small_project(tmp_path)
    seen = read_rows(monkeypatch)
    folder = run_small(project, hub, "clip", "--freeze-encoders")
    # 14 different texts, 6 of them in validation too, and 20 photos, in batches of 16
    assert seen == [(16, 0), (0, 16), (0, 16)]
    assert read_record(folder)["protocol"]["augmentation"] == "none"
    state = torch.load(folder / "best.pt", weights_only=True)["model_state"]
    assert any(
        key.startswith("encoder.") for key in state
    )  # the whole model, so that it can be used by itself


@pytest.mark.parametrize("fusion", ["concat", "attention"])
@pytest.mark.parametrize("kind", ["bert", "clip", "blip"])
def test_runs_with_and_without_kept_features_are_equal(hub, tmp_path, kind: str, fusion: str):
    project = make_small_project(tmp_path)
    frozen = ("--freeze-encoders", "--fusion", fusion, "--probe")
    without = run_small(project, hub, kind, *frozen, "--no-feature-cache", "--output-dir", "a")
    assert not list((project / "outputs" / "cache").glob("features_*"))
    made = run_small(project, hub, kind, *frozen, "--output-dir", "b")
    assert list((project / "outputs" / "cache").glob("features_*.f32"))
    found = run_small(project, hub, kind, *frozen, "--output-dir", "c")
    for other in (made, found):
        assert_same_run(without, other)
        assert read_record(without)["probe"] == read_record(other)["probe"]


@pytest.mark.parametrize(
    "more", [("--seed", "7"), ("--fusion", "late"), ("--lr", "1e-2"), ("--fusion", "text")]
)
def test_seeds_fusions_and_rates_share_features(hub, tmp_path, monkeypatch, more):
    project = make_small_project(tmp_path)
    run_small(project, hub, "clip", "--freeze-encoders")
    seen = read_rows(monkeypatch)
    run_small(project, hub, "clip", "--freeze-encoders", *more)
    assert seen == []


def test_other_splits_of_the_same_pairs_share_features(hub, tmp_path, monkeypatch):
    project = make_small_project(tmp_path)
    run_small(project, hub, "blip", "--freeze-encoders")
    splits = project / "outputs" / "splits"
    (splits / "train.csv").rename(splits / "other.csv")
    (splits / "val.csv").rename(splits / "train.csv")
    (splits / "other.csv").rename(splits / "val.csv")
    seen = read_rows(monkeypatch, Blip)
    run_small(project, hub, "blip", "--freeze-encoders")
    assert seen == []


def test_a_changed_text_photo_or_encoder_is_read_again(hub, tmp_path, monkeypatch):
    project = make_small_project(tmp_path)
    name = shutil.copytree(hub.folder(CLIP), tmp_path / "checkpoint")
    frozen = ("--freeze-encoders", "--model-name", str(name))
    run_small(project, hub, "clip", *frozen)
    seen = read_rows(monkeypatch)

    train = project / "outputs" / "splits" / "train.csv"
    train.write_text(train.read_text("utf-8").replace("今日天气", "天气今日"), "utf-8")
    run_small(project, hub, "clip", *frozen)
    assert seen == [(16, 0)]

    Image.new("RGB", (40, 40), "red").save(project / "data" / "val0.png")
    run_small(project, hub, "clip", *frozen)
    assert seen == [(16, 0), (0, 16)]

    weights = torch.load(name / "pytorch_model.bin", weights_only=True)
    weights["visual_projection.weight"] += 1
    torch.save(weights, name / "pytorch_model.bin")
    run_small(project, hub, "clip", *frozen)
    assert seen == [(16, 0), (0, 16), (0, 16), (0, 16)]


@pytest.mark.parametrize("name", [BERT, CLIP, BLIP])
def test_features_depend_neither_on_neighbours_nor_on_the_order(hub, images, name: str):
    model, part = make_model(hub, name).eval(), make_part(hub, name, images)
    [whole] = encode(model, [part], 4, FLOAT32)
    for order in (np.arange(COUNT)[::-1].copy(), np.array([7, 2, 2, 11]), np.array([5])):
        [found] = encode(model, [taken(hub, name, images, order)], 4, FLOAT32)
        for modality, values in found.features.items():
            assert torch.equal(values, whole.features[modality][order]), modality


def taken(hub, name: str, images, order: np.ndarray) -> PairDataset:
    """The pairs at ``order`` of the dataset that ``make_part`` makes."""
    texts = [TEXTS[i] for i in order]
    tokens = tokenise(texts, load_tokenizer(hub.folder(name)), 16)
    chosen = ImageStore(images.path, images.side, images.rows[order], images._digests)
    return PairDataset(tokens, chosen, [int(i) % 3 for i in order], SIZE, False)


def test_a_process_keeps_its_frozen_encoder_and_no_other(hub, tmp_path, monkeypatch):
    project = make_small_project(tmp_path)
    made, real = [], Clip.__init__
    monkeypatch.setattr(Clip, "__init__", lambda self, *args: made.append(1) or real(self, *args))
    for fusion in ("concat", "gated"):
        run_small(project, hub, "clip", "--freeze-encoders", "--fusion", fusion)
    assert len(made) == 1
    for _ in range(2):
        run_small(project, hub, "clip")
    assert len(made) == 3
    run_small(project, hub, "clip", "--freeze-encoders", "--image-size", "64")
    assert len(made) == 4


def test_an_unfinished_frozen_run_holds_heads_only_and_goes_on(hub, tmp_path, monkeypatch):
    project = make_small_project(tmp_path)
    frozen = ("--freeze-encoders", "--fusion", "late")
    whole = run_small(project, hub, "clip", *frozen, "--output-dir", "whole")
    real = run._write_best

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "_write_best", stop)
    with pytest.raises(KeyboardInterrupt):
        run_small(project, hub, "clip", *frozen)
    [partial] = (project / "outputs" / "compare").glob(".*.partial")
    assert {path.name for path in partial.iterdir()} == {"checkpoint.pt"}
    checkpoint = torch.load(partial / "checkpoint.pt", weights_only=True)
    assert checkpoint["best_head"].keys() == checkpoint["trainer"]["model"].keys()
    monkeypatch.setattr(run, "_write_best", real)
    assert_same_run(whole, run_small(project, hub, "clip", *frozen))


ATTENTION = ("--freeze-encoders", "--fusion", "attention")


def test_tokens_and_patches_are_read_once_and_the_encoder_stays(hub, tmp_path, monkeypatch):
    project = make_small_project(tmp_path)
    seen = read_rows(monkeypatch)
    folder = run_small(project, hub, "clip", *ATTENTION)
    # 14 different texts and 20 photos, in batches of 8
    assert seen == [(8, 0)] * 2 + [(0, 8)] * 3
    assert folder.name.endswith("_attention_frozen_lr0.001")
    saved = torch.load(folder / "best.pt", weights_only=True)["model_state"]
    before = build(hub, "clip attention", 32).state_dict()
    encoder = [key for key in saved if key.startswith("encoder.")]
    assert encoder and all(torch.equal(saved[key], before[key]) for key in encoder)
    seen.clear()
    run_small(project, hub, "clip", *ATTENTION, "--seed", "7")
    assert seen == []


def test_tokens_beyond_the_limit_are_read_in_every_epoch_and_it_is_said(
    hub, tmp_path, monkeypatch, capsys
):
    project = make_small_project(tmp_path)
    kept = run_small(project, hub, "clip", *ATTENTION, "--output-dir", "a")
    seen = read_rows(monkeypatch)
    limited = run_small(project, hub, "clip", *ATTENTION, "--cache-limit", "0.0001")
    said = capsys.readouterr().out
    assert "more than --cache-limit 0.0001, so they are not kept" in said
    assert "the frozen encoder reads all pairs in every epoch" in said
    texts, photos = (sum(counts) for counts in zip(*seen, strict=True))
    assert min(texts, photos) >= 3 * (14 + 6)
    assert_same_run(kept, limited)


def test_tokens_that_no_disk_takes_are_read_in_every_epoch(hub, tmp_path, monkeypatch, capsys):
    project = make_small_project(tmp_path)
    kept = run_small(project, hub, "blip", *ATTENTION, "--output-dir", "a")

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(FeatureCache, "table", full)
    assert_same_run(kept, run_small(project, hub, "blip", *ATTENTION, "--output-dir", "b"))
    said = capsys.readouterr().out
    assert "warning: tokens and patches cannot be kept in" in said and "No space left" in said


def test_tokens_end_with_their_text_and_come_in_the_order_of_the_split(hub, images):
    model, part = make_model(hub, CLIP, "attention"), make_part(hub, CLIP, images)
    [dataset] = encode_tokens(model, [part], 2, FLOAT32)
    places = np.array([4, 1, 9])
    batch, pairs = dataset.batch(0, 0, places), part.batch(0, 0, places)
    with torch.no_grad():
        text, image = model.eval().encode(
            pairs["input_ids"], pairs["attention_mask"], pairs["pixel_values"]
        )
    assert torch.equal(batch["mask"], pairs["attention_mask"])
    expected = text * pairs["attention_mask"].unsqueeze(2)
    torch.testing.assert_close(batch["text"], expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(batch["image"], image, atol=1e-5, rtol=1e-5)
    assert dataset.batch(0, 0, places[:0])["text"].shape == (0, 1, text.shape[2])


def test_features_come_back_in_the_order_of_the_split(hub, images):
    model, part = make_model(hub, CLIP), make_part(hub, CLIP, images)
    features = encode(model, [part], 2, FLOAT32)[0].features
    text, image = features["text"], features["image"]
    for i in range(COUNT):
        batch = part.batch(0, 0, np.array([i]))
        with torch.no_grad():
            expected = model.encode(
                batch["input_ids"], batch["attention_mask"], batch["pixel_values"]
            )
        torch.testing.assert_close(text[i : i + 1], expected[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(image[i : i + 1], expected[1], atol=1e-5, rtol=1e-5)


# Probes


def test_emap_by_hand():
    """f(t, v) = t + v + t v for t in (0, 2) and v in (0, 4)."""
    table = torch.tensor([[[0.0], [4.0]], [[2.0], [14.0]]])
    # row means 2, 8; column means 1, 9; mean 5: (2 + 1 - 5, 8 + 9 - 5)
    assert emap(table).flatten().tolist() == [-2.0, 12.0]


def test_emap_keeps_an_additive_function():
    random = torch.Generator().manual_seed(0)
    text, image = torch.randn(9, 3, generator=random), torch.randn(9, 3, generator=random)
    table = text[:, None] + image[None, :]
    torch.testing.assert_close(emap(table).float(), text + image)


def test_emap_of_late_fusion_is_the_model_itself(hub, images):
    found = probed(hub, make_model(hub, BERT, "late"), BERT, make_part(hub, BERT, images))
    assert found["emap_f1_macro"] == found["f1_macro"] and found["emap_pairs"] == COUNT


@pytest.mark.parametrize("fusion", ["concat", "attention"])
@pytest.mark.parametrize("name", [BERT, CLIP, BLIP])
def test_all_pairs_are_those_of_the_plain_model(hub, images, name: str, fusion, monkeypatch):
    """Through stored features or through the whole model: row i, column j is text i with image j."""
    model, part = make_model(hub, name, fusion).eval(), make_part(hub, name, images)
    tables = []
    real = probes.emap
    monkeypatch.setattr(probes, "emap", lambda table: tables.append(table) or real(table))
    probed(hub, model, name, part)
    (table,) = tables
    assert table.shape == (COUNT, COUNT, 3)
    for i, j in ((0, 0), (1, 4), (7, 2)):
        text, image = part.batch(0, 0, np.array([i])), part.batch(0, 0, np.array([j]))
        with torch.no_grad():
            logits = model(text["input_ids"], text["attention_mask"], image["pixel_values"])[0]
        torch.testing.assert_close(table[i, j], logits, atol=1e-5, rtol=1e-5)


def test_shuffling_hurts_the_modality_that_is_used(hub, images, monkeypatch):
    """A model that reads the class off the text alone loses everything without it and nothing without the image."""
    part = make_part(hub, CLIP, images)
    model = make_model(hub, CLIP)
    right = torch.eye(3)[torch.from_numpy(part.labels)]
    monkeypatch.setattr(probes, "_from_features", lambda *_: lambda texts, images: right[texts])
    found = probed(hub, model, CLIP, part)
    assert found["f1_drop_images_shuffled"] == 0 and found["f1_drop_texts_shuffled"] > 0.4
    assert found["emap_f1_macro"] == found["f1_macro"] == 1


@pytest.mark.parametrize("name, fusion", [(BERT, "late"), (CLIP, "attention"), (BLIP, "concat")])
def test_blanked_is_what_empty_texts_and_plain_pictures_give(
    hub, images, tmp_path, name: str, fusion: str
):
    """The split with its texts, or its photos, exchanged for ones that say nothing."""
    model, part = make_model(hub, name, fusion).eval(), make_part(hub, name, images)
    colour = tuple(round(255 * value) for value in model.encoder.mean)
    Image.new("RGB", (40, 40), colour).save(tmp_path / "plain.png")
    plain = load_images([str(tmp_path / "plain.png")] * COUNT, SIZE, tmp_path, show_progress=False)
    exchanged = {
        "text": make_part(hub, name, images, [""] * COUNT),
        "image": make_part(hub, name, plain),
    }
    found = probed(hub, model, name, part)
    for which, blank in probes.blanks(model, SIZE, exchanged["text"].tokens).items():
        logits = probes.predict_blanked(model, part, np.arange(COUNT), blank, 4, FLOAT32)
        expected = evaluate(model, read_through(exchanged[which], 4), FLOAT32)
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
        f1 = logit_scores(expected, part.labels)["f1_macro"]
        assert found[f"f1_{which}_blanked"] == f1
    assert found["f1_same_pairs"] == found["f1_macro"]


def test_blanking_what_a_model_does_not_use_changes_nothing(hub, images):
    """Late fusion whose branch of the image always says the same."""
    model, part = make_model(hub, BERT, "late").eval(), make_part(hub, BERT, images)
    image_branch = model.head.fusion.image_classifier
    for parameter in image_branch.parameters():
        torch.nn.init.zeros_(parameter)
    found = probed(hub, model, BERT, part)
    assert found["f1_image_blanked"] == found["f1_same_pairs"] == found["emap_f1_macro"]
    always_one_class = 2 * 4 / (4 + COUNT) / 3  # F1 of a class that is always said, over 3
    assert found["f1_text_blanked"] == pytest.approx(always_one_class)


def test_a_large_split_is_represented_by_a_stated_number_of_pairs(hub, images, monkeypatch):
    monkeypatch.setattr(probes, "EXPENSIVE", (1, 5))
    found = probed(hub, make_model(hub, BLIP), BLIP, make_part(hub, BLIP, images))
    assert found["emap_pairs"] == 5 and found["permutations"] == 1


def test_the_probe_flag_writes_its_block(hub, tmp_path):
    project = make_small_project(tmp_path)
    block = read_record(run_small(project, hub, "bert", "--probe"))["probe"]
    assert block.keys() >= {
        "f1_drop_images_shuffled",
        "f1_drop_texts_shuffled",
        "f1_same_pairs",
        "f1_text_blanked",
        "f1_image_blanked",
        "emap_f1_macro",
        "emap_pairs",
    }
    assert block["emap_pairs"] == 6
    with pytest.raises(UserError, match="--fusion text uses one only"):
        run_small(project, hub, "bert", "--probe", "--fusion", "text")


# The test split


def test_a_labelled_test_split_is_measured_once_at_the_end(hub, tmp_path, monkeypatch):
    project = make_small_project(tmp_path)
    splits = project / "outputs" / "splits"
    shutil.copy(splits / "val.csv", splits / "test.csv")
    calls = []
    real = record.evaluate
    monkeypatch.setattr(record, "evaluate", lambda *args: calls.append(1) or real(*args))
    folder = run_small(project, hub, "clip")
    assert len(calls) == 1
    assert read_record(folder)["test_f1_macro"] == pytest.approx(
        read_record(folder)["best_val_f1_macro"]
    )
    assert (folder / "test_predictions.csv").read_bytes() == (
        folder / "predictions.csv"
    ).read_bytes()


# Number formats


def test_bf16_stays_near_float32(hub, images):
    """Eight bits of fraction: logits within a few hundredths of those in float32."""
    model, part = make_model(hub, CLIP).eval(), make_part(hub, CLIP, images)
    batch = part.batch(0, 0, np.arange(2))
    batch.pop("labels")
    logits = []
    with torch.no_grad():
        for name in ("fp32", "bf16"):
            with Precision(name, torch.device("cpu")).autocast():
                logits.append(model(**batch).float())
    torch.testing.assert_close(logits[0], logits[1], atol=0.05, rtol=0)
    assert not torch.equal(logits[0], logits[1])


def test_float32_is_what_a_processor_computes_in():
    cpu = torch.device("cpu")
    assert choose_precision("auto", cpu).name == choose_precision("off", cpu).name == "fp32"
    assert choose_precision("bf16", cpu).name == "bf16"
    with pytest.raises(UserError, match="--amp fp16 needs a CUDA device"):
        choose_precision("fp16", cpu)


@pytest.mark.parametrize("capability, name", [((7, 5), "fp16"), ((8, 6), "bf16"), ((9, 0), "bf16")])
def test_a_card_gets_the_format_it_computes_in(monkeypatch, capability, name: str):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a card")
    assert choose_precision("auto", torch.device("cuda")).name == name
    if name == "fp16":
        with pytest.raises(UserError, match="a card has no bf16"):
            choose_precision("bf16", torch.device("cuda"))


def test_another_language_than_the_vocabularys_is_warned_of(hub, tmp_path, capsys):
    """Ten characters the small vocabulary has never seen."""
    project = make_small_project(tmp_path)
    for name in ("train", "val"):
        path = project / "outputs" / "splits" / f"{name}.csv"
        path.write_text(
            path.read_text(encoding="utf-8").replace("天气", "龘靐齉"), encoding="utf-8"
        )
    run_small(project, hub, "bert")
    assert "does not suit these texts" in capsys.readouterr().out
    run_small(project, hub, "bert", "--fusion", "image")  # reads no text
    assert "does not suit these texts" not in capsys.readouterr().out
