"""The faults that strike a real host: its own apt, dpkg, systemd, Docker and reboots; GPUs and drivers are stubs.

A host goes from the driver that it has to the other one, whichever that is, so that each fault begins where the one
before it ended.
"""

from __future__ import annotations

import shlex
import subprocess
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from bootstrap.facts import FACTS, gather
from bootstrap.facts.runtime import RECEIPT_PATH
from bootstrap.host import converge_host, read_host
from bootstrap.machines.spec import names_of
from bootstrap.operations import query
from bootstrap.serving import HOLD
from bootstrap.testing import RecordingLog
from slipway.desired import Package
from slipway.errors import UnreachableError
from tests.bootstrap.faults.outcome import Ending, Row, Seen, ending
from tests.support.nvidia.archive import CUDA, NvidiaArchive
from tests.support.nvidia.machine import set_faults
from tests.support.nvidia.serving import ENGINE, NEW, OLD, ServingMachine

ARCHIVES = "/var/cache/apt/archives"
FORGET = "rm -rf /var/lib/apt/lists/*"
"""apt knows no version then, and has to ask its mirrors"""
PROXY_NOWHERE = "/etc/apt/apt.conf.d/99fault"
DROP_IN = "/etc/systemd/system/{}.d/zz-fault.conf"
_LOCK = (
    "use Fcntl; open F, '+>', '/var/lib/dpkg/lock-frontend'; "
    "$l = pack('s s x4 q q i x4', F_WRLCK, 0, 0, 0, 0); fcntl(F, F_SETLK, $l) or die; "
    "for (1..1200) { last if -e '/run/release-lock'; select(undef, undef, undef, 0.1); }"
)


@dataclass
class Way:
    """One way of the host, from a driver to another, on which the fault strikes."""

    machine: ServingMachine
    old: str
    new: str
    cancel: threading.Event

    def link(self, state: str) -> None:
        """The host's network, `up` or `down`."""
        veth = names_of(Path(self.machine.state.state)).veth
        subprocess.run(["ip", "link", "set", veth, state], check=True)

    def power_cut(self) -> None:
        try:
            self.machine.shell("systemctl reboot --force --force; sleep 20")
        except UnreachableError:
            return


@dataclass(frozen=True)
class RealFault:
    """`{old}` and `{new}` in scripts and faults are the drivers. `strikes` is the step at which it strikes."""

    name: str
    strikes: str
    ends: Ending
    says: str = ""
    faults: tuple[str, ...] = ()
    """of the stubs: tests/support/nvidia/README.md"""
    script: str = ""
    """switches it on, on the host"""
    undo: str = ""
    """switches it off again"""
    when: str = ""
    """a part of what the run says when `act` is called"""
    act: Callable[[Way], object] = lambda way: None
    after: Callable[[Way], object] = lambda way: None
    altered: Callable[[NvidiaArchive, str], dict[str, bytes]] = lambda archive, new: {}
    gpu: dict[str, Any] = field(default_factory=dict)


class _Watching(RecordingLog):
    """Acts once it hears a text."""

    def __init__(self, text: str, act: Callable[[], object]) -> None:
        super().__init__()
        self.text_of_act, self.act = text, act

    def _hear(self, text: str) -> None:
        if self.text_of_act and self.text_of_act in text:
            self.text_of_act = ""
            self.act()

    def info(self, text: str) -> None:
        super().info(text)
        self._hear(text)

    def progress(self, text: str) -> None:
        super().progress(text)
        self._hear(text)


def _drop_in(unit: str, line: str) -> dict[str, str]:
    path = DROP_IN.format(unit)
    return {
        "script": f"mkdir -p {path.rpartition('/')[0]}; printf '[Service]\\n%s\\n' {shlex.quote(line)} > {path}; "
        "systemctl daemon-reload",
        "undo": f"rm -f {path}; systemctl daemon-reload",
    }


def _other_key(archive: NvidiaArchive, new: str) -> dict[str, bytes]:
    """The index as another key signed it."""
    with tempfile.TemporaryDirectory() as folder:
        return {f"{CUDA}/InRelease": (NvidiaArchive(Path(folder)).root / CUDA / "InRelease").read_bytes()}


def _damaged_package(archive: NvidiaArchive, new: str) -> dict[str, bytes]:
    (path,) = (archive.root / CUDA).glob(f"libcuda1_{new}-1_*.deb")
    return {f"{CUDA}/{path.name}": b"\0" * path.stat().st_size}


SLOW = "install-slow 6"
TRANSACTION = "Building initial module"

