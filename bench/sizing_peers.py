"""What other formulas say of the same rows, as their authors publish them. GiB a GPU throughout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from slipway.architectures.types import Architecture
from slipway.gpus import Gpu

GIB = 2**30
BYTES = {"bf16": 2, "fp16": 2, "fp32": 4, "fp8": 1, "int8": 1}
"""a parameter; everything else counts as four bits"""


@dataclass(frozen=True)
class Answer:
    """None of them knows of state that does not grow with the tokens."""

    weights: float
    kv: float
    tokens: float


def kaito(architecture: Architecture, gpu: Gpu, gpus: int, fraction: float) -> Answer:
    """KAITO's estimator: weights × 1.02, of 84 % of the card's memory, less 2.3 GiB and 5 % of the weights.

    Its fraction is its own, whatever the engine is told. Source: github:kaito-project/kaito, presets' nodes estimator.
    """
    del fraction
    weights = architecture.weight_bytes / GIB * 1.02 / gpus
    kv = 0.84 * gpu.memory_mib / 1024 - weights - 2.3 - 0.05 * weights
    return Answer(weights, kv, kv * GIB * gpus / _grouped(architecture))


def gpu_poor(architecture: Architecture, gpu: Gpu, gpus: int, fraction: float) -> Answer:
    """gpu_poor: parameters × bytes, 650 MB for CUDA, and keys and values of every query head (MHA).

    Source: github:RahulSChand/gpu_poor, the page's JavaScript.
    """
    del fraction
    weights = _plain_weights(architecture) / gpus
    kv = gpu.memory_mib / 1024 - weights - 650e6 / GIB
    token = 2 * architecture.layers * architecture.hidden * 2
    return Answer(weights, kv, kv * GIB * gpus / token)


def plain(architecture: Architecture, gpu: Gpu, gpus: int, fraction: float) -> Answer:
    """Parameters × bytes, and the rest of the fraction for keys and values of every layer: the usual napkin."""
    weights = _plain_weights(architecture) / gpus
    kv = fraction * gpu.memory_mib / 1024 - weights
    return Answer(weights, kv, kv * GIB * gpus / _grouped(architecture))


PEERS: dict[str, Callable[[Architecture, Gpu, int, float], Answer]] = {
    "KAITO": kaito,
    "gpu_poor": gpu_poor,
    "plain": plain,
}


def _plain_weights(architecture: Architecture) -> float:
    kind = architecture.dtype if architecture.quantization == "none" else architecture.quantization
    return architecture.parameters * BYTES.get(kind, 0.5) / GIB


def _grouped(architecture: Architecture) -> float:
    """Bytes a token of keys and values of grouped heads in every layer that has any, 16 bits each."""
    layers = sum(
        group.count * (group.latent_dim or group.kv_heads * (group.key_dim + group.value_dim))
        for group in architecture.groups
    )
    return 2 * layers or float("inf")
