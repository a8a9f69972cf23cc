"""The usual local machine: a system container under systemd-nspawn, up in about a second.

Docker's own daemon runs in it, which takes: every capability, no seccomp filter (it would refuse keyctl and bpf), the
unified cgroup hierarchy, and a folder of this computer on /var/lib/docker (overlayfs does not lie on overlayfs). So a
container like this one holds nothing back from who is root in it: it is a machine to try things on, not a sandbox.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from pathlib import Path

from bootstrap.log import Log
from bootstrap.machines import network, supervise
from bootstrap.machines.guest import GuestFile, GuestNetwork, guest_files
from bootstrap.machines.locks import write_json
from bootstrap.machines.processes import KILL_DEADLINE, launch_detached, running_pid, started_at
from bootstrap.machines.shell import ok
from bootstrap.machines.spec import SSH_PORT, MachineSpec, Reach, Record, names_of
from slipway.errors import MachineError

ENVIRONMENT = {"SYSTEMD_SECCOMP": "0", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
NSPAWN_RUN = Path("/run/systemd/nspawn")


def prepare(spec: MachineSpec, log: Log) -> Reach:
    """Network and disk of a machine that is not running."""
    if not (spec.base / "usr").is_dir():
        raise MachineError("there is no base tree", where=str(spec.base), fix="Build it, then run this again.")
    allocation, address = network.attach(spec.state, log)
    guest = GuestNetwork(
        interface="host0",
        address=f"{address}/{allocation.subnet.prefixlen}",
        gateway=str(allocation.gateway),
        nameservers=network.host_nameservers(),
    )
    for part in ("upper", "work", "root", "docker"):
        (spec.state / part).mkdir(parents=True, exist_ok=True)
    (spec.state / "docker").chmod(0o710)
    for file in guest_files(spec, guest, container=True):
        _write(spec.base, spec.state / "upper", file)
    return Reach(str(address), SSH_PORT, {str(port): port for port in spec.forward}, str(spec.base.absolute()))


def boot(record: Record) -> None:
    """Starts the supervisor; returns once it is recorded, or has ended."""
    folder = Path(record.state.state)
    write_json(folder / "launch.json", _launch(folder, record))
    (folder / "process.json").unlink(missing_ok=True)
    launch_detached(
        ["unshare", "--mount", "--propagation", "private", sys.executable, "-I", supervise.__file__, str(folder)],
        folder / "console.log",
    )


def resume(record: Record, log: Log) -> None:
    """The network again, after a reboot of this computer. Raises `MachineError` when the address is another's now."""
    _, address = network.attach(Path(record.state.state), log)
    if str(address) != record.state.address:
        raise MachineError(
            f"its address {record.state.address} is in a network that something else uses now",
            where=record.state.name,
            fix="Replace the machine (`pulumi up --replace`), or free that network.",
        )


def stop(folder: Path) -> None:
    """Ends every process of the machine, and takes away its cgroup, its interface, and nspawn's notes. Idempotent."""
    names = names_of(folder)
    groups = [group for group in supervise.cgroup_folders(names.cgroup) if group.exists()]
    if groups and os.geteuid() != 0:
        raise MachineError("a system container is ended by root only", where=str(folder), fix="Run this as root.")
    pid = running_pid(folder / "process.json")
    end = time.monotonic() + KILL_DEADLINE
    while not _kill_all(groups, pid):
        if time.monotonic() > end:
            raise MachineError(
                "processes of the machine do not end",
                where=str(folder),
                fix=f"See what is in {groups[0] if groups else names.cgroup} and end it, then run this again.",
            )
        time.sleep(0.02)
    for group in groups:
        _remove_tree(group)
    if Path("/sys/class/net", names.veth).exists():
        ok("ip", "link", "del", names.veth)  # it may go by itself at this very moment, with its namespace
    for place in ("propagate", "unix-export"):
        with contextlib.suppress(FileNotFoundError):
            (NSPAWN_RUN / place / names.container).rmdir()
    _remove_locks(folder)
    (folder / "process.json").unlink(missing_ok=True)


def release(folder: Path) -> None:
    """Gives back what `prepare` took on this computer; the disk stays."""
    network.detach(folder)


def _launch(folder: Path, record: Record) -> dict[str, object]:
    names = names_of(folder)
    argv = [
        "systemd-nspawn",
        "--quiet",
        "--boot",
        f"--directory={folder / 'root'}",
        f"--machine={names.container}",
        f"--hostname={record.state.name}",
        "--register=no",
        "--keep-unit",
        f"--network-bridge={names.bridge}",
        "--resolv-conf=off",
        "--timezone=off",
        "--console=pipe",
        "--capability=all",
        f"--bind={_escape(folder / 'docker')}:/var/lib/docker",
    ]
    return {"argv": argv, "environment": ENVIRONMENT, "cgroup": names.cgroup, "veth": names.veth, "lower": record.base}


def _escape(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace(":", "\\:")


def _write(base: Path, upper: Path, file: GuestFile) -> None:
    """Puts a file into the overlay's upper layer. Folders above it look as in the base: the upper one's mode counts."""
    relative = Path(file.path.lstrip("/"))
    for parent in reversed(relative.parents[:-1]):
        folder, original = upper / parent, base / parent
        if not folder.exists():
            mode = original.stat().st_mode & 0o7777 if original.is_dir() else 0o700 if parent.name == ".ssh" else 0o755
            folder.mkdir()
            folder.chmod(mode)
    path = upper / relative
    path.unlink(missing_ok=True)
    if file.link is not None:
        path.symlink_to(file.link)
        return
    path.touch(mode=0o600)
    path.write_text(file.content)
    path.chmod(file.mode)


def _kill_all(groups: list[Path], pid: int | None) -> bool:
    """Kills whatever is in the machine's groups; True when nothing is left."""
    if pid is not None and started_at(pid) is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 9)
    left = False
    for group in groups:
        with contextlib.suppress(FileNotFoundError, PermissionError):
            (group / "cgroup.kill").write_text("1")  # all at once, where the kernel can
        for procs in group.rglob("cgroup.procs"):
            for member in _members(procs):
                left = True
                with contextlib.suppress(ProcessLookupError):
                    os.kill(member, 9)
    return not left and (pid is None or started_at(pid) is None)


def _members(procs: Path) -> list[int]:
    try:
        return [int(line) for line in procs.read_text().split()]
    except OSError:  # the group is of the threaded kind, or went away
        return []


def _remove_tree(group: Path) -> None:
    """A cgroup is removed leaf by leaf. Just after its last process ended it may still be busy."""
    end = time.monotonic() + KILL_DEADLINE
    while group.exists():
        for folder, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        if time.monotonic() > end:
            raise MachineError("the cgroup stays busy", where=str(group), fix="Remove it with rmdir.")
        if group.exists():
            time.sleep(0.02)


def _remove_locks(folder: Path) -> None:
    (folder / ".#root.lck").unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
        Path(json.loads((folder / "process.json").read_text())["lock"]).unlink(missing_ok=True)


def missing() -> str | None:
    """Why no system container can be booted here; None when one can."""
    if os.geteuid() != 0:
        return "system containers need root, for mounts, interfaces and cgroups"
    absent = [tool for tool in ("systemd-nspawn", "ip", "iptables", "unshare", "setsid") if not shutil.which(tool)]
    return f"{', '.join(absent)} not installed" if absent else None
