"""What is on a host with GPUs, as values. Asked only where GPUs are wanted; empty elsewhere."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Flavour = Literal["", "open", "proprietary"]
SmiState = Literal["absent", "ok", "mismatch", "no-driver", "no-library", "lost", "no-devices", "failed"]

GPU_CLASSES = ("0x0300", "0x0302")
"""PCI classes of VGA and 3D controllers"""
NVSWITCH_CLASS = "0x0680"
"""of NVIDIA's vendor id: a bridge of another kind"""


class Model(BaseModel):
    """Base of these facts: frozen, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Dkms(Model):
    """One line of `dkms status`. `kernel` is empty where the module was not built for any."""

    version: str
    kernel: str = ""
    state: str


class Driver(Model):
    """Versions of the kernel module, loaded and on disk for the running kernel, and of NVML; empty where none is."""

    loaded: str = ""
    flavour: Flavour = ""
    installed: str = ""
    installed_flavour: Flavour = ""
    library: str = ""
    dkms: tuple[Dkms, ...] = ()
    headers: bool = False
    """the headers of the kernel that runs are there"""
    nouveau: bool = False
    """nouveau is loaded"""
    nouveau_blacklisted: bool = False
    moved: str = ""
    """when dpkg's log last had one of its packages come or go, as a local ISO time; empty where it does not say"""


class Gpu(Model):
    """One GPU as nvidia-smi tells of it, in its words; empty where the GPU has no such thing."""

    index: int
    uuid: str
    name: str
    address: str
    memory_mib: int
    compute_capability: str
    ecc: str = ""
    ecc_pending: str = ""
    mig: str = ""
    mig_pending: str = ""
    mig_devices: tuple[str, ...] = ()
    """their profiles, "1g.10gb" """
    power_limit: float | None = None
    """watts"""
    persistence: str = ""
    fabric_state: str = ""
    fabric_status: str = ""


class Smi(Model):
    """nvidia-smi's answer. `said` is what it printed besides the GPUs."""

    state: SmiState = "absent"
    said: str = ""
    gpus: tuple[Gpu, ...] = ()


class PciDevice(Model):
    """A PCI device of NVIDIA's: address as sysfs writes it, device and class in hex, the driver it is bound to."""

    address: str
    device: str
    kind: str
    driver: str = ""


class Pci(Model):
    """NVIDIA's devices, and what ties their GPUs together."""

    devices: tuple[PciDevice, ...] = ()
    nvswitches: tuple[str, ...] = ()
    """switches that the driver has found"""
    nvlink5: tuple[str, ...] = ()
    """ConnectX bridges that manage the switches of fifth-generation NVLink"""

    @property
    def gpus(self) -> tuple[PciDevice, ...]:
        return tuple(device for device in self.devices if device.kind.startswith(GPU_CLASSES))

    @property
    def has_nvswitch(self) -> bool:
        return bool(self.nvswitches) or any(device.kind.startswith(NVSWITCH_CLASS) for device in self.devices)


class Xid(Model):
    """An error that the driver wrote into the kernel log. `at` is as the log has it."""

    at: str = ""
    address: str
    code: int
    said: str = ""


class Boot(Model):
    """How the host boots. `mok_enrolled`: the firmware trusts the key that DKMS signs with here."""

    secure_boot: bool = False
    mok_enrolled: bool = False
    initramfs_stale: bool = False
    """the initramfs is older than the driver's module, or than our file that keeps nouveau off"""


class Archives(Model):
    """apt's files that speak of NVIDIA's archives (path → content), and key files (path → fingerprints)."""

    files: dict[str, str] = {}
    keys: dict[str, tuple[str, ...]] = {}


class Containers(Model):
    """How containers get GPUs, and what was proven in one."""

    hooked: bool = False
    """NVIDIA's runtime is told to hook devices in, in place of writing them into the container's settings"""
    seen: str = ""
    """what a container has seen since the boot, as `bootstrap/operations/gpu/container.py` writes it"""
    measured: str = ""
    """what was measured in a container, with which driver and image"""


class CdiSpec(Model):
    """A CDI specification: its devices, and the driver version whose libraries it mounts."""

    path: str
    kind: str = ""
    devices: tuple[str, ...] = ()
    driver: str = ""
    broken: str = ""
