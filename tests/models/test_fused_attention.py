"""The fused kernel against the arithmetic it replaces: forward, backward, masks, dropout, and the calls it leaves."""

import copy

import pytest
import torch
from common.models.fused_attention import FUSED, use_fused_attention
from helpers.hub import BERT
from helpers.models import build, inputs
from torch import nn

KINDS = ["concat", "clip", "chinese_clip", "blip", "blip text"]
TEXTS = ["今天天气很好", "不开心", "难过"]  # of three lengths, so that two of them are padded


def pair(hub, kind: str) -> tuple[nn.Module, nn.Module]:
    """The same model with and without, in eval mode."""
    original = build(hub, kind)
    fused = copy.deepcopy(original)
    assert use_fused_attention(fused) > 0
    return original, fused


@pytest.mark.parametrize("kind", KINDS)
def test_every_attention_module_is_replaced_and_no_name_in_the_state_changes(hub, kind: str):
    original = build(hub, kind)
    state = {key: value.clone() for key, value in original.state_dict().items()}
    modules = [
        m
        for m in original.modules()
        if type(m).__name__.endswith("Attention") and not hasattr(m, "self")
    ]
    modules = [m for m in modules if any(isinstance(child, nn.Linear) for child in m.children())]
    assert use_fused_attention(original) == len(modules) >= 2
    assert {type(m).__name__ for m in modules} <= set(FUSED)
    after = original.state_dict()
    assert list(after) == list(state)
    assert all(torch.equal(after[key], value) for key, value in state.items())


@pytest.mark.parametrize("kind", KINDS)
def test_logits_and_gradients_are_those_of_the_original(hub, kind: str):
    original, fused = pair(hub, kind)
    batch = inputs(hub, kind, TEXTS)
    assert batch["attention_mask"].min() == 0
    results = []
    for model in (original, fused):
        logits = model(**batch)
        nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2])).backward()
        results.append((logits.detach(), {name: p.grad for name, p in model.named_parameters()}))
    torch.testing.assert_close(results[1][0], results[0][0], atol=1e-5, rtol=0)
    for name, grad in results[0][1].items():
        torch.testing.assert_close(
            results[1][1][name], grad, atol=1e-5, rtol=0, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_bf16_autocast_stays_as_near_as_its_own_rounding(hub, kind: str):
    original, fused = pair(hub, kind)
    batch = inputs(hub, kind, TEXTS)
    exact = original(**batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(fused(**batch).float(), exact, atol=0.05, rtol=0)


def modules_with_inputs(hub) -> dict[str, tuple[nn.Module, tuple, dict]]:
    """One attention module of each forward, and arguments with a mask where it takes one."""
    torch.manual_seed(0)
    find = {
        "BertSelfAttention": "concat",
        "CLIPAttention": "clip",
        "BlipTextSelfAttention": "blip",
        "BlipAttention": "blip",
    }
    found = {}
    for name, kind in find.items():
        module = next(m for m in build(hub, kind).modules() if type(m).__name__ == name)
        width = next(
            child for child in module.children() if isinstance(child, nn.Linear)
        ).in_features
        hidden = torch.randn(2, 5, width)
        mask = torch.zeros(2, 1, 5, 5)
        mask[1, ..., 3:] = torch.finfo(torch.float32).min
        found[name] = (
            module,
            (hidden,),
            {} if name == "BlipAttention" else {"attention_mask": mask},
        )
    return found


@torch.no_grad()
def test_a_call_for_the_attention_weights_gets_the_original_ones(hub):
    for name, (module, args, kwargs) in modules_with_inputs(hub).items():
        expected = module(*args, **kwargs, output_attentions=True)
        use_fused_attention(module)
        found = module(*args, **kwargs, output_attentions=True)
        assert torch.equal(found[1], expected[1]) and found[1].dim() == 4, name
        torch.testing.assert_close(module(*args, **kwargs)[0], expected[0], atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_head_mask_and_a_cache_are_not_dropped(hub):
    for name, (module, args, kwargs) in modules_with_inputs(hub).items():
        if name == "CLIPAttention":
            continue  # takes neither
        heads = torch.zeros(1, getattr(module, "num_attention_heads", 0) or module.num_heads, 1, 1)
        heads[:, 0] = 1
        expected = module(*args, **kwargs, head_mask=heads)[0]
        use_fused_attention(module)
        assert torch.equal(module(*args, **kwargs, head_mask=heads)[0], expected), name
    module, (hidden,), _ = modules_with_inputs(hub)["BlipTextSelfAttention"]
    whole = module(hidden)[0]
    use_fused_attention(module)
    _, cache = module(hidden[:, :3])
    torch.testing.assert_close(
        module(hidden[:, 3:], past_key_value=cache)[0], whole[:, 3:], atol=1e-5, rtol=0
    )


def test_training_drops_attention_weights_at_the_rate_of_the_configuration(hub):
    """With values of one, the mean output is the mean of kept weights / (1 - p): 1, and some differ from 1."""
    module, (hidden,), _ = modules_with_inputs(hub)["BertSelfAttention"]
    use_fused_attention(module)
    module.dropout.p = 0.25
    with torch.no_grad():
        module.value.weight.zero_()
        module.value.bias.fill_(1.0)
        module.query.weight.zero_()  # every weight is 1/5, so an output is a count of kept keys / (5 * 0.75)
        module.query.bias.zero_()
        torch.manual_seed(0)
        out = module.train()(hidden.repeat(200, 1, 1))[0]
        kept = out * 5 * 0.75
        torch.testing.assert_close(kept, kept.round(), atol=1e-4, rtol=0)
        assert out.mean().item() == pytest.approx(1, abs=0.02) and out.std() > 0.1
        assert torch.equal(module.eval()(hidden)[0], torch.ones_like(hidden))


def test_relative_positions_keep_the_original(hub):
    from transformers import BertConfig, BertModel

    config = BertConfig.from_pretrained(hub.folder(BERT), position_embedding_type="relative_key")
    assert use_fused_attention(BertModel(config)) == 0
