"""How far real engines stay behind the roofline: one set of factors a kind of engine, fitted on published points.

`python -m bench.sizing_fit` fits them on the rows of `bench/sizing_data/speeds.csv` whose split is "fit", prints them,
and prints the error of the rows that it held out. What no row tells apart stays where it was set by hand.
"""

from __future__ import annotations

from dataclasses import dataclass

from slipway.cpus import Cpu
from slipway.memory.types import Setup


@dataclass(frozen=True)
class Factors:
    """Shares are of what the data sheet promises; times are seconds."""

    read_16: float
    """of the bandwidth, while weights of 16 bits are read"""
    read_8: float
    read_4: float
    read_experts: float
    """the same for routed experts, times the one of their width"""
    read_state: float
    """of the bandwidth, while keys, values and recurrent states are read"""
    compute_16: float
    """of the dense operations a second, of 16-bit matrices"""
    compute_8: float
    """of fp8 or int8 matrices, on units that multiply those"""
    compute_4: float
    """of fp4 matrices, on units that multiply those"""
    compute_unpacked: float
    """of the 16-bit operations a second, where weights are unpacked to 16 bits first"""
    compute_attention: float
    """of the 16-bit operations a second, in attention over a prompt"""
    step: float
    """a step, on the CPU: scheduling, sending tokens out"""
    layer: float
    """a layer: gaps between kernels, and the small kernels themselves"""
    launch: float
    """a layer, to launch its kernels one by one where no CUDA graph does; only what outlasts the work itself counts"""
    expert_layer: float
    """more, where a layer routes tokens to experts"""
    request: float
    """a request in a step, on the CPU"""
    entry: float
    """a request, before and after the engine: HTTP, the tokenizer, the way between processes"""
    nvlink: float
    """an all-reduce of a few KiB between two GPUs over NVLink"""
    pcie: float
    """the same over PCIe"""
    decode_band: float
    """what was held out lies between the estimate ÷ this and the estimate × this, 8 of 10 times"""
    prefill_band: float


SERVER = Factors(
    read_16=0.84, read_8=0.74, read_4=0.6, read_experts=0.95, read_state=0.67,
    compute_16=0.57, compute_8=0.41, compute_4=0.35, compute_unpacked=0.5, compute_attention=0.44,
    step=0.0021, layer=1.8e-05, launch=0.0003, expert_layer=5.7e-05, request=2.1e-05, entry=0.011,
    nvlink=1.1e-05, pcie=2.5e-05, decode_band=1.4, prefill_band=1.5,
)  # fmt: skip
"""vLLM and SGLang on a GPU."""

LLAMA_CPP = Factors(
    read_16=0.78, read_8=0.75, read_4=0.64, read_experts=0.7, read_state=0.47,
    compute_16=0.71, compute_8=0.3, compute_4=0.3, compute_unpacked=0.61, compute_attention=0.21,
    step=0.0003, layer=1.5e-05, launch=0.0002, expert_layer=3e-05, request=5e-05, entry=0.005,
    nvlink=1e-05, pcie=3e-05, decode_band=1.4, prefill_band=1.5,
)  # fmt: skip
"""llama.cpp on a GPU."""

ONE_SOCKET = Factors(
    read_16=0.4, read_8=0.54, read_4=0.54, read_experts=0.77, read_state=0.36,
    compute_16=0.3, compute_8=0.3, compute_4=0.3, compute_unpacked=0.38, compute_attention=0.11,
    step=0.0005, layer=0.0, launch=0.0, expert_layer=0.0, request=0.0001, entry=0.005,
    nvlink=0.0, pcie=0.0, decode_band=1.6, prefill_band=2.0,
)  # fmt: skip
"""llama.cpp on the CPU of one socket."""

TWO_SOCKETS = Factors(
    read_16=0.15, read_8=0.15, read_4=0.15, read_experts=1.0, read_state=0.15,
    compute_16=0.15, compute_8=0.15, compute_4=0.15, compute_unpacked=0.15, compute_attention=0.05,
    step=0.0005, layer=0.0, launch=0.0, expert_layer=0.0, request=0.0001, entry=0.005,
    nvlink=0.0, pcie=0.0, decode_band=1.6, prefill_band=2.0,
)  # fmt: skip
"""llama.cpp on both sockets at once: threads of one read the weights that lie with the other. Two of
these shares are less than one of ONE_SOCKET's, so that an instance (`Cpu.part`) counts as one socket; this set is for
whole machines that somebody ran on both."""


def factors(setup: Setup) -> Factors:
    """The set that holds for a setup."""
    if isinstance(setup.device, Cpu):
        return ONE_SOCKET if setup.device.sockets == 1 else TWO_SOCKETS
    return LLAMA_CPP if setup.engine == "llama.cpp" else SERVER