FAULTS: tuple[RealFault, ...] = (
    RealFault("receipt damaged", "", "converged", script=f"printf '{{\"rel' > {RECEIPT_PATH}"),
    RealFault("hold file left behind", "", "converged", script=f"touch {HOLD}; systemctl stop {ENGINE}"),
    RealFault("clock was set back by a day", "", "converged",
              script="touch -d '+1 day' /etc/docker/daemon.json /etc/modprobe.d/slipway-nvidia.conf"),
    RealFault("mirror down", "apt-lists", "old release, serving", "Could not connect",
              script=f"{FORGET}; echo 'Acquire::http::Proxy \"http://127.0.0.1:9\";' > {PROXY_NOWHERE}",
              undo=f"rm {PROXY_NOWHERE}"),
    RealFault("archive signed with another key", "apt-lists", "old release, serving", "not signed", script=FORGET,
              altered=_other_key),
    RealFault("package missing at that version", "apt-lists", "old release, serving", "do not have libcuda1 999",
              gpu={"packages": [Package(name="libcuda1", version="999")]}),
    RealFault("drain script fails", "drain", "old release, serving", "drain: refused",
              script="cd /usr/local/lib/slipway; cp drain drain.whole; "
              "printf '#!/bin/sh\\n[ $1 = off ] || { echo drain: refused >&2; exit 1; }\\n$0.whole off\\n' > drain",
              undo="cd /usr/local/lib/slipway; mv drain.whole drain"),
    RealFault("requests never end", "drain", "converged", script="mkdir -p /run/slipway; echo 3 > /run/slipway/streams",
              undo="rm -f /run/slipway/streams"),
    RealFault("hash mismatch", "packages", "old release, serving", "Hash Sum mismatch", script="apt-get clean",
              altered=_damaged_package),
    RealFault("apt lock held for a while", "packages", "converged",
              script=f"rm -f /run/release-lock; perl -e {shlex.quote(_LOCK)} </dev/null >/dev/null 2>&1 & sleep 0.5",
              when="lock is held by process", act=lambda way: way.machine.shell("touch /run/release-lock")),
    RealFault("disk full", "packages", "old release, serving", "no space left",
              script=f"mount -t tmpfs -o size=16k tmpfs {ARCHIVES} && mkdir {ARCHIVES}/partial",
              undo=f"umount {ARCHIVES}"),
    RealFault("DKMS build fails, for both drivers", "packages", "drained, named", "Putting release",
              faults=("install-fails",)),
    RealFault("connection lost", "packages", "drained, named", "lost while: install", faults=(SLOW,), when=TRANSACTION,
              act=lambda way: way.link("down"), after=lambda way: way.link("up")),
    RealFault("host loses power, dpkg interrupted", "packages", "drained, named", "lost while: install",
              faults=(SLOW,), when=TRANSACTION, act=Way.power_cut),
    RealFault("Ctrl-C", "packages", "drained, named", "stopped", faults=(SLOW,), when=TRANSACTION,
              act=lambda way: way.cancel.set()),
    RealFault("initramfs is not made anew", "gpu-initramfs", "old release, serving", "the initramfs is older",
              faults=("stale-initramfs",)),
    RealFault("host comes back late", "reboot", "converged", faults=("reboot-hangs 15",)),
    RealFault("boot loads another module", "reboot", "drained, named", "would need it again",
              faults=("version-mismatch 570.195.03",)),
    RealFault("boot loads no module", "gpu-module", "drained, named", "not found in directory",
              faults=("module-missing",)),
    RealFault("a GPU lost", "reboot", "drained, named", "Unable to determine", faults=("gpu-lost 1",)),
    RealFault("Xid since boot", "gpu-cdi", "old release, serving", "fallen off",
              faults=("xid 79 1 GPU has fallen off the bus.",)),
    RealFault("persistence daemon does not start", "gpu-persistence", "old release, serving", "keep the GPUs awake",
              **_drop_in("nvidia-persistenced.service", "ExecStartPre=/bin/false")),  # type: ignore[arg-type]
    RealFault("CDI specification is not made", "gpu-cdi", "old release, serving", "name the GPUs to containers",
              **_drop_in("nvidia-cdi-refresh.service", "ExecStartPre=/bin/false")),  # type: ignore[arg-type]
    RealFault("Docker does not start", "docker", "drained, named", "start Docker",
              **_drop_in("docker.service", "ExecStartPre=/bin/false")),  # type: ignore[arg-type]
    RealFault("engine does not start with the new driver", "serve", "old release, serving", "start what was stopped",
              **_drop_in(ENGINE, "ExecStartPre=/bin/grep -qv {new} /sys/module/nvidia/version")),  # type: ignore[arg-type]
)  # fmt: skip


def strike(machine: ServingMachine, fault: RealFault) -> Row:
    """A run to the other driver with the fault, and the next one without it."""
    old = machine.shell("cat /sys/module/nvidia/version")
    way = Way(machine, old, NEW if old == OLD else OLD, threading.Event())
    named = partial(_named, old=way.old, new=way.new)
    machine.archive.altered |= fault.altered(machine.archive, way.new)
    set_faults(machine, [named(each) for each in fault.faults])
    if fault.script:
        machine.shell(named(fault.script))
    try:
        first = _run(way, fault, **fault.gpu)
    finally:
        fault.after(way)
        machine.archive.altered.clear()
        set_faults(machine, [])
        if fault.undo:
            machine.shell(named(fault.undo))
    way.cancel.clear()
    second = _run(way, RealFault("", "", "converged"))
    after, then = ending(first, way.old, way.new), ending(second, way.old, way.new)
    return Row(fault.name, fault.strikes or "before anything", first.said, after, then, fault.ends, fault.says)


def _named(text: str, old: str, new: str) -> str:
    return text.replace("{old}", old).replace("{new}", new)


def _run(way: Way, fault: RealFault, **gpu: Any) -> Seen:
    wanted = way.machine.release(way.new, **gpu)
    log = _Watching(fault.when, lambda: fault.act(way))
    error: BaseException | None = None
    with way.machine.connect(log, keepalive=1) as session:
        try:
            converge_host(session, wanted, log, way.cancel)
        except Exception as raised:  # noqa: BLE001  whatever it is, the table says it
            error = raised
        fault.after(way)
    with way.machine.connect(deadline=120) as session:
        facts = gather(session, FACTS, query(wanted))
        drifts = tuple(map(str, read_host(session, wanted))) if error is None else ()
    receipt = facts.receipt or {}
    return Seen(
        way.machine.state.name, error, str(receipt.get("state", "")), str(receipt.get("release", "")),
        facts.driver.installed, facts.driver.loaded, way.machine.serves(), drifts,
    )  # fmt: skip
