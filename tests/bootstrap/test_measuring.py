"""Hosts measured for doctor: one script and the time a host, all at once; on a real one, too."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from bootstrap.commands import doctor
from bootstrap.commands.measuring import measure_hosts
from bootstrap.facts import MEASURES
from bootstrap.session import Command, Result
from bootstrap.testing import FakeSession
from slipway.desired import Connection
from slipway.doctor.hosts import Unmeasured
from slipway.doctor.measured import HostMeasured
from slipway.doctor.types import Made, NoAnswer
from slipway.errors import UnreachableError
from tests.bootstrap.conftest import RealHost

FIXTURES = Path(__file__).parent / "facts" / "fixtures"
CASES = {
    "system": "debian12",
    "disks": "one-disk",
    "cpu": "guest",
    "disk": "read",
    "network": "two",
    "links": "server",
    "states": "two",
    "clock": "yes",
}


def answer(command: Command) -> Result:
    """What a host would print for the facts that the script asks, from their fixtures."""
    out = []
    for line in command.script.splitlines():
        if line.startswith("echo '--") and "; echo" in line:
            token, name = line.split("'")[1].split()
            folder = FIXTURES / name
            case = folder / f"{CASES.get(name, '')}.txt"
            text = (case if case.is_file() else sorted(folder.glob("*.txt"))[0]).read_text()
            out.append(f"{token} {name}\n{text}\n{token} = 0\n")
    return Result(0, "".join(out))


def host(name: str, address: str) -> Connection:
    return Connection(name=name, address=address, private_key="PEM")


def measured(*connections: Connection, gpu: bool = False, **sessions: Any) -> list[HostMeasured | Unmeasured]:
    told: list[str] = []

    def opened(connection: Connection) -> FakeSession:
        found = sessions.get(connection.name) or FakeSession(
            connection.name, [("^date", str(time.time() + 3)), ("WANTED=", answer)]
        )
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, FakeSession)
        return found

    found = measure_hosts(connections, read="/m", gpu=gpu, tell=told.append, opened=opened)
    assert f"{len(connections)} of {len(connections)} hosts measured" in told
    return list(found)


def test_one_script_and_the_time_a_host() -> None:
    session = FakeSession("h1", [("^date", str(time.time() + 3)), ("WANTED=", answer)])
    (found,) = measured(host("h1", "10.0.0.1"), h1=session)
    assert isinstance(found, HostMeasured)
    assert [command.script for command in session.commands[:3]] == ["date +%s.%N"] * 3
    assert len(session.commands) == 4
    assert "READ=/m; PEERS=''" in session.scripts[-1]
    assert not session.files
    assert not session.uploads
    assert (found.os, found.cpu.steal, found.disk.read, found.links) == ("debian:12", 0.05, 98362432, ())
    assert isinstance(found.offset, float)
    assert 2 < found.offset < 3.5


def test_gpus_are_asked_for_where_they_are_wanted() -> None:
    (found,) = measured(host("h1", "10.0.0.1"), gpu=True)
    assert isinstance(found, HostMeasured)
    assert (len(found.links), len(found.states.gpus)) == (2, 2)


def test_a_host_that_is_down_is_an_answer_of_its_own() -> None:
    down = UnreachableError("no SSH at 10.0.0.2:22: timed out", where="h2", fix="Start it")
    first, second = measured(host("h1", "10.0.0.1"), host("h2", "10.0.0.2"), h2=down)
    assert isinstance(first, HostMeasured)
    assert second == Unmeasured("h2", NoAnswer("no SSH at 10.0.0.2:22: timed out", "Start it"))


def test_a_script_that_fails_is_no_answer() -> None:
    broken = FakeSession("h1", [("^date", "1.0"), ("WANTED=", Result(1, "", "Killed"))])
    (found,) = measured(host("h1", "10.0.0.1"), h1=broken)
    assert isinstance(found, Unmeasured)
    assert "could not be read" in found.answer.why


def test_a_date_without_nanoseconds() -> None:
    odd = FakeSession("h1", [("^date", "1764061234.%N"), ("WANTED=", answer)])
    (found,) = measured(host("h1", "10.0.0.1"), h1=odd)
    assert isinstance(found, HostMeasured)
    assert isinstance(found.offset, NoAnswer)


@pytest.mark.parametrize("said", ["no stack named 'prod' found", "PULUMI_ACCESS_TOKEN must be set"])
def test_a_stack_that_was_never_made_and_a_state_that_is_not_read(
    said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "pulumi"
    program.write_text(f'#!/bin/sh\necho "error: {said}" >&2\nexit 255\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    found = doctor.made("prod")
    assert (found == Made()) == said.startswith("no stack")
    assert isinstance(found, NoAnswer) != said.startswith("no stack")
    key = doctor.private_key("prod")
    assert isinstance(key, NoAnswer)
    assert key.verdict == "not asked"


@pytest.mark.parametrize(
    ("resource", "there"),
    [
        ({"type": "gcp:container/nodePool:NodePool", "urn": "urn:pulumi:p::s::t::release-abc"}, True),
        ({"type": "aws:eks/nodeGroup:NodeGroup", "urn": "urn:pulumi:p::s::t::release-abc"}, True),
        ({"type": "azure-native:containerservice:AgentPool", "urn": "urn:pulumi:p::s::t::abc"}, True),
        ({"type": "upcloud:index/kubernetesNodeGroup:KubernetesNodeGroup", "urn": "urn:pulumi:p::s::t::x"}, True),
        ({"type": "gcp:container/nodePool:NodePool", "urn": "urn:pulumi:p::s::t::system"}, False),
        ({"type": "aws:eks/nodeGroup:NodeGroup", "urn": "urn:pulumi:p::s::t::prod-system"}, False),
        ({"type": "gcp:container/nodePool:NodePool", "urn": "urn:pulumi:p::s::t::x", "delete": True}, False),
        ({"type": "gcp:container/cluster:Cluster", "urn": "urn:pulumi:p::s::t::x"}, False),
    ],
)
def test_a_pool_in_the_state(
    resource: dict[str, object], there: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    state = tmp_path / "state.json"
    state.write_text(json.dumps({"deployment": {"resources": [resource]}}))
    program = tmp_path / "pulumi"
    program.write_text(f"#!/bin/sh\ncat {state}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert doctor.made("prod") == Made((), there)


def test_without_pulumi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    for found in (doctor.made("prod"), doctor.private_key("prod")):
        assert isinstance(found, NoAnswer)
        assert found.why.startswith("there is no pulumi on PATH")


@pytest.mark.hosts
@pytest.mark.slow
def test_a_real_host(real_host: RealHost) -> None:
    real_host.shell("dd if=/dev/urandom of=/var/lib/measured bs=1M count=8 2>/dev/null; sync")
    before = real_host.shell("find /var/lib /etc /root -newer /var/lib/measured | sort")
    found = measure_hosts([real_host.connection], read="/var/lib/measured", gpu=True, tell=lambda text: None)
    (host,) = found
    assert isinstance(host, HostMeasured), json.dumps(str(host))
    assert (host.os, host.arch, host.disk.state) == ("debian:12", "amd64", "read")
    assert (host.disk.read, len(host.disk.latencies)) == (8 * 2**20, 16)
    assert host.cpu.cores >= 1
    assert 0 <= host.cpu.steal <= 1
    assert isinstance(host.offset, float)
    assert host.states.said == "there is no nvidia-smi"
    assert real_host.shell("find /var/lib /etc /root -newer /var/lib/measured | sort") == before
    (missing,) = measure_hosts([real_host.connection], read="/nowhere", gpu=False, tell=lambda text: None)
    assert isinstance(missing, HostMeasured)
    assert missing.disk.state == "missing"


def test_each_measure_has_a_name_of_its_own() -> None:
    assert len({fact.name for fact in MEASURES}) == len(MEASURES)
