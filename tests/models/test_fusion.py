"""Each fusion against numbers worked out by hand, with weights a person can follow."""

import pytest
import torch
from common.models.classifier import ImageTextClassifier
from common.models.fusion import FUSIONS, WIDTH, GatedFusion, LateFusion
from torch import nn


def constant(module: nn.Module, value: float) -> None:
    for parameter in module.parameters():
        nn.init.constant_(parameter, value)


def filled(value: float) -> torch.Tensor:
    return torch.full((1, WIDTH), value)


def test_concat_by_hand():
    fusion = FUSIONS["concat"](2).eval()
    constant(fusion, 0.0)
    with (
        torch.no_grad()
    ):  # first hidden unit: text[0] + 2 * image[0]; class 0 takes it, class 1 takes it three times
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


class IdentityEncoder(nn.Module):
    """Hands the first token and the first pixel row on as features."""

    text_dim, image_dim, mean, std = 4, 6, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)

    def forward(self, input_ids, attention_mask, pixels):
        return input_ids.float(), pixels[:, 0, 0]


@pytest.mark.parametrize("fusion", ["concat", "gated", "late"])
def test_the_head_does_not_see_the_scale_of_a_feature(fusion: str):
    model = ImageTextClassifier(IdentityEncoder(), fusion, 3).eval()
    text, image = torch.randn(2, 4), torch.randn(2, 6)
    torch.testing.assert_close(
        model.head(text, image), model.head(100 * text, 100 * image), atol=1e-3, rtol=1e-3
    )


def test_pixels_are_normalised_with_the_encoders_own_statistics():
    model = ImageTextClassifier(IdentityEncoder(), "concat", 3)
    pixels = torch.tensor([0, 255, 51], dtype=torch.uint8).repeat(2)
    _, image = model.encode(torch.ones(1, 4), None, pixels.expand(1, 3, 6, 6))
    torch.testing.assert_close(
        image, torch.tensor([[-2.0, 2.0, -1.2, -2.0, 2.0, -1.2]])
    )  # (x / 255 - 0.5) / 0.25


def test_frozen_encoder_stays_in_evaluation_mode_and_gets_no_gradient():
    encoder = IdentityEncoder()
    encoder.layer, encoder.norm = nn.Linear(2, 2), nn.BatchNorm1d(2)
    model = ImageTextClassifier(encoder, "concat", 3)
    model.freeze_encoder()
    model.train()
    assert not encoder.norm.training and model.head.fusion.training
    assert not any(p.requires_grad for p in encoder.parameters())
    assert all(p.requires_grad for p in model.head.fusion.parameters())
