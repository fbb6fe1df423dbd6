"""What only a CUDA device can show; skipped where there is none."""

import pytest
import torch
from common.errors import UserError
from common.settings import Protocol
from common.training.device import choose_precision, device_failures_named, is_out_of_memory
from common.training.engine import Trainer
from helpers.models import build, inputs

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

KINDS = ["concat", "clip", "blip"]
TEXTS = ["今天天气很好", "不开心", "难过"]  # of three lengths, so that two of them are padded
NEAR = {"off": 1e-3, "bf16": 0.06, "fp16": 0.02}  # of logits near 1, beside float32


@pytest.mark.parametrize("amp", NEAR)
@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_every_number_format_is_near_the_processor(hub, kind: str, amp: str):
    """A short text beside a long one, and alone, so that padding changes nothing."""
    model, batch = build(hub, kind), inputs(hub, kind, TEXTS)
    alone = inputs(hub, kind, TEXTS[-1:]) | {"pixel_values": batch["pixel_values"][-1:]}
    expected = model(**batch)
    model.cuda()
    for given, logits in ((batch, expected), (alone, expected[-1:])):
        with choose_precision(amp, torch.device("cuda")).autocast():
            found = model(**{name: tensor.cuda() for name, tensor in given.items()})
        torch.testing.assert_close(found.float().cpu(), logits, atol=NEAR[amp], rtol=0)


def gradients(hub, device: str, amp: str) -> torch.Tensor:
    """All gradients of one batch through the trainer, as one vector on the processor."""
    precision = choose_precision(amp, torch.device(device))
    trainer = Trainer(build(hub, "clip"), Protocol(), torch.ones(3), precision, steps=1)
    trainer.model.eval()  # without dropout
    trainer._backward({**inputs(hub, "clip", TEXTS), "labels": torch.arange(3)}, 3.0)
    trainer.scaler.unscale_(trainer.optimizer)
    found = [p.grad for p in trainer.model.parameters() if p.grad is not None]
    return torch.cat([gradient.flatten().float().cpu() for gradient in found])


@pytest.mark.parametrize("amp", NEAR)
def test_the_gradients_of_every_number_format_point_where_those_of_the_processor_do(hub, amp: str):
    expected, found = gradients(hub, "cpu", "off"), gradients(hub, "cuda", amp)
    assert torch.cosine_similarity(found, expected, dim=0) > 1 - NEAR[amp]


def test_a_full_card_is_known_as_out_of_memory():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**46, dtype=torch.uint8, device="cuda")
    assert is_out_of_memory(caught.value)
    with (
        pytest.raises(UserError, match="out of memory .*--freeze-encoders"),
        device_failures_named(),
    ):
        raise caught.value
