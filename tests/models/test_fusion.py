"""Each fusion against numbers worked out by hand, with weights a person can follow."""

import pytest
import torch
from common.models.classifier import Head, ImageTextClassifier
from common.models.fusion import (
    FUSIONS,
    RANK,
    WIDTH,
    AttentionFusion,
    BottleneckFusion,
    CrossAttention,
    FilmFusion,
    GatedFusion,
    JointFusion,
    LateFusion,
    LowRankFusion,
    ProductFusion,
    TransformerLayer,
    mean_of_tokens,
)
from torch import nn

ON_TOKENS = [name for name, fusion in FUSIONS.items() if not fusion.pooled]


def constant(part: nn.Module | nn.Parameter, value: float) -> None:
    for parameter in part.parameters() if isinstance(part, nn.Module) else (part,):
        nn.init.constant_(parameter, value)


def filled(value: float) -> torch.Tensor:
    return torch.full((1, WIDTH), value)


def test_concat_by_hand():
    fusion = FUSIONS["concat"](2).eval()
    constant(fusion, 0.0)
    with torch.no_grad():  # hidden unit: text[0] + 2 * image[0]; class 1 takes it three times
        fusion.classifier[0].weight[0, 0] = 1
        fusion.classifier[0].weight[0, WIDTH] = 2
        fusion.classifier[3].weight[0, 0] = 1
        fusion.classifier[3].weight[1, 0] = 3
        fusion.classifier[3].bias[1] = 0.5
    logits = fusion(filled(5.0), filled(7.0))  # 5 + 2 * 7 = 19
    torch.testing.assert_close(logits, torch.tensor([[19.0, 57.5]]))


def test_gated_by_hand():
    fusion = GatedFusion(1).eval()
    constant(fusion, 0.0)
    with torch.no_grad():  # the gate is sigmoid(ln 3) = 3/4 everywhere
        fusion.gate.bias.fill_(torch.log(torch.tensor(3.0)))
        fusion.classifier[0].weight[0, 0] = 1  # gate * image
        fusion.classifier[0].weight[1, WIDTH] = 1  # (1 - gate) * text
        fusion.classifier[3].weight[0, 0] = 1
        fusion.classifier[3].weight[0, 1] = 10
    logits = fusion(filled(4.0), filled(8.0))  # 3/4 * 8 + 10 * 1/4 * 4 = 6 + 10
    torch.testing.assert_close(logits, torch.tensor([[16.0]]))


def test_late_fusion_is_exactly_the_mean_of_its_branches():
    fusion = LateFusion(3).eval()
    text, image = torch.randn(5, WIDTH), torch.randn(5, WIDTH)
    expected = (fusion.text_classifier(text) + fusion.image_classifier(image)) / 2
    assert torch.equal(fusion(text, image), expected)


def test_lowrank_is_the_tensor_of_its_factors():
    """Liu et al. 2018, equations 2 and 6: the whole tensor against the outer product of [t, 1] and
    [v, 1]."""
    fusion = LowRankFusion(3).eval()
    text, image = torch.randn(5, WIDTH), torch.randn(5, WIDTH)
    factors = [
        torch.cat([layer.weight, layer.bias[:, None]], 1).unflatten(0, (RANK, 3))
        for layer in (fusion.text_factors, fusion.image_factors)
    ]  # (rank, C, 257) each
    tensor = torch.einsum("rci,rcj->cij", *factors)
    with_one = [torch.cat([feature, torch.ones(5, 1)], 1) for feature in (text, image)]
    expected = torch.einsum("cij,bi,bj->bc", tensor, *with_one) + fusion.bias
    torch.testing.assert_close(fusion(text, image), expected, atol=1e-4, rtol=1e-4)


