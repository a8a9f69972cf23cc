"""Weights that take more memory than their files do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slipway.architectures import catalogue
from slipway.memory.weights import padded_bytes, rank_bytes

GIB = 2**30
SMALL = catalogue.find("openai/gpt-oss-20b")


@pytest.mark.parametrize(
    ("name", "generation", "logged"),
    [
        ("openai/gpt-oss-20b", "hopper", 13.47),
        ("openai/gpt-oss-20b", "ampere", 13.72),
        ("openai/gpt-oss-120b", "hopper", 64.38),
    ],
)
def test_mxfp4_experts_are_padded(name: str, generation: str, logged: float) -> None:
    """As vLLM 0.11.0 and 0.19.0 log them (`bench/sizing_data/cases.csv`, rows 114, 118 and 119)."""
    architecture = catalogue.find(name)
    held = rank_bytes(architecture, 1, 1, False) + padded_bytes(architecture, 1, 1, generation)
    assert held / GIB == pytest.approx(logged, rel=0.01)


def test_only_mxfp4_experts_are_padded() -> None:
    assert padded_bytes(replace(SMALL, quantization="none"), 1, 1, "hopper") == 0
    assert padded_bytes(catalogue.find("meta-llama/Llama-3.1-8B-Instruct"), 1, 1, "hopper") == 0


@pytest.mark.parametrize("tensor", [1, 2, 4, 8])
def test_a_rank_is_padded_by_itself(tensor: int) -> None:
    """The inner size is rounded after it is cut, so many ranks hold more together than one would."""
    assert padded_bytes(SMALL, tensor, 1, "blackwell") * tensor >= padded_bytes(SMALL, 1, 1, "blackwell") * 0.999
    assert padded_bytes(SMALL, tensor, 2, "blackwell") == pytest.approx(padded_bytes(SMALL, tensor, 1, "blackwell") / 2)
