"""What was measured on a host, as values. The facts of `bootstrap.facts.measures` fill them; every time is in seconds,
every size in bytes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from slipway.doctor.types import NoAnswer


class Measured(BaseModel):
    """Base of these values: frozen, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Cpu(Measured):
    """The CPU, and what it did in one second."""

    model: str = ""
    cores: int = 0
    """that can be used, as nproc counts them"""
    flags: tuple[str, ...] = ()
    nodes: int = 1
    """NUMA nodes"""
    governor: str = ""
    driver: str = ""
    """what sets the clock for the governor"""
    mhz: float | None = None
    min_mhz: float | None = None
    max_mhz: float | None = None
    limit_mhz: float | None = None
    """what the clock may be at most; all four are None where the machine does not say, as virtual ones do not"""
    busy: float = 0.0
    """share of the second in which it worked"""
    steal: float = 0.0
    """share in which it had work, and the hypervisor ran somebody else"""
    throttled: int | None = None
    """times that it was slowed for its heat in that second"""


class DiskReads(Measured):
    """Reads of the model's file that no cache of the host answered (O_DIRECT)."""

    path: str = ""
    state: Literal["read", "missing", "failed"] = "missing"
    size: int = 0
    read: int = 0
    seconds: float = 0.0
    latencies: tuple[float, ...] = ()
    """of single reads of 4 KiB, spread over the file"""
    said: str = ""

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self.read / self.seconds if self.seconds else 0.0


class Ping(Measured):
    """Ten packets to another host of the stack."""

    address: str
    sent: int
    received: int
    mean: float | None = None
    jitter: float | None = None
    """mean deviation"""


class Pings(Measured):
    """`state` is absent where the host has no ping."""

    state: Literal["ok", "absent"] = "ok"
    pings: tuple[Ping, ...] = ()


class Throughput(Measured):
    """Zeros that one host sent to another, as that one counted them. `state` is closed where nothing came through, and
    absent where the host has no perl to listen with."""

    peer: str
    """name of the one that received"""
    state: Literal["measured", "closed", "absent", "failed"]
    received: int = 0
    seconds: float = 0.0
    said: str = ""

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self.received / self.seconds if self.seconds else 0.0


class PcieLink(Measured):
    """A GPU's link as sysfs has it: speeds in GT/s, widths in lanes; None where it says nothing, as in most guests."""

    address: str
    speed: float | None = None
    max_speed: float | None = None
    width: int | None = None
    max_width: int | None = None
    port_speed: float | None = None
    """what the port above it can do at most"""
    port_width: int | None = None
    node: int = -1
    """NUMA node; -1 where there is but one, or nobody said"""


class GpuState(Measured):
    """A GPU at this moment. Clocks in MHz, `reasons` the bits of NVML's clocks event reasons."""

    index: int
    pstate: str = ""
    temperature: int | None = None
    """degrees Celsius"""
    clock: int | None = None
    max_clock: int | None = None
    reasons: int | None = None
    utilization: int | None = None
    """percent"""


class GpuStates(Measured):
    """`said` is what nvidia-smi printed in place of an answer."""

    gpus: tuple[GpuState, ...] = ()
    said: str = ""


class Clock(Measured):
    """`synchronized` is None where the host does not know whether anything sets its clock."""

    synchronized: bool | None = None


class HostMeasured(Measured):
    """Everything of one host."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    name: str
    os: str
    arch: str
    memory: int
    memory_available: int
    disk_available: int
    """of the file system that images and models lie on"""
    disk_size: int
    cpu: Cpu
    disk: DiskReads
    network: Pings
    throughput: Throughput | None = None
    """to one other host; None where it was not asked to send"""
    links: tuple[PcieLink, ...] = ()
    states: GpuStates = GpuStates()
    gpu_names: tuple[str, ...] = ()
    """as nvidia-smi prints them"""
    gpu_devices: int = 0
    """that the PCI bus has"""
    clock: Clock = Clock()
    offset: float | NoAnswer
    """the host's clock less this computer's"""
    offset_error: float = 0.0
    """half of the question's way there and back: no better is known"""
