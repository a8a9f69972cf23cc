"""What no memory helps: number formats that a GPU cannot compute with, and cuts that a model does not allow."""

from __future__ import annotations

from slipway.architectures.types import Architecture
from slipway.gpus import Gpu
from slipway.memory.types import Engine, Setup

WEIGHTS: dict[str, tuple[tuple[int, int], str]] = {
    "fp8": ((8, 0), "fp8 weights"),
    "int8": ((7, 5), "int8 weights and activations"),
    "awq": ((7, 5), "AWQ weights"),
    "gptq": ((7, 0), "GPTQ weights"),
    "nvfp4": ((8, 0), "NVFP4 weights"),
    "mxfp4": ((8, 0), "MXFP4 weights"),
    "bitsandbytes": ((7, 0), "bitsandbytes weights"),
}
"""Least compute capability by quantisation. fp8 is native from 8.9 and NVFP4 from 10.0; below them Marlin kernels
unpack the weights: https://docs.vllm.ai/en/latest/features/quantization/ (supported hardware)."""

NATIVE = {"fp8": (8, 9), "nvfp4": (10, 0), "mxfp4": (9, 0)}
"""From here on the GPU computes in the format itself; below it only memory is saved."""

NOT_IN_HALF = ("Gemma2", "Gemma3", "Glm4For", "Plamo2")
"""Architectures that vLLM refuses in float16, as their numbers overflow (vllm/config, _FLOAT16_NOT_SUPPORTED_MODELS)"""


def capability(gpu: Gpu) -> tuple[int, int]:
    """(8, 9) of "8.9"."""
    major, _, minor = gpu.compute_capability.partition(".")
    return int(major), int(minor or 0)


def unsupported(architecture: Architecture, gpu: Gpu, *, engine: Engine = "vllm", kv_dtype: str = "auto") -> str | None:
    """Why this GPU cannot run the model at all, however much memory it has; None when it can."""
    if engine == "llama.cpp" or architecture.quantization.startswith("gguf"):
        return None
    has = capability(gpu)
    reason = _lacking(architecture, has, engine, half=kv_dtype == "fp16")
    if reason is None and kv_dtype == "nvfp4" and has < (10, 0):
        reason = "a KV cache in NVFP4 needs 10.0"
    return f"{gpu.name} has compute capability {gpu.compute_capability}; {reason}" if reason else None


def _lacking(architecture: Architecture, has: tuple[int, int], engine: Engine, *, half: bool) -> str | None:
    """`half`: keys and values are asked for in float16, which an engine has where it computes in it."""
    least = WEIGHTS.get(architecture.quantization)
    if has < (7, 0):
        return f"{engine} needs 7.0"
    if least is not None and has < least[0]:
        return f"{least[1]} need {least[0][0]}.{least[0][1]}"
    if architecture.quantization == "int8" and has >= (10, 0):
        # https://docs.vllm.ai/en/latest/features/quantization/int8.html
        return f"{engine} has no int8 kernels for 10.0 and later: take an fp8 version"
    if architecture.dtype == "bf16" and has < (8, 0) and (not half or architecture.kind.startswith(NOT_IN_HALF)):
        # vllm/v1/worker/gpu_worker.py, _check_if_gpu_supports_dtype
        return (
            "bfloat16 needs 8.0, and float16 is too narrow for this model"
            if architecture.kind.startswith(NOT_IN_HALF)
            else "bfloat16 needs 8.0. Most models also run as float16 (--dtype half): ask with kv_dtype fp16"
        )
    return None


def weight_only(architecture: Architecture, gpu: Gpu) -> str | None:
    """A remark where a quantised model runs, but is unpacked to 16 bits for every multiplication."""
    native = NATIVE.get(architecture.quantization)
    if native is None or capability(gpu) >= native:
        return None
    return (
        f"{gpu.name} has no {architecture.quantization} units (from {native[0]}.{native[1]}): weights are unpacked as "
        "they are used, which saves memory but no arithmetic"
    )


def impossible(architecture: Architecture, setup: Setup) -> str | None:
    """Why the engine would refuse this setup whatever the memory; None when it would not."""
    tensor = setup.tensor_parallel
    if isinstance(setup.device, Gpu):
        reason = unsupported(architecture, setup.device, engine=setup.engine, kv_dtype=setup.kv_dtype)
        if reason:
            return reason
    if setup.engine != "llama.cpp" and architecture.heads and architecture.heads % tensor:
        return f"{architecture.heads} attention heads cannot be cut into {tensor}"
    if setup.pipeline_parallel > max(1, architecture.layers):
        return f"{architecture.layers} layers cannot be cut into {setup.pipeline_parallel} stages"
    if setup.speculative_tokens and not architecture.speculative_layers:
        return f"{architecture.name} has no prediction head of its own"
    return None
