"""The faults that strike a simulated host on its way from the old driver to the new one, and how each ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bootstrap.facts.runtime import RECEIPT_PATH
from bootstrap.host import converge_host, read_host
from bootstrap.session import Result
from bootstrap.testing import FakeFile, RecordingLog
from bootstrap.waits import Waits
from slipway.errors import CancelledError, DeadlineError, DiskFullError
from tests.bootstrap.conftest import FakeClock
from tests.bootstrap.faults.host import LOST, FaultyHost
from tests.bootstrap.faults.outcome import Ending, Row, Seen, ending
from tests.bootstrap.gpu_host import MODULE
from tests.bootstrap.serving_host import NEW, OLD, UNITS, desired

INSTALL, DRAIN, HOLDS, REBOOT = "apt-get install", "drained, ", "apt-mark -q hold", "systemctl reboot"
START = "systemctl start slipway-"
LOCKED = Result(100, "", "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 712 (apt-get)")
MIRROR_DOWN = Result(100, "", "E: Failed to fetch http://mirror/Packages  Could not connect to mirror:80")
WRONG_HASH = Result(100, "", "E: Failed to fetch http://mirror/libcuda1.deb  Hash Sum mismatch")
WRONG_KEY = Result(100, "", "W: GPG error: http://mirror InRelease: NO_PUBKEY A4B469963BF863CC\nE: not signed")
SCRIPT_FAILS = Result(100, "", "dpkg: error processing package libcuda1 (--configure): exit status 1")
NO_FIT = Result(100, "", "The following packages have unmet dependencies")
FULL = DiskFullError("no space left while: write /var/lib/slipway/receipt.json", where="h1", fix="Free some.")
CANCELLED = CancelledError("stopped", where="h1", fix="The next `up` goes on from there.")


@dataclass(frozen=True)
class Fault:
    """`arrange` switches it on. `strikes` are steps of the receipt at which it does ("" for before the first)."""

    name: str
    strikes: str
    arrange: Callable[[FaultyHost], object]
    ends: Ending
    says: str = ""
    """a part of what the run says"""
    gpu: dict[str, Any] = field(default_factory=dict)
    """fields of `GpuDesired` that the faulty release has"""


def failing(pattern: str, outcome: Any, **options: Any) -> Callable[[FaultyHost], object]:
    """Commands that match end so."""
    return lambda host: host.strike(pattern, outcome, **options)


def _asking_mirrors(outcome: Any, **options: Any) -> Callable[[FaultyHost], object]:
    """apt does not know the new versions yet, and asking for them ends so."""
    return _both(setting(lists_read=False), failing("apt-get update", outcome, **options))


def setting(**values: Any) -> Callable[[FaultyHost], object]:
    """Attributes of the host are so."""
    return lambda host: vars(host).update(values)


def _both(*arrange: Callable[[FaultyHost], object]) -> Callable[[FaultyHost], object]:
    def all_of_them(host: FaultyHost) -> None:
        for each in arrange:
            each(host)

    return all_of_them


def _interrupted(host: FaultyHost) -> None:
    """The host goes down in the middle of dpkg, and comes back after some time."""

    def cut() -> Result:
        host.states |= {"libcuda1": "iF", MODULE: "iU"}
        raise LOST

    host.strike(INSTALL, cut, late=True, times=1)


def _full_behind_the_drain(host: FaultyHost) -> None:
    """The disk is full from then on, as with an engine that wrote its last dump when it was stopped."""

    def fill() -> Result:
        host.strike("put |apt-get install", FULL)
        return Result(0)

    host.strike(DRAIN, fill, late=True, times=1)


def _receipt(content: bytes) -> Callable[[FaultyHost], object]:
    return lambda host: host.files.update({RECEIPT_PATH: FakeFile(content, 0o644, "root:root")})


def _damaged_while_drained(host: FaultyHost) -> None:
    """A run dies behind the drain, and the receipt is damaged after it."""

    def cut() -> Result:
        host.files[RECEIPT_PATH] = FakeFile(b"{", 0o644, "root:root")
        raise LOST

    host.strike(DRAIN, cut, late=True, times=1)


def _hold_left(host: FaultyHost) -> None:
    """Somebody held the host by hand, and its engines did not start at the last boot."""
    host.hold = True
    host.service |= {unit: "inactive" for unit in UNITS if "engine" in unit}


def _with_new(host: FaultyHost) -> Callable[[], bool]:
    return lambda: host.loaded == NEW


def _comes_late(host: FaultyHost) -> None:
    host.boots_for = lambda: 40


def _never_comes(host: FaultyHost) -> None:
    host.boots_for = lambda: 100_000


def _new_boot_loads_nothing(host: FaultyHost) -> None:
    host.no_module = True


def _only_new_boot(**values: Any) -> Callable[[FaultyHost], object]:
    """The attribute is true while the new driver runs."""
    return lambda host: vars(host).update({name: _with_new(host) for name in values})


def _xid(host: FaultyHost) -> None:
    host.xid = lambda: "79, GPU has fallen off the bus." if host.loaded == NEW else ""


FAULTS: tuple[Fault, ...] = (
    # ---- before anything
    Fault("host is down", "", setting(unreachable=1), "old release, serving", "lost"),
    Fault("other operating system", "", setting(os="ubuntu:24.04"), "old release, serving", "it runs ubuntu:24.04"),
    Fault("Secure Boot, key not enrolled", "", setting(secure_boot=True), "old release, serving", "Secure Boot is on"),
    Fault("a GPU off the bus", "", setting(bus_lost=lambda: True), "old release, serving", "the PCI bus has 1 GPUs",
          {"expected": {"count": 2}}),
    Fault("archive key of another", "", lambda _: None, "old release, serving", "the key of NVIDIA's archive is",
          {"sources": ["URIs: http://mirror"], "key": "x", "key_fingerprint": "0" * 40}),
    Fault("receipt damaged", "", _receipt(b'{"release": "r5'), "converged"),
    Fault("receipt of a wrong shape", "", _receipt(b'{"schema_version": 1, "state": "?"}'), "converged"),
    Fault("hold file left behind", "", _hold_left, "converged"),
    Fault("drain flag left on", "", setting(flag=True), "converged"),
    # ---- apt's lists
    Fault("mirror down", "apt-lists", _asking_mirrors(MIRROR_DOWN), "old release, serving", "Could not conn"),
    Fault("archive signed with another key", "apt-lists", _asking_mirrors(WRONG_KEY), "old release, serving",
          "NO_PUBKEY"),
    Fault("package missing at that version", "apt-lists",
          lambda host: host.available.discard(("libcuda1", f"{NEW}-1")), "old release, serving", "do not have libcu"),
    Fault("connection lost", "apt-lists", _asking_mirrors(LOST, times=1), "broken off, serving", "lost"),
    Fault("Ctrl-C", "apt-lists", _asking_mirrors(CANCELLED, times=1), "broken off, serving", "stopped"),
    # ---- drain
    Fault("drain script fails", "drain", failing(DRAIN, Result(1, "", "drain: refused")), "old release, serving",
          "drain: refused"),
    Fault("drain script fails, and undrain too", "drain", _both(failing(DRAIN, Result(1, "", "drain: refused")),
          failing(START, Result(1, "", "drain: refused"), late=True)), "drained, named", "drain: refused"),
    Fault("requests never end", "drain", failing(DRAIN, Result(0, "cut off: 3\n"), late=True), "converged"),
    Fault("engine does not stop", "drain", failing(DRAIN, DeadlineError("not done after 240 s", where="h1", fix="")),
          "old release, serving", "not done after"),
    Fault("connection lost before it", "drain", failing(DRAIN, LOST, times=1), "broken off, serving", "lost"),
    Fault("connection lost behind it", "drain", failing(DRAIN, LOST, late=True, times=1), "drained, named", "lost"),
    Fault("Ctrl-C", "drain", failing(DRAIN, CANCELLED, times=1), "broken off, serving", "stopped"),
    Fault("receipt damaged behind it", "drain", _damaged_while_drained, "drained, named", "lost"),
    # ---- transaction
    Fault("apt lock held for a while", "packages", failing(INSTALL, LOCKED, times=20), "converged"),
    Fault("apt lock held for good", "packages", failing(INSTALL, LOCKED, times=400), "old release, serving",
          "lock is held by process 712"),
    Fault("hash mismatch", "packages", failing(INSTALL, WRONG_HASH), "old release, serving", "Hash Sum mismatch"),
    Fault("hash mismatch for a while", "packages", failing(INSTALL, WRONG_HASH, times=2), "converged"),
    Fault("install script fails", "packages", failing(INSTALL, SCRIPT_FAILS, late=True, times=1),
          "old release, serving", "error processing"),
    Fault("packages do not fit together", "packages", failing(INSTALL, NO_FIT, times=1), "old release, serving",
          "do not fit together"),
    Fault("disk full", "packages", failing(INSTALL, Result(100, "", "No space left on device"), times=1),
          "old release, serving", "no space left"),
    Fault("transaction past its deadline", "packages",
          failing(INSTALL, DeadlineError("not done after 3600 s", where="h1", fix=""), late=True, times=1),
          "old release, serving", "not done after"),
    Fault("connection lost", "packages", failing(INSTALL, LOST, late=True, times=1), "drained, named", "lost"),
    Fault("host loses power, dpkg interrupted", "packages", _interrupted, "drained, named", "lost"),
    Fault("Ctrl-C", "packages", failing(INSTALL, CANCELLED, late=True, times=1), "drained, named", "stopped"),
    Fault("disk full for the receipt", "", failing(f"put {RECEIPT_PATH}", FULL), "old release, serving",
          "no space left"),
    Fault("disk full behind the drain", "drain", _full_behind_the_drain, "drained, named", "no space left"),
    # ---- holds, modules, initramfs
    Fault("holds are undone", "holds", failing(HOLDS, Result(0), times=1), "old release, serving",
          "still not satisfied"),
    Fault("initramfs keeps the old module", "reboot", setting(stuck=OLD), "old release, serving",
          "would need it again"),
    # ---- reboot
    Fault("connection lost before it", "reboot", failing(REBOOT, LOST, times=1), "drained, named", "lost"),
    Fault("connection lost behind it", "reboot", failing(REBOOT, LOST, late=True, times=1), "drained, named", "lost"),
    Fault("host comes back late", "reboot", _comes_late, "converged"),
    Fault("host does not come back", "reboot", _never_comes, "drained, named", "lost"),
    Fault("host keeps the old boot", "reboot", failing(REBOOT, Result(0)), "drained, named", "still runs the old boot"),
    Fault("boot loads another module", "reboot", setting(stuck="570.195.03"), "drained, named", "would need it again"),
    # ---- verification
    Fault("boot loads no module", "reboot", _new_boot_loads_nothing, "drained, named", "not satisfied"),
    Fault("nouveau has the GPUs", "reboot", setting(nouveau_boots=True), "drained, named", "nouveau is loaded"),
    Fault("fabric manager does not start", "gpu-fabric", _both(setting(switches=True), failing(
          "restart nvidia-fabricmanager", Result(1, "", "NV_WARN_NOTHING_TO_DO"))), "old release, serving",
          "tie the GPUs together"),
    Fault("persistence daemon does not start", "gpu-persistence", _both(
          lambda host: host.units.update({"nvidia-persistenced.service": "failed"}),
          failing("restart nvidia-persistenced", Result(1, "", "Failed to query NVIDIA devices"))),
          "old release, serving", "keep the GPUs awake"),
    Fault("Docker does not start", "docker", _both(setting(docker_active=False),
          failing("enable --now docker", Result(1, "", "Job for docker.service failed"))), "old release, serving",
          "start Docker"),
    Fault("a GPU lost with the new driver", "reboot", _only_new_boot(driver_lost=True), "old release, serving",
          "gpu.count"),
    Fault("a GPU lost for good", "reboot", setting(driver_lost=lambda: True), "old release, serving", "gpu.count"),
    Fault("Xid with the new driver", "reboot", _xid, "old release, serving", "gpu.1.xid"),
    Fault("CDI unresolved with the new driver", "gpu-cdi", _only_new_boot(cdi_missing=True), "old release, serving",
          "CDI"),
    # ---- engines start
    Fault("engine does not start with the new driver", "serve", setting(broken={NEW}), "old release, serving",
          "does not serve 30 s after"),
    Fault("engine starts with no driver", "serve", setting(broken={NEW, OLD}), "drained, named", "Putting release"),
    Fault("unit fails to start", "serve", failing(START, Result(1, "", "Job failed"), times=1), "old release, serving",
          "Job failed"),
    Fault("connection lost", "serve", failing(START, LOST, late=True, times=1), "broken off, serving", "lost"),
    Fault("Ctrl-C", "serve", failing(START, CANCELLED, times=1), "drained, named", "stopped"),
    # ---- put-back
    Fault("install script fails, and of the old too", "packages", failing(INSTALL, SCRIPT_FAILS, late=True),
          "drained, named", "Putting release"),
    Fault("put-back: connection lost", "packages", _both(failing(INSTALL, SCRIPT_FAILS, late=True, times=1),
          failing(INSTALL, LOST, late=True, times=1)), "drained, named", "lost"),
    Fault("put-back: Ctrl-C", "packages", _both(failing(INSTALL, SCRIPT_FAILS, late=True, times=1),
          failing(INSTALL, CANCELLED, late=True, times=1)), "drained, named", "stopped"),
    Fault("put-back: the old version is gone", "packages", _both(failing(INSTALL, SCRIPT_FAILS, late=True, times=1),
          failing(INSTALL, Result(100, "", f"E: Version '{OLD}-1' for 'libcuda1' was not found"), times=1)),
          "drained, named", "Putting release"),
    Fault("put-back: host does not come back", "serve", _both(setting(broken={NEW}), lambda host: vars(host).update(
          boots_for=lambda: 100_000 if host.installed == OLD else 0)), "drained, named", "lost"),
)  # fmt: skip


def serving_host() -> FaultyHost:
    """One that serves with the old driver."""
    host = FaultyHost()
    host.service = dict.fromkeys(UNITS, "inactive")
    _run(host, OLD)
    host.service = dict.fromkeys(UNITS, "active")
    return host


def strike(fault: Fault) -> tuple[Row, FaultyHost]:
    """A run to the new driver with the fault, and the next one without it."""
    host = serving_host()
    mirror = set(host.available)
    fault.arrange(host)
    first = _run(host, NEW, **fault.gpu)
    host.mend()
    host.available = mirror
    struck = sorted(host.struck)
    second = _run(host, NEW)
    strikes = ", ".join(each or "before anything" for each in struck or [fault.strikes])
    row = Row(
        fault.name, strikes, first.said, ending(first, OLD, NEW), ending(second, OLD, NEW), fault.ends, fault.says
    )
    return row, host


def _run(host: FaultyHost, driver: str, **gpu: Any) -> Seen:
    clock = FakeClock()
    waits = Waits(threading.Event(), clock=clock, sleep=clock.sleep)
    wanted = desired(driver, **gpu)
    error: BaseException | None = None
    try:
        converge_host(host, wanted, RecordingLog(), waits.cancel, waits=waits)
    except Exception as raised:  # noqa: BLE001  whatever it is, the table says it
        error = raised
    receipt = host.receipt
    drifts = tuple(str(drift) for drift in read_host(host, wanted)) if error is None else ()
    return Seen(
        "h1",
        error,
        receipt.get("state", ""),
        receipt.get("release", ""),
        host.installed,
        host.loaded,
        host.serves,
        drifts,
    )
