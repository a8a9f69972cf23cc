"""What this computer has for the machines of the local stack. Nothing is booted but one boot sector."""

from __future__ import annotations

import shutil
from pathlib import Path

from bootstrap.machines import kvm, nspawn, qemu
from bootstrap.paths import state_dir
from slipway.doctor.computer import ComputerAnswers

MEMINFO = Path("/proc/meminfo")


def ask_computer(root: Path) -> ComputerAnswers:
    """Tools, KVM, memory and disk of this computer, for the checkout at `root`."""
    absent = [tool for tool in qemu.TOOLS if not shutil.which(tool)]
    no_vm = f"{', '.join(absent)} not installed" if absent else None
    place = state_dir(root)
    while not place.exists():
        place = place.parent
    return ComputerAnswers(
        no_container=nspawn.missing(),
        no_vm=no_vm,
        # As far as a boot sector tells: the first machine that is booted tries a kernel as well.
        no_kvm=kvm.probe(None) if no_vm is None else "not tried",
        memory=_available(MEMINFO.read_text()),
        disk=shutil.disk_usage(place).free,
        state=str(place),
    )


def _available(meminfo: str) -> int:
    line = next(line for line in meminfo.splitlines() if line.startswith("MemAvailable:"))
    return int(line.split()[1]) * 1024
