"""Decoders of attention and feed-forward layers, dense or with experts: Llama, and all that differ from it a little."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from slipway.architectures.blocks import Experts, Heads, attention, kv_group, mlp, moe
from slipway.architectures.fields import Fields
from slipway.architectures.layers import attention_kinds, layer_count
from slipway.architectures.parts import Draft, Layer, Linear, Plain, Weight, ends, norm
from slipway.architectures.types import State


@dataclass(frozen=True)
class End:
    """What stands behind the last layer: the output matrix, a score of some labels, or nothing."""

    kind: Literal["head", "score", "none"] = "head"
    labels: int = 1


ATTENTION = "attention_bias"
"""the field that says whether attention has biases"""


@dataclass(frozen=True)
class Style:
    """How a family differs from Llama. A bias is there, is not, or is as the field of that name says."""

    qkv_bias: bool | str = False
    o_bias: bool | str = False
    mlp_bias: bool | str = False
    gated: bool = True
    fused: bool = False
    """one matrix makes queries, keys and values, one gate and up: as Phi-3 names them"""
    norms: int = 2
    """a layer, of the hidden width"""
    norm_bias: bool = False
    qk_norm: Literal["", "head", "all"] = ""
    """of queries and keys: one for a head's width, or one over all heads"""
    sinks: bool = False
    """a learnt logit for each head (gpt-oss)"""
    head_bias: bool = False
    tied: bool = False
    """what an unwritten tie_word_embeddings means"""
    kinds: Callable[[Fields, int], tuple[State, ...]] | None = None
    """layers without layer_types; all are full otherwise"""
    experts: Callable[[Fields], Experts | None] | None = None
    sparse: Callable[[Fields, int], bool] = field(default=lambda _config, _index: True)
    """whether layer `index` has experts"""
    expert_path: str = "mlp"
    router: str = "gate"


def read_heads(config: Fields, hidden: int, defaults: tuple[int, int, int] | None = None) -> Heads:
    """(query, kv, width) of attention. `defaults` are the class's own where it has such."""
    query = config.integer("num_attention_heads", high=2**16, default=defaults[0] if defaults else None)
    kv = config.maybe("num_key_value_heads", 1, 2**16)
    if kv is None:
        kv = config.integer("num_key_value_heads", default=defaults[1]) if defaults else query
    dim = config.maybe("head_dim", 1, 2**16)
    if dim is None and defaults:
        dim = config.integer("head_dim", default=defaults[2])
    if dim is None:
        if hidden % query:
            fix = "Write head_dim where it is not their quotient"
            raise config.fault("num_attention_heads", f"is {query}, which does not divide hidden_size {hidden}", fix)
        dim = hidden // query
    if query % kv:
        raise config.fault("num_key_value_heads", f"is {kv}, which does not divide the {query} query heads")
    return Heads(query, kv, dim)


def read_context(config: Fields, *keys: str, default: int | None = None) -> int:
    """Tokens that the model takes, stretched where its rotary positions are, as vLLM's `_get_and_verify_max_len`
    (vllm/config/model.py) has it: YaRN by its factor from the original length, linear and dynamic scaling from the
    written one. Others, and Gemma 3's linear one, are in the written length already."""
    written = config.integer(*(keys or ("max_position_embeddings",)), high=2**31, default=default)
    scaling = config.section("rope_scaling") or config.section("rope_parameters")
    if scaling is None:
        return written
    kind = scaling.word("rope_type") or scaling.word("type")
    factor = scaling.number("factor", 1.0, 0.01, 100_000.0)
    if kind == "yarn":
        return max(int(scaling.quiet("original_max_position_embeddings", written, 1, 2**31) * factor), 1)
    if kind in {"linear", "dynamic"} and not config.word("model_type").startswith("gemma3"):
        return max(int(written * factor), 1)
    return written


def decoder(config: Fields, end: End, style: Style) -> Draft:
    """The tensors of one such model."""
    hidden, vocab = config.integer("hidden_size"), config.integer("vocab_size", high=2**26)
    count = layer_count(config)
    heads = read_heads(config, hidden)
    kinds, window = attention_kinds(config, count, style.kinds(config, count) if style.kinds else None)
    experts = style.experts(config) if style.experts else None
    sparse = tuple(experts is not None and style.sparse(config, index) for index in range(count))
    width = 0 if all(sparse) else config.integer("intermediate_size")
    qkv_bias, o_bias, mlp_bias = (_flag(config, bias) for bias in (style.qkv_bias, style.o_bias, style.mlp_bias))

    @cache
    def layer(kind: str, has_experts: bool) -> Layer:
        if kind not in {"full", "sliding", "chunked"}:
            raise config.fault("layer_types", f"has {kind} layers, which its class does not have")
        weights: list[Weight] = [
            *attention(hidden, heads, qkv_bias=qkv_bias, o_bias=o_bias, fused=style.fused),
            norm(hidden, style.norms, style.norm_bias),
        ]
        if style.qk_norm:
            heads_normed = (heads.query + heads.kv) if style.qk_norm == "all" else 2
            weights.append(norm(heads_normed * heads.dim))
        if style.sinks:
            weights.append(Plain("attention", heads.query, "tensor"))
        if has_experts and experts is not None:
            weights += moe(hidden, experts, style.expert_path, style.router)
        else:
            weights += mlp(hidden, width, gated=style.gated, bias=mlp_bias, fused=style.fused)
        state: State = "sliding" if kind == "sliding" else "chunked" if kind == "chunked" else "full"
        return Layer(tuple(weights), kv_group(heads, state, window))

    through = experts.through if experts is not None and any(sparse) else 0
    return Draft(
        hidden=hidden,
        heads=heads.query,
        vocab=vocab,
        context=read_context(config),
        intermediate=max(width, through),
        layers=tuple(layer(kind, has) for kind, has in zip(kinds, sparse, strict=True)),
        outside=outside(config, end, hidden, vocab, style),
        experts=experts.count if experts is not None else 0,
        experts_per_token=experts.per_token if experts is not None else 0,
        extra={"head_dim": heads.dim} | ({"moe_intermediate": experts.width} if experts is not None else {}),
    )


def _flag(config: Fields, said: bool | str) -> bool:
    return said if isinstance(said, bool) else config.flag(said, False)


def outside(config: Fields, end: End, hidden: int, vocab: int, style: Style) -> tuple[Weight, ...]:
    """Embedding, output and the last norm."""
    tied = config.flag("tie_word_embeddings", style.tied)
    table = ends(hidden, vocab, tied=tied, head=end.kind == "head", bias=style.head_bias)
    score = (Linear("other", "score", hidden, end.labels),) if end.kind == "score" else ()
    return (*table, *score, norm(hidden, 1, style.norm_bias))