def test_product_by_hand():
    fusion = ProductFusion(1).eval()
    constant(fusion, 0.0)
    with torch.no_grad():  # hidden unit: text + 10 image + 100 product + 1000 distance, each of one
        for place in range(4):
            fusion.classifier[0].weight[0, place * WIDTH] = 10**place
        fusion.classifier[3].weight[0, 0] = 1
    logits = fusion(filled(2.0), filled(5.0))  # 2 + 10 * 5 + 100 * 2 * 5 + 1000 * |2 - 5|
    torch.testing.assert_close(logits, torch.tensor([[4052.0]]))


def test_film_by_hand_and_at_first_the_image_alone():
    fusion = FilmFusion(1).eval()
    image, others = torch.randn(2, WIDTH), torch.randn(2, 2, WIDTH)
    assert torch.equal(fusion(others[0], image), fusion(others[1], image))
    constant(fusion, 0.0)
    with torch.no_grad():  # gamma is twice the text, beta three times
        fusion.gamma_beta.weight[0, 0] = 2
        fusion.gamma_beta.weight[WIDTH, 0] = 3
        fusion.classifier[0].weight[0, 0] = 1
        fusion.classifier[3].weight[0, 0] = 1
    logits = fusion(filled(5.0), filled(7.0))  # (1 + 2 * 5) * 7 + 3 * 5
    torch.testing.assert_close(logits, torch.tensor([[92.0]]))


def test_cross_attention_by_hand():
    """One head's arithmetic, step by step, with a zero among those that are looked at."""
    layer = CrossAttention().double().eval()
    x, others = torch.randn(3, WIDTH).double(), torch.randn(2, WIDTH).double()
    attention = layer.attention
    weights = attention.in_proj_weight.chunk(3)  # no bias, as they begin with 0
    query = x @ weights[0].T  # (3, 256)
    key, value = (
        torch.cat([others @ weight.T, torch.zeros(1, WIDTH).double()]) for weight in weights[1:]
    )  # (2 + 1, 256)
    heads = []
    for part in range(4):
        at = slice(64 * part, 64 * (part + 1))
        share = (query[:, at] @ key[:, at].T / 8).softmax(1)  # 8 is the root of 64
        heads.append(share @ value[:, at])
    seen = torch.cat(heads, 1) @ attention.out_proj.weight.T
    expected = torch.nn.functional.layer_norm(x + seen, (WIDTH,))
    torch.testing.assert_close(layer(x[None], others[None])[0], expected)


def test_attention_looks_both_ways_and_takes_the_means():
    """Where the layers hand on what was seen, tokens become patches and patches tokens."""
    fusion = AttentionFusion(1).eval()
    constant(fusion, 0.0)
    fusion.text_layer.forward = lambda x, others, padding=None: x + others.sum(1, keepdim=True)
    fusion.image_layer.forward = lambda x, others, padding=None: 2 * x
    with torch.no_grad():
        fusion.classifier[0].weight[0, 0] = 1  # mean of the tokens
        fusion.classifier[0].weight[1, WIDTH] = 10  # mean of the patches
        fusion.classifier[3].weight[0, :2] = 1
    tokens = torch.tensor([1.0, 3.0, 99.0]).view(1, 3, 1).expand(1, 3, WIDTH)  # the last is padding
    patches = torch.tensor([4.0, 6.0]).view(1, 2, 1).expand(1, 2, WIDTH)
    logits = fusion(tokens, patches, torch.tensor([[1, 1, 0]]))  # (1 + 3) / 2 + 10, 10 * 2 * 5
    torch.testing.assert_close(logits, torch.tensor([[112.0]]))


def test_transformer_layer_is_that_of_torch_beside_a_zero():
    """torch's own layer over one token more, of which keys and values are 0, is the twin."""
    layer = TransformerLayer().eval()
    how = {"batch_first": True, "norm_first": True}
    twin = nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, 0.0, **how).eval()
    names = {"norm": "norm1", "attention": "self_attn", "perceptron.0": "norm2"}
    names |= {"perceptron.1": "linear1", "perceptron.3": "linear2"}
    for own, other in names.items():
        twin.get_submodule(other).load_state_dict(layer.get_submodule(own).state_dict())
    x = torch.randn(2, 5, WIDTH)
    with_zero = torch.cat([x, torch.zeros(2, 1, WIDTH)], 1)  # the biases begin with 0
    torch.testing.assert_close(layer(x), twin(with_zero)[:, :5], atol=1e-5, rtol=1e-5)


