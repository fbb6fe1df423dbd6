"""Text and image towers of every kind: real classes at small sizes, with every fusion."""

import pytest
import torch
import torchvision
from common.errors import UserError
from common.models.build import build_classifier
from common.models.classifier import Head
from common.models.encoder import resize_positions
from common.models.fusion import FUSIONS
from common.models.image_towers import load_image_tower
from common.models.loading import IMAGENET, load_config
from common.models.two_encoders import load_text_tower
from common.settings import ModelChoice, Protocol
from helpers.towers import (
    CHECKPOINTS,
    IMAGES,
    NATIVE,
    NETWORKS,
    POSITIONS,
    READERS,
    SIZE,
    TEXTS,
    WHOLE,
    WORDS,
    small_network,
    write_checkpoint,
    write_networks,
)

PAIRS = [(TEXTS[place % len(TEXTS)], image) for place, image in enumerate(IMAGES)]
PROTOCOL = Protocol(image_size=SIZE)
INPUTS = {"text": ("input_ids", "attention_mask"), "image": ("pixel_values",)}
# None: the image tower of the same checkpoint
MODELS = [*PAIRS, *((kind, None) for kind in (*WHOLE, "blip"))]
# One fusion of each sort: what it reads, and whether as one feature
SORTS = {(fusion.uses, fusion.pooled): name for name, fusion in reversed(FUSIONS.items())}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folder of each kind of checkpoint, or a network's name, and the whole model in it."""
    root, monkeypatch = tmp_path_factory.mktemp("towers"), pytest.MonkeyPatch()
    monkeypatch.setenv("TORCH_HOME", str(root))
    monkeypatch.setattr(torchvision.models, "get_model", small_network)
    (root / "hub" / "checkpoints").mkdir(parents=True)
    networks = write_networks(root / "hub" / "checkpoints")
    found = {name: (name, network) for name, network in networks.items()}
    found |= {kind: (str(root / kind), write_checkpoint(root / kind, kind)) for kind in CHECKPOINTS}
    yield found
    monkeypatch.undo()


def choose(saved, text: str, image: str | None, fusion: str) -> ModelChoice:
    if image is None:
        return ModelChoice("blip" if text == "blip" else "clip", saved[text][0], None, fusion)
    return ModelChoice("bert_resnet", saved[text][0], saved[image][0], fusion)


def batch(pad: int, size: int = SIZE) -> dict[str, torch.Tensor]:
    """Two texts of different lengths, the first one longer, and two images."""
    random = torch.Generator().manual_seed(1)
    ids = torch.randint(5, WORDS, (2, 7), generator=random)
    mask = torch.tensor([[1] * 7, [1] * 4 + [0] * 3])
    pixels = torch.randint(0, 256, (2, 3, size, size), generator=random).to(torch.uint8)
    return {"input_ids": ids.where(mask == 1, pad), "attention_mask": mask, "pixel_values": pixels}


def longer(given: dict[str, torch.Tensor], pad: int) -> dict[str, torch.Tensor]:
    more = {"input_ids": pad, "attention_mask": 0}
    wider = {key: torch.nn.functional.pad(given[key], (0, 5), value=v) for key, v in more.items()}
    return given | wider


@pytest.mark.parametrize("text, image", MODELS)
def test_a_model_keeps_the_contract_of_encoders_and_works_with_every_fusion(saved, text, image):
    config = load_config(saved[text][0])
    pad = getattr(config, "text_config", config).pad_token_id
    given, wide = batch(pad), longer(batch(pad), pad)
    mask, wide_mask = given["attention_mask"], wide["attention_mask"]
    for sort, of_sort in SORTS.items():
        choice = choose(saved, text, image, of_sort)
        model = build_classifier(choice, 3, PROTOCOL).eval()
        encoder = model.encoder
        with torch.no_grad():
            features, padded = model.encode(**given), model.encode(**wide)
            reopened = build_classifier(choice, 3, PROTOCOL, model.state_dict()).eval()
            logits = model.head(*features, mask=mask)
            assert torch.equal(reopened(**given), logits)
        sizes = {"text": encoder.text_dim, "image": encoder.image_dim}
        for place, (name, feature) in enumerate(zip(sizes, features, strict=True)):
            assert (feature is not None) == (name in sort[0]) == (sizes[name] > 0)
            if feature is not None:
                assert (len(feature), feature.shape[-1]) == (2, sizes[name])
                assert feature.dim() == (2 if encoder.pooled else 3)
                # Its own tower reads each modality alone, as where features are kept.
                if encoder.reads_apart:
                    with torch.no_grad():
                        alone = model.encode(**{key: given[key] for key in INPUTS[name]})
                    torch.testing.assert_close(alone[place], feature)
        trained, losses, parts = model.train().encode(**given), [], [encoder]
        for name, fusion in FUSIONS.items():
            if (fusion.uses, fusion.pooled) == sort:
                head = Head(encoder, name, 3).eval()
                logits = head(*features, mask=mask)
                assert logits.shape == (2, 3) and logits.isfinite().all()
                again = head(*padded, mask=wide_mask)
                torch.testing.assert_close(again, logits, atol=1e-5, rtol=0)
                parts.append(head)
                losses.append(head.train()(*trained, mask=mask).square().sum())
        sum(losses).backward()
        weights = [each for part in parts for each in part.named_parameters()]
        assert [key for key, weight in weights if weight.grad is None] == []


