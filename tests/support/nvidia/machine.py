"""STUB of a machine with NVIDIA GPUs: what a bus scan finds, a kernel that loads the stub modules, and faults."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from tests.support.nvidia.catalogue import stub

Fabric = Literal["none", "nvswitch", "nvlink5"]
UNIT = """\
[Unit]
Description=STUB of the kernel on a machine with NVIDIA GPUs
DefaultDependencies=no
# What it does opens /sys for writing. A networkd that starts and finds it so waits for udev, which no container has,
# and brings no interface up; so it has to look first.
After=local-fs.target systemd-journald.socket systemd-networkd.service
Before=sysinit.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/lib/slipway-stub/kernel boot
ExecStop=/usr/lib/slipway-stub/kernel halt
TimeoutStopSec=infinity

[Install]
WantedBy=sysinit.target
"""
SHIMS = {
    "/usr/sbin/modprobe": "kmod",
    "/usr/sbin/rmmod": "kmod",
    "/usr/sbin/modinfo": "kmod",
    "/usr/sbin/lsmod": "lsmod",
    "/usr/bin/dmesg": "dmesg",
    "/usr/bin/journalctl": "journalctl",
}
"""commands that the stubs stand in front of"""


class Host(Protocol):
    """A booted machine on which a script can be run as root."""

    def shell(self, script: str) -> str: ...


@dataclass(frozen=True)
class StubGpu:
    """One GPU, as nvidia-smi would show it. `uuid` and `bus` follow from its place in the list when empty."""

    name: str = "NVIDIA H100 80GB HBM3"
    memory_mib: int = 81559
    compute_cap: str = "9.0"
    pci_device: str = "0x2330"
    power_limit: int = 700
    """watts, by default"""
    power_min: int = 200
    power_max: int = 700
    ecc: bool | None = True
    """None: it has no ECC"""
    mig: bool | None = False
    """None: it cannot be cut"""
    fabric: Fabric = "none"
    uuid: str = ""
    bus: str = ""

    def row(self, index: int) -> str:
        """Its line in the table that the stubs read."""
        bus = self.bus or f"00000000:{0x1B + 0x10 * index:02X}:00.0"
        digest = hashlib.sha256(f"{self.name} {index}".encode()).hexdigest()
        parts = (digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32])
        switch = {True: "Enabled", False: "Disabled", None: "[N/A]"}
        values = (index, self.uuid or f"GPU-{'-'.join(parts)}", self.name, self.memory_mib, self.compute_cap, bus)
        modes = (self.pci_device, switch[self.ecc], switch[self.mig])
        power = (self.power_limit, self.power_min, self.power_max)
        return "\t".join(str(value) for value in (*values, *modes, *power, self.fabric))


def describe_gpus(host: Host, gpus: Sequence[StubGpu]) -> None:
    """Makes `host` a machine with these GPUs, at once: the hardware is there, a driver is not.

    To be done before anything of NVIDIA's is installed, or followed by a reboot.
    """
    real = "/usr/lib/slipway-stub/real"
    lines = ["set -e", f"mkdir -p {real} /etc/slipway-stub /var/lib/slipway-stub/gpu"]
    lines += [_put("/usr/lib/slipway-stub/kernel", stub("kernel"), 0o755)]
    for path, shim in SHIMS.items():
        name = path.rpartition("/")[2]
        # A link (kmod under many names) may be relative, and would not lead there from elsewhere.
        keep = f'if [ -L {path} ]; then ln -s "$(readlink -f {path})" {real}/{name}; else mv {path} {real}/{name}; fi'
        lines.append(f"[ -e {real}/{name} ] || {keep}")
        lines.append(_put(path, stub(shim), 0o755))
    table = "".join(f"{gpu.row(index)}\n" for index, gpu in enumerate(gpus))
    columns = "index uuid name memory_mib compute_cap bus pci_device ecc mig power power_min power_max fabric"
    lines += [
        _put("/usr/sbin/update-initramfs", stub("update-initramfs"), 0o755),
        _put("/etc/slipway-stub/gpus", "# " + "\t".join(columns.split()) + "\n" + table),
        _put("/etc/systemd/system/slipway-stub-kernel.service", UNIT),
        "systemctl daemon-reload",
        "systemctl -q enable --now slipway-stub-kernel.service",
    ]
    host.shell("\n".join(lines))


def set_faults(host: Host, faults: Sequence[str]) -> None:
    """Switches exactly these faults on; README.md has the list. A new `xid …` is in the kernel's log at once."""
    text = "".join(f"{fault}\n" for fault in faults)
    host.shell(f"{_put('/etc/slipway-stub/faults', text)}\n/usr/lib/slipway-stub/kernel xids")


def _put(path: str, content: str, mode: int = 0o644) -> str:
    encoded = base64.b64encode(content.encode()).decode()
    return f"rm -f {path} && echo {shlex.quote(encoded)} | base64 -d > {path} && chmod {mode:o} {path}"
