"""The real model classes at small sizes: nothing random that should be pretrained, nothing ignored that was given."""

from types import SimpleNamespace

import pytest
import torch
from common.errors import UserError
from common.models.classifier import Head
from common.models.fusion import FUSIONS, WIDTH, Fusion, SampleDropout
from common.settings import BASELINES, FUSION_NAMES
from helpers.hub import BERT, BLIP, CLIP
from helpers.models import build, encoder, inputs
from torch import nn


def test_a_batch_of_one_small_photo_can_be_trained_on(hub):
    """BatchNorm has no variance of one pixel: there, and only there, it takes the running ones."""
    model = encoder("image", hub.folder(BERT)).train()
    for count, size, measured in ((2, 32, True), (1, 32, False), (1, 33, True)):
        before = model.image.bn1.running_mean.clone()
        model(None, None, torch.rand(count, 3, size, size))[1].sum().backward()
        assert torch.equal(model.image.bn1.running_mean, before) != measured


def test_blip_reads_the_text_through_the_captioning_decoder(hub):
    """Every weight of the checkpoint arrives, but for the word-prediction head, and none is made up."""
    from safetensors.torch import load_file

    published = load_file(hub.folder(BLIP) + "/model.safetensors")
    blip = encoder("blip", hub.folder(BLIP), 384)
    loaded = blip.state_dict()
    renamed = {}
    for key, value in published.items():
        if not key.startswith("text_decoder.cls."):
            own = key.replace("vision_model.", "vision.").replace("text_decoder.bert.", "decoder.")
            renamed[own] = value
    assert set(loaded) == {key for key in renamed if not key.endswith("position_ids")}
    for key, value in loaded.items():
        assert torch.equal(value, renamed[key]), key


@torch.no_grad()
def test_tokens_and_patches_are_those_that_the_one_feature_is_made_from(hub):
    """CLIP: the end of the text and the class token. BLIP: the last token, and the class token before
    its second LayerNorm."""
    for kind in ("clip", "blip"):
        batch = inputs(hub, kind, ["今天天气很好", "不开心"])
        given = batch["input_ids"], batch["attention_mask"], batch["pixel_values"] / 255
        text, image = build(hub, kind).encoder(*given)
        whole = build(hub, f"{kind} attention").encoder
        tokens, patches = whole(*given)
        last = batch["attention_mask"].sum(1) - 1
        torch.testing.assert_close(tokens[torch.arange(2), last], text)
        first = patches[:, 0] if kind == "clip" else whole.vision.post_layernorm(patches[:, 0])
        torch.testing.assert_close(first, image)


@torch.no_grad()
def test_blip_with_the_text_alone_reads_as_the_language_model_of_its_checkpoint(hub):
    """No vision tower, no cross-attention, and the text as the plain decoder reads it."""
    from transformers import BlipForConditionalGeneration

    blip = encoder("blip text", hub.folder(BLIP)).eval()
    assert not any("vision" in name or "crossattention" in name for name in blip.state_dict())
    batch = inputs(hub, "blip", ["今天很高兴", "不开心"])
    text, image = blip(batch["input_ids"], batch["attention_mask"], None)
    published = BlipForConditionalGeneration.from_pretrained(hub.folder(BLIP)).eval()
    ids = batch["input_ids"].clone()
    ids[:, 0] = published.config.text_config.bos_token_id
    for row, feature in zip(range(2), text, strict=True):
        length = batch["attention_mask"][row].sum()
        alone = published.text_decoder.bert(ids[row : row + 1, :length], is_decoder=True)
        torch.testing.assert_close(alone.last_hidden_state[0, -1], feature)
    assert image is None and blip.reads_apart and blip.image_dim == 0


def test_one_modality_alone_costs_no_tower_of_the_other(hub):
    for kind, name in (("clip", CLIP), ("blip", BLIP)):
        both, text, image = (
            sum(p.numel() for p in encoder(f"{kind}{fusion}", hub.folder(name)).parameters())
            for fusion in ("", " text", " image")
        )
        assert text + image <= both and min(text, image) > 0
        assert (text + image == both) == (kind != "blip")  # which loses its cross-attention


