"""Decoders that mix attention with gated delta nets or short convolutions: Qwen3-Next, Qwen 3.5 and 3.6, LFM2."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from slipway.architectures.blocks import Experts, Heads, attention, kv_group, mlp, moe
from slipway.architectures.families.decoder import End, Style, outside, read_context, read_heads
from slipway.architectures.families.sparse import read_experts, with_prediction
from slipway.architectures.fields import Fields
from slipway.architectures.layers import layer_count, written_kinds
from slipway.architectures.parts import Draft, Layer, Weight, norm
from slipway.architectures.recurrent import (
    DeltaNet,
    convolution_group,
    convolution_weights,
    delta_group,
    delta_weights,
    state_bytes,
)


def read_delta(config: Fields, *, apart: bool) -> DeltaNet:
    """The dimensions of linear attention."""
    return DeltaNet(
        key_heads=config.integer("linear_num_key_heads", high=2**16),
        value_heads=config.integer("linear_num_value_heads", high=2**16),
        key_dim=config.integer("linear_key_head_dim", high=2**16),
        value_dim=config.integer("linear_value_head_dim", high=2**16),
        kernel=config.integer("linear_conv_kernel_dim", high=256),
        apart=apart,
    )


def _kinds(config: Fields, count: int) -> tuple[str, ...]:
    written = written_kinds(config, count)
    if written is not None:
        return written
    every = config.integer("full_attention_interval", default=4)
    return tuple("full" if (index + 1) % every == 0 else "recurrent" for index in range(count))


def qwen_hybrid(config: Fields, end: End, model_type: str) -> Draft:
    """Gated delta nets with a gated full attention in every fourth layer; dense or with experts."""
    hidden, vocab, count = config.integer("hidden_size"), config.integer("vocab_size", high=2**26), layer_count(config)
    heads = read_heads(config, hidden, (16, 2, 256))
    delta = read_delta(config, apart=model_type != "qwen3_next")
    kinds = _kinds(config, count)
    experts = _qwen_experts(config) if "num_experts" in config and config.quiet("num_experts", 0) else None
    dense = set(config.integers("mlp_only_layers") or ()) if experts is not None else set(range(count))
    width = config.integer("intermediate_size") if dense else 0
    element = state_bytes(config)
    bias = config.flag("attention_bias", False)
    gated = config.flag("attn_output_gate", True)

    @cache
    def layer(kind: str, is_dense: bool) -> Layer:
        block = mlp(hidden, width) if is_dense or experts is None else moe(hidden, experts)
        common: tuple[Weight, ...] = (norm(hidden, 2), *block)
        if kind == "recurrent":
            return Layer((*delta_weights(hidden, delta), *common), delta_group(delta, element))
        if kind != "full":
            raise config.fault("layer_types", f"has {kind} layers, which its class does not have")
        full = attention(hidden, heads, qkv_bias=bias, o_bias=bias, gated=gated)
        return Layer((*full, norm(heads.dim, 2), *common), kv_group(heads))

    draft = Draft(
        hidden=hidden,
        heads=heads.query,
        vocab=vocab,
        context=read_context(config),
        intermediate=max(width, experts.through if experts is not None else 0),
        layers=tuple(layer(kind, index in dense) for index, kind in enumerate(kinds)),
        outside=outside(config, end, hidden, vocab, Style()),
        experts=experts.count if experts is not None else 0,
        experts_per_token=experts.per_token if experts is not None else 0,
        extra={"head_dim": heads.dim} | ({"moe_intermediate": experts.width} if experts is not None else {}),
    )
    return _predicting(draft, config, layer("full", experts is None))


def _qwen_experts(config: Fields) -> Experts:
    spec = read_experts(config, "num_experts", "moe_intermediate_size")
    shared = config.integer("shared_expert_intermediate_size")
    return replace(spec, shared_width=shared, shared_name="shared_expert", shared_gate=True)


def _predicting(draft: Draft, config: Fields, layer: Layer) -> Draft:
    """Qwen 3.5 writes mtp_num_hidden_layers; the head is a full-attention layer that shares both tables."""
    count = config.quiet("mtp_num_hidden_layers", config.quiet("num_nextn_predict_layers", 0, 0, 64), 0, 64)
    if not count:
        return draft
    headed = with_prediction(replace(draft, layers=(*draft.layers, layer)), count, "mtp.layers.0", shares_ends=True)
    return replace(headed, layers=draft.layers)


def lfm2(config: Fields, end: End, model_type: str) -> Draft:
    """Short convolutions, and attention in some layers; dense or with experts."""
    hidden, vocab, count = config.integer("hidden_size"), config.integer("vocab_size", high=2**26), layer_count(config)
    found = read_heads(config, hidden)
    heads = Heads(found.query, found.kv, found.dim)
    kinds = _lfm2_kinds(config, count)
    kernel = config.integer("conv_L_cache", high=256, default=3)
    bias = config.flag("conv_bias", False)
    experts = read_experts(config, "num_experts", "moe_intermediate_size") if model_type == "lfm2_moe" else None
    if experts is not None and config.flag("use_expert_bias", True):
        experts = replace(experts, correction=True)
    first = config.quiet("num_dense_layers", 2) if experts is not None else count
    width = config.integer("intermediate_size") if model_type == "lfm2_moe" else _lfm2_width(config)

    @cache
    def layer(kind: str, is_dense: bool) -> Layer:
        block = mlp(hidden, width, prefix="feed_forward") if is_dense or experts is None else moe(hidden, experts)
        common: tuple[Weight, ...] = (norm(hidden, 2), *block)
        if kind == "full":
            full = attention(hidden, heads, out="out_proj")
            return Layer((*full, norm(heads.dim, 2), *common), kv_group(heads))
        return Layer((*convolution_weights(hidden, kernel, bias), *common), convolution_group(hidden, kernel))

    return Draft(
        hidden=hidden,
        heads=heads.query,
        vocab=vocab,
        context=read_context(config),
        intermediate=max(width, experts.through if experts is not None else 0),
        layers=tuple(layer(kind, index < first) for index, kind in enumerate(kinds)),
        outside=outside(config, end, hidden, vocab, Style(tied=config.flag("tie_embedding", True))),
        experts=experts.count if experts is not None else 0,
        experts_per_token=experts.per_token if experts is not None else 0,
        extra={"head_dim": heads.dim},
    )


def _lfm2_kinds(config: Fields, count: int) -> tuple[str, ...]:
    written = written_kinds(config, count)
    if written is not None:
        return written
    full = config.integers("full_attn_idxs")
    if full is None:
        raise config.missing("layer_types")
    return tuple("full" if index in full else "recurrent" for index in range(count))


def _lfm2_width(config: Fields) -> int:
    """block_auto_adjust_ff_dim: two thirds of what is written, times a factor, up to a multiple."""
    width = config.integer("block_ff_dim", "intermediate_size")
    if config.flag("block_auto_adjust_ff_dim", True):
        width = int(config.number("block_ffn_dim_multiplier", 1.0, 0.01, 100.0) * int(2 * width / 3))
        multiple = config.quiet("block_multiple_of", 256, 1)
        width = multiple * -(-width // multiple)
    return width