def adding(x: torch.Tensor, padding: torch.Tensor | None = None) -> torch.Tensor:
    """A layer in which each adds all that is not padding to itself."""
    kept = torch.ones(x.shape[:2]) if padding is None else (~padding).float()
    return x + (x * kept.unsqueeze(-1)).sum(1, keepdim=True)


TOKENS = torch.tensor([1.0, 3.0, 99.0]).view(1, 3, 1).expand(1, 3, WIDTH)  # the last is padding
PATCHES = torch.tensor([4.0, 6.0]).view(1, 2, 1).expand(1, 2, WIDTH)
MASK = torch.tensor([[1, 1, 0]])


def test_joint_classifies_what_the_class_token_has_seen():
    fusion = JointFusion(1).eval()
    fusion.layer.forward, fusion.classifier.forward = adding, lambda x: x[:, :1]
    constant(fusion.class_token, 0.5)
    logits = fusion(TOKENS, PATCHES, MASK)  # 0.5 + (0.5 + 1 + 3 + 4 + 6)
    torch.testing.assert_close(logits, torch.tensor([[15.0]]))


def test_bottleneck_hands_on_what_the_other_modality_said_one_layer_later():
    fusion = BottleneckFusion(1).eval()
    for layer in (*fusion.text_layers, *fusion.image_layers):
        layer.forward = adding
    fusion.text_classifier.forward = lambda x: x[:, :1]
    fusion.image_classifier.forward = lambda x: 100 * x[:, :1]
    constant(fusion.bottlenecks, 0.25)
    constant(fusion.text_class, 1)
    constant(fusion.image_class, 2)
    # First layer. Text: 4 * 0.25 + 1 + 1 + 3 = 6 is added to each. Image: 1 + 2 + 4 + 6 = 13.
    # The bottlenecks are (6.25 + 13.25) / 2 = 9.75 then, and four of them 39.
    # Second layer. Text: the class token 7, tokens 7 and 9: 7 + (39 + 7 + 7 + 9) = 69.
    # Image: the class token 15, patches 17 and 19: 15 + (39 + 15 + 17 + 19) = 105.
    logits = fusion(TOKENS, PATCHES, MASK)
    torch.testing.assert_close(logits, torch.tensor([[(69 + 100 * 105.0) / 2]]))


@pytest.mark.parametrize("name", ON_TOKENS)
def test_fusions_of_tokens_see_no_padding(name: str):
    fusion = FUSIONS[name](3).eval()
    tokens, patches = torch.randn(2, 5, WIDTH), torch.randn(2, 4, WIDTH)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    other = torch.where(mask.unsqueeze(-1) == 1, tokens, torch.randn(2, 5, WIDTH))
    torch.testing.assert_close(fusion(tokens, patches, mask), fusion(other, patches, mask))
    alone = fusion(tokens[:1, :3], patches[:1], mask[:1, :3])
    torch.testing.assert_close(fusion(tokens, patches, mask)[:1], alone)


@pytest.mark.parametrize("name", ON_TOKENS)
def test_fusions_of_tokens_take_a_text_without_a_token(name: str):
    fusion = FUSIONS[name](3).train()
    tokens, patches = torch.randn(1, 2, WIDTH), torch.randn(1, 4, WIDTH)
    logits = fusion(tokens, patches, torch.zeros(1, 2, dtype=torch.long))
    assert torch.isfinite(logits).all()
    logits.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in fusion.parameters())


