"""The pages of the KV cache against boot logs: from the logged memory follow the logged tokens and concurrency."""

from __future__ import annotations

from dataclasses import replace
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.architectures.types import Architecture
from slipway.memory.kv import Cut, Layout, layout
from slipway.units import GIB
from tests.slipway.memory.models import (
    ALL,
    DEEPSEEK_V3,
    DEEPSEEK_V32,
    ENCODER,
    GEMMA3_1B,
    GEMMA4_31B,
    GEMMA4_E2B,
    LLAMA_8B,
    MAVERICK,
    NEMOTRON,
    QWEN3_NEXT,
    QWEN35_9B,
    QWEN36_27B,
    QWEN36_35B,
    WHISPER,
)

LOGS = (
    # model, ranks, KV type, GiB, tokens of a step, longest, states a request, logged tokens, logged concurrency
    pytest.param(QWEN35_9B, 1, "auto", 20.27, 8192, 262144, 1, 165_792, 2.52, id="Qwen3.5-9B, L40S, 0.19.0"),
    pytest.param(QWEN35_9B, 1, "auto", 11.11, 8192, 1024, 1, None, 137.80, id="Qwen3.5-4B, 0.22.0"),
    pytest.param(QWEN36_35B, 1, "fp8", 2.95, 8192, 65536, 2, 75_456, 3.87, id="Qwen3.6-35B-A3B, RTX 5090, 0.20.0"),
    pytest.param(QWEN36_27B, 1, "fp8", 47.84, 65536, 262144, 2, None, 5.74, id="Qwen3.6-27B, 0.23.1"),
    pytest.param(QWEN3_NEXT, 2, "fp8", 17.58, 8192, 32768, 1, 767_552, 84.29, id="Qwen3-Next-80B, 0.13.0"),
    pytest.param(NEMOTRON, 1, "fp8", 92.64, 8192, 8192, 1, 6_472_800, 1292.17, id="Nemotron-3-Nano, H200, 0.14.1"),
    pytest.param(GEMMA3_1B, 1, "auto", 25.39, 8192, 2048, 1, 950_864, 461.21, id="gemma-3-1b, RTX 5090, 0.13.0"),
    pytest.param(GEMMA4_E2B, 1, "auto", 9.92, 2048, 8192, 1, None, 129.66, id="gemma-4-E2B, L4, 0.21.0"),
    pytest.param(MAVERICK, 8, "auto", 26.15, 8192, 8192, 1, 1_142_384, 139.45, id="Llama-4-Maverick, H200, 0.11.2"),
    pytest.param(DEEPSEEK_V32, 8, "auto", 78.87, 8192, 8192, 1, 1_081_216, 131.98, id="DeepSeek-V3.2, B200, 0.18.0"),
    pytest.param(DEEPSEEK_V32, 8, "fp8", 110.97, 8192, 8192, 1, 2_758_848, 336.77, id="the same, fp8"),
    pytest.param(LLAMA_8B, 1, "auto", 56.21, 8192, 131072, 1, 460_496, 3.51, id="Llama-3.1-8B, A100, 0.30.0"),
)


def found(model: Architecture, cut: Cut) -> Layout:
    shares = layout(model, cut)
    assert shares is not None
    return shares


@pytest.mark.parametrize(("model", "ranks", "kv", "gib", "step", "length", "states", "tokens", "concurrency"), LOGS)
def test_what_was_logged_follows(
    model: Architecture,
    ranks: int,
    kv: str,
    gib: float,
    step: int,
    length: int,
    states: int,
    tokens: int | None,
    concurrency: float,
) -> None:
    """A log rounds its memory to 0.01 GiB; nothing else is left open."""
    shares = found(model, Cut("vllm", ranks, 1, kv))
    blocks = floor(gib * GIB / shares.pool)
    slack = 0.006 / gib + 1 / blocks
    assert blocks / shares.blocks(length, step, states) == pytest.approx(concurrency, abs=slack * concurrency + 0.005)
    if tokens is not None:
        assert blocks // shares.count * shares.smallest == pytest.approx(tokens, rel=slack)


def test_gemma_4_grew_tenfold_because_the_log_counts_otherwise() -> None:
    """vllm#43308: 55 thousand tokens of 50 GB in 0.20 and 525 thousand in 0.21."""
    shares = found(GEMMA4_31B, Cut("vllm", 1, 1, "auto"))
    blocks = floor(50 * GIB / shares.pool)
    assert blocks // shares.count * shares.smallest == pytest.approx(55_000, rel=0.02)
    assert blocks / shares.blocks(262144, 2048, 1) * 262144 == pytest.approx(525_000, rel=0.2)


