"""Damaged, lying and foreign headers: one sentence each, and nothing else."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.architectures.gguf import ShortHeaderError, parse_gguf
from slipway.errors import SizingError
from tests.slipway.architectures.gguf_files import F32, Q4_K, Tensor, dense, gguf, llama, text
from tests.slipway.architectures.test_gguf import SMOLLM2, outside, recurrence

HEAD, FILE_BYTES = gguf(llama() | {"tokenizer.ggml.tokens": ["a", "bc", "def"], "x.nested": [[1, 2], [3]]}, dense())


def named(value: object) -> str:
    """Cases are called by what is wrong with them, not by their bytes."""
    return value if isinstance(value, str) else ""


def refused(head: bytes, file_bytes: int = 10**9) -> str:
    with pytest.raises(SizingError) as error:
        parse_gguf(head, name="model.gguf", file_bytes=file_bytes)
    assert error.value.fix
    return str(error.value)


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"\x93NUMPY" + bytes(100), "does not start with GGUF"),
        (b"GGUF" + struct.pack(">IQQ", 3, 1, 1), "big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 9, 1, 1), "version 9"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**63, 1), "tensors are more than"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 2**40), "pairs are more than"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**63) + bytes(20), "a key of"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<IQ", 8, 2**62), "bytes are announced"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<IIQ", 9, 10, 2**62), "bytes are announced"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<IIQ", 9, 8, 2**62), "more than 4000000"),
        (
            b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<IIQ", 9, 77, 1),
            "array of the unknown type 77",
        ),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<I", 99), "unknown type 99"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<IB", 7, 2), "neither true nor false"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("ß") + struct.pack("<IB", 7, 1), "no ASCII"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + 2 * (text("k") + struct.pack("<IB", 7, 1)), "'k' is there twice"),
        (
            b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 9,
            "nested more than",
        ),
    ],
    ids=named,
)
def test_damage(head: bytes, what: str) -> None:
    assert what in refused(head)


def window(pattern: Any) -> dict[str, Any]:
    return {"attention__sliding_window": 8, "attention__sliding_window_pattern": pattern}


def changed(metadata: dict[str, Any], tensors: list[Tensor]) -> str:
    return refused(*gguf(metadata, tensors))


@pytest.mark.parametrize(
    ("metadata", "tensors", "what"),
    [
        (llama() | {"general.alignment": 33}, dense(), "general.alignment is 33"),
        (llama() | {"general.alignment": 0} | {"general.alignment": True}, dense(), "general.alignment is True"),
        (llama("quux"), dense(), "'quux', and what its layers keep"),
        (llama("deepseek4"), dense(), "'deepseek4'"),
        (llama() | {"general.type": "adapter"}, dense(), "LoRA adapter"),
        (llama("clip"), dense(), "projector"),
        ({}, dense(), "general.architecture is missing"),
        (llama(layers=5), dense(4), "layer 4 has no tensor"),
        (llama(layers=3), dense(4), "tensor 'blk.3."),
        (llama(layers=10**6), dense(4), "is not from 1 to 10000"),
        (llama(), [*dense(), ("blk.x.y", (1,), F32)], "tensor 'blk.x.y'"),
        (llama(), [*dense(), ("output.weight", (256, 1000), F32)], "'output.weight' is there twice"),
        (llama(), dense()[1:], "no tensor token_embd.weight"),
        (llama(hidden=512), dense(), "embedding_length is 512"),
        (llama(kv_heads=4), dense(), "4 heads × 64 = 256, but blk.0.attn_k.weight has the shape (256, 128)"),
        (llama() | {"llama.attention.head_count_kv": [2, 2]}, dense(), "has 2 entries for 4 layers"),
        (llama() | {"llama.attention.head_count_kv": -1}, dense(), "is not from 0"),
        (llama() | {"llama.attention.head_count_kv": "2"}, dense(), "no whole number"),
        (llama(kv_heads=0), dense(), "head_count_kv is 0 or missing"),
        (llama() | {"llama.context_length": 2.5}, dense(), "no whole number"),
        (llama(expert_count=8), dense(), "expert_used_count is missing"),
        (llama(expert_count=8, expert_used_count=9), dense(), "is not from 0 to 8"),
        (llama("qwen2", **window(2)), dense(), "not known to slide"),
        (llama("gemma4", **window([True])), dense(), "1 entries for 4"),
        (llama("mamba", layers=1), [*outside(), *recurrence(0, "ssm_in")], "ssm.conv_kernel is missing"),
        (llama("deepseek2", attention__key_length_mla=1), dense(), "kv_lora_rank is missing"),
    ],
)
def test_lies(metadata: dict[str, Any], tensors: list[Tensor], what: str) -> None:
    assert what in changed(metadata, tensors)


def with_tensor(name: str, dimensions: tuple[int, ...], kind: int, offset: int = 0) -> bytes:
    tensor = text(name) + struct.pack(f"<I{len(dimensions)}QIQ", len(dimensions), *dimensions, kind, offset)
    return b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + tensor


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (with_tensor("t", (100,), Q4_K), "rows of 100, no multiple of Q4_K's 256"),
        (with_tensor("t", (), Q4_K), "rows of 1, no multiple of Q4_K's 256"),
        (with_tensor("t", (256,), 31), "Q4_0_4_4, which llama.cpp no longer reads"),
        (with_tensor("t", (256,), 200), "the unknown type 200"),
        (with_tensor("t", (0,), F32), "no elements"),
        (with_tensor("t", (1, 1, 1, 1, 1), F32), "5 dimensions"),
        (with_tensor("t", (1,), F32, offset=5), "no multiple of 32"),
        (with_tensor("t", (2**63, 2**63), F32), "cut short"),
        (with_tensor("t", (1,), F32, offset=2**60), "cut short"),
        (with_tensor("t" * 300, (1,), F32), "longer than 256"),
    ],
    ids=named,
)
def test_bad_tensors(head: bytes, what: str) -> None:
    assert what in refused(head)


def test_a_file_that_ends_too_early() -> None:
    assert "it is cut short" in refused(HEAD, FILE_BYTES - 1)
    assert "bytes were read" not in refused(HEAD, len(HEAD))
    assert "were read of it" in refused(HEAD, len(HEAD) - 1)


@given(st.integers(0, len(HEAD) - 1))
def test_every_cut_asks_for_more(length: int) -> None:
    with pytest.raises(ShortHeaderError) as error:
        parse_gguf(HEAD[:length], name="model.gguf", file_bytes=FILE_BYTES)
    assert length < error.value.needed <= len(HEAD)
    with pytest.raises(SizingError):
        parse_gguf(HEAD[:length], name="model.gguf", file_bytes=length)


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4), st.booleans()
)
def test_any_bytes_changed(changes: list[tuple[int, bytes]], real: bool) -> None:
    mutated = bytearray(SMOLLM2.read_bytes() if real else HEAD)
    for place, new in changes:
        start = place % len(mutated)
        mutated[start : start + len(new)] = new
    with contextlib.suppress(SizingError):
        parse_gguf(bytes(mutated), name="model.gguf", file_bytes=98_362_432)


@given(st.integers(0, len(HEAD) * 8 - 1))
def test_any_bit_flipped(bit: int) -> None:
    mutated = bytearray(HEAD)
    mutated[bit // 8] ^= 1 << bit % 8
    with contextlib.suppress(SizingError):
        parse_gguf(bytes(mutated), name="model.gguf", file_bytes=FILE_BYTES)


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    with contextlib.suppress(SizingError):
        parse_gguf(b"GGUF\x03\0\0\0" + data, name="model.gguf", file_bytes=10**12)


@given(st.integers(0, len(HEAD) - 8), st.sampled_from([2**16, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1]))
def test_huge_counts_take_no_memory(place: int, count: int) -> None:
    mutated = HEAD[:place] + struct.pack("<Q", count) + HEAD[place + 8 :]
    tracemalloc.start()
    with contextlib.suppress(SizingError):
        parse_gguf(mutated, name="model.gguf", file_bytes=2**50)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20
