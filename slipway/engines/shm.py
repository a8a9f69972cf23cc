"""Shared memory of engines that spread a model over GPUs."""

from __future__ import annotations

from slipway.settings.sections import EngineSettings
from slipway.units import GIB

SHM_ONE_GPU = 2 * GIB
SHM_SEVERAL_GPUS = 16 * GIB
"""NCCL's buffers between tensor-parallel ranks, and the workers' queues. vLLM's docs/deployment/k8s.md has 2 GiB for
one GPU, the LeaderWorkerSet example 15; SGLang's own examples run with --shm-size 32g for 8 GPUs"""


def shm_bytes(engine: EngineSettings) -> int:
    """What the stack file says, else what the number of GPUs asks for."""
    if engine.shm is not None:
        return engine.shm
    return SHM_SEVERAL_GPUS if engine.tensor_parallel > 1 else SHM_ONE_GPU
