"""What is on a host, as values. Everything is JSON-able, so that a test's facts are a file."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from bootstrap.facts.gpu_model import Archives, Boot, CdiSpec, Containers, Driver, Pci, Smi, Xid
from slipway.doctor.measured import Clock, Cpu, DiskReads, GpuStates, PcieLink, Pings


class Model(BaseModel):
    """Base of the facts: frozen, unknown fields refused (a fixture with a typo must not pass)."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class System(Model):
    """The machine and its boot. `clock` is the host's own, ISO 8601 in UTC; memory in bytes."""

    os: str
    """`id:version_id` of /etc/os-release, `debian:12`"""
    arch: str
    """dpkg's word, `amd64`"""
    kernel: str
    boot_id: str
    clock: str
    memory_total: int = 0
    memory_available: int = 0


class Package(Model):
    """One package that dpkg knows. `status` is `ii` when all is well, else dpkg's letters (`iF`: half-configured)."""

    version: str
    status: str = "ii"
    hold: bool = False

    @property
    def installed(self) -> bool:
        return self.status == "ii"


class Disk(Model):
    """One file system, in bytes."""

    size: int
    available: int


class Lock(Model):
    """A lock file of apt or dpkg that somebody holds."""

    path: str
    pid: int
    process: str


class Move(Model):
    """The last change that dpkg's log has of a package: when (ISO, host's local time), and to which version; "<none>"
    when it went."""

    at: str
    version: str


class Docker(Model):
    """The daemon. `stale` says that daemon.json is newer than the running daemon."""

    active: str = "inactive"
    enabled: str = ""
    version: str = ""
    storage_driver: str = ""
    stale: bool = False
    cdi: bool = False
    """it takes devices by their CDI names"""
    runtimes: tuple[str, ...] = ()


class Image(Model):
    """A container image: its id and the `repository@sha256:…` names it was pulled by."""

    id: str
    digests: tuple[str, ...] = ()


class Unit(Model):
    """A systemd unit of ours, in systemd's words."""

    active: str
    enabled: str = ""
    result: str = "success"


class Port(Model):
    """A TCP socket that listens, and who holds it."""

    address: str
    port: int
    process: str = ""


class Facts(Model):
    """Everything one round trip tells."""

    system: System
    packages: dict[str, Package] = {}
    dpkg_journal: int = 0
    """records that an interrupted dpkg left in /var/lib/dpkg/updates"""
    candidates: dict[str, tuple[str, ...]] = {}
    """versions that apt knows, newest first, of wanted packages that are not at their wanted version"""
    moves: dict[str, Move] = {}
    locks: tuple[Lock, ...] = ()
    docker: Docker = Docker()
    images: tuple[Image, ...] = ()
    disks: dict[str, Disk] = {}
    ports: tuple[Port, ...] = ()
    units: dict[str, Unit] = {}
    users: dict[str, int] = {}
    files: dict[str, str] = {}
    """content of the files we manage, where they exist"""
    sources: tuple[str, ...] = ()
    """paths of apt's source lists"""
    directories: dict[str, str] = {}
    """`mode owner:group` of the directories we manage, where they exist"""
    receipt: dict[str, Any] | None = None
    hold: bool = False
    """whether the host is held: none of its engines starts"""
    driver: Driver = Driver()
    smi: Smi = Smi()
    pci: Pci = Pci()
    xids: tuple[Xid, ...] = ()
    """errors of GPUs in the kernel log of this boot, one a GPU and code"""
    boot: Boot = Boot()
    archives: Archives = Archives()
    cdi: tuple[CdiSpec, ...] = ()
    containers: Containers = Containers()
    cpu: Cpu = Cpu()
    disk: DiskReads = DiskReads()
    network: Pings = Pings()
    links: tuple[PcieLink, ...] = ()
    states: GpuStates = GpuStates()
    clock: Clock = Clock()
