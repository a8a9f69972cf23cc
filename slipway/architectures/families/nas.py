"""Llama Nemotron (DeciLM): a Llama whose layers were each cut down by a search, as `block_configs` lists."""

from __future__ import annotations

from slipway.architectures.blocks import Heads, attention, kv_group, mlp
from slipway.architectures.families.decoder import End, Style, outside, read_context
from slipway.architectures.fields import Fields
from slipway.architectures.layers import MOST_LAYERS, layer_count
from slipway.architectures.parts import Draft, Layer, Linear, Weight, norm
from slipway.architectures.types import LayerGroup


def nas(config: Fields, end: End, model_type: str) -> Draft:
    """Layers without attention or without a feed-forward, or with one matrix in its place."""
    del model_type
    hidden, vocab, count = config.integer("hidden_size"), config.integer("vocab_size", high=2**26), layer_count(config)
    query = config.integer("num_attention_heads", high=2**16)
    if hidden % query:
        raise config.fault("num_attention_heads", f"is {query}, which does not divide hidden_size {hidden}")
    blocks = config.values.get("block_configs")
    if not isinstance(blocks, list) or len(blocks) != count or count > MOST_LAYERS:
        raise config.fault("block_configs", f"does not have an entry for each of the {count} layers")
    layers, widest = [], 1
    for index, block in enumerate(blocks):
        if not isinstance(block, dict):
            raise config.fault("block_configs", "has an entry that is no object")
        layer, width = _layer(Fields(block, config.where, f"block_configs[{index}]."), hidden, query)
        layers.append(layer)
        widest = max(widest, width)
    return Draft(
        hidden=hidden,
        heads=query,
        vocab=vocab,
        context=read_context(config),
        intermediate=widest,
        layers=tuple(layers),
        outside=outside(config, end, hidden, vocab, Style()),
        extra={"head_dim": hidden // query},
    )


def _layer(block: Fields, hidden: int, query: int) -> tuple[Layer, int]:
    """(one layer, the width of its feed-forward)."""
    attends, forward = block.needed("attention"), block.needed("ffn")
    weights: tuple[Weight, ...] = ()
    group, width = LayerGroup("none", 1), 0
    if attends.flag("replace_with_linear", False):
        weights += (Linear("attention", "self_attn.linear_attn", hidden, hidden), norm(hidden))
    elif not attends.flag("no_op", False):
        shared = attends.integer("n_heads_in_group", high=query)
        if query % shared:
            raise attends.fault("n_heads_in_group", f"is {shared}, which does not divide the {query} query heads")
        heads = Heads(query, query // shared, hidden // query)
        weights += (*attention(hidden, heads), norm(hidden))
        group = kv_group(heads)
    if forward.flag("replace_with_linear", False):
        weights += (Linear("mlp", "mlp.linear_mlp", hidden, hidden), norm(hidden))
    elif not forward.flag("no_op", False):
        # `_ffn_mult_to_intermediate_size` of the model's own code: two thirds, up to a multiple of 256.
        width = 256 * -(-int(2 * forward.number("ffn_mult", 1.0, 0.0001, 100.0) * hidden / 3) // 256)
        weights += (*mlp(hidden, width), norm(hidden))
    return Layer(weights, group), width
