"""What an engine does when it is told nothing: its defaults, by version and by GPU."""

from __future__ import annotations

from dataclasses import dataclass

from slipway.architectures.types import Architecture
from slipway.gpus import Gpu
from slipway.memory.types import Setup
from slipway.memory.versions import Behaviour, behaviour
from slipway.units import GIB

LLAMA_CPP_BATCH = 512
"""`--ubatch-size`: https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md"""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A setup with every value there."""

    behaviour: Behaviour
    fraction: float
    length: int
    """of the longest request, tokens"""
    sequences: int
    batched: int
    """tokens of one step, at most"""
    tensor_parallel: int
    pipeline_parallel: int
    total: float
    """bytes of the device that an engine can ask for"""
    kv_dtype: str
    """auto is the type of activations"""


def resolved(architecture: Architecture, setup: Setup) -> Resolved:
    """The setup with the engine's own defaults in place of None. Raises `SizingError` for an unreadable version."""
    acts = behaviour(setup.engine, setup.engine_version)
    length = setup.max_model_len or architecture.context
    device = setup.device
    tensor, pipeline = setup.tensor_parallel, setup.pipeline_parallel
    fraction = acts.fraction
    if setup.engine == "llama.cpp" or not isinstance(device, Gpu):
        # llama.cpp gives whole layers to its GPUs, as pipeline parallelism does.
        total = float(device.usable if isinstance(device, Gpu) else device.memory)
        sequences = setup.max_num_seqs or 1
        batched = setup.max_num_batched_tokens or LLAMA_CPP_BATCH
        return Resolved(
            acts, setup.memory_fraction or 1.0, length, sequences, min(batched, length), 1, tensor * pipeline, total,
            setup.kv_dtype,
        )  # fmt: skip
    total = float(device.usable)
    if setup.engine == "sglang":
        batched, sequences = _sglang(device.memory_mib, tensor)
        fraction = sglang_fraction(device.memory_mib, tensor * pipeline)
    else:
        batched, sequences = _vllm(acts, device, length)
    sequences = setup.max_num_seqs or sequences
    batched = setup.max_num_batched_tokens or batched
    fraction = setup.memory_fraction or fraction
    kv_dtype = setup.kv_dtype
    if kv_dtype == "auto" and acts.kv_as_written and architecture.extra.get("kv_bits") == 8:
        kv_dtype = "fp8"
    return Resolved(acts, fraction, length, sequences, batched, tensor, pipeline, total, kv_dtype)


def _vllm(acts: Behaviour, gpu: Gpu, length: int) -> tuple[int, int]:
    """Tokens of a batch and sequences at once, of the server (`vllm/engine/arg_utils.py`, get_batch_defaults)."""
    if not acts.profiled:
        if length <= 32768:
            return max(length, 2048), 256
        return (2048 if acts.version >= (0, 7, 0) else 512), 256
    if acts.version < (0, 9, 0):
        return (8192 if gpu.name.startswith(("H100", "H200")) else 2048), 256
    if acts.version >= (0, 28, 0) and gpu.usable >= 160 * GIB:
        return 16384, 1024
    if gpu.usable >= 70 * GIB and not gpu.name.startswith("A100"):
        return 8192, 1024
    return 2048, 256


def _sglang(memory_mib: int, tensor_parallel: int) -> tuple[int, int]:
    """Tokens of a chunk and the largest captured batch, by memory (`_handle_gpu_memory_settings` in server_args.py)."""
    few = tensor_parallel < 4
    if memory_mib < 20 * 1024:
        return 2048, 8
    if memory_mib < 35 * 1024:
        return 2048, 24 if few else 80
    if memory_mib < 60 * 1024:
        return 4096, 32 if few else 160
    if memory_mib < 160 * 1024:
        return 8192, 256 if few else 512
    return 16384, 512


def sglang_fraction(memory_mib: int, gpus: int) -> float:
    """Share that weights and KV cache get when none is asked for: what is left of room for activations and graphs.

    0.828 was logged on an H100 (https://github.com/sgl-project/sglang/issues/29092); this gives 0.835.
    """
    tokens, batch = _sglang(memory_mib, gpus)
    reserved = 512 + tokens * 1.5 + batch * 2 + gpus / 8 * 1024
    return round(max(0.5, (memory_mib - reserved) / memory_mib), 3)
