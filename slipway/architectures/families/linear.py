"""Decoders that mix linear attention with experts: MiniMax-Text-01 and M1 (lightning attention), Kimi-Linear (KDA)."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from slipway.architectures.blocks import attention, kv_group, latent_attention, mlp, moe
from slipway.architectures.families.decoder import End, Style, outside, read_context, read_heads
from slipway.architectures.families.latent import latent_group, read_latent
from slipway.architectures.families.sparse import read_experts
from slipway.architectures.fields import Fields
from slipway.architectures.layers import layer_count, written_kinds
from slipway.architectures.parts import Draft, Layer, Linear, Plain, Weight, norm
from slipway.architectures.types import LayerGroup, RecurrentState


def minimax(config: Fields, end: End, model_type: str) -> Draft:
    """Seven layers of lightning attention for each one that keeps keys and values."""
    del model_type
    hidden, vocab, count = config.integer("hidden_size"), config.integer("vocab_size", high=2**26), layer_count(config)
    heads = read_heads(config, hidden)
    inner = heads.query * heads.dim
    experts = read_experts(config, "num_local_experts", "intermediate_size")
    experts = replace(experts, shared_width=config.quiet("shared_intermediate_size", 0))
    kept = RecurrentState("state", heads.query * heads.dim**2, 2.0)

    @cache
    def layer(kind: str) -> Layer:
        common = (norm(hidden, 2), *moe(hidden, experts, "block_sparse_moe"))
        if kind == "full":
            return Layer((*attention(hidden, heads), *common), kv_group(heads))
        weights: tuple[Weight, ...] = (
            Linear("recurrent", "self_attn.qkv_proj", hidden, 3 * inner),
            Linear("recurrent", "self_attn.output_gate", hidden, inner),
            Linear("recurrent", "self_attn.out_proj", inner, hidden),
            Plain("recurrent", inner, "tensor"),
        )
        return Layer((*weights, *common), LayerGroup("recurrent", 1, recurrent=(kept,)))

    return Draft(
        hidden=hidden,
        heads=heads.query,
        vocab=vocab,
        context=read_context(config),
        intermediate=experts.through,
        layers=tuple(layer(kind) for kind in _minimax_kinds(config, count)),
        outside=outside(config, end, hidden, vocab, Style()),
        experts=experts.count,
        experts_per_token=experts.per_token,
        extra={"head_dim": heads.dim, "moe_intermediate": experts.width},
    )


def _minimax_kinds(config: Fields, count: int) -> tuple[str, ...]:
    """Their own files write attn_type_list, a 1 for each layer of full attention."""
    written = written_kinds(config, count)
    if written is not None:
        return written
    listed = config.integers("attn_type_list", 0, 1)
    if listed is None or len(listed) != count:
        raise config.fault("attn_type_list", f"does not say a kind for each of the {count} layers")
    return tuple("full" if full else "recurrent" for full in listed)


def kimi_linear(config: Fields, end: End, model_type: str) -> Draft:
    """Kimi Delta Attention (arXiv 2510.26692) in three of four layers, MLA in the others."""
    del model_type
    hidden, vocab, count = config.integer("hidden_size"), config.integer("vocab_size", high=2**26), layer_count(config)
    spec = read_latent(config)
    linear = config.needed("linear_attn_config")
    heads, dim = linear.integer("num_heads", high=2**16), linear.integer("head_dim", high=2**16)
    kernel = linear.integer("short_conv_kernel_size", high=256)
    full = set(linear.integers("full_attn_layers") or ())  # counted from 1
    experts = read_experts(config, "num_experts", "moe_intermediate_size", "num_experts_per_token")
    shared = config.quiet("num_shared_experts", 0, 0, 1024) * experts.width
    experts = replace(experts, shared_width=shared, correction=True)
    first, width = config.quiet("first_k_dense_replace", 0), config.integer("intermediate_size")
    inner = heads * dim
    kept = (RecurrentState("convolution", 3 * inner * (kernel - 1), 2.0), RecurrentState("state", inner * dim, 4.0))

    @cache
    def layer(attends: bool, dense: bool) -> Layer:
        block = mlp(hidden, width) if dense else moe(hidden, experts, "block_sparse_moe")
        common: tuple[Weight, ...] = (norm(hidden, 2), *block)
        if attends:
            return Layer((*latent_attention(hidden, spec), *common), latent_group(spec))
        weights: tuple[Weight, ...] = (
            *(Linear("recurrent", f"self_attn.{name}_proj", hidden, inner) for name in "qkv"),
            Linear("recurrent", "self_attn.o_proj", inner, hidden),
            *(Linear("recurrent", f"self_attn.{name}_a_proj", hidden, dim, split="replicated") for name in "fg"),
            *(Linear("recurrent", f"self_attn.{name}_b_proj", dim, inner) for name in "fg"),
            Linear("recurrent", "self_attn.b_proj", hidden, heads),
            Plain("recurrent", 3 * inner * kernel + inner + heads + dim, "tensor"),
        )
        return Layer((*weights, *common), LayerGroup("recurrent", 1, recurrent=kept))

    return Draft(
        hidden=hidden,
        heads=spec.heads,
        vocab=vocab,
        context=read_context(config, "model_max_length", "max_position_embeddings"),
        intermediate=max(width, experts.through),
        layers=tuple(layer(index + 1 in full, index < first) for index in range(count)),
        outside=outside(config, end, hidden, vocab, Style()),
        experts=experts.count,
        experts_per_token=experts.per_token,
        extra={"kv_lora_rank": spec.kv_rank, "qk_rope_head_dim": spec.rope, "moe_intermediate": experts.width},
    )
