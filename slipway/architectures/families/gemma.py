"""Gemma 3, 3n and 4: five sliding layers for each full one, shared keys and values, embeddings a layer."""

from __future__ import annotations

from functools import cache

from slipway.architectures.blocks import Experts, Heads, attention, kv_group, mlp, moe
from slipway.architectures.families.decoder import ATTENTION, End, Style, decoder, outside, read_context, read_heads
from slipway.architectures.families.sparse import read_experts
from slipway.architectures.fields import Fields
from slipway.architectures.layers import attention_kinds, every, layer_count
from slipway.architectures.parts import Draft, Layer, Linear, Plain, Weight, norm
from slipway.architectures.types import LayerGroup, State

GEMMA3 = {
    "vocab_size": 262_208,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "max_position_embeddings": 131_072,
    "sliding_window": 4096,
}
"""of `Gemma3TextConfig` in transformers, which Google's own files rely on"""

SHARED = LayerGroup("none", 1)
"""a layer that reads another layer's keys and values"""


def _kinds(config: Fields, count: int) -> tuple[State, ...]:
    return every(
        count, config.quiet("sliding_window_pattern", config.quiet("_sliding_window_pattern", 6, 1), 1), "sliding"
    )


def gemma3(config: Fields, end: End, model_type: str) -> Draft:
    """Gemma 3, its embedding model too."""
    del model_type
    style = Style(qkv_bias=ATTENTION, o_bias=ATTENTION, norms=4, qk_norm="head", tied=True, kinds=_kinds)
    return decoder(config.with_defaults(**GEMMA3), end, style)


def gemma4(config: Fields, end: End, model_type: str) -> Draft:
    """Gemma 4: full layers have wider heads, and in some models use their keys as values."""
    del model_type
    hidden, vocab, count = config.integer("hidden_size"), config.integer("vocab_size", high=2**26), layer_count(config)
    kinds, window = attention_kinds(config, count, every(count, 6, "sliding"))
    local = read_heads(config, hidden)
    k_eq_v = config.flag("attention_k_eq_v", False)
    kv = config.quiet("num_global_key_value_heads", local.kv, 1, 2**16) if k_eq_v else local.kv
    wide = Heads(local.query, kv, config.integer("global_head_dim", high=2**16, default=512))
    shared_from = count - config.quiet("num_kv_shared_layers", 0, 0, count)
    width = config.integer("intermediate_size")
    double = 2 if config.flag("use_double_wide_mlp", False) else 1
    beside = config.quiet("hidden_size_per_layer_input", 0)
    bias = config.flag("attention_bias", False)
    experts = _experts(config)

    @cache
    def layer(kind: str, shares: bool) -> Layer:
        if kind not in {"full", "sliding"}:
            raise config.fault("layer_types", f"has {kind} layers, which Gemma 4 does not have")
        heads = local if kind == "sliding" else wide
        equal = k_eq_v and kind == "full"
        weights: list[Weight] = [
            *attention(hidden, heads, qkv_bias=bias, o_bias=bias, shared_kv=shares, k_eq_v=equal),
            *mlp(hidden, width * (double if shares else 1)),
            norm(hidden, 7 if experts is not None else 4),
            norm(heads.dim, 1 if shares else 2),
            Plain("other", 1),
        ]
        if experts is not None:
            weights += [*moe(hidden, experts, prefix="moe", router="router"), Plain("router", hidden + experts.count)]
        if beside:
            weights += _beside(hidden, beside)
        state: State = "sliding" if kind == "sliding" else "full"
        return Layer(tuple(weights), SHARED if shares else kv_group(heads, state, window))

    through = width * (double if shared_from < count else 1) + (experts.through if experts is not None else 0)
    return Draft(
        hidden=hidden,
        heads=local.query,
        vocab=vocab,
        context=read_context(config, default=131_072),
        intermediate=through,
        layers=tuple(layer(kind, index >= shared_from) for index, kind in enumerate(kinds)),
        outside=(*outside(config, end, hidden, vocab, Style(tied=True)), *_tables(config, hidden, count, beside)),
        experts=experts.count if experts is not None else 0,
        experts_per_token=experts.per_token if experts is not None else 0,
        extra={"head_dim": wide.dim} | ({"moe_intermediate": experts.width} if experts is not None else {}),
    )


