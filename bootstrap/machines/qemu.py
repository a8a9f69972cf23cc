"""A machine as a QEMU VM: direct kernel boot, a disk of its own, user-mode networking. Needs no root.

The VM base is a folder with `vmlinuz`, `initrd.img` and `disk.img` (one ext4 file system, no partitions). Keys and
network are written into the machine's copy of the disk with debugfs, which mounts nothing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
from pathlib import Path

from bootstrap.log import Log
from bootstrap.machines.guest import GuestFile, GuestNetwork, guest_files
from bootstrap.machines.locks import write_json
from bootstrap.machines.processes import kill, running_pid, started_at
from bootstrap.machines.shell import call
from bootstrap.machines.spec import SSH_PORT, MachineSpec, Reach, Record
from slipway.errors import MachineError

BASE_FILES = ("vmlinuz", "initrd.img", "disk.img")
TOOLS = ("qemu-system-x86_64", "debugfs", "e2fsck", "resize2fs")
LOOPBACK = "127.0.0.1"
PORTS = range(20_000, 32_000)
"""for forwarded ports: below those that the kernel gives to outgoing connections"""
NETWORK = GuestNetwork(interface="eth0", address="10.0.2.15/24", gateway="10.0.2.2", nameservers=("10.0.2.3",))
"""the addresses of QEMU's user-mode network, the same in every VM"""
GIB = 1024**3


def missing(spec: MachineSpec) -> str | None:
    """Why no VM can be booted here; None when one can."""
    absent = [tool for tool in TOOLS if not shutil.which(tool)]
    if absent:
        return f"{', '.join(absent)} not installed"
    return None if find_base(spec) else f"no VM base beside {spec.base}"


def find_base(spec: MachineSpec) -> Path | None:
    """The folder with the VM base: the one given, else the base's own or its parent, else the newest in the cache."""
    places = [spec.vm_base] if spec.vm_base else [spec.base, spec.base.parent]
    if not spec.vm_base:
        cached = [path for path in spec.base.absolute().parent.parent.glob("*-vm-*") if path.is_dir()]
        places += sorted(cached, key=lambda path: path.stat().st_mtime, reverse=True)
    return next((place for place in places if all((place / name).is_file() for name in BASE_FILES)), None)


def prepare(spec: MachineSpec, log: Log) -> Reach:
    """Disk and ports of a machine that is not running."""
    base = find_base(spec)
    if base is None:
        raise MachineError(f"no VM base beside {spec.base}", where=spec.name, fix="Build it, or take another kind.")
    disk = spec.state / "disk.img"
    if not disk.exists():
        log.progress(f"{spec.name}: copying the VM base")
        draft = spec.state / "disk.img.new"
        call("cp", "--sparse=always", "--reflink=auto", str(base / "disk.img"), str(draft))
        if spec.disk_gib * GIB > draft.stat().st_size:
            os.truncate(draft, spec.disk_gib * GIB)
            call("e2fsck", "-f", "-p", str(draft))
            call("resize2fs", str(draft))
        inject(draft, guest_files(spec, NETWORK, container=False), spec.state / "inject")
        draft.replace(disk)
    ports = _free_ports(str(spec.state.absolute()), 1 + len(spec.forward))
    return Reach(LOOPBACK, ports[0], dict(zip(map(str, spec.forward), ports[1:], strict=True)), str(base.absolute()))


