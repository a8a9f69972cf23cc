"""Hosts for the benchmarks: what they should be, how contenders reach them, and copies of one that is converged."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.report import say
from bench.running import BenchError
from bootstrap.log import NullLog
from bootstrap.machines.fleet import Fleet, fleet
from bootstrap.machines.processes import running_pid
from bootstrap.session import Command, Session
from bootstrap.ssh import connect
from slipway.desired import Connection, HostDesired, Package
from slipway.releases import load_lock, load_release

RELEASE = "local-2026.11"
DOCKER_UP = 120.0
"""seconds for a host's Docker daemon; twenty of them start at once on a small machine"""


def desired_host() -> HostDesired:
    """The local release without its images: loading an archive would time Docker, not the contenders."""
    release, lock = load_release(RELEASE), load_lock(RELEASE)
    packages = tuple(Package(name=name, version=version) for name, version in sorted(lock.packages.items()))
    return HostDesired(release=RELEASE, os=release.os[0], packages=packages)


def write_inventory(folder: Path, machines: Fleet, desired: HostDesired) -> Path:
    """`inventory.json` for every contender, and an OpenSSH key and known_hosts beside it. Readable by root alone."""
    folder.mkdir(mode=0o700, exist_ok=True)
    reached = machines.connections()
    key = folder / "key"
    key.touch(mode=0o600)
    key.write_text(machines.user_key.private)
    (folder / "known_hosts").write_text("".join(f"{host.address} {host.host_key}\n" for host in reached))
    inventory = folder / "inventory.json"
    inventory.write_text(
        json.dumps(
            {
                "hosts": [host.model_dump(mode="json") for host in reached],
                "desired": desired.model_dump(mode="json"),
                "key": str(key),
                "known_hosts": str(folder / "known_hosts"),
            }
        )
    )
    return inventory


def on_all(reached: list[Connection], act: Callable[[Session], object]) -> None:
    """Does something on every host at once."""

    def one(connection: Connection) -> None:
        with connect(connection, NullLog(), threading.Event()) as session:
            act(session)

    with ThreadPoolExecutor(max_workers=len(reached)) as pool:
        list(pool.map(one, reached))


def wait_for_docker(session: Session) -> None:
    """Waits until the host's Docker daemon answers. Raises a HostError past the deadline."""
    session.run(
        Command(
            "until curl -sf -o /dev/null --unix-socket /run/docker.sock http://docker/_ping; do sleep 0.5; done",
            "wait until Docker answers",
            deadline=DOCKER_UP,
        )
    )


def converged_tree(base: Path, root: Path, converge: Callable[[Connection], None], target: Path) -> None:
    """Boots one machine from `base` in `root`, converges it, and copies its whole file system to `target`.

    The copy is a base for many machines that are converged from birth. Where Docker keeps its data is not in it: each
    machine has a folder of its own there.
    """
    with fleet(1, base, root) as one:
        (connection,) = one.connections()
        started = time.monotonic()
        converge(connection)
        say(f"one host is converged after {time.monotonic() - started:.0f} s; copying its file system")
        stop = Command("systemctl stop docker.socket docker.service && sync", "let Docker write what it has")
        on_all([connection], lambda session: session.run(stop))
        folder = Path(one.machines[0].state)
        pid = running_pid(folder / "process.json")
        if pid is None:
            raise BenchError("the machine died", where=str(folder), fix="Run it again.")
        # The overlay is mounted in the supervisor's mount namespace alone, without what the machine mounts on it.
        merged = f"/proc/{pid}/root{folder}/root/."
        target.mkdir()
        subprocess.run(["cp", "-a", merged, str(target)], check=True, capture_output=True)
    for path in target.glob("etc/ssh/ssh_host_*"):
        path.unlink()
    (target / "etc/machine-id").write_text("")
    for part in ("run", "tmp", "var/log/journal"):
        for path in (target / part).glob("*"):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
