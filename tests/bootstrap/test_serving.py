"""A host that serves while it is changed: when its traffic goes, what stands still then, and when it comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bootstrap.facts.runtime import RECEIPT_PATH
from bootstrap.host import HostReport, converge_host
from bootstrap.serving import HOLD
from bootstrap.session import Command, Result
from bootstrap.testing import RecordingLog
from bootstrap.waits import Waits
from slipway.desired import HostDesired, Package
from slipway.errors import HostError, UnreachableError, VerifyError
from tests.bootstrap.conftest import FakeClock
from tests.bootstrap.serving_host import NEW, OLD, UNITS, ServingHost
from tests.bootstrap.serving_host import desired as serving_desired


def desired(driver: str = OLD, **more: Any) -> HostDesired:
    return serving_desired(driver).model_copy(update=more)


@pytest.fixture
def host(waits: Waits) -> ServingHost:
    host = ServingHost()
    host.service = dict.fromkeys(UNITS, "inactive")  # what it is born with
    converge(host, desired(), waits)
    assert host.happened == ["touch"] * host.happened.count("touch"), "a first install lets go of nothing"
    host.service = dict.fromkeys(UNITS, "active")
    host.happened.clear()
    return host


def converge(host: ServingHost, wanted: HostDesired, waits: Waits) -> HostReport:
    return converge_host(host, wanted, RecordingLog(), waits.cancel, waits=waits)


def receipt(host: ServingHost) -> dict[str, Any]:
    return dict(json.loads(host.files[RECEIPT_PATH].content))


def test_a_driver_moves_while_nothing_serves(host: ServingHost, waits: Waits) -> None:
    report = converge(host, desired(NEW), waits)
    assert host.happened == ["let go", "touch", "reboot", "take up"]
    assert host.serves
    assert (report.receipt["state"], report.receipt["stopped"]) == ("converged", [])


def test_it_says_how_long_each_step_took(
    host: ServingHost, clock: FakeClock, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    takes = {
        "/usr/local/lib/slipway/drain on": 7.0,
        "apt-get install": 50.0,
        "systemctl reboot": 90.0,
        f"rm -f {HOLD}": 20.0,
    }
    answer = host.run

    def run(command: Command) -> Result:
        clock.now += sum(seconds for part, seconds in takes.items() if part in command.script)
        return answer(command)

    monkeypatch.setattr(host, "run", run)
    seconds = converge(host, desired(NEW), waits).seconds
    assert {step: took for step, took in seconds.items() if took} == {
        "drain": 7.0, "packages": 50.0, "reboot": 90.0, "serve": 20.0,
    }  # fmt: skip
    assert "verify" in seconds


def test_a_package_that_no_container_needs_moves_under_traffic(host: ServingHost, waits: Waits) -> None:
    packages = (*desired().packages, Package(name="curl", version="8.5"))
    report = converge(host, desired(release="r2", packages=packages), waits)
    assert "packages" in report.changed
    assert host.happened == []


def test_the_container_runtime_moves_while_nothing_serves(host: ServingHost, waits: Waits) -> None:
    host.available.add(("docker.io", "26.1"))
    converge(host, desired(release="r2", packages=(Package(name="docker.io", version="26.1"),)), waits)
    assert host.happened == ["let go", "touch", "take up"]
    assert host.serves


def test_a_driver_that_nothing_serves_with_is_put_back(host: ServingHost, waits: Waits) -> None:
    host.broken = {NEW}
    with pytest.raises(VerifyError, match=rf"it does not serve 30 s after .*503.*The host keeps release r{OLD}"):
        converge(host, desired(NEW), waits)
    assert host.happened == ["let go", "touch", "reboot", "take up", "let go", "touch", "reboot", "take up"]
    assert host.serves
    assert (host.loaded, receipt(host)["state"], receipt(host)["stopped"]) == (OLD, "converged", [])


def test_one_that_cannot_be_put_back_stays_without_traffic(host: ServingHost, waits: Waits) -> None:
    host.broken = {NEW, OLD}
    with pytest.raises(VerifyError, match="between two releases"):
        converge(host, desired(NEW), waits)
    assert (host.hold, host.flag, host.serves) == (True, True, False)
    assert (receipt(host)["state"], receipt(host)["stopped"]) == ("failed", list(UNITS))
    host.broken = set()
    assert converge(host, desired(NEW), waits).receipt["state"] == "converged"
    assert host.serves


def test_a_repair_that_fails_says_that_the_engines_stay_stopped(host: ServingHost, waits: Waits) -> None:
    host.packages["libcuda1"] = f"{NEW}-1"
    host.fail_on("apt-get install", Result(100, "", "dpkg: error processing package"), late=True)
    with pytest.raises(HostError, match="Its engines stay stopped"):
        converge(host, desired(), waits)
    assert (receipt(host)["state"], host.hold) == ("failed", True)
    converge(host, desired(), waits)
    assert host.serves


def test_a_run_that_dies_anywhere_is_taken_up(waits: Waits) -> None:
    """At each round trip of an update; the next run ends where a whole one does, and serves."""
    for number in range(1, 60):
        host = ServingHost()
        converge(host, desired(), waits)
        host.service = dict.fromkeys(UNITS, "active")
        host.trips, host.mortal = 0, number
        try:
            converge(host, desired(NEW), waits)
        except UnreachableError:
            converge(host, desired(NEW), waits)
        else:
            assert number > 15
            return
        assert (host.loaded, host.serves, host.hold) == (NEW, True, False), number
        assert (receipt(host)["state"], receipt(host)["stopped"]) == ("converged", []), number
    raise AssertionError("an update takes that many round trips?")
