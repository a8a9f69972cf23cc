"""How good is good enough on a host, and what it costs where it is not: seconds of loading, shares of a token's time.

docs/doctor.md has every bound with its reason.
"""

from __future__ import annotations

from slipway.gates import READ_RATE

STEAL = 0.05
"""share of a second that the hypervisor may take. An assumption: at it a token takes 5 % longer, which the margins of
the sizing still cover"""

READ_AHEAD = 128 * 1024
"""bytes that Linux reads when a mapped file is read in order, unless told otherwise: VM_READAHEAD_PAGES,
https://github.com/torvalds/linux include/linux/mm.h"""

READ_LATENCY = READ_AHEAD / READ_RATE
"""seconds for one read: above it, a file that is read through its mapping, as llama.cpp does, comes slower than
READ_RATE, whatever the disk could do at once"""

NETWORK_RATE = READ_RATE
"""bytes a second between two hosts: from it on, weights that a mirror in their network has come as fast as from the
slowest disk that is planned with"""

JITTER = 0.005
"""seconds of mean deviation. An assumption: within one network it is a tenth of that; it adds to when each token of a
stream arrives"""

OFFSET = 1.0
"""seconds that clocks may differ. Logs and metrics of several hosts are put in order by them"""

POWERSAVE_SCALES = ("intel_pstate", "amd-pstate-epp")
"""drivers whose governor powersave follows the load. With every other it is the lowest clock there is, at all times:
https://docs.kernel.org/admin-guide/pm/cpufreq.html, intel_pstate.html and amd-pstate.html beside it"""

SLOWED = {
    0x8: "slowed by the hardware",
    0x20: "slowed for its heat, by the driver",
    0x40: "slowed for its heat, by the hardware",
    0x80: "slowed by the power supply",
}
"""bits of NVML's clocks event reasons that say that something is wrong. Others are how it should be: 0x1 idle, 0x2 and
0x100 clocks that were set, 0x4 the power limit. https://docs.nvidia.com/deploy/nvml-api/group__nvmlClocksEventReasons.html"""

CPU_FLAGS = ("avx2", "fma", "f16c")
"""what the fast kernels of ggml need on x86: x86-64-v3, https://gitlab.com/x86-psABIs/x86-64-ABI"""


def steal_cost(steal: float) -> float:
    """How much longer everything takes that waits for the CPU, as a share: what it had was 1 - steal.

    >>> round(steal_cost(0.2), 2)
    0.25
    """
    return steal / (1 - steal) if steal < 1 else float("inf")


def load_seconds(weights: float, rate: float) -> float:
    """To read `weights` bytes at `rate` bytes a second."""
    return weights / rate if rate else float("inf")


def mapped_seconds(weights: float, latency: float) -> float:
    """To read them a read-ahead at a time, each after `latency` seconds.

    >>> round(mapped_seconds(1e9, 0.01), 1)
    76.3
    """
    return weights / READ_AHEAD * latency


def pcie_rate(speed: float, lanes: int) -> float:
    """Bytes a second in one direction of a link of `speed` GT/s a lane: 8 of 10 bits carry data up to 5 GT/s, 128 of
    130 above (PCI Express base specification); 64 GT/s is taken at the same, which its framing nearly reaches.

    >>> round(pcie_rate(16, 16) / 1e9, 1), pcie_rate(2.5, 16) / 1e9
    (31.5, 4.0)
    """
    return speed * 1e9 * lanes / 8 * (0.8 if speed <= 5 else 128 / 130)
