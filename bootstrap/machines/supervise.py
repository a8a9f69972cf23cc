"""The supervisor of one system container: the process that stays when `pulumi up` has ended.

It runs as a script of its own, with the standard library only: `unshare --mount … supervise.py FOLDER DESCRIPTOR`.
In its private mount namespace it mounts the machine's overlay (so that no mount of it can be left behind), then runs
systemd-nspawn, again whenever the machine inside reboots. It ends when the machine is powered off, or by a signal.

FOLDER holds `launch.json` (see `nspawn.Launch`), and gets `process.json`: the supervisor's process, written once it is
where `remove` looks for it. DESCRIPTOR is a pipe's end whose closing says so.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

GUEST_REBOOT = 133
"""exit status of systemd-nspawn when the machine inside asked for a reboot"""
HIERARCHIES = ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")
"""where systemd keeps its groups: the first two in the hybrid layout, the last in the unified one"""


def cgroup_folders(name: str) -> list[Path]:
    """The machine's cgroup in each hierarchy of this computer that systemd uses."""
    return [Path(hierarchy, name) for hierarchy in HIERARCHIES if Path(hierarchy, "cgroup.procs").exists()]


def main(folder: Path, ready: int) -> int:
    launch = json.loads((folder / "launch.json").read_text())
    groups = cgroup_folders(launch["cgroup"])
    # nspawn splits the cgroup it is started in; the supervisor has to be outside of that one, or a group would have
    # both processes and children, which cgroup v2 does not let have controllers.
    for group in groups:
        for part in ("supervisor", "machine"):
            (group / part).mkdir(parents=True, exist_ok=True)
        delegate(group)
    enter(groups, "supervisor")
    mount_overlay(folder, launch["lower"])
    write_process(folder)
    os.close(ready)

    child: subprocess.Popen[bytes] | None = None
    stopping = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        if child:
            child.terminate()  # nspawn passes it on as a request to power off

    signal.signal(signal.SIGTERM, stop)
    while True:
        # The kernel removes an interface some time after its namespace; nspawn needs the name at once.
        subprocess.run(["ip", "link", "del", launch["veth"]], capture_output=True, check=False)
        say("starting the container")
        child = subprocess.Popen(
            launch["argv"],
            env={**os.environ, **launch["environment"]},
            stdin=subprocess.DEVNULL,
            preexec_fn=lambda: enter(groups, "machine"),  # noqa: PLW1509  this process has one thread
        )
        status = child.wait()
        say(f"the container ended with status {status}")
        if stopping or status != GUEST_REBOOT:
            return status


def say(text: str) -> None:
    """To the machine's console log, which standard error is."""
    print(f"supervisor: {text}", file=sys.stderr, flush=True)  # noqa: T201


def enter(groups: list[Path], part: str) -> None:
    for group in groups:
        (group / part / "cgroup.procs").write_text(str(os.getpid()))


def delegate(group: Path) -> None:
    """Lets the machine limit memory, CPU and processes of its own services, where the unified hierarchy can."""
    with contextlib.suppress(OSError):  # another hierarchy, or one whose controllers are elsewhere
        controllers = (group / "cgroup.controllers").read_text().split()
        (group / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))


def mount_overlay(folder: Path, lower: str) -> None:
    """By the system call: mount(8) would have to be told how to escape a comma or a colon in a path."""
    escaped = {name: path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,") for name, path in {
        "lowerdir": lower, "upperdir": str(folder / "upper"), "workdir": str(folder / "work"),
    }.items()}  # fmt: skip
    options = ",".join(f"{name}={path}" for name, path in escaped.items())
    libc = ctypes.CDLL(None, use_errno=True)
    target = str(folder / "root")
    if libc.mount(b"overlay", target.encode(), b"overlay", 0, options.encode()) != 0:
        number = ctypes.get_errno()
        raise SystemExit(f"supervisor: cannot mount the overlay on {target}: {os.strerror(number)}")


def write_process(folder: Path) -> None:
    """Who this is, so that a process number used again by another program is not taken for this one; and the name of
    nspawn's lock on the overlay, which it leaves behind when killed, and which only this mount namespace can tell."""
    root = (folder / "root").stat()
    lock = f"/run/systemd/nspawn/locks/inode-{root.st_dev}:{root.st_ino}"
    stat = Path("/proc/self/stat").read_text()
    draft = folder / "process.json.new"
    started = int(stat.rpartition(")")[2].split()[19])
    draft.write_text(json.dumps({"pid": os.getpid(), "started": started, "lock": lock}))
    draft.replace(folder / "process.json")


if __name__ == "__main__":
    started = time.monotonic()
    code = main(Path(sys.argv[1]), int(sys.argv[2]))
    say(f"ended after {time.monotonic() - started:.0f} s")
    sys.exit(code if 0 <= code < 256 else 1)
