"""Converging one simulated host: nothing to do, everything to do, dying anywhere, updates that fail."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from bootstrap.facts.runtime import RECEIPT_PATH
from bootstrap.host import HostReport, converge_host, read_host, reboot_host, remove_host
from bootstrap.session import Command, Result
from bootstrap.testing import FakeSession, RecordingLog, SimulatedHost
from bootstrap.waits import Waits
from slipway.desired import HostDesired, Package
from slipway.errors import (
    CancelledError,
    CommandError,
    HostError,
    PackageError,
    UnreachableError,
    VerifyError,
)

MIRROR = (("docker.io", "20.10"), ("curl", "7.88"), ("docker.io", "26.1"), ("curl", "8.5"), ("socat", "1.7"))
NEWER = {"docker.io": "26.1", "curl": "8.5", "socat": "1.7"}


@pytest.fixture
def host() -> SimulatedHost:
    return SimulatedHost(available=MIRROR)


def converge(host: SimulatedHost, desired: HostDesired, waits: Waits, log: RecordingLog | None = None) -> HostReport:
    return converge_host(host, desired, log or RecordingLog(), waits.cancel, waits=waits)


def receipt(host: SimulatedHost) -> dict[str, Any]:
    return dict(json.loads(host.files[RECEIPT_PATH].content))


def newer(desired: HostDesired) -> HostDesired:
    packages = tuple(Package(name=name, version=version) for name, version in NEWER.items())
    return desired.model_copy(update={"release": "2026.11", "packages": packages})


def test_cold_host_converges(host: SimulatedHost, desired: HostDesired, waits: Waits) -> None:
    report = converge(host, desired, waits)
    assert report.changed == (
        "apt-lists", "folders", "unattended-upgrades", "docker-config", "packages", "holds", "docker", "images",
    )  # fmt: skip
    assert host.held == {"docker.io", "curl"}
    assert [(str(local), remote) for local, remote, _ in host.uploads] == [
        ("/cache/engine.tar", "/var/lib/slipway/archives/engine.tar")
    ]
    assert receipt(host) == report.receipt
    assert (report.receipt["state"], report.receipt["release"]) == ("converged", "2026.10")
    assert json.loads(json.dumps(report.facts)) == report.facts


def test_second_run_is_one_round_trip(host: SimulatedHost, desired: HostDesired, waits: Waits) -> None:
    converge(host, desired, waits)
    host.commands.clear()
    written = dict(host.files)
    report = converge(host, desired, waits)
    assert report.changed == ()
    assert len(host.commands) == 1
    assert host.files == written


def test_read_is_one_round_trip_and_names_each_pin(host: SimulatedHost, desired: HostDesired, waits: Waits) -> None:
    converge(host, desired, waits)
    host.commands.clear()
    assert read_host(host, desired) == ()
    host.packages["curl"] = "8.5"
    host.held.clear()
    host.images.clear()
    del host.files["/etc/docker/daemon.json"]
    assert [drift.pin for drift in read_host(host, desired)] == [
        "holds.docker.io", "packages.curl", "holds.curl", "files./etc/docker/daemon.json", "images.engine",
    ]  # fmt: skip
    assert len(host.commands) == 2


def test_wrong_os_is_refused_before_anything_changes(host: SimulatedHost, desired: HostDesired, waits: Waits) -> None:
    host.os = "ubuntu:24.04"
    with pytest.raises(VerifyError, match=r"h1: it runs ubuntu:24.04, but release 2026.10 is for debian:12"):
        converge(host, desired, waits)
    assert len(host.commands) == 1
    assert host.files == {}


class MortalHost(SimulatedHost):
    """Dies at its n-th round trip, once: before it, or after it took effect."""

    def __init__(self, number: int, *, late: bool) -> None:
        super().__init__(available=MIRROR)
        self.number = number
        self.late = late
        self.trips = 0

    def die(self, *, late: bool) -> None:
        if late == self.late and self.trips == self.number:
            raise UnreachableError("lost", where="h1", fix="")

    def run(self, command: Command) -> Result:
        self.trips += 1
        self.die(late=False)
        result = super().run(command)
        self.die(late=True)
        return result

    def put(self, path: str, content: bytes, mode: int = 0o644, owner: str = "root:root") -> None:
        self.trips += 1
        self.die(late=False)
        super().put(path, content, mode, owner)
        self.die(late=True)


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_a_run_that_dies_anywhere_goes_on(desired: HostDesired, waits: Waits, late: bool) -> None:
    whole = MortalHost(-1, late=late)
    converge(whole, desired, waits)
    assert whole.trips > 15
    for number in range(1, whole.trips + 1):
        host = MortalHost(number, late=late)
        with pytest.raises(UnreachableError):
            converge(host, desired, waits)
        converge(host, desired, waits)
        assert (host.packages, host.held, host.images) == (whole.packages, whole.held, whole.images)
        assert receipt(host) == receipt(whole)


def test_interrupted_dpkg_is_repaired_first(host: SimulatedHost, desired: HostDesired, waits: Waits) -> None:
    host.packages["docker.io"] = "20.10"
    host.states["docker.io"] = "iF"
    report = converge(host, desired, waits)
    assert report.changed[0] == "dpkg-repair"
    assert "--configure -a" in host.scripts[1]


def test_a_version_the_mirror_lacks(host: SimulatedHost, desired: HostDesired, waits: Waits) -> None:
    host.available = {("docker.io", "26.1"), ("curl", "7.88")}
    with pytest.raises(PackageError, match=r"do not have docker.io 20.10 \(they have: 26.1\).*slipway lock"):
        converge(host, desired, waits)
    assert not any("apt-get install" in script for script in host.scripts)
    host.available = set(MIRROR)
    assert converge(host, desired, waits).receipt["state"] == "converged"


def test_update_replaces_the_release(host: SimulatedHost, desired: HostDesired, waits: Waits) -> None:
    converge(host, desired, waits)
    report = converge(host, newer(desired), waits)
    assert {name: host.packages[name] for name in NEWER} == NEWER
    assert (report.receipt["release"], report.receipt["previous"]) == ("2026.11", "2026.10")
    assert report.receipt["packages_before"] == {}


def test_update_that_fails_after_the_packages_goes_back(
    host: SimulatedHost, desired: HostDesired, waits: Waits
) -> None:
    converge(host, desired, waits)
    old = dict(host.packages)
    host.fail_on("apt-mark -q hold|apt-get install", Result(1, "", "boom"), late=True)
    with pytest.raises(HostError, match=r"boom\. The host keeps release 2026.10: its 2 moved packages were put back"):
        converge(host, newer(desired), waits)
    assert host.packages == old | {"socat": "1.7"}, "what only the new release has stays"
    assert (receipt(host)["state"], receipt(host)["release"], receipt(host)["target"]) == (
        "converged", "2026.10", "2026.10",
    )  # fmt: skip
    assert read_host(host, desired) == ()
    assert converge(host, newer(desired), waits).receipt["release"] == "2026.11"


def test_update_that_cannot_go_back_says_so_and_stays_resumable(
    host: SimulatedHost, desired: HostDesired, waits: Waits
) -> None:
    converge(host, desired, waits)
    host.fail_on("apt-get install", Result(1, "", "boom"), late=True)
    host.fail_on("apt-get install", Result(1, "", "bang"))
    with pytest.raises(CommandError, match=r"(?s)Putting release 2026.10 back failed too.*between two releases"):
        converge(host, newer(desired), waits)
    assert receipt(host)["state"] == "failed"
    assert receipt(host)["packages_before"]["curl"] == "7.88"
    assert converge(host, newer(desired), waits).receipt["state"] == "converged"


def test_update_lost_on_the_way_remembers_what_was_there_first(
    host: SimulatedHost, desired: HostDesired, waits: Waits
) -> None:
    converge(host, desired, waits)
    host.fail_on("apt-get install", UnreachableError("lost", where="h1", fix=""), late=True)
    with pytest.raises(UnreachableError):
        converge(host, newer(desired), waits)
    assert (receipt(host)["state"], receipt(host)["step"]) == ("updating", "packages")
    host.fail_on("docker image inspect", Result(1, "", "boom"))
    desired_with_image = newer(desired).model_copy(update={"images": desired.images})
    host.images.clear()
    with pytest.raises(HostError, match="its 2 moved packages were put back"):
        converge(host, desired_with_image, waits)
    assert host.packages["curl"] == "7.88"


def test_a_failed_first_run_leaves_its_state(host: SimulatedHost, desired: HostDesired, waits: Waits) -> None:
    host.fail_on("apt-get install", Result(1, "", "boom"))
    with pytest.raises(CommandError, match="boom"):
        converge(host, desired, waits)
    assert (receipt(host)["state"], receipt(host)["step"]) == ("failed", "packages")
    assert converge(host, desired, waits).receipt["state"] == "converged"


def test_an_operation_that_does_not_settle_is_named(host: SimulatedHost, desired: HostDesired, waits: Waits) -> None:
    host.fail_on("apt-mark", Result(0))
    with pytest.raises(VerifyError, match="holds ran, and is still not satisfied: holds are not those"):
        converge(host, desired, waits)


def test_cancel_stops_between_operations(host: SimulatedHost, desired: HostDesired, waits: Waits) -> None:
    log = RecordingLog()

    def cancel_then_say(text: str) -> None:
        if "packages:" in text:
            waits.cancel.set()

    log.info = cancel_then_say  # type: ignore[method-assign]
    with pytest.raises(CancelledError):
        converge(host, desired, waits, log)
    waits.cancel.clear()
    assert converge(host, desired, waits).receipt["state"] == "converged"


def test_remove_takes_slipway_off_and_keeps_packages(host: SimulatedHost, desired: HostDesired, waits: Waits) -> None:
    converge(host, desired, waits)
    host.held.add("by-hand")
    packages = dict(host.packages)
    remove_host(host, desired, RecordingLog(), threading.Event())
    assert host.held == {"by-hand"}
    assert host.packages == packages
    assert f"rm -f {RECEIPT_PATH}" in host.scripts[-1]


def test_reboot_is_proven_by_the_boot_id(waits: Waits) -> None:
    session = FakeSession(answers=[("boot_id", ["old\n", "old\n", "new\n"])])
    assert reboot_host(session, RecordingLog(), waits) == "new"
    assert len(session.losses) == 1
    assert len(session.reconnects) == 2


def test_reboot_that_never_happens_is_an_error(waits: Waits) -> None:
    session = FakeSession(answers=[("boot_id", "old\n")])
    with pytest.raises(VerifyError, match="h1: it still runs the old boot"):
        reboot_host(session, RecordingLog(), waits, deadline=60)
