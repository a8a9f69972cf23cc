"""Models as their configurations describe them, written down by hand."""

from __future__ import annotations

from dataclasses import replace

from slipway.architectures.types import Architecture, LayerGroup, Part, RecurrentState

LLAMA_8B = Architecture(
    name="meta-llama/Llama-3.1-8B-Instruct",
    kind="LlamaForCausalLM",
    task="generate",
    hidden=4096,
    heads=32,
    vocab=128256,
    context=131072,
    intermediate=14336,
    groups=(LayerGroup("full", 32, kv_heads=8, key_dim=128, value_dim=128),),
    parts=(
        Part("embedding", 128256 * 4096, 16, read=0),
        Part("lm_head", 128256 * 4096, 16),
        Part("attention", 32 * (4096 * 4096 * 2 + 4096 * 1024 * 2), 16),
        Part("mlp", 32 * 3 * 4096 * 14336, 16),
        Part("norms", 65 * 4096, 16, split="replicated"),
    ),
    dtype="bf16",
)


def gated_delta(heads: int, keys: int = 16, state_bytes: float = 4.0) -> tuple[RecurrentState, ...]:
    """State of one gated delta net of Qwen3.5: the convolution's last 3 columns, and a matrix a value head."""
    width = (2 * keys + heads) * 128
    return (RecurrentState("conv", 3 * width, 2.0), RecurrentState("ssm", heads * 128 * 128, state_bytes))


def hybrid(full: int, linear: int, kv_heads: int, heads: int, *, state_bytes: float = 4.0) -> Architecture:
    """Qwen3.5 and relatives: one attention layer of 256 dimensions a head to three gated delta nets."""
    return replace(
        LLAMA_8B,
        name="hybrid",
        context=262144,
        groups=(
            LayerGroup("full", full, kv_heads=kv_heads, key_dim=256, value_dim=256),
            LayerGroup("recurrent", linear, recurrent=gated_delta(heads, state_bytes=state_bytes)),
        ),
    )


def windows(full: LayerGroup, sliding: LayerGroup, *shared: LayerGroup) -> Architecture:
    return replace(LLAMA_8B, name="windows", context=262144, groups=(full, sliding, *shared))


QWEN35_9B = hybrid(8, 24, 4, 32)
QWEN36_27B = hybrid(16, 48, 4, 48)
QWEN36_35B = hybrid(10, 30, 2, 32)
QWEN3_NEXT = hybrid(12, 36, 2, 32, state_bytes=2.0)
NEMOTRON = replace(
    LLAMA_8B,
    name="nemotron",
    groups=(
        LayerGroup("full", 6, kv_heads=2, key_dim=128, value_dim=128),
        LayerGroup(
            "recurrent", 23, recurrent=(RecurrentState("conv", 3 * 6144, 2), RecurrentState("ssm", 64 * 64 * 128, 4))
        ),
    ),
)
GEMMA3_1B = windows(
    LayerGroup("full", 4, kv_heads=1, key_dim=256, value_dim=256),
    LayerGroup("sliding", 22, kv_heads=1, key_dim=256, value_dim=256, window=512),
)
GEMMA4_E2B = windows(
    LayerGroup("full", 3, kv_heads=1, key_dim=512, value_dim=512),
    LayerGroup("sliding", 12, kv_heads=1, key_dim=256, value_dim=256, window=512),
    LayerGroup("none", 20),
)
GEMMA4_31B = windows(
    LayerGroup("full", 10, kv_heads=4, key_dim=512, value_dim=512),
    LayerGroup("sliding", 50, kv_heads=16, key_dim=256, value_dim=256, window=1024),
)
MAVERICK = windows(
    LayerGroup("full", 12, kv_heads=8, key_dim=128, value_dim=128),
    LayerGroup("chunked", 36, kv_heads=8, key_dim=128, value_dim=128, window=8192),
)
DEEPSEEK_V3 = replace(
    LLAMA_8B, name="deepseek", heads=128, groups=(LayerGroup("latent", 61, latent_dim=576),), context=163840
)
DEEPSEEK_V32 = replace(DEEPSEEK_V3, extra={"index_head_dim": 128})
WHISPER = replace(
    LLAMA_8B,
    name="whisper",
    task="transcribe",
    context=448,
    groups=(
        LayerGroup("full", 32, kv_heads=20, key_dim=64, value_dim=64),
        LayerGroup("cross", 32, kv_heads=20, key_dim=64, value_dim=64, window=1500),
        LayerGroup("none", 32),
    ),
)
ENCODER = replace(LLAMA_8B, name="encoder", task="embed", groups=(LayerGroup("none", 32),), context=8192)
ALL = (
    WHISPER,
    LLAMA_8B,
    QWEN35_9B,
    QWEN36_27B,
    QWEN3_NEXT,
    NEMOTRON,
    GEMMA3_1B,
    GEMMA4_E2B,
    GEMMA4_31B,
    MAVERICK,
    DEEPSEEK_V3,
    DEEPSEEK_V32,
)