def _experts(config: Fields) -> Experts | None:
    if not config.flag("enable_moe_block", False):
        return None
    return read_experts(config, "num_experts", "moe_intermediate_size", "top_k_experts")


def _beside(hidden: int, width: int) -> tuple[Weight, ...]:
    """How an embedding of its own enters a layer."""
    return (
        Linear("other", "per_layer_input_gate", hidden, width, split="replicated"),
        Linear("other", "per_layer_projection", width, hidden, split="replicated"),
        norm(hidden),
    )


def _tables(config: Fields, hidden: int, count: int, width: int) -> tuple[Weight, ...]:
    """The table of embeddings a layer, which is only looked up, and the projection beside it."""
    if not width:
        return ()
    vocab = config.integer("vocab_size_per_layer_input", high=2**26, default=262_144)
    return (
        Plain("embedding", vocab * count * width, "tensor", read=0.0),
        Linear("other", "per_layer_model_projection", hidden, count * width),
        norm(width),
    )


def gemma3n(config: Fields, end: End, model_type: str) -> Draft:
    """Gemma 3n: AltUp's several streams, LAuReL's low-rank residual, and embeddings a layer."""
    del model_type
    hidden, vocab, count = config.integer("hidden_size"), config.integer("vocab_size", high=2**26), layer_count(config)
    kinds, window = attention_kinds(config, count, every(count, 5, "sliding"))
    heads = read_heads(config, hidden)
    shared_from = count - config.quiet("num_kv_shared_layers", 0, 0, count)
    widths = _widths(config, count)
    beside = config.integer("hidden_size_per_layer_input", default=256)
    streams = config.integer("altup_num_inputs", high=64, default=4)
    rank = config.integer("laurel_rank", default=64)

    @cache
    def layer(kind: str, shares: bool, width: int) -> Layer:
        weights = (
            # Layers that share still come with projections of their own; engines load them and leave them idle.
            *attention(hidden, heads),
            *mlp(hidden, width),
            norm(hidden, 4),
            norm(heads.dim, 2),
            Plain("other", hidden + streams**2 + streams**3 + streams * hidden + hidden),
            Linear("other", "laurel.linear_left", hidden, rank, split="replicated"),
            Linear("other", "laurel.linear_right", rank, hidden, split="replicated"),
            norm(hidden),
            *_beside(hidden, beside),
        )
        state: State = "sliding" if kind == "sliding" else "full"
        return Layer(weights, SHARED if shares else kv_group(heads, state, window))

    return Draft(
        hidden=hidden,
        heads=heads.query,
        vocab=vocab,
        context=read_context(config),
        intermediate=max(widths),
        layers=tuple(
            layer(kind, index >= shared_from, width)
            for index, (kind, width) in enumerate(zip(kinds, widths, strict=True))
        ),
        outside=(
            *outside(config, end, hidden, vocab, Style(tied=True)),
            *_tables(config, hidden, count, beside),
            Linear("other", "altup_projections", hidden, hidden, copies=2 * (streams - 1), split="replicated"),
        ),
        extra={"head_dim": heads.dim},
    )


def _widths(config: Fields, count: int) -> tuple[int, ...]:
    if not isinstance(config.values.get("intermediate_size"), list):
        return (config.integer("intermediate_size"),) * count
    widths = config.integers("intermediate_size", 1) or ()
    if len(widths) < count:
        raise config.fault("intermediate_size", f"has {len(widths)} entries, and there are {count} layers")
    return widths[:count]
