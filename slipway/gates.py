"""Deadlines of the health gate, computed from the size of the model, with their arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from slipway.engine_facts import FACTS
from slipway.settings import Settings
from slipway.units import about_bytes

CPU_START = 60.0
"""seconds: process start, and warm-up with an empty run, on a busy small machine"""

GPU_START = 600.0
"""seconds: imports, kernel compilation and CUDA graphs. Measured cold starts of vLLM, weights included: a 27B FP8 model
on an L40S about 12 minutes, a 35B one on an H100 healthy after 904 s"""

READ_RATE = 50_000_000
"""bytes a second from the disk, the slow end of network volumes. At it, 27 GB take 540 s: 600 + 540 covers the 720 s
measured on the L40S, and 447 GB take 8940 s, which covers the 90 minutes of a cold start on four B200"""

COMPLETION_START = 30.0
"""seconds for a busy host to answer at all"""

COMPLETION_TOKENS = 32
"""what the gate asks for, rounded up"""

CPU_BANDWIDTH = 2_000_000_000
"""bytes a second from memory, a tenth of what one DDR4 channel has: each token reads every weight once"""

GPU_COMPLETION = 120.0
"""seconds: the first request may still compile a kernel"""


@dataclass(frozen=True)
class Deadline:
    """Seconds, and the sentence that shows how they came about."""

    seconds: float
    why: str


def health_deadline(settings: Settings, size: int) -> Deadline:
    """Until `/health` answers 200: start + size of the model ÷ what the disk gives at least."""
    if settings.gate.health is not None:
        return Deadline(settings.gate.health, "slipway:gate.health")
    return load_deadline(_on_gpu(settings), size, settings.engine.replicas)


def load_deadline(on_gpu: bool, size: float, replicas: int) -> Deadline:
    """From the start of `replicas` processes on one host, each of which reads `size` bytes, until they can serve."""
    start = GPU_START if on_gpu else CPU_START
    seconds = start + size * replicas / READ_RATE
    times = f"{replicas} x " if replicas > 1 else ""
    why = f"{start:.0f} s to start + {times}{about_bytes(round(size))} at {READ_RATE // 1_000_000} MB/s from disk"
    return Deadline(float(round(seconds)), f"{why} = {seconds:.0f} s")


def completion_deadline(settings: Settings, size: int) -> Deadline:
    """Until one completion is there: tokens times the time to read every weight from memory once."""
    if settings.gate.completion is not None:
        return Deadline(settings.gate.completion, "slipway:gate.completion")
    if _on_gpu(settings):
        return Deadline(GPU_COMPLETION, f"{GPU_COMPLETION:.0f} s, as the first request may compile kernels")
    replicas = settings.engine.replicas
    seconds = COMPLETION_START + COMPLETION_TOKENS * size * replicas / CPU_BANDWIDTH
    times = f"{replicas} x " if replicas > 1 else ""
    tokens = f"{COMPLETION_TOKENS} tokens x {times}{about_bytes(size)} at {CPU_BANDWIDTH // 10**9} GB/s from memory"
    return Deadline(float(round(seconds)), f"{COMPLETION_START:.0f} s + {tokens} = {seconds:.0f} s")


def _on_gpu(settings: Settings) -> bool:
    return settings.engine.gpus > 0 or FACTS[settings.engine.name].needs_gpu
