"""Whom Host and Service ask before they let traffic go: over SSH, by the inputs of the resource."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from bootstrap.host import converge_host, read_host, remove_host
from bootstrap.plugin.codec import UNKNOWN
from bootstrap.plugin.resources.host import Host, HostEdge
from bootstrap.plugin.resources.service import Service, ServiceEdge
from bootstrap.service import ServiceReport
from bootstrap.spare import Others
from bootstrap.testing import FakeSession
from slipway.desired import Connection
from slipway.errors import UnreachableError
from tests.bootstrap.plugin.provider import CallError, Provider, provider
from tests.bootstrap.serving_host import NEW, OLD, UNITS, ServingHost, desired

pytestmark = pytest.mark.net

PEERS = [
    {"name": "h2", "address": "10.0.0.2", "user": "ops", "host_key": "ssh-ed25519 B"},
    {"name": "h3", "address": "10.0.0.3", "host_key": "ssh-ed25519 C"},
]
GATE = {"engines": [], "proxy": "https://127.0.0.1:443", "model": "m"}


@dataclass
class World:
    """One host that is changed, and what its peers say; one that says nothing cannot be reached."""

    host: ServingHost = field(default_factory=ServingHost)
    says: dict[str, str] = field(default_factory=lambda: {"h2": "serves", "h3": "serves"})
    met: list[Connection] = field(default_factory=list)
    sessions: list[FakeSession] = field(default_factory=list)
    others: Others | None = None

    def connect(self, connection: Connection, log: Any, cancel: Any, *, deadline: float = 120.0) -> FakeSession:
        if connection.name == "h1":
            return self.host
        self.met.append(connection)
        if not self.says[connection.name]:
            raise UnreachableError("nothing answers", where=connection.name, fix="Start it.")
        self.sessions.append(FakeSession(connection.name, [("", f"{self.says[connection.name]}\n")]))
        return self.sessions[-1]

    def asked_at(self) -> set[str]:
        """The URLs at which peers were asked."""
        scripts = [script for session in self.sessions for script in session.scripts]
        return {url for script in scripts for url in re.findall(r"https://\S+/ready", script)}

    def converge_service(self, *_: Any, others: Others | None, credentials: Any, closed: Any) -> ServiceReport:
        self.others = others
        return ServiceReport()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def served(world: World) -> Iterator[Provider]:
    with provider(Host(HostEdge(world.connect, converge_host, read_host, remove_host, patience=0.0))) as served:
        yield served


def inputs(driver: str = OLD, **more: Any) -> dict[str, Any]:
    return {
        "connection": {"name": "h1", "address": "10.0.0.1", "private_key": "a key", "host_key": "ssh-ed25519 A"},
        "desired": desired(driver).model_dump(mode="json"),
        "peers": PEERS,
        **more,
    }


def install(world: World, served: Provider) -> Any:
    world.host.service = dict.fromkeys(UNITS, "inactive")
    made = served.create(inputs())[1]
    world.host.service = dict.fromkeys(UNITS, "active")
    assert world.met == []
    return made


def test_peers_are_asked_with_the_key_of_the_host(world: World, served: Provider) -> None:
    made = install(world, served)
    assert served.update(made, inputs(NEW)).values["release"] == f"r{NEW}"
    assert sorted((peer.name, peer.user, peer.host_key, peer.private_key) for peer in world.met) == [
        ("h2", "ops", "ssh-ed25519 B", "a key"), ("h3", "root", "ssh-ed25519 C", "a key"),
    ]  # fmt: skip
    assert world.asked_at() == {"https://127.0.0.1:8443/ready"}


def test_a_host_that_cannot_be_spared_is_not_touched(world: World, served: Provider) -> None:
    made = install(world, served)
    world.says = {"h2": "", "h3": "its engines are held"}
    with pytest.raises(CallError, match="1 may be while it changes: h2: nothing answers; h3: its engines are held"):
        served.update(made, inputs(NEW, peers_out=1))
    assert (world.host.happened, world.host.serves) == (["touch"], True)
    assert served.update(made, inputs(NEW, peers_out=2)).values["release"] == f"r{NEW}"


@pytest.mark.parametrize("more", [{"peers": []}, {"peers": None}])
def test_a_host_alone_asks_nobody(world: World, served: Provider, more: dict[str, Any]) -> None:
    made = install(world, served)
    assert served.update(made, inputs(NEW, **more)).values["release"] == f"r{NEW}"
    assert world.met == []


def test_another_peer_is_no_change_of_the_host(served: Provider) -> None:
    for more in ({"peers": PEERS[:1]}, {"peers": []}, {"peers_out": 3}):
        assert not served.diff(inputs(), inputs(**more)).detailedDiff


def test_peers_are_checked(served: Provider) -> None:
    for peers, wrong in (
        (UNKNOWN, []),
        ([{"name": "h2", "address": UNKNOWN}], []),
        ([{"name": "h2"}], ["peers[0].address"]),
        ([{**PEERS[0], "private_key": "a key"}], ["peers[0].private_key"]),
    ):
        assert list(served.check(inputs(peers=peers))[1]) == wrong


def test_a_service_asks_at_its_own_port(world: World) -> None:
    service = {"name": "chat", "release": "r1", "files": [], "units": [], "gate": GATE}
    given = {"connection": inputs()["connection"], "desired": service, "api_key": "sw-a-key-0001"}
    edge = ServiceEdge(world.connect, world.converge_service, read_host, remove_host)  # type: ignore[arg-type]
    with provider(Service(edge)) as served:
        made = served.create(given)[1]
        assert world.others is None
        world.says["h3"] = "its proxy says 503"
        served.update(made, {**given, "peers": PEERS, "peers_out": 1})
        assert world.others is not None
        assert world.others.may_be_out == 1
        assert world.others.ask() == {"h2": "serves", "h3": "its proxy says 503"}
        assert world.asked_at() == {"https://127.0.0.1:443/ready"}
        assert list(served.check({**given, "peers": [{"name": "h2"}]})[1]) == ["peers[0].address"]
