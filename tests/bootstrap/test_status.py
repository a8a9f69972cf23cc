"""Which hosts the exported state of a stack names, and what is said of a host from its facts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bootstrap.commands import status
from bootstrap.facts import FACTS, gather
from bootstrap.host import converge_host
from bootstrap.operations import query
from bootstrap.testing import RecordingLog, SimulatedHost
from bootstrap.waits import Waits
from slipway.desired import Connection, HostDesired
from slipway.errors import SlipwayError

SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
URN = "urn:pulumi:prod::slipway::slipway:stacks:Fleet$slipway:index:"


def host(name: str, desired: HostDesired, **more: Any) -> dict[str, Any]:
    """A Host as `pulumi stack export --show-secrets` prints it."""
    connection = {"name": name, "address": "10.0.0.1", "private_key": {**SECRET, "plaintext": json.dumps("PEM")}}
    inputs = {"__defaults": [], "connection": connection, "desired": desired.model_dump(mode="json")}
    return {"type": "slipway:index:Host", "urn": f"{URN}Host::{name}", "inputs": inputs, "outputs": {}, **more}


def test_hosts_of_an_exported_state(desired: HostDesired) -> None:
    exported = {
        "version": 3,
        "deployment": {
            "resources": [
                {"type": "pulumi:pulumi:Stack", "urn": "urn"},
                host("h1", desired, outputs={"host_key": "ssh-ed25519 AAAA"}),
                host("h2", desired, dependencies=[f"{URN}Gate::wave-0", f"{URN}Service::h1"]),
                host("old", desired, delete=True),
            ]
        },
    }
    found = status.hosts_of(exported)
    assert [(connection.name, wave) for connection, _, wave in found] == [("h1", 0), ("h2", 1)]
    assert found[0][0].private_key == "PEM"
    assert (found[0][0].host_key, found[1][0].host_key) == ("ssh-ed25519 AAAA", None)
    assert found[0][1] == desired


def test_a_stack_without_hosts() -> None:
    assert status.hosts_of({"version": 3, "deployment": {}}) == []


def test_what_a_host_says(desired: HostDesired, waits: Waits) -> None:
    connection = Connection(name="h1", address="10.0.0.1", private_key="PEM")
    simulated = SimulatedHost(available=(("docker.io", "20.10"), ("curl", "7.88")))

    def said() -> status.HostStatus:
        return status.status_of(connection, desired, 1, gather(simulated, FACTS, query(desired)))

    assert (said().state, said().release, said().wave, said().well) == ("none", "", 1, False)
    converge_host(simulated, desired, RecordingLog(), waits.cancel, waits=waits)
    assert (said().state, said().release, said().drift, said().well) == ("converged", "2026.10", {}, True)
    simulated.packages["curl"] = "8.5"
    assert said().drift == {"packages.curl": "expected 7.88, found 8.5"}


def test_without_pulumi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SlipwayError, match="there is no pulumi on PATH"):
        status.stack_hosts("prod")
