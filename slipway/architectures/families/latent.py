"""Decoders with multi-head latent attention: DeepSeek V2, V3, R1 and V3.2, Kimi K2, GLM-4.7-Flash and GLM-5."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from slipway.architectures.blocks import Experts, Latent, latent_attention, mlp, moe
from slipway.architectures.families.decoder import End, Style, outside, read_context
from slipway.architectures.families.sparse import read_experts, with_prediction
from slipway.architectures.fields import Fields
from slipway.architectures.layers import layer_count
from slipway.architectures.parts import Draft, Layer, norm
from slipway.architectures.types import LayerGroup

INDEXED = frozenset({"deepseek_v32", "glm_moe_dsa"})
"""sparse attention: a small indexer beside each layer picks the tokens (DeepSeek-V3.2's report, section 2.1)"""


def read_latent(config: Fields, *, indexed: bool = False) -> Latent:
    """The dimensions of MLA."""
    return Latent(
        heads=config.integer("num_attention_heads", high=2**16),
        q_rank=config.integer("q_lora_rank") if indexed else config.quiet("q_lora_rank", 0, 0),
        kv_rank=config.integer("kv_lora_rank"),
        nope=config.integer("qk_nope_head_dim", low=0),
        rope=config.integer("qk_rope_head_dim", low=0),
        value=config.integer("v_head_dim"),
        bias=config.flag("attention_bias", False),
        index_heads=config.integer("index_n_heads", high=2**16) if indexed else 0,
        index_dim=config.integer("index_head_dim") if indexed else 0,
    )


def latent_group(spec: Latent) -> LayerGroup:
    """One compressed vector a token, and the rotary part of its key: the same for all heads."""
    return LayerGroup("latent", 1, latent_dim=spec.kv_rank + spec.rope)


def read_deepseek_experts(config: Fields, *, correction: bool) -> Experts | None:
    """Routed and shared experts, or None for a dense model of the family."""
    if "n_routed_experts" not in config:
        return None
    spec = read_experts(config, "n_routed_experts", "moe_intermediate_size")
    shared = config.quiet("n_shared_experts", 0, 0, 1024)
    return replace(spec, shared_width=shared * spec.width, correction=correction)


def latent(config: Fields, end: End, model_type: str) -> Draft:
    """A decoder with MLA."""
    hidden, vocab, count = config.integer("hidden_size"), config.integer("vocab_size", high=2**26), layer_count(config)
    spec = read_latent(config, indexed=model_type in INDEXED)
    v2 = model_type == "deepseek_v2"
    experts = read_deepseek_experts(config, correction=not v2)
    first = config.quiet("first_k_dense_replace", 0) if experts is not None else count
    every = config.quiet("moe_layer_freq", 1, 1)
    sparse = tuple(index >= first and index % every == 0 for index in range(count))
    width = 0 if all(sparse) else config.integer("intermediate_size")

    @cache
    def layer(has_experts: bool) -> Layer:
        block = moe(hidden, experts) if has_experts and experts is not None else mlp(hidden, width)
        return Layer((*latent_attention(hidden, spec), norm(hidden, 2), *block), latent_group(spec))

    draft = Draft(
        hidden=hidden,
        heads=spec.heads,
        vocab=vocab,
        context=read_context(config),
        intermediate=max(width, experts.through if experts is not None else 0),
        layers=tuple(layer(has) for has in sparse),
        outside=outside(config, end, hidden, vocab, Style()),
        experts=experts.count if experts is not None else 0,
        experts_per_token=experts.per_token if experts is not None else 0,
        extra={
            "kv_lora_rank": spec.kv_rank,
            "qk_rope_head_dim": spec.rope,
            **({"moe_intermediate": experts.width} if experts is not None else {}),
            **({"index_head_dim": spec.index_dim} if spec.index_dim else {}),
        },
    )
    further = config.quiet("num_nextn_predict_layers", 0, 0, 64)
    return with_prediction(draft, further) if further else draft
