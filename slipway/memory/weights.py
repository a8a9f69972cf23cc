"""How many bytes of a model's weights one rank holds."""

from __future__ import annotations

from functools import lru_cache
from math import ceil

from slipway.architectures.types import Architecture, Part
from slipway.estimates import Range

LOADED = Range(0.99, 1.002, 1.02)
"""what an engine says it loaded, against the bytes of the tensors: rotary tables and packed copies come on top, padding
and scales differ. Llama-3.1-8B: 14.99 GiB logged of 14.96; Qwen2.5-7B: 14.25 to 14.37 of 14.19."""

MXFP4_HIDDEN = 256
MXFP4_INNER = {"hopper": 64, "blackwell": 256}
MXFP4_INNER_OTHERS = 128
"""sizes that the kernels of MXFP4 experts round up to; the last is Marlin's, which stands in where none are for FP4"""

FIRST_STAGE = frozenset({"embedding", "vision", "audio"})
LAST_STAGE = frozenset({"lm_head", "mtp"})


@lru_cache(maxsize=8192)
def rank_bytes(architecture: Architecture, tensor: int, pipeline: int, speculative: bool) -> float:
    """Bytes on the fullest rank, exact as far as the parts are.

    Parts that are cut: a tensor-parallel share, others whole; layers go to pipeline stages, the ends to the first and
    the last. Keys and values have no finer cut than one head a rank (vllm/model_executor/layers/linear.py,
    QKVParallelLinear). The prediction head is loaded only where it is used.
    """
    computed = sum(part.bytes for part in architecture.parts)
    scale = architecture.weight_bytes / computed if computed else 1.0
    ends = {"first": 0.0, "last": 0.0, "layers": 0.0}
    for part in architecture.parts:
        if part.name == "mtp" and not speculative:
            continue
        stage = "first" if part.name in FIRST_STAGE else "last" if part.name in LAST_STAGE else "layers"
        ends[stage] += part.bytes / (tensor if part.split == "tensor" else 1)
    ends["layers"] += _repeated_heads(architecture, tensor)
    layers = max(1, architecture.layers)
    share = ceil(layers / pipeline) / layers
    outer = ends["first"] + ends["last"] if pipeline == 1 else max(ends["first"], ends["last"])
    return (ends["layers"] * share + outer) * scale


@lru_cache(maxsize=8192)
def padded_bytes(architecture: Architecture, tensor: int, pipeline: int, generation: str) -> float:
    """Bytes that a rank's MXFP4 experts take beyond their own in vLLM, whose kernels want rounder sizes.

    Source: vllm/model_executor/layers/quantization/mxfp4.py, create_weights. gpt-oss-20b, of 12.82 GiB in its files:
    13.47 logged on an H100 (0.11.0), 13.72 on an A100 (0.19.0).
    """
    inner = architecture.extra.get("moe_intermediate", 0) / tensor
    if architecture.quantization != "mxfp4" or not inner:
        return 0.0
    step = MXFP4_INNER.get(generation, MXFP4_INNER_OTHERS)
    hidden = ceil(architecture.hidden / MXFP4_HIDDEN) * MXFP4_HIDDEN / architecture.hidden
    growth = hidden * ceil(inner / step) * step / inner - 1
    layers = max(1, architecture.layers)
    experts = sum(part.bytes for part in architecture.parts if part.name == "experts" and part.bits < 8)
    return experts * growth / tensor * ceil(layers / pipeline) / layers


def _repeated_heads(architecture: Architecture, tensor: int) -> float:
    """Key and value projections that a rank holds beyond its share, once there are more ranks than heads."""
    bits = _attention_bits(architecture.parts)
    return sum(
        group.count
        * architecture.hidden
        * (group.key_dim + group.value_dim)
        * (max(1, ceil(group.kv_heads / tensor)) - group.kv_heads / tensor)
        * bits
        / 8
        for group in architecture.groups
        if group.kv_heads
    )


def _attention_bits(parts: tuple[Part, ...]) -> float:
    found = [part for part in parts if part.name == "attention"]
    elements = sum(part.elements for part in found)
    return sum(part.elements * part.bits for part in found) / elements if elements else 16.0