def whole_feature(whole: torch.nn.Module, kind: str, given: dict) -> torch.Tensor:
    """What the class of the whole checkpoint makes of the texts, or of the images."""
    pixels = given["pixel_values"] / 255
    words = {key: given[key] for key in ("input_ids", "attention_mask")}
    if kind == "siglip text":
        return whole.get_text_features(
            torch.nn.functional.pad(words["input_ids"], (0, 33), value=1)
        )
    if kind.endswith(" text"):
        return whole.get_text_features(**words)
    if kind in WHOLE:
        return whole.get_image_features(pixels)
    if kind == "blip":
        return whole.vision_model(pixels).pooler_output
    own = getattr(whole, whole.base_model_prefix, whole)
    if kind in READERS:
        found = own(**words)
        tokens, mask = found.last_hidden_state, words["attention_mask"].unsqueeze(2)
        pooled = getattr(found, "pooler_output", None)
        return (tokens * mask).sum(1) / mask.sum(1) if pooled is None else pooled
    found = own(pixels)
    return found.last_hidden_state[:, 0] if kind == "vit" else found.pooler_output


@torch.no_grad()
@pytest.mark.parametrize("kind", [*(f"{kind} text" for kind in READERS), *IMAGES])
def test_every_weight_is_the_saved_one_and_the_feature_is_that_of_the_whole_class(saved, kind: str):
    name, whole = saved[kind.removesuffix(" text")]
    size = 224 if kind in NETWORKS else NATIVE
    given = batch(1, size)
    pixels = given["pixel_values"] / 255
    published = whole.state_dict()
    for pooled in (False, True):
        if kind.endswith(" text"):
            tower = load_text_tower(name, load_config(name), True, pooled)
            feature = tower.encode(given["input_ids"], given["attention_mask"])
            assert tower.positions == POSITIONS.get(kind.removesuffix(" text"), 40)
            longest = torch.full((1, min(tower.positions, 64)), 5)  # no row of a table is lacking
            assert tower.encode(longest, torch.ones_like(longest)).isfinite().all()
        else:
            tower = load_image_tower(name, size, True, pooled)
            tower.model.eval()
            feature = tower.encode(pixels)
        weights = tower.model.state_dict()
        ends = {end: key for key in published for end in (key, key.partition(".")[2])}
        assert len(weights) > 5
        for key, value in weights.items():
            assert torch.equal(value, published[ends[key]]), key
    if kind in NETWORKS:
        last = [part for part in whole.modules() if isinstance(part, torch.nn.Linear)][-1]
        torch.testing.assert_close(last(feature), whole(pixels), atol=1e-4, rtol=1e-4)
    else:
        key = kind if kind.removesuffix(" text") in WHOLE else kind.removesuffix(" text")
        torch.testing.assert_close(feature, whole_feature(whole, key, given))


@torch.no_grad()
def test_the_last_feature_map_is_what_the_feature_is_the_mean_of(saved):
    """Of all convolutional networks but ConvNeXt and MobileNet V3, which go on behind the mean."""
    pixels = batch(1)["pixel_values"] / 255
    for name in ("resnet18", "regnet_y_400mf", "efficientnet_b0", "mobilenet_v2", "swin_t"):
        pooled, patches = (load_image_tower(name, SIZE, True, each) for each in (True, False))
        pooled.model.eval(), patches.model.eval()
        found = patches.encode(pixels)
        assert found.shape == (2, 64 if name == "swin_t" else 4, patches.dim)
        torch.testing.assert_close(found.mean(1), pooled.encode(pixels))


def test_positions_are_resized_with_and_without_a_class_token():
    table = torch.arange(9.0).view(9, 1)
    assert resize_positions(table, 3) is table
    bare = resize_positions(table, 6)
    with_class = resize_positions(torch.cat([torch.tensor([[7.0]]), table]), 6)
    assert bare.shape == (36, 1) and with_class[0] == 7 and torch.equal(with_class[1:], bare)
    with pytest.raises(UserError, match="8 positions of an image make no square"):
        resize_positions(torch.zeros(8, 1), 3)


def test_a_network_knows_the_pixels_of_its_own_training(saved):
    assert load_image_tower("resnet18", SIZE, False, True).mean == IMAGENET[0]
    assert load_image_tower(saved["vit"][0], NATIVE, False, True).mean == [0.5] * 3


@pytest.mark.parametrize(
    "name, says",
    [
        ("beit", "is a beit checkpoint: --image-backbone takes those of vit, dinov2"),
        ("bert", "is a bert checkpoint: --image-backbone takes"),
        ("squeezenet1_0", "whose name begins with resnet, resnext"),
        ("maxvit_t", "whose name begins with"),
        ("resnet19", "neither a network of torchvision, nor.*did you mean resnet1"),
    ],
)
def test_an_image_encoder_of_another_kind_is_refused_by_name(saved, name, says):
    name = saved[name][0] if name in saved else name
    with pytest.raises(UserError, match=says):
        load_image_tower(name, SIZE, True, True)


def test_a_size_that_an_encoder_cannot_read_or_reads_in_part_is_told(saved, tmp_path, capsys):
    write_checkpoint(tmp_path, "swin", window_size=7)
    with pytest.raises(UserError, match="--image-size 48 is too small .* need 49 px or more"):
        load_image_tower(str(tmp_path), 48, True, True)
    tower = load_image_tower(str(tmp_path), 49, True, True)
    assert tower.encode(torch.rand(1, 3, 49, 49)).shape == (1, 32)
    load_image_tower(saved["dinov2"][0], 37, True, True)
    assert "of 37 x 37 px the model sees the upper left 32 x 32" in capsys.readouterr().out
