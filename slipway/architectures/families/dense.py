"""Dense decoders: Llama, Mistral, Qwen 2 and 3, Phi-3 and 4, Gemma 1 and 2, OLMo 2, Granite, Cohere and their like."""

from __future__ import annotations

from slipway.architectures.families.decoder import ATTENTION, End, Style, decoder
from slipway.architectures.fields import Fields
from slipway.architectures.layers import every, window_everywhere
from slipway.architectures.parts import Draft
from slipway.architectures.types import State


def qwen_kinds(config: Fields, count: int) -> tuple[State, ...]:
    """Layers from max_window_layers on slide, and only where use_sliding_window says so."""
    first = config.quiet("max_window_layers", count) if config.flag("use_sliding_window", False) else count
    return tuple("sliding" if index >= first else "full" for index in range(count))


def _gemma2_kinds(_config: Fields, count: int) -> tuple[State, ...]:
    """Every second layer is full, beginning with a sliding one."""
    return every(count, 2, "sliding")


def _cohere2_kinds(config: Fields, count: int) -> tuple[State, ...]:
    return every(count, config.integer("sliding_window_pattern", "_sliding_window_pattern", default=4), "sliding")


def _exaone4_kinds(config: Fields, count: int) -> tuple[State, ...]:
    """A pattern such as LLLG, L for local, over and over."""
    pattern = config.values.get("sliding_window_pattern")
    if not isinstance(pattern, str):
        return every(count, config.quiet("sliding_window_pattern", 1, 1), "sliding")
    if not pattern or set(pattern) - set("LG"):
        raise config.fault("sliding_window_pattern", "is not made of L and G")
    return tuple("sliding" if pattern[index % len(pattern)] == "L" else "full" for index in range(count))


def _olmo3_kinds(_config: Fields, count: int) -> tuple[State, ...]:
    return every(count, 4, "sliding")


STYLES = {
    "llama": Style(qkv_bias=ATTENTION, o_bias=ATTENTION, mlp_bias="mlp_bias"),
    "mistral": Style(kinds=window_everywhere),
    "ministral3": Style(kinds=window_everywhere),
    "ministral": Style(kinds=window_everywhere),
    "qwen2": Style(qkv_bias=True, kinds=qwen_kinds),
    "qwen3": Style(qkv_bias=ATTENTION, o_bias=ATTENTION, qk_norm="head", kinds=qwen_kinds),
    "phi3": Style(fused=True, kinds=window_everywhere),
    "gemma": Style(qkv_bias=ATTENTION, o_bias=ATTENTION, tied=True),
    "gemma2": Style(qkv_bias=ATTENTION, o_bias=ATTENTION, tied=True, norms=4, kinds=_gemma2_kinds),
    "olmo2": Style(qkv_bias=ATTENTION, o_bias=ATTENTION, qk_norm="all"),
    "olmo3": Style(qkv_bias=ATTENTION, o_bias=ATTENTION, qk_norm="all", kinds=_olmo3_kinds),
    "granite": Style(qkv_bias=ATTENTION, o_bias=ATTENTION, mlp_bias="mlp_bias"),
    "cohere": Style(qkv_bias=ATTENTION, o_bias=ATTENTION, norms=1, tied=True),
    "cohere2": Style(qkv_bias=ATTENTION, o_bias=ATTENTION, norms=1, tied=True, kinds=_cohere2_kinds),
    "smollm3": Style(qkv_bias=ATTENTION, o_bias=ATTENTION, mlp_bias="mlp_bias", tied=True),
    "glm4": Style(qkv_bias=ATTENTION, norms=4, fused=True),
    "exaone4": Style(qk_norm="head", kinds=_exaone4_kinds),
    "seed_oss": Style(qkv_bias=ATTENTION, o_bias=False, mlp_bias="mlp_bias"),
    "ernie4_5": Style(tied=True),
    "internlm2": Style(qkv_bias="bias", o_bias="bias"),
    "internlm3": Style(qkv_bias="qkv_bias", o_bias="bias", mlp_bias="bias"),
    "starcoder2": Style(
        qkv_bias=True, o_bias=True, mlp_bias=True, gated=False, norm_bias=True, tied=True, kinds=window_everywhere
    ),
}


def dense(config: Fields, end: End, model_type: str) -> Draft:
    """A dense decoder."""
    return decoder(config, end, STYLES[model_type])
