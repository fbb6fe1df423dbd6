"""The real model classes at small sizes: nothing random that should be pretrained, nothing ignored that was given."""

import pytest
import torch
import torch.nn.functional as F
from common.errors import UserError
from common.models.bert_resnet import BertResNet
from common.models.blip import Blip
from common.models.clip import Clip
from common.models.loading import load_config, load_tokenizer, resize_positions
from helpers.hub import BERT, BLIP, CLIP
from helpers.models import CHECKPOINT, KINDS, SIZE, build, inputs
from torch import nn


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_padding_a_batch_further_changes_no_logit(hub, kind: str):
    model, batch = build(hub, kind), inputs(hub, kind, ["今天天气很好", "不开心"])
    pad = load_tokenizer(hub.folder(CHECKPOINT.get(kind, BERT))).pad_token_id
    wider = {
        **batch,
        "input_ids": F.pad(batch["input_ids"], (0, 9), value=pad),
        "attention_mask": F.pad(batch["attention_mask"], (0, 9)),
    }
    torch.testing.assert_close(model(**wider), model(**batch), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_the_last_word_and_the_image_matter(hub, kind: str):
    model = build(hub, kind)
    batch = inputs(hub, kind, ["今天很高兴", "今天很难过"])
    same_image = {**batch, "pixel_values": batch["pixel_values"][:1].expand(2, -1, -1, -1)}
    same_text = {
        key: value if key == "pixel_values" else value[:1].expand(2, -1)
        for key, value in batch.items()
    }
    by_text = (model(**same_image)[0] - model(**same_image)[1]).abs().max()
    by_image = (model(**same_text)[0] - model(**same_text)[1]).abs().max()
    assert (by_text > 1e-5) == (kind != "image")
    assert (by_image > 1e-5) == (kind != "text")


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_gets_a_gradient(hub, kind: str):
    model = build(hub, kind).train()
    model(**inputs(hub, kind, ["今天天气很好", "不开心"])).square().sum().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert sum(1 for _ in model.parameters()) > 10
    assert without == []


def test_blip_reads_the_text_through_the_captioning_decoder(hub):
    """Every weight of the checkpoint arrives, but for the word-prediction head, and none is made up."""
    from safetensors.torch import load_file

    published = load_file(hub.folder(BLIP) + "/model.safetensors")
    encoder = Blip(hub.folder(BLIP), load_config(hub.folder(BLIP)), 384, True)
    loaded = encoder.state_dict()
    renamed = {
        key.replace("vision_model.", "vision.", 1).replace(
            "text_decoder.bert.", "decoder.", 1
        ): value
        for key, value in published.items()
        if not key.startswith("text_decoder.cls.")
    }
    assert set(loaded) == {key for key in renamed if not key.endswith("position_ids")}
    for key, value in loaded.items():
        assert torch.equal(value, renamed[key]), key


def test_blip_position_table_is_unchanged_at_384_px_and_a_smaller_grid_at_224(hub):
    from safetensors.torch import load_file

    table = load_file(hub.folder(BLIP) + "/model.safetensors")[
        "vision_model.embeddings.position_embedding"
    ]
    config = load_config(hub.folder(BLIP))
    at_384 = Blip(hub.folder(BLIP), config, 384, True).vision.embeddings.position_embedding
    assert torch.equal(at_384, table)
    at_224 = Blip(hub.folder(BLIP), config, 224, True).vision.embeddings.position_embedding
    assert at_224.shape == (1, 1 + 14 * 14, table.shape[2])
    assert torch.equal(at_224[:, 0], table[:, 0])
    grid = table[0, 1:].reshape(24, 24, -1).permute(2, 0, 1).unsqueeze(0)
    expected = F.interpolate(grid, size=(14, 14), mode="bicubic", align_corners=False)[0].permute(
        1, 2, 0
    )
    torch.testing.assert_close(at_224[0, 1:].reshape(14, 14, -1), expected)


def test_resized_positions_keep_their_place():
    """A table that is linear in row and column stays so: nothing is transposed or shifted."""
    rows, columns = torch.meshgrid(
        torch.linspace(0, 1, 24), torch.linspace(0, 5, 24), indexing="ij"
    )
    table = torch.cat([torch.tensor([[9.0, 9.0]]), torch.stack([rows, columns], -1).reshape(-1, 2)])
    small = resize_positions(table, 12)
    assert torch.equal(small[0], table[0])
    grid = small[1:].reshape(12, 12, 2)
    inner = grid[2:-2, 2:-2]
    step = 24 / 12
    places = (torch.arange(12) + 0.5) * step - 0.5
    expected = torch.stack(torch.meshgrid(places / 23, places / 23 * 5, indexing="ij"), -1)[
        2:-2, 2:-2
    ]
    torch.testing.assert_close(inner, expected, atol=1e-4, rtol=0)


def test_pooler_is_used_where_the_checkpoint_holds_its_weights_only(hub, tmp_path):
    from transformers import BertModel

    config = load_config(hub.folder(BERT))
    with_pooler = BertResNet(hub.folder(BERT), config, "resnet18", True, ("text",))
    assert with_pooler.text.pooler is not None

    model = BertModel.from_pretrained(hub.folder(BERT), add_pooling_layer=False)
    model.save_pretrained(tmp_path)
    without = BertResNet(str(tmp_path), config, "resnet18", True, ("text",)).eval()
    assert without.text.pooler is None
    batch = inputs(hub, "text", ["今天天气很好", "不开心"])
    ids, mask = batch["input_ids"], batch["attention_mask"]
    hidden = without.text(input_ids=ids, attention_mask=mask).last_hidden_state
    expected = torch.stack([hidden[i, : mask[i].sum()].mean(0) for i in range(2)])
    torch.testing.assert_close(without.encode_text(ids, mask), expected)


def test_blip_text_at_a_position_sees_the_past_only(hub):
    """Under the causal mask the first token has seen nothing, which is why the last one is pooled."""
    encoder = Blip(hub.folder(BLIP), load_config(hub.folder(BLIP)), SIZE, True).eval()
    batch = inputs(hub, "blip", ["今天很高兴", "今天很难过"])
    hidden = {}
    encoder.decoder.register_forward_hook(
        lambda module, args, output: hidden.update(out=output.last_hidden_state)
    )
    pixels = batch["pixel_values"][:1].expand(2, -1, -1, -1).float()
    encoder(batch["input_ids"], batch["attention_mask"], pixels)
    torch.testing.assert_close(hidden["out"][0, 0], hidden["out"][1, 0])
    assert (hidden["out"][0, -1] - hidden["out"][1, -1]).abs().max() > 1e-4


@pytest.mark.parametrize(
    "make, name, says",
    [
        (lambda name, c: BertResNet(name, c, "resnet18", True, ("text",)), CLIP, "compare_clip.py"),
        (lambda name, c: BertResNet(name, c, "resnet18", True, ("text",)), BLIP, "compare_blip.py"),
        (lambda name, c: Clip(name, c, 64, True), BERT, "bert checkpoint"),
        (lambda name, c: Blip(name, c, 64, True), CLIP, "clip checkpoint"),
    ],
)
def test_a_checkpoint_of_the_wrong_kind_is_named(hub, make, name: str, says: str):
    with pytest.raises(UserError, match=says):
        make(hub.folder(name), load_config(hub.folder(name)))


def test_a_checkpoint_that_would_leave_weights_random_is_refused(hub, tmp_path):
    """BlipModel's own checkpoint has a text tower, not the decoder that is asked for."""
    from transformers import BlipConfig, BlipModel

    config = BlipConfig.from_pretrained(hub.folder(BLIP))
    BlipModel(config).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="would stay random"):
        Blip(str(tmp_path), config, SIZE, True)


def test_an_absent_checkpoint_says_what_to_do(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="HF_ENDPOINT.*folder as --model-name"):
        load_config("nobody/no-such-model")


def test_weights_of_a_broken_download_are_named(hub, monkeypatch, tmp_path):
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth").write_bytes(b"not a checkpoint")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError, match="resnet18-f37072fd.pth"):
        BertResNet("", None, "resnet18", True, ("image",))


def test_random_weights_on_request(hub):
    config = load_config(hub.folder(CLIP))
    random, loaded = (
        Clip(hub.folder(CLIP), config, SIZE, pretrained) for pretrained in (False, True)
    )
    name = "clip.text_projection.weight"
    assert not torch.equal(random.state_dict()[name], loaded.state_dict()[name])
    assert isinstance(random, nn.Module)