def test_attention_pages_grow_to_hold_a_state() -> None:
    """ "Setting attention block size to N tokens", as logged for each of these."""
    sizes = [
        found(model, Cut("vllm", ranks, 1, kv)).smallest
        for model, ranks, kv in (
            (QWEN35_9B, 1, "auto"),
            (QWEN36_35B, 1, "fp8"),
            (QWEN36_27B, 1, "fp8"),
            (QWEN3_NEXT, 2, "fp8"),
        )
    ]
    assert sizes == [528, 2096, 1568, 1072]


def test_latent_vectors_are_whole_on_every_rank() -> None:
    assert found(DEEPSEEK_V3, Cut("vllm", 1, 1, "auto")).per_token == 61 * 576 * 2
    assert found(DEEPSEEK_V3, Cut("vllm", 8, 1, "auto")).per_token == 61 * 576 * 2


def test_heads_are_repeated_once_there_are_more_ranks() -> None:
    bytes_by_ranks = [found(LLAMA_8B, Cut("vllm", ranks, 1, "auto")).per_token for ranks in (1, 2, 4, 8, 16, 32)]
    assert bytes_by_ranks == [131072, 65536, 32768, 16384, 16384, 16384]


def test_stages_share_the_layers() -> None:
    assert found(LLAMA_8B, Cut("vllm", 1, 4, "auto")).pool == found(LLAMA_8B, Cut("vllm", 1, 1, "auto")).pool / 4


@pytest.mark.parametrize(("kv", "size"), [("fp8", 65536), ("nvfp4", 131072 * 0.5625 / 2), ("bf16", 131072)])
def test_keys_and_values_in_smaller_types(kv: str, size: float) -> None:
    assert found(LLAMA_8B, Cut("vllm", 1, 1, kv)).per_token == size


def test_sparse_attention_has_its_own_fp8_format_on_hopper() -> None:
    assert found(DEEPSEEK_V32, Cut("vllm", 1, 1, "fp8", sparse_fp8=True)).per_token == 61 * (656 + 132)


def test_without_groups_a_window_keeps_every_token() -> None:
    shares = found(GEMMA3_1B, Cut("vllm", 1, 1, "auto", windows=False))
    assert shares.per_token == 26 * 1024
    assert shares.blocks(8192, 2048, 1) == 8192 / 16


def test_a_prediction_head_keeps_keys_and_values_too() -> None:
    model = replace(LLAMA_8B, speculative_layers=1)
    with_head = found(model, Cut("vllm", 1, 1, "auto", speculative=3)).per_token
    assert with_head / found(model, Cut("vllm", 1, 1, "auto")).per_token == 33 / 32


@pytest.mark.parametrize("windows", [True, False])
def test_what_an_encoder_made_is_kept_whatever_the_length(windows: bool) -> None:
    """94 pages of 16 for the 1500 positions of Whisper's source, in each layer that crosses over to them."""
    shares = found(WHISPER, Cut("vllm", 1, 1, "auto", windows=windows))
    assert shares.pool == 32 * 16 * 20 * 128 * 2
    assert [shares.blocks(length, 2048, 2) for length in (1, 448)] == [1 + 94, 28 + 94]
    assert shares.per_token == 32 * 20 * 128 * 2
    assert found(WHISPER, Cut("llama.cpp", 1, 1, "auto")).blocks(448, 512, 1) == 448 + 1500


def test_encoders_keep_nothing() -> None:
    assert layout(ENCODER, Cut("vllm", 1, 1, "auto")) is None


@pytest.mark.parametrize("engine", ["vllm", "sglang", "llama.cpp"])
@given(
    model=st.sampled_from(ALL),
    blocks=st.integers(0, 200_000),
    step=st.integers(1, 16384),
    limit=st.integers(1, 300_000),
    states=st.sampled_from([1, 2]),
)
def test_the_longest_request_is_the_longest(
    engine: str, model: Architecture, blocks: int, step: int, limit: int, states: int
) -> None:
    shares = found(model, Cut(engine, 1, 1, "auto"))  # type: ignore[arg-type]
    length = shares.longest(blocks, step, states, limit)
    assert 0 <= length <= limit
    if length:
        assert shares.blocks(length, step, states) <= blocks
    if length + shares.smallest <= limit:
        assert shares.blocks(length + shares.smallest, step, states) > blocks


@given(model=st.sampled_from(ALL), length=st.integers(1, 300_000), step=st.integers(1, 16384))
def test_a_longer_request_takes_no_fewer_blocks(model: Architecture, length: int, step: int) -> None:
    shares = found(model, Cut("vllm", 1, 1, "auto"))
    assert shares.blocks(length, step, 1) <= shares.blocks(length + 1, step, 1)
