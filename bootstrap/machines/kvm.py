"""Does KVM work here? `/dev/kvm` is no proof: inside some VMs it is there, and a guest never gets past its firmware."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

from bootstrap.machines.locks import folder_lock, write_json

SECTOR_DEADLINE = 3.0
"""seconds; 0.3 s without acceleration"""
KERNEL_DEADLINE = 20.0
"""seconds for a kernel to boot to the point where it misses its root file system; 1 s under KVM, 6 s without"""
DEBUG_EXIT_PORT = 0x501
DEBUG_EXIT_VALUE = 0x10
DEBUG_EXIT_STATUS = (DEBUG_EXIT_VALUE << 1) | 1
"""how QEMU's isa-debug-exit device turns the written value into an exit status"""
RECORD = "kvm-probe.json"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_sector() -> bytes:
    """512 bytes that a PC's firmware loads and runs in real mode; they write one byte to QEMU's exit device."""
    code = bytes(
        [
            *(0xBA, DEBUG_EXIT_PORT & 0xFF, DEBUG_EXIT_PORT >> 8),  # mov dx, port
            *(0xB0, DEBUG_EXIT_VALUE),  # mov al, value
            0xEE,  # out dx, al
            0xF4,  # hlt
            *(0xEB, 0xFD),  # jmp to the hlt
        ]
    )
    return code.ljust(510, b"\0") + b"\x55\xaa"


def refused(root: Path, base: Path | None) -> str | None:
    """Why KVM cannot be used; None when a boot sector and the VM base's kernel both ran under it.

    Probed once per boot of this computer; the answer is kept in `root`.
    """
    root.mkdir(parents=True, exist_ok=True)
    boot_id = BOOT_ID.read_text().strip()
    with folder_lock(root):
        record = root / RECORD
        try:
            values = json.loads(record.read_text())
        except (FileNotFoundError, ValueError):
            values = {}
        if values.get("boot_id") != boot_id:
            values = {"boot_id": boot_id, "refused": probe(base)}
            write_json(record, values)
        answer: str | None = values["refused"]
        return answer


def probe(base: Path | None) -> str | None:
    """Why KVM cannot be used, tried now; a kernel is booted only where there is a base with one."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "/dev/kvm is not there, or not ours to use"
    if not runs_boot_sector("kvm"):
        return f"/dev/kvm is there, but a boot sector did not run under it within {SECTOR_DEADLINE:.0f} s"
    if base is not None and not boots_kernel("kvm", base):
        return f"a boot sector runs under KVM, but a kernel did not boot within {KERNEL_DEADLINE:.0f} s"
    return None


def runs_boot_sector(accel: str) -> bool:
    """Whether QEMU with this accelerator gets through its firmware and 512 bytes of ours."""
    with tempfile.NamedTemporaryFile(prefix="slipway-kvm-") as image:
        image.write(boot_sector())
        image.flush()
        status, _ = _qemu(
            accel,
            SECTOR_DEADLINE,
            *("-m", "16", "-device", f"isa-debug-exit,iobase={DEBUG_EXIT_PORT:#x},iosize=1"),
            *("-drive", f"file={image.name},format=raw,if=floppy"),
        )
    return status == DEBUG_EXIT_STATUS


def boots_kernel(accel: str, base: Path) -> bool:
    """Whether a real kernel runs until it finds no root file system, and restarts as told to."""
    status, console = _qemu(
        accel,
        KERNEL_DEADLINE,
        *("-m", "256", "-kernel", str(base / "vmlinuz"), "-append", "console=ttyS0 panic=-1 root=none"),
        *("-serial", "stdio"),
    )
    return status == 0 and b"Unable to mount root fs" in console


def _qemu(accel: str, deadline: float, *options: str) -> tuple[int | None, bytes]:
    """Exit status (None: killed at the deadline) and standard output."""
    argv = ["qemu-system-x86_64", "-accel", accel, "-nodefaults", "-display", "none", "-no-reboot", *options]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=deadline, check=False)
    except subprocess.TimeoutExpired:
        return None, b""
    return done.returncode, done.stdout