def test_blip_position_table_is_unchanged_at_384_px_and_a_smaller_grid_at_224(hub):
    from safetensors.torch import load_file

    published = load_file(hub.folder(BLIP) + "/model.safetensors")
    table = published["vision_model.embeddings.position_embedding"]
    at_384 = encoder("blip", hub.folder(BLIP), 384).vision.embeddings.position_embedding
    assert torch.equal(at_384, table)
    at_224 = encoder("blip", hub.folder(BLIP), 224).vision.embeddings.position_embedding
    assert at_224.shape == (1, 1 + 14 * 14, table.shape[2])
    assert torch.equal(at_224[:, 0], table[:, 0])
    grid = table[0, 1:].view(24, 24, -1).permute(2, 0, 1).unsqueeze(0)
    resized = nn.functional.interpolate(grid, size=(14, 14), mode="bicubic")[0]
    torch.testing.assert_close(at_224[0, 1:].view(14, 14, -1), resized.permute(1, 2, 0))


def test_blip_text_at_a_position_sees_the_past_only(hub):
    """Under the causal mask the first token has seen nothing, which is why the last one is pooled."""
    blip = encoder("blip", hub.folder(BLIP)).eval()
    batch = inputs(hub, "blip", ["今天很高兴", "今天很难过"])
    hidden = {}
    blip.decoder.register_forward_hook(
        lambda module, args, output: hidden.update(out=output.last_hidden_state)
    )
    pixels = batch["pixel_values"][:1].expand(2, -1, -1, -1).float()
    blip(batch["input_ids"], batch["attention_mask"], pixels)
    torch.testing.assert_close(hidden["out"][0, 0], hidden["out"][1, 0])
    assert (hidden["out"][0, -1] - hidden["out"][1, -1]).abs().max() > 1e-4


def test_a_checkpoint_of_the_wrong_kind_is_named(hub):
    for kind, name, says in (
        ("text", BLIP, "compare_blip.py"),
        ("clip", BERT, "bert checkpoint"),
        ("blip", CLIP, "clip checkpoint"),
    ):
        with pytest.raises(UserError, match=says):
            encoder(kind, hub.folder(name))


def test_weights_of_a_broken_download_are_named(hub, monkeypatch, tmp_path):
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    path = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for content in (b"", b"not a checkpoint", nn.Linear(2, 2).state_dict(), 7):
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
        with pytest.raises(UserError, match="resnet18-f37072fd.pth.*delete the file"):
            encoder("image", hub.folder(BERT))


def test_random_weights_on_request(hub):
    random, loaded = (
        encoder("clip", hub.folder(CLIP), pretrained=pretrained) for pretrained in (False, True)
    )
    name = "clip.text_projection.weight"
    assert not torch.equal(random.state_dict()[name], loaded.state_dict()[name])


def test_the_command_line_knows_all_fusions():
    assert list(FUSION_NAMES) == list(FUSIONS)
    assert {name for name in FUSIONS if len(FUSIONS[name].uses) == 1} == set(BASELINES)


def test_a_fusion_may_have_more_dropout_layers_than_those_of_today(monkeypatch):
    class Deep(Fusion):
        def __init__(self, classes: int):
            super().__init__()
            dropouts = (SampleDropout() for _ in range(6))
            self.layers = nn.Sequential(*dropouts, nn.Linear(WIDTH, classes))

        def forward(self, text, image):
            return self.layers(text + image)

    monkeypatch.setitem(FUSIONS, "deep", Deep)
    head = Head(SimpleNamespace(text_dim=4, image_dim=4), "deep", 3).train()
    assert head.dropout_shape == (8, WIDTH)  # six of the fusion, two of the projections
    assert head(torch.ones(2, 4), torch.ones(2, 4), torch.rand(2, 8, WIDTH)).shape == (2, 3)
