"""Decoders with Mamba layers: Nemotron-H, Granite 4 hybrids, Jamba, Bamba, Falcon-H1, and Mamba 1 and 2 alone."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from slipway.architectures.blocks import Experts, attention, kv_group, mlp, moe
from slipway.architectures.families.decoder import End, Style, outside, read_context, read_heads
from slipway.architectures.families.sparse import read_experts
from slipway.architectures.fields import Fields
from slipway.architectures.layers import MOST_LAYERS, layer_count, written_kinds
from slipway.architectures.parts import Draft, Layer, Weight, norm
from slipway.architectures.recurrent import (
    Mamba1,
    Mamba2,
    mamba1_group,
    mamba1_weights,
    mamba2_group,
    mamba2_weights,
    state_bytes,
)
from slipway.architectures.types import LayerGroup

WITHOUT_STATE = LayerGroup("none", 1)
"""a feed-forward layer of Nemotron-H, which counts as a layer of its own"""


def _draft(config: Fields, end: End, layers: tuple[Layer, ...], style: Style, **more: object) -> Draft:
    hidden, vocab = config.integer("hidden_size"), config.integer("vocab_size", high=2**26)
    draft = Draft(
        hidden=hidden,
        heads=config.quiet("num_attention_heads", 1, 1, 2**16),
        vocab=vocab,
        context=read_context(config, "max_position_embeddings", "model_max_length", default=2**20),
        intermediate=1,
        layers=layers,
        outside=outside(config, end, hidden, vocab, style),
    )
    return replace(draft, **more)  # type: ignore[arg-type]


def _experts_of(experts: Experts | None) -> dict[str, object]:
    if experts is None:
        return {}
    extra = {"moe_intermediate": experts.width}
    return {"experts": experts.count, "experts_per_token": experts.per_token, "extra": extra}


def _mixer(config: Fields, *, heads: str, head_dim: str, state: str) -> Mamba2:
    """A Mamba-2 mixer as its own release names it; three names differ where other mixers stand beside it."""
    return Mamba2(
        heads=config.integer(heads, high=2**16),
        head_dim=config.integer(head_dim, high=2**16),
        groups=config.integer("n_groups", high=2**16),
        state=config.integer(state),
        kernel=config.integer("conv_kernel", high=256),
        bias=config.flag("use_bias", False),
        conv_bias=config.flag("use_conv_bias", True),
    )


def nemotron_h(config: Fields, end: End, model_type: str) -> Draft:
    """One mixer a layer, as hybrid_override_pattern says: M for Mamba-2, * attention, - feed-forward, E experts."""
    del model_type
    hidden, count = config.integer("hidden_size"), layer_count(config)
    pattern = config.word("hybrid_override_pattern")
    if not pattern:
        words = config.words("layers_block_type", most=MOST_LAYERS)
        letters = {"mamba": "M", "attention": "*", "mlp": "-", "moe": "E"}
        pattern = "".join(letters.get(word, "?") for word in words)
    if len(pattern) != count or set(pattern) - set("M*-E"):
        raise config.fault("hybrid_override_pattern", f"does not say one of M, *, - and E for each of {count} layers")
    heads = read_heads(config, hidden)
    mixer = _mixer(config, heads="mamba_num_heads", head_dim="mamba_head_dim", state="ssm_state_size")
    width = config.integer("intermediate_size") if "-" in pattern else 0
    bias = config.flag("mlp_bias", False)
    experts = _nemotron_experts(config) if "E" in pattern else None
    element = state_bytes(config)

    @cache
    def layer(letter: str) -> Layer:
        weights: tuple[Weight, ...]
        if letter == "M":
            return Layer((*mamba2_weights(hidden, mixer, "mixer"), norm(hidden)), mamba2_group(mixer, element))
        if letter == "*":
            qkv = config.flag("attention_bias", False)
            weights = attention(hidden, heads, qkv_bias=qkv, o_bias=qkv, prefix="mixer")
            return Layer((*weights, norm(hidden)), kv_group(heads))
        weights = mlp(hidden, width, gated=False, bias=bias, prefix="mixer")
        if letter == "E" and experts is not None:
            weights = moe(hidden, experts, "mixer")
        return Layer((*weights, norm(hidden)), WITHOUT_STATE)

    layers = tuple(layer(letter) for letter in pattern)
    through = max(width, experts.through if experts is not None else 0, mixer.inner)
    return _draft(config, end, layers, Style(), intermediate=through, **_experts_of(experts))


def _nemotron_experts(config: Fields) -> Experts:
    if "moe_latent_size" in config:
        what = "is written: experts in a narrower space, whose tensors Slipway does not know"
        raise config.fault("moe_latent_size", what, "Use a GGUF file of this model instead")
    spec = read_experts(config, "n_routed_experts", "moe_intermediate_size")
    shared = config.quiet("n_shared_experts", 0, 0, 1024)
    width = config.quiet("moe_shared_expert_intermediate_size", spec.width) * shared
    return replace(spec, gated=False, correction=True, shared_width=width)


def granite(config: Fields, end: End, model_type: str) -> Draft:
    """Granite 4: Mamba-2 or attention, then experts and a shared block, or the shared block alone."""
    del model_type
    hidden, count = config.integer("hidden_size"), layer_count(config)
    heads = read_heads(config, hidden)
    kinds = written_kinds(config, count, "layers_block_type") or written_kinds(config, count)
    if kinds is None:
        raise config.missing("layer_types")
    mixer = _mamba2(config, hidden) if "recurrent" in kinds else None
    shared = config.integer("shared_intermediate_size")
    routed = config.quiet("num_local_experts", 0)
    experts = None
    if routed:
        experts = replace(read_experts(config, "num_local_experts", "intermediate_size"), shared_width=shared)
    element = state_bytes(config)
    bias = config.flag("attention_bias", False)

    @cache
    def layer(kind: str) -> Layer:
        block = moe(hidden, experts, "block_sparse_moe") if experts is not None else mlp(hidden, shared)
        common: tuple[Weight, ...] = (norm(hidden, 2), *block)
        if kind == "recurrent" and mixer is not None:
            return Layer((*mamba2_weights(hidden, mixer, "mamba"), *common), mamba2_group(mixer, element))
        return Layer((*attention(hidden, heads, qkv_bias=bias, o_bias=bias), *common), kv_group(heads))

    layers = tuple(layer(kind) for kind in kinds)
    through = experts.through if experts is not None else shared
    return _draft(config, end, layers, Style(tied=True), intermediate=through, **_experts_of(experts))


def _mamba2(config: Fields, hidden: int) -> Mamba2:
    """The names that Bamba gave to Mamba-2's dimensions, which Granite and Falcon-H1 took over."""
    heads = config.integer("mamba_n_heads", high=2**16)
    inner = config.quiet("mamba_d_ssm", config.quiet("mamba_expand", 2, 1, 64) * hidden, 1)
    return Mamba2(
        heads=heads,
        head_dim=config.automatic("mamba_d_head", max(inner // heads, 1)),
        groups=config.integer("mamba_n_groups", high=2**16),
        state=config.integer("mamba_d_state"),
        kernel=config.integer("mamba_d_conv", high=256),
        bias=config.flag("mamba_proj_bias", False),
        conv_bias=config.flag("mamba_conv_bias", True),
    )


def bamba(config: Fields, end: End, model_type: str) -> Draft:
    """Mamba-2, with attention in the layers that attn_layer_indices lists."""
    del model_type
    hidden, count = config.integer("hidden_size"), layer_count(config)
    heads, mixer, width = read_heads(config, hidden), _mamba2(config, hidden), config.integer("intermediate_size")
    full = set(config.integers("attn_layer_indices") or ())
    element = state_bytes(config)

    @cache
    def layer(attends: bool) -> Layer:
        common = (norm(hidden, 2), *mlp(hidden, width, prefix="feed_forward"))
        if attends:
            return Layer((*attention(hidden, heads), *common), kv_group(heads))
        return Layer((*mamba2_weights(hidden, mixer, "mamba"), *common), mamba2_group(mixer, element))

    return _draft(config, end, tuple(layer(index in full) for index in range(count)), Style(), intermediate=width)


def falcon_h1(config: Fields, end: End, model_type: str) -> Draft:
    """Attention and Mamba-2 side by side in every layer."""
    del model_type
    hidden, count = config.integer("hidden_size"), layer_count(config)
    heads, width = read_heads(config, hidden), config.integer("intermediate_size")
    mixer = replace(_mamba2(config, hidden), normed=config.flag("mamba_rms_norm", False))
    bias = config.flag("attention_bias", False)
    block = mlp(hidden, width, bias=config.flag("mlp_bias", False), prefix="feed_forward")
    weights = (
        *attention(hidden, heads, qkv_bias=bias, o_bias=bias),
        *mamba2_weights(hidden, mixer, "mamba"),
        norm(hidden, 2),
        *block,
    )
    layer = Layer(weights, kv_group(heads), mamba2_group(mixer, state_bytes(config)))
    return _draft(config, end, (layer,) * count, Style(), intermediate=width)


def jamba(config: Fields, end: End, model_type: str) -> Draft:
    """Mamba 1, attention in every eighth layer, experts in every second."""
    del model_type
    hidden, count = config.integer("hidden_size"), layer_count(config)
    heads, width = read_heads(config, hidden), config.integer("intermediate_size")
    inner = config.quiet("mamba_expand", 2, 1, 64) * hidden
    mixer = Mamba1(
        inner=inner,
        state=config.quiet("mamba_d_state", 16, 1),
        rank=config.automatic("mamba_dt_rank", -(-hidden // 16)),
        kernel=config.quiet("mamba_d_conv", 4, 1, 256),
        bias=config.flag("mamba_proj_bias", False),
        conv_bias=config.flag("mamba_conv_bias", True),
        normed=True,
    )
    attends = (config.quiet("attn_layer_period", 8, 1), config.quiet("attn_layer_offset", 4, 0))
    routes = (config.quiet("expert_layer_period", 2, 1), config.quiet("expert_layer_offset", 1, 0))
    routed = config.quiet("num_experts", 16, 1)
    experts = read_experts(config, "num_experts", "intermediate_size") if routed > 1 else None
    element = state_bytes(config)

    @cache
    def layer(is_full: bool, has_experts: bool) -> Layer:
        block = mlp(hidden, width, prefix="feed_forward")
        if has_experts and experts is not None:
            block = moe(hidden, experts, "feed_forward", "router")
        common: tuple[Weight, ...] = (norm(hidden, 2), *block)
        if is_full:
            return Layer((*attention(hidden, heads), *common), kv_group(heads))
        return Layer((*mamba1_weights(hidden, mixer, "mamba"), *common), mamba1_group(mixer, element))

    layers = tuple(layer(index % attends[0] == attends[1], index % routes[0] == routes[1]) for index in range(count))
    through = experts.through if experts is not None else width
    return _draft(config, end, layers, Style(), intermediate=max(width, through), **_experts_of(experts))


def mamba1(config: Fields, end: End, model_type: str) -> Draft:
    """Mamba 1 alone."""
    del model_type
    hidden, count = config.integer("hidden_size", "d_model"), layer_count(config, default=None)
    inner = config.quiet("intermediate_size", config.quiet("expand", 2, 1, 64) * hidden, 1)
    mixer = Mamba1(
        inner=inner,
        state=config.integer("state_size"),
        rank=config.automatic("time_step_rank", -(-hidden // 16)),
        kernel=config.integer("conv_kernel", high=256),
        bias=config.flag("use_bias", False),
        conv_bias=config.flag("use_conv_bias", True),
    )
    layer = Layer((*mamba1_weights(hidden, mixer, "mixer"), norm(hidden)), mamba1_group(mixer, state_bytes(config)))
    return _draft(config, end, (layer,) * count, Style(tied=True), intermediate=inner)


def mamba2(config: Fields, end: End, model_type: str) -> Draft:
    """Mamba 2 alone."""
    del model_type
    hidden, count = config.integer("hidden_size"), layer_count(config)
    mixer = _mixer(config, heads="num_heads", head_dim="head_dim", state="state_size")
    layer = Layer((*mamba2_weights(hidden, mixer, "mixer"), norm(hidden)), mamba2_group(mixer, state_bytes(config)))
    return _draft(config, end, (layer,) * count, Style(), intermediate=mixer.inner, heads=mixer.heads)
