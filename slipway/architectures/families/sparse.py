"""Decoders with experts: Mixtral, Qwen MoE, gpt-oss, GLM-4.5, OLMoE, Phi-3.5-MoE, Granite MoE, MiniMax, ERNIE 4.5."""

from __future__ import annotations

from dataclasses import replace

from slipway.architectures.blocks import Experts
from slipway.architectures.families.decoder import ATTENTION, End, Style, decoder
from slipway.architectures.families.dense import qwen_kinds
from slipway.architectures.fields import Fields
from slipway.architectures.layers import every, window_everywhere
from slipway.architectures.parts import Draft, Linear, Plain, Weight, norm
from slipway.architectures.types import State


def read_experts(config: Fields, count: str, width: str, used: str = "num_experts_per_tok") -> Experts:
    """Routed experts by the names that a family writes them under."""
    experts = config.integer(count, high=2**16)
    chosen = config.integer(used, high=2**16)
    if chosen > experts:
        raise config.fault(used, f"is {chosen}, and there are {experts} experts")
    return Experts(experts, chosen, config.integer(width))


def _mixtral(config: Fields) -> Experts:
    return read_experts(config, "num_local_experts", "intermediate_size")


def _qwen2(config: Fields) -> Experts:
    shared = config.integer("shared_expert_intermediate_size")
    return replace(_qwen3(config), shared_width=shared, shared_name="shared_expert", shared_gate=True)


def _qwen3(config: Fields) -> Experts:
    return read_experts(config, "num_experts", "moe_intermediate_size")


def _qwen_sparse(config: Fields, index: int) -> bool:
    step = config.quiet("decoder_sparse_step", 1, 1)
    return index not in (config.integers("mlp_only_layers") or ()) and (index + 1) % step == 0


def _olmoe(config: Fields) -> Experts:
    return read_experts(config, "num_experts", "intermediate_size")


def _granite(config: Fields) -> Experts:
    return replace(_mixtral(config), shared_width=config.quiet("shared_intermediate_size", 0))


def _gpt_oss(config: Fields) -> Experts:
    return replace(_mixtral(config), router_bias=True, bias=True)


def _alternating(_config: Fields, count: int) -> tuple[State, ...]:
    return every(count, 2, "sliding")


def _glm4(config: Fields) -> Experts:
    spec = read_experts(config, "n_routed_experts", "moe_intermediate_size")
    return replace(spec, shared_width=config.quiet("n_shared_experts", 0, 0, 1024) * spec.width, correction=True)


def _first_dense(config: Fields, index: int) -> bool:
    return index >= config.quiet("first_k_dense_replace", 1)


def _minimax(config: Fields) -> Experts:
    shared = config.quiet("shared_intermediate_size", 0)
    return replace(_mixtral(config), shared_width=shared, correction=config.flag("use_routing_bias", True))


def _ernie(config: Fields) -> Experts:
    spec = read_experts(config, "moe_num_experts", "moe_intermediate_size", "moe_k")
    shared = config.quiet("moe_num_shared_experts", 0, 0, 1024)
    return replace(spec, shared_width=shared * spec.width, correction=True)


def _ernie_sparse(config: Fields, index: int) -> bool:
    return index >= config.quiet("moe_layer_start_index", 1)


STYLES = {
    "mixtral": Style(experts=_mixtral, kinds=window_everywhere, expert_path="block_sparse_moe"),
    "qwen2_moe": Style(qkv_bias=True, experts=_qwen2, sparse=_qwen_sparse, kinds=qwen_kinds),
    "qwen3_moe": Style(
        qkv_bias=ATTENTION, o_bias=ATTENTION, qk_norm="head", experts=_qwen3, sparse=_qwen_sparse, kinds=qwen_kinds
    ),
    "olmoe": Style(qkv_bias=ATTENTION, o_bias=ATTENTION, qk_norm="all", experts=_olmoe),
    "phimoe": Style(
        qkv_bias=ATTENTION,
        o_bias=ATTENTION,
        norm_bias=True,
        head_bias=True,
        experts=_mixtral,
        expert_path="block_sparse_moe",
    ),
    "granitemoe": Style(
        qkv_bias=ATTENTION, o_bias=ATTENTION, tied=True, experts=_granite, expert_path="block_sparse_moe"
    ),
    "granitemoeshared": Style(
        qkv_bias=ATTENTION, o_bias=ATTENTION, tied=True, experts=_granite, expert_path="block_sparse_moe"
    ),
    "gpt_oss": Style(qkv_bias=True, o_bias=True, sinks=True, experts=_gpt_oss, kinds=_alternating, router="router"),
    "glm4_moe": Style(qkv_bias=ATTENTION, experts=_glm4, sparse=_first_dense),
    "minimax_m2": Style(qk_norm="all", experts=_minimax, expert_path="block_sparse_moe"),
    "ernie4_5_moe": Style(tied=True, experts=_ernie, sparse=_ernie_sparse),
}


def sparse(config: Fields, end: End, model_type: str) -> Draft:
    """A decoder with experts."""
    style = STYLES[model_type]
    if model_type == "glm4_moe" and config.flag("use_qk_norm", False):
        style = replace(style, qk_norm="head")
    draft = decoder(config, end, style)
    extra_layers = config.quiet("num_nextn_predict_layers", 0, 0, 64)
    return with_prediction(draft, extra_layers) if extra_layers else draft


def with_prediction(draft: Draft, count: int, path: str = "", *, shares_ends: bool = False) -> Draft:
    """`draft` with `count` layers that predict a token further (DeepSeek-V3, arXiv 2412.19437 section 2.2): each is one
    more decoder layer, a projection of twice the width, three norms and, unless shared, its own embedding and output.
    A token passes through them only where drafting is on. `path`: its name, where it is not the next layer's."""
    hidden = draft.hidden
    path = path or f"layers.{len(draft.layers)}"
    table = 0 if shares_ends else 2 * draft.vocab * hidden
    own: tuple[Weight, ...] = (
        *(_as_mtp(weight, path) for weight in draft.layers[-1].weights),
        Linear("mtp", f"{path}.eh_proj", 2 * hidden, hidden, used=0.0),
        Plain("mtp", norm(hidden, 3).elements + table, "tensor", 0.0),
    )
    return replace(draft, outside=draft.outside + own * count, speculative_layers=count)


def _as_mtp(weight: Weight, path: str) -> Weight:
    if isinstance(weight, Plain):
        return replace(weight, part="mtp", read=0.0)
    return replace(weight, part="mtp", path=f"{path}.{weight.path}", used=0.0)
