"""What the GPUs of one replica spend on talking to each other. Seconds."""

from __future__ import annotations

from slipway.gpus import Gpu

ALL_REDUCES = 2
"""a layer: behind attention's output, and behind the feed-forward's. Megatron-LM, https://arxiv.org/abs/1909.08053,
section 3"""

HOP = {"nvlink": 1e-6, "pcie": 8e-6}
"""seconds that each GPU past the second adds to an all-reduce; an assumption"""

SHARE = {"nvlink": 0.7, "pcie": 0.5}
"""of the link's bandwidth that an all-reduce of megabytes reaches; an assumption"""


def all_reduce(gpu: Gpu, ranks: int, size: float, latency: float) -> float:
    """Seconds that `ranks` GPUs need to sum `size` bytes: the latency of two GPUs and a few KiB, and what a ring sends
    through a link, 2 × (ranks - 1) ÷ ranks × size
    (https://github.com/NVIDIA/nccl-tests/blob/master/doc/PERFORMANCE.md).

    One GPU has nobody to talk to; NVLink is faster than PCIe:

    >>> from slipway.gpus import gpus
    >>> all_reduce(gpus()["L4"], 1, 1e6, 3e-5)
    0.0
    >>> all_reduce(gpus()["H100-SXM"], 2, 1e6, 1e-5) < all_reduce(gpus()["L4"], 2, 1e6, 3e-5)
    True
    """
    if ranks <= 1:
        return 0.0
    return (
        latency + HOP[gpu.link] * (ranks - 2) + 2 * (ranks - 1) / ranks * size / (gpu.link_bandwidth * SHARE[gpu.link])
    )


def send(gpu: Gpu, size: float, latency: float) -> float:
    """Seconds that a stage of a pipeline needs to hand `size` bytes to the next."""
    return latency + size / (gpu.link_bandwidth * SHARE[gpu.link])


def pipeline_fill(stages: int, pieces: int) -> float:
    """How much longer `pieces` of a prompt take through `stages` than if no stage ever waited: each piece is worked
    on by one stage at a time, so the last leaves after pieces + stages - 1 turns of which `pieces` would do
    (GPipe, https://arxiv.org/abs/1811.06965, section 2.3).

    >>> pipeline_fill(1, 1), pipeline_fill(2, 1), pipeline_fill(2, 4)
    (1.0, 2.0, 1.25)
    """
    return (pieces + stages - 1) / pieces
