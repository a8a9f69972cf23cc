"""Throughput between hosts: who sends to whom, what is made of what the two print, and two real ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bootstrap.commands import throughput
from bootstrap.commands.measuring import measure_hosts, open_session
from bootstrap.commands.throughput import MIB, measure_pairs, parsed
from bootstrap.machines.spec import root_of
from bootstrap.session import Command, Result, Session
from bootstrap.testing import FakeSession
from slipway.desired import Connection
from slipway.doctor.bounds import NETWORK_RATE
from slipway.doctor.measured import HostMeasured, Throughput
from slipway.errors import UnreachableError
from tests.bootstrap.conftest import RealHost, booted

DD = "997+52 records in\n997+52 records out\n268435456 bytes (268 MB, 256 MiB) copied, 0.5 s, 537 MB/s\n"
CUT = "12+900 records in\n12+900 records out\n12582912 bytes (13 MB, 12 MiB) copied, 2.0101 s, 6.3 MB/s\n"
DEVICE = "dev $(ip -o route show default | sed 's/.* dev \\([^ ]*\\).*/\\1/')"
"""of the way to other hosts, in a script"""
COUNTED = Throughput(peer="b", state="measured", received=268435456, seconds=0.5)


@pytest.mark.parametrize(
    ("said", "heard", "expected"),
    [
        (Result(0, "sent\n"), Result(0, DD), COUNTED),
        (Result(137), Result(124, CUT), Throughput(peer="b", state="measured", received=12582912, seconds=2.0101)),
        (Result(0, "closed\n"), Result(0, "nobody\n"), Throughput(peer="b", state="closed")),
        (Result(124), Result(0, "nobody\n"), Throughput(peer="b", state="closed")),
        (Result(0, "closed\n"), Result(0, "absent\n"), Throughput(peer="b", state="absent")),
        (
            Result(0, "sent\n"),
            Result(0, "nobody\n"),
            Throughput(peer="b", state="failed", said="b did not hear what was sent"),
        ),
        (
            Result(0, "closed\n"),
            Result(98, "", "Address already in use\n"),
            Throughput(peer="b", state="failed", said="Address already in use"),
        ),
        (
            Result(127, "", "bash: not found"),
            Result(0, "nobody\n"),
            Throughput(peer="b", state="failed", said="bash: not found"),
        ),
        (Result(0), Result(0), Throughput(peer="b", state="failed", said="nothing came back")),
    ],
)
def test_what_the_two_print(said: Result, heard: Result, expected: Throughput) -> None:
    assert parsed("b", said, heard) == expected


class Fleet:
    """Fake hosts that answer as one that receives and one that sends."""

    def __init__(self, *names: str, heard: str = DD, said: str = "sent\n") -> None:
        self.connections = [Connection(name=n, address=f"10.0.0.{n}", private_key="") for n in names]
        self.sessions = {n: FakeSession(n, [("THERE=", said), ("HERE=", heard)], default=None) for n in names}
        self.down: set[str] = set()
        self.told: list[str] = []

    @contextmanager
    def opened(self, connection: Connection) -> Iterator[Session]:
        if connection.name in self.down:
            raise UnreachableError(f"no SSH at {connection.address}", where=connection.name, fix="Start it")
        yield self.sessions[connection.name]

    def measure(self) -> dict[str, Throughput]:
        return measure_pairs(self.connections, self.opened, self.told.append)

    def commands(self, name: str) -> list[Command]:
        return self.sessions[name].commands


def test_each_sends_to_the_next() -> None:
    fleet = Fleet("1", "2", "3")
    found = fleet.measure()
    assert {name: (one.peer, one.state) for name, one in found.items()} == {
        "1": ("2", "measured"),
        "2": ("3", "measured"),
        "3": ("1", "measured"),
    }
    assert fleet.told[-1] == "throughput between hosts: 3 of 3 pairs"
    assert len(Fleet(*map(str, range(9))).measure()) == throughput.PAIRS
    assert Fleet("1").measure() == {}


def test_the_two_of_a_pair_share_a_port_and_a_word_that_no_process_list_shows() -> None:
    fleet = Fleet("1", "2")
    fleet.measure()
    (sending,) = [command for command in fleet.commands("1") if command.script.startswith("export THERE=")]
    (listening,) = [command for command in fleet.commands("2") if command.script.startswith("export HERE=")]
    assert sending.stdin == listening.stdin
    assert sending.stdin is not None
    assert sending.stdin.decode().strip() not in sending.script + listening.script
    ports = {re.search(r"PORT=(\d+)", command.script)[1] for command in (sending, listening)}  # type: ignore[index]
    (port,) = ports
    assert int(port) in throughput.PORTS
    assert "THERE=10.0.0.2" in sending.script
    again = Fleet("1", "2")
    again.measure()
    assert again.commands("1")[0].stdin != fleet.commands("1")[0].stdin


def test_after_a_closed_pair_no_other_is_tried() -> None:
    fleet = Fleet("1", "2", "3", heard="nobody\n", said="closed\n")
    assert {name: one.state for name, one in fleet.measure().items()} == {"1": "closed"}


def test_a_host_that_goes_away_meanwhile_is_no_figure() -> None:
    fleet = Fleet("1", "2", "3")
    fleet.down = {"2"}
    found = fleet.measure()
    assert (found["1"].state, found["1"].said) == ("failed", "no SSH at 10.0.0.2")
    assert found["3"].state == "measured"


@pytest.fixture(scope="module")
def second_host(real_host: RealHost) -> Iterator[RealHost]:
    """Another machine in the network of the first."""
    with booted(root_of(Path(real_host.state.state)) / "links" / "h2") as host:
        yield host


def quiet(_: str) -> None: ...


@pytest.mark.hosts
@pytest.mark.slow
def test_two_real_hosts(real_host: RealHost, second_host: RealHost) -> None:
    connections = [real_host.connection, second_host.connection]
    real_host.shell("command -v ping || DEBIAN_FRONTEND=noninteractive apt-get install -y -q iputils-ping")
    found = measure_hosts(connections, read="/etc/os-release", gpu=False, tell=quiet)
    for host, peer in zip(found, reversed(connections), strict=True):
        assert isinstance(host, HostMeasured)
        assert host.throughput is not None
        assert (host.throughput.peer, host.throughput.state) == (peer.name, "measured"), host.throughput
        assert 0 < host.throughput.received <= MIB * 2**20
        assert host.throughput.rate > 0
    first, second = found
    assert isinstance(first, HostMeasured)
    assert isinstance(second, HostMeasured)
    (ping,) = first.network.pings
    assert (ping.address, ping.received, ping.jitter is not None) == (connections[1].address, ping.sent, True)
    assert second.network.state == "absent"
    left = "ss -Hltn | awk '{ print $4 }' | grep -E ':6[1-5][0-9]{3}$' || true"
    assert [real_host.shell(left), second_host.shell(left)] == ["", ""]


@pytest.mark.hosts
@pytest.mark.slow
def test_a_real_link_that_is_slow(real_host: RealHost, second_host: RealHost) -> None:
    link = f"{DEVICE} root"
    real_host.shell(f"tc qdisc add {link} tbf rate 64mbit burst 32kbit latency 400ms")
    try:
        found = measure_pairs([real_host.connection, second_host.connection], open_session, quiet)
    finally:
        real_host.shell(f"tc qdisc del {link}")
    slow = found[real_host.connection.name]
    assert (slow.state, slow.received < MIB * 2**20) == ("measured", True)
    assert 0 < slow.rate < 2 * 64e6 / 8
    assert slow.rate < NETWORK_RATE


@pytest.mark.hosts
@pytest.mark.slow
def test_two_real_hosts_between_which_packets_are_dropped(real_host: RealHost, second_host: RealHost) -> None:
    """What the one that sends says goes to nobody, and nobody tells it: as with a firewall that drops."""
    way = f"{second_host.connection.address} {DEVICE}"
    real_host.shell(f"ip neigh replace {way} lladdr 02:00:00:00:00:01 nud permanent")
    try:
        found = measure_pairs([real_host.connection, second_host.connection], open_session, quiet)
    finally:
        real_host.shell(f"ip neigh del {way}")
    assert [one.state for one in found.values()] == ["closed"]