def test_mean_of_tokens_by_hand():
    tokens = torch.tensor([[[1.0], [3.0], [99.0]], [[7.0], [8.0], [9.0]]])
    mask = torch.tensor([[1, 1, 0], [0, 0, 0]])
    assert mean_of_tokens(tokens, mask).tolist() == [[2.0], [0.0]]


def test_all_tokens_of_a_sample_drop_the_same_numbers():
    dropout = Head(IdentityEncoder(), "attention", 3, dropout=0.5).train().text_projection[3]
    dropout.draws = torch.rand(2, WIDTH)
    found = dropout(torch.ones(2, 7, WIDTH))  # (B, L, 256)
    kept = (dropout.draws >= 0.5).unsqueeze(1).expand(2, 7, WIDTH)
    assert torch.equal(found, 2.0 * kept)


@pytest.mark.parametrize("name", ["concat", "joint"])
def test_branches_classify_each_modality_in_training_alone_and_leave_the_rest_as_it_is(name: str):
    heads = []
    for branches in (False, True):
        torch.manual_seed(0)
        heads.append(Head(IdentityEncoder(), name, 3, branches))
    plain, head = heads
    pooled = FUSIONS[name].pooled
    text, image = (
        (torch.randn(2, 4), torch.randn(2, 6))
        if pooled
        else (torch.randn(2, 3, 4), torch.randn(2, 5, 6))
    )
    mask = None if pooled else torch.tensor([[1, 1, 0], [1, 0, 0]])
    for each in heads:
        each.eval()
    torch.testing.assert_close(head(text, image, None, mask), plain(text, image, None, mask))
    head.training = True  # without dropout
    logits, of_text, of_image = head(text, image, None, mask)
    torch.testing.assert_close(logits, plain(text, image, None, mask))
    text, image = head.text_projection(text), head.image_projection(image)
    if not pooled:
        text, image = torch.stack([text[0, :2].mean(0), text[1, 0]]), image.mean(1)
    torch.testing.assert_close(of_text, head.text_branch(text))
    torch.testing.assert_close(of_image, head.image_branch(image))
    assert plain.dropout_shape == (4, WIDTH) and head.dropout_shape == (6, WIDTH)


class IdentityEncoder(nn.Module):
    """Hands the first token and the first pixel row on as features."""

    text_dim, image_dim, mean, std = 4, 6, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)

    def forward(self, input_ids, attention_mask, pixels):
        return input_ids.float(), pixels[:, 0, 0]


@pytest.mark.parametrize("fusion", ["concat", "gated", "late", "lowrank", "product", "film"])
def test_the_head_does_not_see_the_scale_of_a_feature(fusion: str):
    head = Head(IdentityEncoder(), fusion, 3).eval()
    text, image = torch.randn(2, 4), torch.randn(2, 6)
    torch.testing.assert_close(
        head(text, image), head(100 * text, 100 * image), atol=1e-3, rtol=1e-3
    )


def test_pixels_are_normalised_with_the_encoders_own_statistics():
    model = ImageTextClassifier(IdentityEncoder(), nn.Module())
    pixels = torch.tensor([0, 255, 51], dtype=torch.uint8).repeat(2)
    _, image = model.encode(torch.ones(1, 4), None, pixels.expand(1, 3, 6, 6))
    expected = torch.tensor([[-2.0, 2.0, -1.2, -2.0, 2.0, -1.2]])  # (x / 255 - 0.5) / 0.25
    torch.testing.assert_close(image, expected)


def test_frozen_encoder_stays_in_evaluation_mode_and_gets_no_gradient():
    encoder = IdentityEncoder()
    encoder.layer, encoder.norm = nn.Linear(2, 2), nn.BatchNorm1d(2)
    model = ImageTextClassifier(encoder, Head(encoder, "concat", 3))
    model.freeze_encoder()
    model.train()
    assert not encoder.norm.training and model.head.fusion.training
    assert not any(p.requires_grad for p in encoder.parameters())
    assert all(p.requires_grad for p in model.head.fusion.parameters())
