"""Llama 4 (chunked attention, experts in every layer or every second) and the text model of Llama 3.2 Vision."""

from __future__ import annotations

from functools import cache

from slipway.architectures.blocks import Experts, attention, kv_group, mlp, moe
from slipway.architectures.families.decoder import End, Style, outside, read_context, read_heads
from slipway.architectures.families.sparse import read_experts
from slipway.architectures.fields import Fields
from slipway.architectures.layers import attention_kinds, every, layer_count
from slipway.architectures.parts import Draft, Layer, Plain, ends, norm
from slipway.architectures.types import LayerGroup, State


def llama4(config: Fields, end: End, model_type: str) -> Draft:
    """Layers with rotary positions attend within a chunk; those without attend to everything."""
    del model_type
    hidden, vocab, count = config.integer("hidden_size"), config.integer("vocab_size", high=2**26), layer_count(config)
    heads = read_heads(config, hidden)
    kinds, window = attention_kinds(config, count, _chunks(config, count))
    width = config.integer("intermediate_size")
    experts = read_experts(config, "num_local_experts", "intermediate_size")
    experts = Experts(experts.count, experts.per_token, width, shared_width=width, shared_name="shared_expert")
    step = config.quiet("interleave_moe_layer_step", 1, 1)
    listed = config.integers("moe_layers")
    sparse = set(listed if listed else range(step - 1, count, step))
    dense = config.integer("intermediate_size_mlp") if len(sparse) < count else 0

    @cache
    def layer(kind: str, has_experts: bool) -> Layer:
        if kind not in {"full", "chunked"}:
            raise config.fault("layer_types", f"has {kind} layers, which Llama 4 does not have")
        block = (
            moe(hidden, experts, "feed_forward", "router") if has_experts else mlp(hidden, dense, prefix="feed_forward")
        )
        state: State = "chunked" if kind == "chunked" else "full"
        return Layer((*attention(hidden, heads), norm(hidden, 2), *block), kv_group(heads, state, window))

    return Draft(
        hidden=hidden,
        heads=heads.query,
        vocab=vocab,
        context=read_context(config),
        intermediate=max(dense, experts.through),
        layers=tuple(layer(kind, index in sparse) for index, kind in enumerate(kinds)),
        outside=outside(config, end, hidden, vocab, Style()),
        experts=experts.count,
        experts_per_token=experts.per_token,
        extra={"head_dim": heads.dim, "moe_intermediate": width},
    )


def _chunks(config: Fields, count: int) -> tuple[State, ...]:
    """no_rope_layers has a 1 for each layer with rotary positions; by default three of four have them."""
    written = config.integers("no_rope_layers", 0, 1)
    if not written:
        return every(count, config.quiet("no_rope_layer_interval", 4, 1), "chunked")
    if len(written) < count:
        raise config.fault("no_rope_layers", f"has {len(written)} entries, and there are {count} layers")
    return tuple("chunked" if rope else "full" for rope in written[:count])


def mllama(config: Fields, end: End, model_type: str) -> Draft:
    """A Llama with layers between that attend to an image: their keys and values are the image's, not the text's."""
    del model_type
    hidden, vocab, count = config.integer("hidden_size"), config.integer("vocab_size", high=2**26), layer_count(config)
    heads = read_heads(config, hidden)
    width = config.integer("intermediate_size")
    crossing = set(config.integers("cross_attention_layers") or ())

    @cache
    def layer(crosses: bool) -> Layer:
        block = (*mlp(hidden, width), norm(hidden, 2))
        if crosses:
            found = (*attention(hidden, heads, prefix="cross_attn"), norm(heads.dim, 2), Plain("other", 2), *block)
            return Layer(found, LayerGroup("none", 1))
        return Layer((*attention(hidden, heads), *block), kv_group(heads))

    tied = config.flag("tie_word_embeddings", False)
    table = ends(hidden, vocab, tied=tied, head=end.kind == "head")
    return Draft(
        hidden=hidden,
        heads=heads.query,
        vocab=vocab,
        context=read_context(config),
        intermediate=width,
        layers=tuple(layer(index in crossing) for index in range(count)),
        # Eight tokens more than the head knows stand for images.
        outside=(*table, Plain("embedding", 8 * hidden, "tensor", read=0.0), norm(hidden)),
        extra={"head_dim": heads.dim, "cross_attention_layers": len(crossing)},
        notes=("keys and values of images, in its cross-attention layers, come on top and are not counted",),
    )
