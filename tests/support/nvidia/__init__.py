"""STUBS of NVIDIA's archives and of machines with NVIDIA GPUs; README.md says what they stand for."""

from tests.support.nvidia.archive import NvidiaArchive
from tests.support.nvidia.machine import StubGpu, describe_gpus, set_faults

__all__ = ["NvidiaArchive", "StubGpu", "describe_gpus", "set_faults"]