def boot(record: Record) -> None:
    """Starts QEMU; returns once it runs. A reboot inside stays in the same process."""
    state, folder = record.state, Path(record.state.state)
    base = Path(record.base)
    forwards = {SSH_PORT: state.port, **{int(guest): host for guest, host in state.ports.items()}}
    network = ",".join(f"hostfwd=tcp:{state.address}:{host}-:{guest}" for guest, host in forwards.items())
    accel, cpu = ("kvm", "host") if state.kind == "qemu-kvm" else ("tcg,thread=multi", "max")
    pidfile = folder / "qemu.pid"
    pidfile.unlink(missing_ok=True)
    argv = [
        *("qemu-system-x86_64", "-accel", accel, "-cpu", cpu, "-smp", str(record.cpus), "-m", str(record.memory_mib)),
        *("-nodefaults", "-display", "none", "-monitor", "none"),
        *(
            "-chardev",
            f"file,id=console,path={_escape(folder / 'console.log')},append=on",
            "-serial",
            "chardev:console",
        ),
        *("-kernel", str(base / "vmlinuz"), "-initrd", str(base / "initrd.img")),
        *("-append", "root=/dev/vda rw console=ttyS0 net.ifnames=0 panic=5"),
        # A machine that is thrown away need not survive a power cut of this computer: writes are not flushed.
        *("-drive", f"file={_escape(folder / 'disk.img')},format=raw,if=virtio,cache=unsafe"),
        *("-device", "virtio-rng-pci"),
        *("-netdev", f"user,id=net0,{network}", "-device", "virtio-net-pci,netdev=net0,romfile="),
        *("-daemonize", "-pidfile", str(pidfile)),
    ]
    call(*argv)
    pid = int(pidfile.read_text())
    write_json(folder / "process.json", {"pid": pid, "started": started_at(pid)})


def resume(record: Record, log: Log) -> None:
    """Nothing on this computer is shared; the ports are asked for again when QEMU starts."""


def stop(folder: Path) -> None:
    """Ends QEMU. Idempotent."""
    pid = running_pid(folder / "process.json") or _just_started(folder / "qemu.pid")
    if pid is not None:
        kill(pid)


def release(folder: Path) -> None:
    """All that it takes is in its folder."""


def inject(disk: Path, files: tuple[GuestFile, ...], scratch: Path) -> None:
    """Writes files into an ext4 image. `scratch` is a folder that is made and removed; secrets pass through it."""
    scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    # debugfs loses an inode when it is told to make a folder that exists: only those that are missing, parents first.
    folders = sorted({parent for file in files for parent in list(Path(file.path).parents)[:-1]})
    absent = [folder for folder in folders if "Inode:" not in call("debugfs", "-R", f"stat {folder}", str(disk))]
    lines = [f"mkdir {folder}" for folder in absent]
    lines += [f"set_inode_field {folder} mode 040700" for folder in absent if folder.name == ".ssh"]
    for number, file in enumerate(files):
        lines.append(f"rm {file.path}")
        if file.link is not None:
            lines.append(f"symlink {file.path} {file.link}")
            continue
        (scratch / str(number)).write_text(file.content)
        lines.append(f"write {number} {file.path}")
        lines += [f"set_inode_field {file.path} {name}" for name in (f"mode 0100{file.mode:o}", "uid 0", "gid 0")]
    (scratch / "commands").write_text("\n".join(lines) + "\n")
    argv = ["debugfs", "-w", "-f", "commands", str(disk.absolute())]
    # It prints an error for each file that is not there to be removed, and its exit status says nothing: look instead.
    subprocess.run(argv, cwd=scratch, capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=60)
    last = next(file for file in reversed(files) if file.link is None)
    if call("debugfs", "-R", f"cat {last.path}", str(disk)) != last.content:
        raise MachineError(f"debugfs did not write {last.path}", where=str(disk), fix="See whether the disk is full.")
    shutil.rmtree(scratch)


def _just_started(pidfile: Path) -> int | None:
    """QEMU's process when this one died between starting it and recording it; only if it is QEMU of this folder."""
    try:
        pid = int(pidfile.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if str(pidfile).encode() in command.split(b"\0") else None


def _free_ports(seed: str, count: int) -> list[int]:
    """Ports nobody listens on now, from a place that depends on `seed`."""
    start = int(hashlib.sha256(seed.encode()).hexdigest(), 16) % len(PORTS)
    found: list[int] = []
    for step in range(len(PORTS)):
        port = PORTS[(start + step) % len(PORTS)]
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise MachineError("no free TCP port on loopback", where=LOOPBACK, fix="End what listens there.")


def _escape(path: Path) -> str:
    """QEMU's options are separated by commas; a doubled one stands for itself."""
    return str(path).replace(",", ",,")
