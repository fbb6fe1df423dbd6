"""Fused attention for transformers 4.39.3, whose attention takes four separate steps.

``torch.nn.functional.scaled_dot_product_attention`` does the same arithmetic in one, without
keeping the L x L weights (Dao et al. 2022, arXiv 2205.14135). Parameters, their names and the
results stay; only the summation order differs.

On two CPU cores it is worth little (16 samples, torch 2.14, a noisy machine): a BERT + ResNet step
ran 1.05 times as fast, CLIP's 1.00; evaluation 1.00 and 0.98; one BLIP vision layer 1.05. The CPU
has no fused kernel with dropout. On CUDA, where it was not measured, the backward pass of the
masked kernel is not deterministic."""

from __future__ import annotations

from types import MethodType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# torch 2.1 reads the wrong elements of a transposed query beside a mask on CUDA (pytorch issue
# 112577).
COPY_BESIDE_A_MASK = tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 2)


def use_fused_attention(model: nn.Module) -> int:
    """Let the attention modules in ``model`` use the fused kernel; returns how many do.

    Covers BERT and its kin, CLIP, Chinese-CLIP and BLIP. A call that asks for attention weights,
    masks heads or brings a cache takes the original way, as do modules with relative positions."""
    count = 0
    for module in model.modules():
        fused = FUSED.get(type(module).__name__)
        if fused and getattr(module, "position_embedding_type", "absolute") == "absolute":
            module.forward = MethodType(fused, module)
            count += 1
    return count


def _attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float
) -> Tensor:
    """query (B, h, L, d), key and value (B, h, S, d), additive mask (B, 1, 1 or L, S) -> (B, L, h *
    d)."""
    if mask is not None:
        mask = mask.to(query.dtype)  # under autocast the mask is still float32
        if COPY_BESIDE_A_MASK and query.is_cuda:
            query, key, value = query.contiguous(), key.contiguous(), value.contiguous()
    options = {"attn_mask": mask, "dropout_p": dropout}
    out = F.scaled_dot_product_attention(query, key, value, **options)  # (B, h, L, d)
    return out.transpose(1, 2).flatten(2)  # (B, L, h * d)


def _bert(
    self,
    hidden_states: Tensor,
    attention_mask: Tensor | None = None,
    head_mask: Tensor | None = None,
    encoder_hidden_states: Tensor | None = None,
    encoder_attention_mask: Tensor | None = None,
    past_key_value: tuple | None = None,
    output_attentions: bool | None = False,
) -> tuple:
    """BertSelfAttention and its copies; with ``encoder_hidden_states`` it is cross-attention."""
    if output_attentions or head_mask is not None or past_key_value is not None:
        return type(self).forward(
            self,
            hidden_states,
            attention_mask,
            head_mask,
            encoder_hidden_states,
            encoder_attention_mask,
            past_key_value,
            output_attentions,
        )
    source, mask = hidden_states, attention_mask
    if encoder_hidden_states is not None:
        source, mask = encoder_hidden_states, encoder_attention_mask
    query = self.transpose_for_scores(self.query(hidden_states))  # (B, h, L, d)
    key = self.transpose_for_scores(self.key(source))  # (B, h, S, d)
    value = self.transpose_for_scores(self.value(source))
    context = _attend(query, key, value, mask, self.dropout.p if self.training else 0.0)
    # BLIP's attention has no such attribute, and always returns keys and values.
    hands_on_cache = getattr(self, "is_decoder", True)
    return (context, (key, value)) if hands_on_cache else (context,)


def _clip(
    self,
    hidden_states: Tensor,
    attention_mask: Tensor | None = None,
    causal_attention_mask: Tensor | None = None,
    output_attentions: bool | None = False,
) -> tuple:
    """CLIPAttention, and Chinese-CLIP's for images, which knows no masks."""
    if output_attentions:
        masks = {"attention_mask": attention_mask, "causal_attention_mask": causal_attention_mask}
        masks = {name: mask for name, mask in masks.items() if mask is not None}
        return type(self).forward(self, hidden_states, **masks, output_attentions=True)
    mask = attention_mask if causal_attention_mask is None else causal_attention_mask
    if attention_mask is not None and causal_attention_mask is not None:
        mask = attention_mask + causal_attention_mask
    query, key, value = (
        project(hidden_states)
        .unflatten(2, (self.num_heads, self.head_dim))
        .transpose(1, 2)  # (B, h, L, d)
        for project in (self.q_proj, self.k_proj, self.v_proj)
    )
    return self.out_proj(
        _attend(query, key, value, mask, self.dropout if self.training else 0.0)
    ), None


def _blip_vision(
    self,
    hidden_states: Tensor,
    head_mask: Tensor | None = None,
    output_attentions: bool | None = False,
) -> tuple:
    """BlipAttention."""
    if output_attentions or head_mask is not None:
        return type(self).forward(self, hidden_states, head_mask, output_attentions)
    query, key, value = (
        part.transpose(1, 2)  # (B, h, L, d)
        for part in self.qkv(hidden_states)
        .unflatten(2, (3, self.num_heads, self.head_dim))
        .unbind(2)
    )
    return self.projection(
        _attend(query, key, value, None, self.dropout.p if self.training else 0.0)
    ), None


FUSED = {
    **dict.fromkeys(
        (
            "BertSelfAttention",
            "RobertaSelfAttention",
            "XLMRobertaSelfAttention",
            "ElectraSelfAttention",
            "ChineseCLIPTextSelfAttention",
            "BlipTextSelfAttention",
        ),
        _bert,
    ),
    "CLIPAttention": _clip,
    "ChineseCLIPVisionAttention": _clip,
    "BlipAttention": _blip_vision,
}
